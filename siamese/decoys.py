"""Decoys: held-out imposites, which say how many imposites there are among the pairs that a run flags.

If imposites are scored alike, labelled or not, then of a run's own imposites in a region as large a share is flagged as of the labelled
ones; and those that are not flagged cannot be more than all that the run leaves there. So neither the share of matches nor how matches
are scored has to be known. Storey's estimate of false discoveries (2002; the region is his lambda), with labelled imposites for the null
distribution (conformal p-values: Bates, Candès, Lei, Romano and Sesia 2023; decoys: Elias and Gygi 2007), made a bound by Fisher's exact
test (1935), which allows for the luck of the labels and for that of the run.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from siamese.evidence import Evidence
from siamese.prior import Histogram
from siamese.promise import NO_HELP, STEPS, UNSETTLED, Bound, first_of, times_as_many

LEAST = 30  # independent imposites held out, near or far: fewer are no likeness of a run's
A_WRONG_LABEL = 30  # decoys that one may be expected among
MOST_TIMES = 10_000  # as many labels as there are: more are not asked for


@dataclass(frozen=True)
class Decoys:
    """The m held-out imposites of a region, beside the candidates that a run has there.

    The last imposite is its edge and none of them, so that they are a draw of those within. A bin of candidates that is not flagged whole
    counts among the others.

    Attributes:
        held_out: how many independent ones all held-out imposites are worth, those beyond the region too.
        number: m.
        independent: how many independent ones they are worth.
        limits: (t,) thresholds to test, ascending.
        seen: (t,) decoys up to each.
        flagged: (t,) candidates up to each, at least; 1 or more.
        others: (t,) candidates of the rest of the region, at most.
    """

    held_out: float
    number: int
    independent: float
    limits: NDArray[np.float64]
    seen: NDArray[np.int64]
    flagged: NDArray[np.int64]
    others: NDArray[np.int64]

    @classmethod
    def of(cls, evidence: Evidence, region: float, candidates: Histogram) -> Self:
        """The imposites that score no more than this, but the last.

        Args:
            candidates: scores of the run's candidates, none left out in the region.
        """
        scores, labels = evidence.arrays
        within = np.flatnonzero((labels == 0) & (scores <= region) & np.isfinite(scores))
        edge = float(scores[within[-1]]) if len(within) else -math.inf
        some = within[:-1]
        centres, counts = np.array(candidates.scores), np.array(candidates.counts, np.int64)
        every = int(np.searchsorted(centres, edge, side="right"))
        total = int(counts[: every + 1].sum())  # a bin whose mean lies beyond may have some that do not
        rows = np.arange(1, every)[:: max(1, every // STEPS)]
        flagged = np.cumsum(counts)[rows - 1]
        seen = np.searchsorted(scores[some], centres[rows], side="right")
        held_out = evidence.independent(0)
        return cls(held_out, len(some), evidence.independent_of(some), centres[rows], seen, flagged, total - flagged)

    @property
    def are_enough(self) -> bool:
        return self.held_out >= LEAST

    def promise(self, precision: float, confidence: float, up_to: float = math.inf) -> Bound | None:
        """The largest threshold at which a precision can be promised of the run; None where there is none.

        Thresholds are tested in fixed sequences (:mod:`siamese.promise`).

        Args:
            precision: promised share of right ones among the flagged, in (0, 1).
            confidence: chance that the promise is kept; in (0, 1).
            up_to: the last threshold to test: that to which the run's probabilities expect the precision. Where decoys show more than these
                expect, they are not like the run's imposites: pairs drawn at random, say, which are easier.
        """
        if not self.are_enough:
            return None
        starts, level = self._starts(precision, confidence)
        shown, last = self._refutes(self._too_many(precision), self.seen, level) & (self.limits <= up_to), -1
        for start in starts:
            last = max(last, start + first_of(~shown[start:]) - 1 if shown[start] else -1)
        return self._bounds(slice(last, last + 1), level)[0] if last >= 0 else None

    def _starts(self, precision: float, confidence: float) -> tuple[list[int], float]:
        """Rows that sequences start from, and the confidence of each, which share the risk: the first that would show it with 0, with 1,
        with 3, ... decoys among the flagged. One start suffers from a single wrong label among the nearest, which is not to be expected
        of few decoys."""
        count = 1 + max(0, int(math.log2(max(self.independent, 1) / A_WRONG_LABEL)))
        level, too_many = 1 - (1 - confidence) / count, self._too_many(precision)
        seen = [np.full_like(self.seen, 2**number - 1) for number in range(count)]
        rows = [first_of(self._refutes(too_many, some, level)) for some in seen]
        return [row for row in rows if row < len(self.limits)], level

    def can_show(self, precision: float, confidence: float) -> bool:
        """Whether some threshold would show a precision, were no decoy among the flagged."""
        return self.are_enough and bool(
            self._refutes(self._too_many(precision), np.zeros_like(self.seen), confidence).any()
        )

    def nearest(self, confidence: float) -> Bound | None:
        """What the threshold shows that shows the highest precision; None where there are no decoys or candidates to speak of."""
        return max(self._bounds(slice(None), confidence), key=lambda bound: bound.least, default=None)

    def times_needed(self, precision: float, confidence: float) -> float:
        """How many times as many labels like these would show a precision at some threshold; inf: none would."""
        times, too_many = 1.0, self._too_many(precision)
        while times < MOST_TIMES and not self._refutes(too_many, self.seen, confidence, times).any():
            times *= 1.1
        return times if times < MOST_TIMES else math.inf

    def _too_many(self, precision: float) -> NDArray[np.int64]:
        """(t,) the least number of wrong ones among the flagged that breaks a precision."""
        return np.floor((1 - precision) * self.flagged + 1e-9).astype(np.int64) + 1

    def _bounds(self, rows: slice, confidence: float) -> list[Bound]:
        """What some thresholds show: ``pairs`` are the decoys, ``wrong`` those among the flagged."""
        least = 1 - self._wrong_at_most(confidence)[rows] / self.flagged[rows]
        said = zip(self.limits[rows].tolist(), self.seen[rows].tolist(), least.tolist(), strict=True)
        return [Bound(limit, self.number, wrong, self.independent, shown) for limit, wrong, shown in said]

    def _wrong_at_most(self, confidence: float) -> NDArray[np.int64]:
        """(t,) of the flagged, wrong at most: the greatest number that is not refuted."""
        low, high = np.zeros_like(self.flagged), self.flagged.copy()  # it is in between
        while (low < high).any():
            wrong = (low + high + 1) // 2
            refuted = self._refutes(wrong, self.seen, confidence)
            low, high = np.where(refuted, low, wrong), np.where(refuted, wrong - 1, high)
        return low

    def _refutes(
        self, wrong: NDArray[np.int64], seen: NDArray[np.int64], confidence: float, times: float = 1.0
    ) -> NDArray[np.bool_]:
        """(t,) whether Fisher's test finds the decoys seen among the flagged too few for so many wrong ones.

        Decoys count as independent ones, rounded against the promise.

        Args:
            wrong, seen: (t,) of the flagged.
            times: as many labels.
        """
        from scipy.stats import hypergeom  # half a second, which only promises are worth

        worth = math.floor(times * self.independent + 1e-9)
        share = self.independent / max(self.number, 1)
        few = np.ceil(times * share * seen - 1e-9).astype(np.int64)
        refuted = hypergeom.cdf(few, worth + wrong + self.others, few + wrong, worth)
        return np.asarray(refuted <= 1 - confidence + 1e-12)  # a tie shows it


def too_few(decoys: Decoys) -> str:
    """What would do, in words, where all held-out imposites are too few to stand for a run's."""
    return f"held-out imposites worth {decoys.held_out:,.0f} independent ones are no likeness of a run's: expected {LEAST} at least"


def more_decoys(nearest: Bound, times: float) -> str:
    """What would do, in words, where a share cannot be promised."""
    seen = (
        f"at the best threshold {nearest.wrong:,} of {nearest.pairs:,} held-out imposites (worth {nearest.independent:,.0f} independent "
        f"ones) are flagged, which shows {nearest.least:.3f}"
    )
    if times <= 1:
        return seen + UNSETTLED
    if math.isinf(times):
        return seen + NO_HELP
    return f"{seen}; {times_as_many(times)} labelled imposites would do"
