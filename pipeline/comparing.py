"""Comparing: two runs over much the same records, of two models, thresholds or nights, and what the one has and the other has not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pipeline.changes import Changes
from pipeline.pairchanges import PairChanges
from pipeline.partitions import Partitions
from siamese.errors import DataError
from siamese.folders import AUDIT, Place, check_manifest, local_folder, read_json
from siamese.secrets import redacted

SUMMARY = "summary.json"
FIGURES = (  # of a summary, side by side
    "records",
    "distinct_contents",
    "pairs",
    "matches",
    "review",
    "clusters",
    "duplicates",
    "largest_cluster",
    "decided_by",
    "among_rivals",
    "min_probability",
    "max_distance",
    "threshold_from",
    "expected_precision",
)


@dataclass(frozen=True)
class RunSide:
    """One of the two runs.

    Attributes:
        place: as it was given.
        folder: where it lies.
        manifest, summary: what it says of itself.
        audit: what people's judgements say of it, if there are any.
    """

    place: str
    folder: Path
    manifest: dict[str, Any]
    summary: dict[str, Any]
    audit: dict[str, Any] | None

    @classmethod
    def open(cls, place: Place) -> Self:
        """Raises ArtifactError: it is no whole run."""
        folder = local_folder(place, "run")
        manifest = check_manifest(folder, "run")
        audit = read_json(folder / AUDIT) if (folder / AUDIT).is_file() else None
        return cls(redacted(str(place)), folder, manifest, read_json(folder / SUMMARY), audit)

    @property
    def kind(self) -> str:
        return str(self.summary["kind"])

    def figures(self) -> dict[str, Any]:
        found = {name: self.summary.get(name) for name in FIGURES}
        if self.kind == "link":
            found |= {f"{side}_records": n for side, n in self.summary["records"].items()}
            found["records"] = sum(self.summary["records"].values())
        measured = (self.summary.get("evaluation") or {}).get("pairs") or {}
        found |= {f"{name}_against_truth": measured[name] for name in ("precision", "recall", "f1") if name in measured}
        for name in ("precision", "recall"):
            if self.audit and self.audit.get(name):
                found[f"audited_{name}"] = self.audit[name]["estimate"]
        return found

    def origin(self) -> dict[str, Any]:
        """What it was made from, by digests."""
        return {
            "run": self.place,
            "fingerprint": self.manifest["fingerprint"],
            "created_at": self.manifest["created_at"],
            "model": self.manifest["model"],
            "model_path": self.summary.get("model"),
            "inputs": self.manifest["inputs"],
        }


@dataclass(frozen=True)
class Comparison:
    """Two runs, and what changed from the old one to the new one.

    Example:
        >>> found = compare_runs("run-monday", "run-tuesday")           # doctest: +SKIP
        >>> found.to_dict()["clusters"]["split"]["changes"]             # doctest: +SKIP
        3

    Attributes:
        partitions: the clusters of both, record by record.
        changes: of groups (clusters of two records or more).
        pairs: of flagged pairs.
    """

    old: RunSide
    new: RunSide
    partitions: Partitions
    changes: Changes
    pairs: PairChanges

    def to_dict(self) -> dict[str, Any]:
        """All figures; what ``siamese compare --json`` prints."""
        in_old, in_new = self.partitions.old >= 0, self.partitions.new >= 0
        return {
            "old": self.old.origin(),
            "new": self.new.origin(),
            "figures": _side_by_side(self.old.figures(), self.new.figures()),
            "settings": _differing(self.old.manifest["settings"], self.new.manifest["settings"]),
            "versions": _differing(self.old.manifest["versions"], self.new.manifest["versions"]),
            "same_model": self.old.manifest["model"] == self.new.manifest["model"],
            "same_inputs": _digests(self.old) == _digests(self.new),
            "records": {
                "both": int((in_old & in_new).sum()),
                "old_only": int((in_old & ~in_new).sum()),
                "new_only": int((in_new & ~in_old).sum()),
            },
            "pairs": {
                "kept": self.pairs.kept,
                "gained": self.pairs.gained.counts(),
                "lost": self.pairs.lost.counts(),
            },
            "clusters": self.changes.counts(),
        }


def compare_runs(old: Place, new: Place) -> Comparison:
    """Compare two run folders, or their URLs; neither is changed.

    Raises:
        ArtifactError: one of them is no whole run.
        DataError: one is of one corpus and the other of two, or they have no record in common.
    """
    sides = RunSide.open(old), RunSide.open(new)
    if sides[0].kind != sides[1].kind:
        raise DataError(
            f"'{old}' is a {sides[0].kind} run and '{new}' a {sides[1].kind} run: expected two of the same kind to compare"
        )
    partitions = Partitions.of_runs(sides[0].folder, sides[1].folder)
    if not ((partitions.old >= 0) & (partitions.new >= 0)).any():
        raise DataError(
            f"'{old}' and '{new}' have no record in common: expected two runs over the same records to compare"
        )
    changes = Changes.between(partitions)
    return Comparison(*sides, partitions, changes, PairChanges.between(sides[0].folder, sides[1].folder, partitions))


def _side_by_side(old: dict[str, Any], new: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: {"old": old.get(name), "new": new.get(name)} for name in {**old, **new}}


def _differing(old: dict[str, Any], new: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: pair for name, pair in _side_by_side(old, new).items() if pair["old"] != pair["new"]}


def _digests(side: RunSide) -> list[list[str]]:
    """Of the inputs, wherever they lie."""
    return [list(each["files"].values()) for each in side.manifest["inputs"]]
