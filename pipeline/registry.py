"""Registry: a folder of runs, of which ``latest`` is the one that readers take.

``latest`` is a symbolic link beside the runs, which is switched by a rename: whoever follows it finds the one run or the other, whole.
A run that is written to ``next`` gets the next number, ``run-0001`` and so on, and is published if drift allows.
"""

import os
import re
import shutil
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from pipeline.holding import HELD, SUFFIX, job_of_held
from siamese.errors import ArtifactError, OutputError, SettingsError
from siamese.folders import AUDIT, MANIFEST, Place, check_kind, check_manifest, files_of_others, is_ours, read_json
from siamese.remote import is_url

LATEST, NEXT = "latest", "next"
_NUMBERED = re.compile(rf"run-(\d+)(?:\{SUFFIX})?")


@dataclass(frozen=True)
class Entry:
    """A run of the folder.

    Attributes:
        name: of its folder.
        latest: whether it is the one that ``latest`` names.
        created_at: UTC.
        counts: records, flagged pairs, groups and records to leave out.
        quality: shares that are known of it: what its probabilities expect, against the truth, and from people's judgements.
        origin: its model, inputs and the run that it goes on from, by digests, and its own.
        held: why it is not published.
        fault: why it cannot be read; then the rest is empty.
    """

    name: str
    latest: bool
    created_at: str
    counts: dict[str, int]
    quality: dict[str, float]
    origin: dict[str, Any]
    held: str | None = None
    fault: str | None = None

    @classmethod
    def read(cls, run: Path, latest: bool) -> Self:
        try:
            manifest, summary = read_json(run / MANIFEST), read_json(run / "summary.json")
            check_kind(manifest, run, "run")
            audit = read_json(run / AUDIT) if (run / AUDIT).is_file() else {}
            origin = {name: manifest.get(name) for name in ("fingerprint", "model", "inputs", "previous", "updates")}
            counts, quality = _counts(summary), _quality(summary, audit)
            return cls(run.name, latest, manifest["created_at"], counts, quality, origin, manifest.get(HELD))
        except (ArtifactError, KeyError, TypeError, AttributeError) as error:
            said = (
                str(error)
                if isinstance(error, ArtifactError)
                else f"'{run}' does not say what a run says ({error}): make it again"
            )
            return cls(run.name, latest, "", {}, {}, {}, fault=said)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def list_runs(folder: Place) -> list[Entry]:
    """The runs of a folder, the newest first, then those that cannot be read; files are not compared with their digests.

    Raises:
        ArtifactError: there is no such folder.
    """
    place = _local(folder)
    latest = latest_run(place)
    entries = [Entry.read(run, run.name == latest) for run in _runs(place)]
    by_name = sorted(entries, key=lambda entry: entry.name)
    return sorted(by_name, key=lambda entry: entry.created_at, reverse=True)


def latest_run(folder: Path) -> str | None:
    """The name of the run that ``latest`` names; None where there is no such link."""
    link = folder / LATEST
    return link.readlink().name if link.is_symlink() else None


def is_next(out: Place) -> bool:
    """Whether an output is to be the next run of a folder."""
    return not is_url(out) and Path(out).name == NEXT


def next_run(folder: Path, job: str) -> Path:
    """The place of the next run of a folder: that of the held one of the same job, else one with a number that none has.

    A killed run has none yet, so the same job finds its place, and what it had done, again.
    """
    numbers = {path.name: int(found[1]) for path in folder.iterdir() if (found := _NUMBERED.fullmatch(path.name))}
    same = (name for name in numbers if name.endswith(SUFFIX) and job_of_held(folder / name) == job)
    number = min((numbers[name] for name in same), default=max(numbers.values(), default=0) + 1)
    return folder / f"run-{number:04d}"


def publish_run(folder: Place, name: str) -> None:
    """Let ``latest`` name a run, once its files are found whole; also to go back to an older one.

    Raises:
        ArtifactError: it is no whole run of the folder.
        OutputError: something that is no link is called ``latest``, or the link cannot be made.
    """
    place = _local(folder)
    if name == LATEST or name.startswith(".") or Path(name).name != name:
        raise ArtifactError(f"'{name}' is no run of '{folder}': expected the name of a folder in it")
    if HELD in check_manifest(place / name, "run"):
        raise ArtifactError(
            f"'{place / name}' is held, for it is not like the runs before it: look at it, and pass --accept-drift"
        )
    link, beside = place / LATEST, place / f".{LATEST}.{uuid.uuid4().hex[:8]}"
    if link.exists() and not link.is_symlink():
        raise OutputError(f"'{link}' is no link that siamese made: expected to put one there, call it something else")
    try:
        beside.symlink_to(name)  # relative: the folder may move
        os.replace(beside, link)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OutputError(f"cannot write '{link}': {error.strerror or error}") from error


def prune_runs(folder: Place, keep: int) -> list[str]:
    """Remove all but the newest runs and the one that ``latest`` names; what is no whole run of ours stays,
    and a run with files of others in it, such as a judged sheet.

    Args:
        keep: how many, the latest among them.

    Returns:
        Names of those removed, the newest first.

    Raises:
        SettingsError: none is to be kept.
        OutputError: one cannot be removed.
    """
    if keep < 1:
        raise SettingsError(f"--keep is {keep}: expected 1 or more")
    place = _local(folder)
    sound = [entry for entry in list_runs(folder) if entry.fault is None]
    entries = [entry for entry in sound if not files_of_others(place / entry.name)]
    ranked = sorted(entries, key=lambda entry: not entry.latest)  # stable: the latest, then the newest
    removed = sorted(ranked[keep:], key=lambda entry: entry.created_at, reverse=True)
    for entry in removed:
        _remove(place / entry.name)
    return [entry.name for entry in removed]


def _remove(run: Path) -> None:
    """Under another name: what is half removed must not look like a run."""
    aside = run.with_name(f".{run.name}.{uuid.uuid4().hex[:8]}.old")
    try:
        os.replace(run, aside)
        shutil.rmtree(aside)
    except OSError as error:
        raise OutputError(f"cannot remove '{run}': {error.strerror or error}") from error


def _runs(folder: Path) -> list[Path]:
    """Folders that hold a manifest of a run, or what was one."""
    found = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.is_symlink()]
    return [path for path in found if not path.name.startswith(".") and _was_run(path / MANIFEST)]


def _was_run(manifest: Path) -> bool:
    if not manifest.is_file():
        return False
    try:
        content = read_json(manifest)
    except ArtifactError:
        return True  # listed with what is wrong with it
    return is_ours(content) and content["format"] == "run"


def _local(folder: Place) -> Path:
    if is_url(folder):
        raise ArtifactError(f"'{folder}' is a URL: expected a folder of this machine, for 'latest' is a link in it")
    path = Path(folder)
    if not path.is_dir():
        raise ArtifactError(f"there is no folder '{folder}': expected one that holds runs")
    return path


def _counts(summary: dict[str, Any]) -> dict[str, int]:
    records = summary["records"]
    total = sum(records.values()) if isinstance(records, dict) else records
    return {
        "records": total,
        **{name: summary[name] for name in ("matches", "clusters", "duplicates") if name in summary},
    }


def _quality(summary: dict[str, Any], audit: dict[str, Any]) -> dict[str, float]:
    found = {"expected_precision": summary.get("expected_precision")}
    measured = (summary.get("evaluation") or {}).get("pairs") or {}
    found |= {f"true_{name}": measured.get(name) for name in ("precision", "recall", "f1")}
    found |= {f"audited_{name}": (audit.get(name) or {}).get("estimate") for name in ("precision", "recall")}
    return {name: value for name, value in found.items() if value is not None}
