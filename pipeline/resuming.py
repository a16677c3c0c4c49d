"""Resuming: a run that was killed goes on where its notes end, when the same job is given again.

A job works beside its output, in ``.{output}.{key}.partial``:

    lock          held while a process is at it, and let go of when that ends, however it ends
    run/          what becomes the output
    work/         what passes between the stages
    work/done/    a note of each stage, or block of one, that is done: what it said
    work/asked.json  what its decision is to promise

A run that is to keep its state stays too where a promise is refused: asked for another, it goes on.
"""

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from siamese.errors import OutputError, PromiseError
from siamese.folders import (
    Place,
    check_writable,
    library_versions,
    new_folder,
    place_of,
    read_json,
    write_json,
    writing,
)
from siamese.manifest import FORMAT_VERSION
from siamese.publishing import take_place
from siamese.remote import is_url

LOCK, RUN, WORK, DONE, ASKED = "lock", "run", "work", "done", "asked.json"
KEY_LENGTH = 16


def job_key(job: dict[str, Any]) -> str:
    """A name for all that settles what a job gives: what it is asked, and the versions that do it."""
    said = {**job, "format_version": FORMAT_VERSION, "versions": library_versions()}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:KEY_LENGTH]


def once(work: Path, stage: str, function: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
    """What a stage says; it is done unless its note is there, which is written when all else is."""
    note = work / DONE / f"{stage}.json"
    if note.is_file():
        said: dict[str, Any] = read_json(note)
        return said
    said = function(*args)
    beside = note.with_suffix(f".{uuid.uuid4().hex[:8]}")  # a worker that was given up for lost may still write its own
    write_json(beside, said)
    os.replace(beside, note)
    return said


def asked_of(work: Path, asked: Any, stages: Iterable[str]) -> None:
    """Forget what stages said that were asked for something else."""
    note = work / ASKED
    if note.is_file() and read_json(note) != asked:
        for stage in stages:
            (work / DONE / f"{stage}.json").unlink(missing_ok=True)
    write_json(note, asked)


@contextmanager
def job_folder(out: Place, key: str, stays: bool = False) -> Iterator[tuple[Path, Path]]:
    """Folders for a job's outputs and for its work; the first takes the place of ``out`` when the block ends.

    Both are those of a killed or refused run of the same job, if there was one; those of another job for ``out`` are removed. Nothing is
    left of either when the block fails. A job whose output is at a URL starts from the beginning.

    Args:
        stays: whether both are left where a promise is refused.

    Raises:
        PromiseError: of the block, with where its work stays.
        OutputError: another process is making ``out``, or it cannot be written.
    """
    if is_url(out):
        with new_folder(out) as run, tempfile.TemporaryDirectory(prefix="siamese-") as place:
            (Path(place) / DONE).mkdir()
            yield run, Path(place)
        return
    check_writable(out)
    out = place_of(out)
    folder = _partial(out, key)
    with writing(out), _locked(folder, out):
        try:
            for other in _partials(out) - {folder}:
                with _locked(other, out):
                    _discard(other, out)
            run, work = folder / RUN, folder / WORK
            if not run.is_dir():  # killed before it began, or when all was done and in its place
                shutil.rmtree(work, ignore_errors=True)
            (work / DONE).mkdir(parents=True, exist_ok=True)
            run.mkdir(exist_ok=True)
            yield run, work
            take_place(run, out)
        except PromiseError as error:
            if not stays:
                _discard(folder, out)
                raise
            raise PromiseError(
                f"{error} (the work so far stays in '{folder}': the same command goes on from there)"
            ) from error
        except BaseException:
            _discard(folder, out)
            raise
        _discard(folder, out)


def _partial(out: Path, key: str) -> Path:
    return out.parent / f".{out.name}.{key}.partial"


def _partials(out: Path) -> set[Path]:
    """Those of any job for an output; what :func:`siamese.folders.new_folder` is filling has a shorter name."""
    name = re.compile(rf"\.{re.escape(out.name)}\.[0-9a-f]{{{KEY_LENGTH}}}\.partial")
    return {path for path in out.parent.iterdir() if name.fullmatch(path.name)}


def _discard(folder: Path, out: Path) -> None:
    """Remove a job's folder, under another name: one that is half removed must not be gone on in."""
    aside = _partial(out, uuid.uuid4().hex[:KEY_LENGTH])
    os.replace(folder, aside)
    shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _locked(folder: Path, out: Path) -> Iterator[None]:
    """Hold the folder, made if need be, for this process.

    Raises:
        OutputError: another process holds it.
    """
    while True:
        folder.mkdir(exist_ok=True)
        with _gone_if_useless(folder):
            opened = (folder / LOCK).open("a+", encoding="utf-8")
        with opened as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputError(
                    f"{_holder(lock)} is making '{out}': wait until it ends, or give --out another folder"
                ) from None
            if is_at(lock, folder / LOCK):
                with _gone_if_useless(folder):
                    lock.truncate(0)
                    here = {"process": os.getpid(), "host": platform.node(), "since": datetime.now(UTC).isoformat()}
                    print(json.dumps(here), file=lock, flush=True)
                yield
                return


@contextmanager
def _gone_if_useless(folder: Path) -> Iterator[None]:
    """Where a lock cannot be written, for the disk is full, no folder is left that holds nothing else."""
    try:
        yield
    except OSError:
        if not (folder / RUN).is_dir():
            shutil.rmtree(folder, ignore_errors=True)
        raise


def is_at(file: TextIO, path: Path) -> bool:
    """Whether an open file is still the one at the path: whoever held it before may have removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _holder(lock: TextIO) -> str:
    """Who holds a lock, in words."""
    lock.seek(0)
    try:
        held = json.loads(lock.read())
        since = datetime.fromisoformat(held["since"]).astimezone()
        return f"process {held['process']} on '{held['host']}', since {since:%Y-%m-%d %H:%M:%S},"
    except (ValueError, KeyError, TypeError):  # it has only just begun
        return "another process"
