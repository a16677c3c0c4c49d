"""Heap: what a run frees it soon asks for again, so the process keeps it meanwhile."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# Of <malloc.h>: what is freed at the end of the heap is given back beyond TRIM; the heap grows by PAD more than is asked for; what is
# greater than MMAP lies outside it, and is given back at once.
_TRIM, _PAD, _MMAP = -1, -2, -3
_INSIDE = {_TRIM: 2**28, _PAD: 2**26, _MMAP: 2**25}
_AFTER = {_TRIM: 2**26, _PAD: 2**17, _MMAP: 2**25}  # what glibc's own come to once large arrays were freed


@contextmanager
def heap_kept() -> Iterator[None]:
    """Inside, glibc keeps what is freed: the system clears every page that it hands out again, which is a twelfth of a run of a million
    records. Other C libraries are left alone."""
    libc = ctypes.CDLL(None)
    if not (hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim")):
        yield
        return
    _set(libc, _INSIDE)
    try:
        yield
    finally:
        _set(libc, _AFTER)
        libc.malloc_trim(0)


def _set(libc: ctypes.CDLL, options: dict[int, int]) -> None:
    for option, value in options.items():
        libc.mallopt(option, value)
