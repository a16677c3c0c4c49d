"""Folders that appear whole or not at all, with a manifest that says what is in them."""

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from siamese.errors import ArtifactError, OutputError, reason
from siamese.manifest import AUDIT, FORMAT_VERSION, MANIFEST, SEAL, check_kind, fingerprint, is_ours, seal, sha256
from siamese.publishing import beside, publish, staged_file, staging_for, sweep
from siamese.remote import RemoteFolder, is_url

Place = str | os.PathLike[str]  # a path, or a URL that fsspec knows


@contextmanager
def new_folder(out: Place) -> Iterator[Path]:
    """A folder to write into, which takes the place of ``out`` when the block ends, and vanishes when it fails.

    Raises:
        OutputError: ``out`` cannot be written, or is something that we did not write (it would be lost).
    """
    check_writable(out)
    if is_url(out):
        with _uploaded(RemoteFolder(os.fspath(out))) as staging:
            yield staging
        return
    target = place_of(out)
    with writing(target), staging_for(target) as staging:
        yield staging
        publish(staging, target)


@contextmanager
def edited_folder(place: Place, kind: str, *, whole: bool = True) -> Iterator[Path]:
    """A copy of a finished folder to change files of by :func:`write_text` and the like; it takes the folder's place when the block ends.

    Args:
        whole: False: files that its manifest says nothing of, written each for itself, into the folder as it is where that is a path.

    Raises:
        ArtifactError: there is no whole one of this kind.
        OutputError: it cannot be written.
    """
    folder = local_folder(place, kind)
    if is_url(place):
        with _uploaded(RemoteFolder(os.fspath(place)), read_json(folder / MANIFEST)["files"]) as staging:
            shutil.copytree(folder, staging, dirs_exist_ok=True)
            yield staging
        return
    if not whole:
        with writing(folder):
            yield folder
        return
    target = place_of(folder)
    check_manifest(target, kind)
    sweep(target)
    with writing(target), staging_for(target) as staging:
        shutil.copytree(target, staging, copy_function=link, dirs_exist_ok=True)
        yield staging
        publish(staging, target)


def link(source: str | Path, target: str | Path) -> None:
    """Another name for a file; a copy where it lies on another device."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def place_of(out: Place) -> Path:
    """Where an output goes; a link is followed, and stays."""
    return Path(out).resolve()


# What a storage says when it takes no more; other errors may be of what is read.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}


@contextmanager
def writing(out: Place) -> Iterator[None]:
    """Tell a storage that takes no more as an error of ours.

    Raises:
        OutputError: it does not.
    """
    try:
        yield
    except shutil.Error as error:  # of a tree that was copied: a list of what went wrong
        raise _no_room(out, str(error.args[0][0][2])) from error
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise _no_room(out, os.strerror(error.errno)) from error


def _no_room(place: Place, why: str) -> OutputError:
    return OutputError(f"cannot write '{place}' ({why}): make room, or give another place")


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Tell what a library says where it cannot write a file, in whichever way, as an error of ours.

    Raises:
        OutputError: it cannot.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        raise _no_room(path, reason(error)) from error


@contextmanager
def _uploaded(remote: RemoteFolder, intact: dict[str, str] | None = None) -> Iterator[Path]:
    """A folder to write into, which is put at its URL when the block ends."""
    staging = Path(tempfile.mkdtemp(prefix="siamese-"))
    try:
        yield staging
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    remote.put(staging, intact)  # where this fails, the work is not lost: the sentence says where it lies
    shutil.rmtree(staging, ignore_errors=True)


def local_folder(place: Place, kind: str) -> Path:
    """A finished folder as a path: as it is, or fetched from its URL into the cache.

    Raises:
        ArtifactError: at the URL there is no whole one of this kind. (A path is looked at by those that read it.)
    """
    return RemoteFolder(os.fspath(place)).fetch(kind) if is_url(place) else Path(place)


def check_writable(out: Place) -> None:
    """Refuse an output place before any work is done for it.

    Raises:
        OutputError: it cannot be written, or holds what we did not write.
    """
    if is_url(out):
        return RemoteFolder(os.fspath(out)).check_writable()
    given, out = out, place_of(out)
    if out.exists() and not out.is_dir():
        raise OutputError(f"cannot write to '{given}': it is a file, expected a folder to make")
    if out.is_mount():
        raise OutputError(f"cannot write to '{given}': it is where a disk is mounted, give --out a folder in it")
    try:
        theirs = files_of_others(out) if out.is_dir() else []
        if theirs:
            raise OutputError(
                f"'{given}' holds files that siamese did not write, such as '{theirs[0]}': give --out a new folder"
            )
        out.parent.mkdir(parents=True, exist_ok=True)
        sweep(out)
        probe = beside(out, "probe")
        probe.mkdir()
        with suppress(FileNotFoundError):
            probe.rmdir()
    except OSError as error:
        raise OutputError(
            f"cannot write to '{given}' ({error.strerror or error}): give --out a folder that you may write"
        ) from error


# What file managers leave everywhere, and a process that was killed where it wrote a file in place.
_DROPPINGS = re.compile(r"\.DS_Store|Thumbs\.db|desktop\.ini|\..+\.partial")


def files_of_others(folder: Path) -> list[str]:
    """Files there that would be lost: those that its manifest, if it has one of ours, does not name."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        manifest = {}
    ours = {MANIFEST, AUDIT, *manifest["files"]} if is_ours(manifest) else set()
    return [name for name in _names(folder) if name not in ours and not _DROPPINGS.fullmatch(name.rpartition("/")[2])]


def _names(folder: Path) -> list[str]:
    """All that is below a folder and no folder."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return sorted(found)


def write_text(path: Path, text: str) -> None:
    """A file of its own, whole or not at all.

    Raises:
        OutputError: it cannot be written there.
    """
    try:
        with staged_file(path) as staging:
            staging.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror or error}") from error


def write_json(path: Path, content: Any, indent: int | None = 2) -> None:
    """JSON with a line break at its end, written beside and then renamed.

    Args:
        indent: of each level; None: all in one line, which takes a tenth of the time where there is much of it.
    """
    staging = beside(path, "partial")
    text = json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False)
    staging.write_text(text + "\n", encoding="utf-8")
    os.replace(staging, path)


def read_json(path: Path) -> Any:
    """JSON of a file that we wrote.

    Raises:
        ArtifactError: it is not there or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"'{path}' is missing: '{path.parent}' is not a whole folder, make it again") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArtifactError(f"'{path}' cannot be read ({error}): make the folder again") from error


# What every manifest says of itself; the rest is its maker's.
OWN = frozenset({"format", "format_version", "created_at", "fingerprint", "files", "versions", SEAL})


def write_manifest(
    folder: Path,
    kind: str,
    content: dict[str, Any],
    *,
    unsigned: frozenset[str] = frozenset(),
    names: Iterable[str] | None = None,
    base: Path | None = None,
) -> dict[str, Any]:
    """Write the manifest of a folder whose other files are all in place.

    Args:
        kind: "model", "index" or "run".
        content: what else the manifest says.
        unsigned: files that say nothing of what the folder does (metrics), left out of its fingerprint.
        names: the files that are ours, where others may have put some there; all unless given.
        base: another folder, which :func:`check_manifest` found whole: the digest of a file that is linked from there is what it says.
    """
    known = (
        {}
        if base is None
        else {_file_on_disk(base / name): each for name, each in read_json(base / MANIFEST)["files"].items()}
    )
    files = (
        [folder / name for name in sorted(names)]
        if names is not None
        else sorted(
            path for path in folder.rglob("*") if path.is_file() and path not in (folder / MANIFEST, folder / AUDIT)
        )
    )
    digests = {path.relative_to(folder).as_posix(): known.get(_file_on_disk(path)) or sha256(path) for path in files}
    manifest = {
        "format": kind,
        "format_version": FORMAT_VERSION,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": fingerprint({name: digest for name, digest in digests.items() if name not in unsigned}),
        "files": digests,
        **content,
        "versions": library_versions(),
    }
    return put_manifest(folder, manifest)


def _file_on_disk(path: Path) -> tuple[int, int]:
    """The same for all names of a file."""
    status = path.stat()
    return status.st_dev, status.st_ino


def put_manifest(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Write a manifest, sealed."""
    manifest = {**manifest, SEAL: seal(manifest)}
    write_json(folder / MANIFEST, manifest)
    return manifest


def check_manifest(folder: Path, kind: str) -> dict[str, Any]:
    """The manifest of a folder whose files are those that it names, unchanged.

    Raises:
        ArtifactError: the folder is missing, of another kind or format version, or a file was lost or changed, or came to those of a
            subfolder, which are read whatever their names.
    """
    if not folder.is_dir():
        raise ArtifactError(f"there is no {kind} folder at '{folder}'")
    manifest = read_json(folder / MANIFEST)
    check_kind(manifest, folder, kind)
    digests: dict[str, str] = manifest["files"]
    for name, digest in digests.items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"the {kind} '{folder}' lacks its file '{name}': make the {kind} again")
        try:
            found = sha256(path)
        except OSError as error:
            raise ArtifactError(f"'{path}' cannot be read ({reason(error)}): make the {kind} again") from error
        if found != digest:
            raise ArtifactError(
                f"'{path}' was changed or damaged since the {kind} was made (its sha256 differs): make the {kind} again"
            )
    for subfolder in sorted({name.rpartition("/")[0] for name in digests} - {""}):
        for path in sorted((folder / subfolder).iterdir()):
            name = path.relative_to(folder).as_posix()
            if not path.is_dir() and name not in digests and not _DROPPINGS.fullmatch(path.name):
                raise ArtifactError(f"'{path}' is no file of the {kind} '{folder}', which would read it: take it out")
    return manifest


@cache
def library_versions() -> dict[str, str]:
    """Those that an output may depend on, of this process."""
    names = ("siamese-dedupe", "torch", "faiss-cpu", "numpy", "pandas", "pyarrow", "prefect", "lightgbm")
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
