"""Folders that appear whole or not at all, with a manifest that says what is in them."""

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from siamese.errors import ArtifactError, OutputError
from siamese.manifest import AUDIT, FORMAT_VERSION, MANIFEST, check_kind, fingerprint, is_ours, sha256
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
    out = Path(out).absolute()
    staging = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        staging.mkdir()
        yield staging
        publish(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def edited_folder(place: Place, kind: str) -> Iterator[Path]:
    """A finished folder to write files of: itself or, of one at a URL, a copy that is put there when the block ends.

    Raises:
        ArtifactError: there is no whole one of this kind.
        OutputError: it cannot be written.
    """
    folder = local_folder(place, kind)
    if not is_url(place):
        yield folder
        return
    with _uploaded(RemoteFolder(os.fspath(place)), read_json(folder / MANIFEST)["files"]) as staging:
        shutil.copytree(folder, staging, dirs_exist_ok=True)
        yield staging


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
    out = Path(out).absolute()
    if out.exists() and not out.is_dir():
        raise OutputError(f"cannot write to '{out}': it is a file, expected a folder to make")
    if out.is_dir() and any(out.iterdir()) and not _is_ours(out):
        raise OutputError(f"'{out}' holds files that siamese did not write: give --out a new folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        probe = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}.probe"
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise OutputError(
            f"cannot write to '{out}' ({error.strerror or error}): give --out a folder that you may write"
        ) from error


def _is_ours(folder: Path) -> bool:
    try:
        return is_ours(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return False


def publish(staging: Path, out: Path) -> None:
    """Put a finished folder in its place; what was there stays until then."""
    if not out.exists():
        os.replace(staging, out)
        return
    old = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}.old"
    os.replace(out, old)
    try:
        os.replace(staging, out)
    except OSError:
        os.replace(old, out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """A file of its own, whole or not at all.

    Raises:
        OutputError: it cannot be written there.
    """
    beside = path.with_name(f".{path.name}.partial")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror or error}") from error


def write_json(path: Path, content: Any) -> None:
    """JSON with a line break at its end, written beside and then renamed."""
    beside = path.with_name(f".{path.name}.partial")
    beside.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(beside, path)


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
OWN = frozenset({"format", "format_version", "created_at", "fingerprint", "files", "versions"})


def write_manifest(
    folder: Path, kind: str, content: dict[str, Any], *, unsigned: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Write the manifest of a folder whose other files are all in place.

    Args:
        kind: "model", "index" or "run".
        content: what else the manifest says.
        unsigned: files that say nothing of what the folder does (metrics), left out of its fingerprint.
    """
    files = sorted(
        path for path in folder.rglob("*") if path.is_file() and path not in (folder / MANIFEST, folder / AUDIT)
    )
    digests = {path.relative_to(folder).as_posix(): sha256(path) for path in files}
    manifest = {
        "format": kind,
        "format_version": FORMAT_VERSION,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": fingerprint({name: digest for name, digest in digests.items() if name not in unsigned}),
        "files": digests,
        **content,
        "versions": library_versions(),
    }
    write_json(folder / MANIFEST, manifest)
    return manifest


def check_manifest(folder: Path, kind: str) -> dict[str, Any]:
    """The manifest of a folder whose files are those that it names, unchanged.

    Raises:
        ArtifactError: the folder is missing, of another kind or format version, or a file was lost or changed.
    """
    if not folder.is_dir():
        raise ArtifactError(f"there is no {kind} folder at '{folder}'")
    manifest = read_json(folder / MANIFEST)
    check_kind(manifest, folder, kind)
    for name, digest in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"the {kind} '{folder}' lacks its file '{name}': make the {kind} again")
        if sha256(path) != digest:
            raise ArtifactError(
                f"'{path}' was changed or damaged since the {kind} was made (its sha256 differs): make the {kind} again"
            )
    return manifest


def library_versions() -> dict[str, str]:
    names = ("siamese-dedupe", "torch", "faiss-cpu", "numpy", "pandas", "pyarrow", "prefect", "lightgbm")
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
