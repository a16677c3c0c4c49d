"""The heap: that a run leaves the allocator as it is meant to, and other C libraries alone."""

import ctypes
from typing import Any

import pytest

from flows.heap import heap_kept


class Glibc:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.options: dict[int, int] = {}
        self.trimmed = 0

    def mallopt(self, option: int, value: int) -> int:
        self.options[option] = value
        return 1

    def malloc_trim(self, _pad: int) -> int:
        self.trimmed += 1
        return 1


def test_what_is_kept_inside_is_given_back_after_a_run_that_failed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    libc = Glibc()
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: libc)
    with pytest.raises(KeyError), heap_kept():
        inside = dict(libc.options)
        assert libc.trimmed == 0
        raise KeyError
    assert inside.keys() == libc.options.keys()
    assert all(libc.options[option] <= value for option, value in inside.items())
    assert libc.options != inside
    assert libc.trimmed == 1


@pytest.mark.parametrize("libc", [object(), ctypes.CDLL(None)])
def test_any_c_library_does(libc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: libc)
    with heap_kept():
        assert len(bytes(2**20)) == 2**20
