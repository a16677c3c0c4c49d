"""Drift: whether a run is like the runs before it, and its records like those that its model was trained on.

Every measure is a figure with the number of records that it rests on. It is held against the figures that are expected: those of the last
runs, and while these are few, of the whole corpus of the last one. What it lies outside of their range, less the spread among the runs, is
its *effect*, which counts where chance does not explain it; :class:`pipeline.limits.DriftLimits` says from where on it warns or stops.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from statistics import NormalDist, pstdev
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from pipeline.limits import DriftLimits, Limit

DRIFT = "drift.json"
SAID = 3  # measures in a sentence; drift.json has all
FEW = 3  # runs, from which on they alone say what is expected, and how far it spreads
DISTRIBUTIONS = ("lengths", "distances")  # measured by how far they are from what was; the others are shares
ONE_SIDED = ("lost", "unseen", "empty", *DISTRIBUTIONS)  # of which less is no drift


class Verdict(IntEnum):
    QUIET, WARN, STOP = 0, 1, 2

    def __str__(self) -> str:
        return self.name.lower()


class Figure(BaseModel):
    """One measure of one part of a run.

    Attributes:
        value: a share, or the distance between two distributions.
        records: that it rests on.
        before: the same of what it is compared with; for a distribution 0, for it is the distance itself that is expected to be small.
        records_before: that this rests on.
        slack: an effect that is to be expected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    value: float
    records: int
    before: float | None = None
    records_before: int = 0
    slack: float = 0.0


Figures = dict[str, Figure]  # by "part/measure/field"


@dataclass(frozen=True)
class Measure:
    """A figure with what was expected of it.

    Attributes:
        part: "new", "all", "left" or "right".
        name, field: what was measured; field is "" for what is not of one.
        against: "training" or "last runs".
        value, records: as in Figure.
        low, high: what was expected.
        effect: how far outside, in the unit of the limits; 0 where chance explains it.
    """

    part: str
    name: str
    field: str
    against: str
    value: float
    records: int
    low: float
    high: float
    effect: float
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        named = {name: getattr(self, name) for name in ("part", "name", "field", "against", "records")}
        numbers = {name: round(getattr(self, name), 5) for name in ("value", "low", "high", "effect")}
        return {**named, **numbers, "verdict": str(self.verdict), "sentence": self.sentence()}

    def sentence(self) -> str:
        """As "missing 'city' 43% of the new records, last runs 1-2%"."""
        name, _, kind = self.name.partition(".")
        named = f"values with {kind} in '{self.field}'" if kind else f"{name} '{self.field}'" if self.field else name
        of = {"new": " of the new records", "left": " on the left side", "right": " on the right side"}.get(
            self.part, ""
        )
        if self.name == "calibration":
            return (
                f"precision expected {_percent(self.value)}, by the audit of the last run at most {_percent(self.high)}"
            )
        if self.name in DISTRIBUTIONS:
            return f"{named} {self.value:.2f} off{of}, {self.against} up to {self.high:.2f}"
        said = {"flagged": "flagged share", "lost": "lost records"}.get(self.name, named)
        span = _percent(self.high)
        if _percent(self.low) != span:
            span = f"{_percent(self.low).rstrip('%')}-{span}"
        return f"{said} {_percent(self.value)}{of}, {self.against} {span}"


def judge(
    key: str, figure: Figure, history: Iterable[Figure], against: str, limits: DriftLimits, most: Verdict = Verdict.STOP
) -> Measure:
    """One figure beside what is expected.

    Args:
        key: "part/measure/field".
        figure: of this run; ``before`` is what it is compared with.
        history: the same figures of the last runs; there must be one where there is nothing before.
        most: the worst verdict that it may get.
    """
    part, name, field = key.split("/", 2)
    is_share = name not in DISTRIBUTIONS
    past = [(each.value, each.records) for each in history if each.records]
    # A night of a handful says nothing of what is usual: all or none of one record is no range.
    past = [each for each in past if each[1] >= limits.few] or (past if figure.before is None else [])
    known = list(past)
    if len(past) < FEW and figure.before is not None:
        known.append((figure.before, figure.records_before))
    values = sorted((_angle(value) if is_share else value, records) for value, records in known)
    (low, low_records), (high, high_records) = values[0], values[-1]
    spread = pstdev([value for value, _ in values]) if len(past) >= FEW else 0.0
    if part == "new" and name == "flagged" and len(past) < FEW:
        low = 0.0  # that new records have fewer duplicates than a corpus which gathered them is no drift
    if not is_share:
        low, high_records = 0.0, max(figure.records_before, 1)
    here = _angle(figure.value) if is_share else figure.value
    above, below = here - high, low - here if name not in ONE_SIDED else 0.0
    outside, records_there = max((above, high_records), (below, low_records))
    chance = _chance(figure.records, records_there, limits.significance, is_share)
    # A distance between samples is what chance makes it, in the runs before too.
    effect = outside - spread - figure.slack if (outside if is_share else here) > chance else 0.0
    effect = max(0.0, effect)
    most = min(most, Verdict.WARN) if figure.records < limits.few else most
    verdict = min(verdict_of(effect, getattr(limits, name.partition(".")[0])), most)
    bounds = (_share(low), _share(high)) if is_share else (low, high)
    return Measure(part, name, field, against, figure.value, figure.records, *bounds, effect, verdict)


def worst_first(measures: Iterable[Measure]) -> list[Measure]:
    """What warns or stops: what stops first, shares flagged before others, then by the effect."""
    told = [each for each in measures if each.verdict > Verdict.QUIET]
    return sorted(told, key=lambda each: (-each.verdict, each.name != "flagged", -each.effect))


def what_drifted(drift: dict[str, Any]) -> str:
    """What stops or, where nothing does, what warns, in a sentence without its end."""
    said = [each["sentence"] for each in drift["told"] if each["verdict"] == drift["verdict"]]
    more = f"; and {len(said) - SAID} more in {DRIFT}" if len(said) > SAID else ""
    return "; ".join(said[:SAID]) + more


def growth_slack(now: int, before: int) -> float:
    """How far a corpus that has grown shifts the cumulated shares of its candidates' distances: among g times as many records each
    match has g times as many imposites beside it, which moves a share by (sqrt(g) - 1) / (sqrt(g) + 1) at most."""
    ratio = math.sqrt(max(now, before) / max(min(now, before), 1))
    return (ratio - 1) / (ratio + 1)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """The greatest difference of the cumulated shares of two histograms; 0 where one is empty."""
    if one.sum() == 0 or other.sum() == 0:
        return 0.0
    return float(np.abs(np.cumsum(one) / one.sum() - np.cumsum(other) / other.sum()).max())


def verdict_of(effect: float, limit: Limit) -> Verdict:
    return Verdict.STOP if effect >= limit.stop else Verdict.WARN if effect >= limit.warn else Verdict.QUIET


def _chance(records: int, before: int, significance: float, is_share: bool) -> float:
    """How far two samples of the same kind are apart by chance, so rarely: of shares, by the variance 1 / n of their angle; of
    distributions, by Smirnov's limit."""
    scale = math.sqrt(1 / max(records, 1) + 1 / max(before, 1))
    return scale * (
        NormalDist().inv_cdf(1 - significance / 2) if is_share else math.sqrt(-math.log(significance / 2) / 2)
    )


def _angle(share: float) -> float:
    return 2 * math.asin(math.sqrt(min(max(share, 0.0), 1.0)))


def _share(angle: float) -> float:
    return math.sin(angle / 2) ** 2


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%" if share < 0.095 else f"{100 * share:.0f}%"
