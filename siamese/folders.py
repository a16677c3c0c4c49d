"""Folders that appear whole or not at all, with a manifest that says what is in them."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from siamese.errors import ArtifactError, OutputError

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
AUDIT = "audit.json"  # written into a finished run, and again: its manifest says nothing of it and stays valid


@contextmanager
def new_folder(out: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder to write into, which takes the place of ``out`` when the block ends, and vanishes when it fails.

    Raises:
        OutputError: ``out`` cannot be written, or is something that we did not write (it would be lost).
    """
    out = Path(out).absolute()
    check_writable(out)
    staging = out.parent / f".{out.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        staging.mkdir()
        yield staging
        publish(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def check_writable(out: Path) -> None:
    """Refuse an output place before any work is done for it."""
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
    """Whether the folder has a manifest, and one of ours: web pages and browser extensions have files of this name too."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and {"format", "format_version", "files"} <= manifest.keys()


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


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(digests: dict[str, str]) -> str:
    """One digest for a folder: of its files' names and digests."""
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def write_manifest(
    folder: Path, kind: str, content: dict[str, Any], *, unsigned: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Write the manifest of a folder whose other files are all in place.

    Args:
        kind: "model", "index" or "run".
        content: what else the manifest says.
        unsigned: files that say nothing of what the folder does (metrics), left out of its fingerprint.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (MANIFEST, AUDIT))
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
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != kind:
        raise ArtifactError(f"'{folder}' holds {_a(found or 'folder of another kind')}, expected {_a(kind)}")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise ArtifactError(
            f"the {kind} '{folder}' has format version {manifest.get('format_version')}, this version of siamese reads {FORMAT_VERSION}: "
            f"make the {kind} again, or install the version of siamese that made it"
        )
    if not isinstance(manifest.get("files"), dict) or not isinstance(manifest.get("fingerprint"), str):
        raise ArtifactError(f"'{folder / MANIFEST}' is damaged (it lists no files): make the {kind} again")
    for name, digest in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise ArtifactError(f"the {kind} '{folder}' lacks its file '{name}': make the {kind} again")
        if sha256(path) != digest:
            raise ArtifactError(
                f"'{path}' was changed or damaged since the {kind} was made (its sha256 differs): make the {kind} again"
            )
    return manifest


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def library_versions() -> dict[str, str]:
    names = ("siamese-dedupe", "torch", "faiss-cpu", "numpy", "pandas", "pyarrow", "prefect", "lightgbm")
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
