"""The manifest of a folder: what we wrote there, and by which digests it is known to be whole."""

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any

from siamese.errors import ArtifactError

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
AUDIT = "audit.json"  # written into a finished run, and again: its manifest says nothing of it and stays valid
SEAL = "seal"  # sha256 of the rest of a manifest; those made before there was one have none


def is_ours(manifest: Any) -> bool:
    """Whether it is a manifest of ours: web pages and browser extensions have files of this name too."""
    return isinstance(manifest, dict) and {"format", "format_version", "files"} <= manifest.keys()


def check_kind(manifest: Any, folder: str | Path, kind: str) -> None:
    """Refuse a manifest that is not of the kind and format version that are read here.

    Args:
        folder: where it lies, for the sentence.

    Raises:
        ArtifactError: it is of another kind or format version, is damaged, or names a file outside the folder.
    """
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != kind:
        raise ArtifactError(f"'{folder}' holds {_a(str(found or 'folder of another kind'))}, expected {_a(kind)}")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise ArtifactError(
            f"the {kind} '{folder}' has format version {manifest.get('format_version')}, this version of siamese reads {FORMAT_VERSION}: "
            f"make the {kind} again, or install the version of siamese that made it"
        )
    if not isinstance(manifest.get("files"), dict) or not isinstance(manifest.get("fingerprint"), str):
        raise ArtifactError(f"'{folder}/{MANIFEST}' is damaged (it lists no files): make the {kind} again")
    for name in manifest["files"]:
        if name.startswith("/") or ".." in PurePosixPath(name).parts:
            raise ArtifactError(f"'{folder}/{MANIFEST}' names the file '{name}', which is not in the folder")
    if SEAL in manifest and manifest[SEAL] != seal(manifest):
        raise ArtifactError(
            f"'{folder}/{MANIFEST}' was changed or damaged since the {kind} was made (its seal is broken): make the {kind} again"
        )


def seal(manifest: dict[str, Any]) -> str:
    """The digest by which a manifest itself is known to be whole."""
    said = json.loads(json.dumps({name: each for name, each in manifest.items() if name != SEAL}))
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(digests: dict[str, str]) -> str:
    """One digest for a folder: of its files' names and digests."""
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
