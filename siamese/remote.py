"""Folders at a URL: written such that the manifest says which are whole, and fetched once into a local cache to be read."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec

from siamese.errors import ArtifactError, OutputError, SiameseError, reason
from siamese.manifest import AUDIT, FORMAT_VERSION, MANIFEST, check_kind, is_ours, sha256
from siamese.publishing import beside

PARTIAL = "manifest.partial"  # while a folder is written: all names of ours that may be there, whenever it is cut off
CACHE_VARIABLE = "SIAMESE_CACHE"
HAVE_FOLDERS = {
    "file",
    "local",
    "sftp",
    "ssh",
    "smb",
    "hdfs",
}  # that must be made; object stores have none, but buckets


def is_url(place: str | os.PathLike[str]) -> bool:
    return "://" in os.fspath(place)


@dataclass(frozen=True)
class RemoteFolder:
    """A folder of ours on a filesystem of fsspec's. Object stores rename nothing, so the manifest goes first and comes last:
    a folder without one is not whole, and one whose files are not those of its manifest is refused when it is fetched.
    """

    url: str

    @cached_property
    def _filesystem(self) -> Any:
        return fsspec.core.url_to_fs(self.url)[0]

    @cached_property
    def _path(self) -> str:
        return str(fsspec.core.url_to_fs(self.url)[1])

    def check_writable(self) -> None:
        """Refuse an output place before any work is done for it.

        Raises:
            OutputError: it holds a file that we did not write, or cannot be written.
        """
        with _told(OutputError, f"cannot write to '{self.url}'", "give --out a place that you may write"):
            there, ours = self._names(), self._ours()
            if self._filesystem.isfile(self._path):
                raise OutputError(f"cannot write to '{self.url}': it is a file, expected a folder to make")
            if there - ours:
                raise OutputError(
                    f"'{self.url}' holds files that siamese did not write, such as '{min(there - ours)}': give --out a new folder"
                )
            self._begin(ours)
            if PARTIAL not in there:
                self._remove([PARTIAL])

    def put(self, folder: Path, intact: Mapping[str, str] | None = None) -> None:
        """Put a finished folder in its place; files of an earlier one that the new manifest does not name are removed.

        Args:
            intact: the digests of files that are known to be there; where ``folder`` has the same, they stay.

        Raises:
            OutputError: the storage failed; the place is not whole then, and is known for ours when it is written again.
        """
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        changed = [name for name, digest in files.items() if (intact or {}).get(name) != digest]
        audit = {AUDIT} if (folder / AUDIT).is_file() else set()
        with _told(OutputError, f"cannot write to '{self.url}'", f"what was to go there is in '{folder}'"):
            earlier = self._ours()
            self._begin(earlier | files.keys())
            self._remove([MANIFEST])
            self._upload(folder, [*changed, *audit])
            self._remove(earlier - files.keys() - audit - {MANIFEST, PARTIAL})
            self._upload(folder, [MANIFEST])
            self._remove([PARTIAL])

    def fetch(self, kind: str) -> Path:
        """A local copy, checked against the manifest; the files are fetched only where the cache has none of this very manifest.

        Raises:
            ArtifactError: nothing whole of this kind is there, or it cannot be read.
            OutputError: the cache cannot be written.
        """
        content, manifest = self._manifest(kind)
        copy = cache_folder() / hashlib.sha256(content).hexdigest()[:32]
        if not all(
            (copy / name).is_file() and sha256(copy / name) == digest for name, digest in manifest["files"].items()
        ):
            self._keep(copy, kind, content, manifest["files"])
        if kind == "run":
            self._fetch_audit(copy / AUDIT)
        return copy

    def _keep(self, copy: Path, kind: str, manifest: bytes, digests: Mapping[str, str]) -> None:
        """Fetch the files into the cache, which has a whole copy or none at any time."""
        staging = beside(copy, "partial")
        try:
            with _told(OutputError, f"cannot keep '{self.url}' in '{copy.parent}'", f"set {CACHE_VARIABLE} to another"):
                shutil.rmtree(copy, ignore_errors=True)  # damaged, or never there
                copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # records are private
                staging.mkdir()
            self._download(staging, kind, digests)
            (staging / MANIFEST).write_bytes(manifest)
            with suppress(OSError):  # another process was first: its copy is the same
                staging.replace(copy)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _fetch_audit(self, path: Path) -> None:
        """The audit as it is now: it may come later than the manifest, and again."""
        with _told(ArtifactError, f"cannot fetch the audit of '{self.url}'"):
            audit = self._read(AUDIT)
            if audit is None:
                return path.unlink(missing_ok=True)
            staging = beside(path, "partial")
            staging.write_bytes(audit)
            staging.replace(path)

    def _manifest(self, kind: str) -> tuple[bytes, dict[str, Any]]:
        with _told(ArtifactError, f"cannot read the {kind} at '{self.url}'"):
            content = self._read(MANIFEST)
            if content is None:
                there = self._names()
                if PARTIAL in there:
                    raise ArtifactError(
                        f"the folder at '{self.url}' is not whole ({MANIFEST} is missing): it is being written, or that was cut off; "
                        f"wait, or make the {kind} again"
                    )
                if there:
                    raise ArtifactError(f"'{self.url}' is no {kind} folder: it holds no {MANIFEST}")
                raise ArtifactError(f"there is no {kind} folder at '{self.url}'")
        try:
            manifest = json.loads(content)
        except ValueError as error:
            raise ArtifactError(f"'{self.url}/{MANIFEST}' is damaged ({error}): make the {kind} again") from error
        check_kind(manifest, self.url, kind)  # nothing is written outside the cache
        return content, manifest

    def _download(self, folder: Path, kind: str, digests: Mapping[str, str]) -> None:
        again = f"make the {kind} again, or try again if it was just being replaced"
        with _told(ArtifactError, f"cannot fetch the {kind} at '{self.url}'", again):
            self._filesystem.get([self._at(name) for name in digests], [str(folder / name) for name in digests])
        for name, digest in digests.items():
            if sha256(folder / name) != digest:
                raise ArtifactError(f"'{self.url}/{name}' is not what the manifest says (its sha256 differs): {again}")

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}"

    def _names(self) -> set[str]:
        """The files there, below the folder's path."""
        self._filesystem.invalidate_cache()  # others write there too
        below = self._at("")
        # Among what is found may be the path itself, where it is a file's, and folders, where a console made some.
        found = self._filesystem.find(self._path)
        return {name.removeprefix(below) for name in found if name.startswith(below) and not name.endswith("/")}

    def _ours(self) -> set[str]:
        """The names that a manifest there, whole or partial, claims for us."""
        claimed: set[str] = set()
        for name in (MANIFEST, PARTIAL):
            try:
                manifest = json.loads(self._read(name) or b"")
            except ValueError:
                continue
            if is_ours(manifest):
                claimed |= {name, AUDIT, *manifest["files"]}
        return claimed

    def _read(self, name: str) -> bytes | None:
        self._filesystem.invalidate_cache()
        try:
            return bytes(self._filesystem.cat_file(self._at(name)))
        except FileNotFoundError:
            return None

    def _begin(self, names: Iterable[str]) -> None:
        with tempfile.TemporaryDirectory(prefix="siamese-") as place:
            claim = {"format": "partial", "format_version": FORMAT_VERSION, "files": sorted(names)}
            (Path(place) / PARTIAL).write_text(json.dumps(claim), encoding="utf-8")
            self._upload(Path(place), [PARTIAL])

    def _upload(self, folder: Path, names: list[str]) -> None:
        protocol = self._filesystem.protocol
        if HAVE_FOLDERS.intersection([protocol] if isinstance(protocol, str) else protocol):
            for parent in sorted({self._at(name).rpartition("/")[0] for name in names}):
                self._filesystem.makedirs(parent, exist_ok=True)
        self._filesystem.put([str(folder / name) for name in names], [self._at(name) for name in names])

    def _remove(self, names: Iterable[str]) -> None:
        for name in sorted(self._names().intersection(names)):
            self._filesystem.rm_file(self._at(name))


def lasting(place: str) -> str:
    """A place by an address that holds in any folder: a URL as it is, a path absolute."""
    return place if is_url(place) else str(Path(place).absolute())


def cache_folder() -> Path:
    """Where fetched folders are kept: ``$SIAMESE_CACHE``, or ``siamese`` in the user's cache. It may be removed at any time."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "siamese"


@contextmanager
def _told(
    error: type[SiameseError], what: str, mend: str = "look at the address and the credentials"
) -> Iterator[None]:
    """Every filesystem fails with errors of its own kinds: tell them all as one of ours."""
    try:
        yield
    except SiameseError:
        raise
    except ImportError as fault:
        raise error(f"{what}: {reason(fault)} with pip") from fault
    except Exception as fault:
        raise error(f"{what} ({reason(fault)}): {mend}") from fault
