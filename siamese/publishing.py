"""Publishing: a finished folder takes the place of an earlier one in one step; what killed processes left beside it is removed.

A folder is filled under the name ``.{name}.{8 hex digits}.partial`` beside its place, and locked meanwhile: one that nobody holds is of a
process that was killed.
"""

import ctypes
import errno
import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of renameat2(2)


def beside(out: Path, suffix: str) -> Path:
    """A fresh name next to a place."""
    return out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}.{suffix}"


@contextmanager
def staging_for(out: Path) -> Iterator[Path]:
    """A folder to fill beside a place, held until the block ends; then it is gone, published or not."""
    while True:
        staging = beside(out, "partial")
        staging.mkdir()
        with held(staging, unless_known=True) as is_ours:
            if not is_ours:  # somebody swept it between the two lines
                continue
            try:
                yield staging
            finally:
                shutil.rmtree(staging, ignore_errors=True)
            return


@contextmanager
def staged_file(path: Path) -> Iterator[Path]:
    """The same for one file: an empty one to write into, which takes its place when the block ends."""
    sweep(path)
    while True:
        staging = beside(path, "partial")
        staging.touch(exist_ok=False)
        with held(staging, unless_known=True) as is_ours:
            if not is_ours:
                continue
            try:
                yield staging
                os.replace(staging, path)
            finally:
                with suppress(OSError):
                    staging.unlink(missing_ok=True)
            return


@contextmanager
def held(folder: Path, *, unless_known: bool) -> Iterator[bool]:
    """Lock a folder or a file; whether nobody else holds it and it is still there, ``unless_known`` on a filesystem without locks."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _locks(descriptor, unless_known) and _is_at(descriptor, folder)
    finally:
        os.close(descriptor)


def _locks(descriptor: int, unless_known: bool) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return unless_known
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


def publish(staging: Path, out: Path) -> None:
    """Put a finished folder in its place. What was there stays until then, and is there or the new one at any time."""
    if not out.exists():
        os.replace(staging, out)
        return
    try:
        exchange(staging, out)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise
        _replace(staging, out)
    shutil.rmtree(staging, ignore_errors=True)


def take_place(folder: Path, out: Path) -> None:
    """Publish a folder that lies anywhere on the disk. It goes beside its place first: where the process is killed meanwhile, what is left
    under the folder's own name must not be the earlier output."""
    staging = beside(out, "partial")
    with held(folder, unless_known=True):
        os.replace(folder, staging)
        try:
            publish(staging, out)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def exchange(one: Path, other: Path) -> None:
    """Let two paths change names in one step.

    Raises:
        OSError: ENOSYS, EINVAL or ENOTSUP where system or filesystem cannot.
    """
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))


def _replace(staging: Path, out: Path) -> None:
    """In two steps: a process that is killed between them leaves the earlier folder where :func:`sweep` finds it."""
    old = beside(out, "old")
    os.replace(out, old)
    try:
        os.replace(staging, out)
    except OSError:
        os.replace(old, out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def sweep(out: Path) -> None:
    """Remove what killed processes left beside a place, and put back what one was about to replace."""
    name = re.compile(rf"\.{re.escape(out.name)}\.[0-9a-f]{{8}}\.(partial|old|probe)")
    for path in list(out.parent.iterdir()):
        found = name.fullmatch(path.name)
        if found is None or path.is_symlink():
            continue
        with held(path, unless_known=False) as is_ours, suppress(OSError):
            if not is_ours:
                continue
            if found[1] == "old" and not out.exists():
                os.replace(path, out)
            elif path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
