"""Certificate: what a run promises, on what evidence and under which assumptions; anybody can recompute it from the files alone."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.decision import Decision, Threshold
from pipeline.judging import Judge
from pipeline.matching import PAIRS
from siamese.calibration import Calibration
from siamese.errors import ArtifactError, SettingsError
from siamese.evidence import Evidence
from siamese.folders import AUDIT, check_manifest, read_json, write_json
from siamese.logodds import LogOdds
from siamese.prior import Histogram
from siamese.promise import describe_share, false_positive_rate, pairs_needed

CERTIFICATE = "certificate.json"
ASSUMPTIONS = (
    "The held-out labelled pairs are like the run's candidates: genuine pairs are scored as genuine ones here, imposites as "
    "imposites here. Labels that people happened to have need not be: judge a sample of this run (siamese audit) for figures "
    "without this assumption.",
    "Each held-out pair was scored by sibling models that did not learn from its label (they stopped where their siblings, some of which "
    "did, were best on other pairs); the model that scored the run is their mean, or was trained on all pairs.",
    "A precision shown by held-out pairs rests on the share of matches among the candidates being what their scores say (the imposite "
    "weight of the promise is its upper bound); one shown by held-out imposites rests on these alone being scored as imposites here, "
    "whatever that share is and however matches are scored.",
    "Pairs that have an entity in common count together as right or wrong; others are independent.",
    "The promise is of the pairs flagged one by one: what transitivity adds to clusters, and pairs of equal contents, are not in it.",
)

OF_CHOSEN = (
    "The labelled pairs were chosen to teach, and are no sample of the run's candidates: nothing is promised, and the rates given here are "
    "of those pairs, which are harder than others. Judge a sample of this run (siamese audit) for figures that hold for it.",
)
OF_NONE = (
    "There were no labelled pairs: the threshold is a guess from the spread of the distances, and nothing is promised.",
)


class Certificate(BaseModel):
    """What is promised.

    Attributes:
        asked: the threshold that was asked for.
        decided_by: "distance" or "verifier".
        limit: the greatest score that is flagged; ``cut`` the greatest that was kept.
        promises: each with its share, confidence, imposite weight and bound.
        false_positive_rate: of imposites like the evidence's, flagged at most: it holds whatever the share of matches.
        recall_lost: of genuine pairs like the evidence's: beyond the search, and refused, with intervals.
        pairs_needed: independent right pairs, without a mistake, that show a precision.
        assumptions: what the promises rest on; they are conditional on them.
        model: fingerprint of the model; with another one, or another index, nothing is promised.
        index: how the candidates were searched.
        candidates: their scores in short, from which the prior is estimated, and which decoys are held against.
        evidence: the held-out pairs.
        log_odds: of a match, by score, as the model that was calibrated on the evidence has it. None: of a version before it was said here;
            how curves are fitted has changed since, and what follows from the evidence cannot be told any more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: str
    asked: dict[str, Any]
    decided_by: str
    limit: float
    cut: float | None
    threshold_from: str
    promises: list[dict[str, Any]]
    prior: dict[str, Any] | None
    false_positive_rate: dict[str, Any]
    recall_lost: dict[str, Any]
    pairs_needed: dict[str, int]
    assumptions: tuple[str, ...]
    model: str
    index: dict[str, Any]
    candidates: dict[str, Any]
    evidence: Evidence
    log_odds: LogOdds | None = None

    @property
    def is_complete(self) -> bool:
        """Whether it says all that it follows from, as those of earlier versions do not."""
        return self.log_odds is not None and "up_to" in self.candidates

    @classmethod
    def of(
        cls,
        threshold: Threshold,
        judge: Judge,
        decision: Decision,
        candidates: Histogram,
        model: str,
        index: dict[str, Any],
    ) -> Self:
        """The certificate of a run's decision."""
        evidence, confidence = decision.calibration.evidence, threshold.confidence
        flagged = false_positive_rate(evidence, decision.limit, confidence)
        return cls(
            kind="conditional" if decision.promises else "none",
            asked=asdict(threshold),
            decided_by=judge.decided_by,
            limit=decision.limit,
            cut=judge.cut if math.isfinite(judge.cut) else None,
            threshold_from=decision.threshold_from,
            promises=[asdict(promise) for promise in decision.promises],
            prior=None if decision.prior is None else asdict(decision.prior),
            false_positive_rate={
                "at_most": 1 - flagged.least,
                "confidence": confidence,
                "imposites": flagged.pairs,
                "flagged": flagged.wrong,
                "independent": flagged.independent,
            },
            recall_lost=recall_lost(evidence, decision.limit, confidence),
            pairs_needed={f"{share:g}": pairs_needed(share, confidence) for share in (0.9, 0.95, 0.99)},
            assumptions=_assumptions(evidence),
            model=model,
            index=index,
            candidates={**vars(candidates), "up_to": candidates.up_to if math.isfinite(candidates.up_to) else None},
            evidence=evidence,
            log_odds=decision.calibration.log_odds,
        )

    def headline(self) -> dict[str, Any]:
        """What a summary says of it."""
        return {
            "promises": [
                {
                    "what": each["what"],
                    "share": each["share"],
                    "confidence": self.asked["confidence"],
                    "shown_by": each.get("shown_by", "held-out pairs"),  # earlier versions knew no other way
                }
                for each in self.promises
            ],
            "false_positive_rate": self.false_positive_rate,
            "recall_lost": self.recall_lost,
        }

    def write(self, run: Path) -> None:
        write_json(run / CERTIFICATE, self.model_dump(mode="json"), indent=None)  # which refuses what is no number

    @classmethod
    def read(cls, run: Path) -> Self:
        """Raises ArtifactError: the file is missing or no certificate."""
        try:
            return cls.model_validate(read_json(run / CERTIFICATE))
        except ValidationError as error:
            raise ArtifactError(
                f"'{run / CERTIFICATE}' is no certificate ({error.errors()[0]['msg']}): make the run again"
            ) from error


def _assumptions(evidence: Evidence) -> tuple[str, ...]:
    if len(evidence) == 0:
        return OF_NONE
    return OF_CHOSEN if evidence.are_chosen else ASSUMPTIONS


def recall_lost(evidence: Evidence, limit: float, confidence: float) -> dict[str, Any]:
    """Where held-out genuine pairs are lost: too far apart to be looked at, or looked at and not flagged.

    Each with the share, and an interval by Clopper and Pearson on the effective number of pairs.
    """
    scores, labels = evidence.arrays
    genuine = np.flatnonzero(labels == 1)
    worth, found = evidence.independent(1), {}
    for name, lost in {
        "beyond_the_search": ~np.isfinite(scores[genuine]),
        "not_flagged": np.isfinite(scores[genuine]) & (scores[genuine] > limit),
    }.items():
        found[name] = describe_share(int(lost.sum()), len(genuine), worth, confidence)
    return {**found, "genuine": len(genuine), "independent": worth}


def verify_run(run: Path) -> dict[str, Any]:
    """Recompute a run's certificate from its files.

    Returns:
        What was promised and checked; ``is_recomputed`` is false of a run that was made before the certificate said how it follows.

    Raises:
        ArtifactError: a file was lost or changed, or what it says does not follow from the evidence.
    """
    manifest = check_manifest(run, "run")
    said = Certificate.read(run)
    if said.model != manifest["model"]:
        raise ArtifactError(f"the certificate of '{run}' is of another model ({said.model[:12]}): make the run again")
    # Uncalibrated: the limit is the model's word, and nothing is promised. Or of a version that did not say how it follows.
    if not len(said.evidence) or said.log_odds is None or not said.is_complete:
        return _checked(run, said, manifest)
    calibration = Calibration.by(said.log_odds, said.evidence)
    up_to = said.candidates["up_to"]
    candidates = Histogram(
        tuple(said.candidates["scores"]), tuple(said.candidates["counts"]), math.inf if up_to is None else up_to
    )
    threshold = Threshold(**said.asked)
    cut = math.inf if said.cut is None else said.cut
    try:
        decision = threshold.decide(calibration, candidates, cut)
    except SettingsError as error:
        raise ArtifactError(f"the certificate of '{run}' does not follow from its evidence: {error}") from error
    again = {
        "limit": decision.limit,
        "promises": [asdict(promise) for promise in decision.promises],
        "prior": None if decision.prior is None else asdict(decision.prior),
    }
    for name, value in again.items():
        if not _same(value, getattr(said, name)):
            raise ArtifactError(
                f"the certificate of '{run}' does not follow from its evidence: '{name}' is {getattr(said, name)}, and comes out as {value}"
            )
    return _checked(run, said, manifest)


def _checked(run: Path, said: Certificate, manifest: dict[str, Any]) -> dict[str, Any]:
    """The pairs held against the limit; what was promised and checked."""
    evidence, flagged, beyond = said.evidence, 0, 0
    is_free = Threshold(**said.asked).is_free
    some_let_go = manifest["settings"]["one_to_one"] or is_free  # by assignment, or by linkage
    for batch in pq.ParquetFile(run / PAIRS).iter_batches(columns=["score", "is_match"]):
        score = batch["score"].to_numpy(zero_copy_only=False)
        is_match = batch["is_match"].to_numpy(zero_copy_only=False)
        scored = ~np.isnan(score)
        flagged += int((is_match & scored).sum())
        wrong = is_match & (score > said.limit)
        if not some_let_go:
            wrong |= scored & ~is_match & (score <= said.limit)
        beyond += int((wrong & scored).sum())
    if beyond:
        raise ArtifactError(
            f"{beyond:,} pairs of '{run / PAIRS}' are not flagged as the limit of {said.limit:.4f} says: make the run again"
        )
    return {
        "run": str(run),
        "kind": said.kind,
        "promises": said.headline()["promises"],
        "is_recomputed": said.is_complete,
        "flagged": flagged,
        "evidence": {"pairs": len(evidence), "matches": sum(evidence.is_match)},
        "assumptions": list(said.assumptions),
        # Of pairs drawn from this very run with known weights: no assumption but that people judged them rightly.
        "audit": read_json(run / AUDIT) if (run / AUDIT).is_file() else None,
    }


def _same(one: Any, other: Any) -> bool:
    """Equal but for the last digits of numbers, which another machine may compute otherwise."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)
    return bool(one == other)
