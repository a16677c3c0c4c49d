"""Holding: a run that is not like those before it stays beside its place, whole, until someone says that it may be published.

What ``runs/tuesday`` would have been is ``runs/tuesday.held``; what is at ``runs/tuesday`` stays as it is.
"""

import os
from pathlib import Path

from siamese.errors import ArtifactError, OutputError
from siamese.folders import MANIFEST, Place, check_manifest, check_writable, place_of, put_manifest, read_json
from siamese.publishing import take_place
from siamese.remote import RemoteFolder, is_url

SUFFIX = ".held"
HELD = "held"  # in the manifest: why


class DriftError(OutputError):
    """A run is not published, for it is not like those before it."""


def held_place(out: Place) -> str:
    """Where a run for ``out`` is held."""
    return os.fspath(out).rstrip("/") + SUFFIX


def hold(run: Path, out: Place, why: str) -> DriftError:
    """Put a finished run, whose manifest says that it is held, beside its place.

    Returns:
        What to raise.

    Raises:
        OutputError: it cannot be written there.
    """
    place = held_place(out)
    check_writable(place)
    if is_url(place):
        RemoteFolder(place).put(run)
    else:
        take_place(run, place_of(place))
    return DriftError(f"{why}: not published; look at '{place}', and pass --accept-drift to publish it")


def job_of_held(place: Path) -> str | None:
    """The key of the job that made a held run; None where there is none."""
    manifest = place / MANIFEST
    return read_json(manifest).get("job") if manifest.is_file() else None


def accept(place: Path) -> Path:
    """Let a held run take its place.

    Raises:
        ArtifactError: there is no whole run that is held.
        OutputError: its place holds what we did not write.
    """
    manifest = check_manifest(place, "run")
    if place.suffix != SUFFIX:
        raise ArtifactError(f"'{place}' is not held: expected a run that drift kept from being published")
    out = place.with_suffix("")
    check_writable(out)
    put_manifest(place, {name: said for name, said in manifest.items() if name != HELD})
    take_place(place, place_of(out))
    return out
