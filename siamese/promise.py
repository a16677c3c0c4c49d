"""Promise: a threshold that keeps a precision or a recall with stated confidence, and what it rests on.

Fixed-sequence testing (Learn then Test: Angelopoulos, Bates, Candès, Jordan and Lei 2021, section 4 and appendix on several starts):
thresholds are tested from the strictest on, each against the hypothesis that it breaks the promise, by Clopper and Pearson's exact
binomial bound (1934); the first that is not refuted ends the sequence, so that the chance of promising too much stays below 1 - confidence
although many thresholds are looked at. A threshold is the score that follows the k least ones, k fixed beforehand: those k pairs are then
a sample of all pairs below it. Pairs tied by shared records count as their effective number (Korn and Graubard 1998).
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv

from siamese.errors import SettingsError
from siamese.evidence import Evidence

STEPS = 200  # thresholds tested in a sequence, at most
# What would do where the best threshold shows what is asked by luck alone, and where its share of mistakes is too high.
UNSETTLED = (
    ", but stricter ones do not, and to take the best of many would promise too much; more labels would settle it"
)
NO_HELP = ", and more pairs like these would not help"


@dataclass(frozen=True)
class Bound:
    """What some held-out pairs show.

    Attributes:
        limit: the greatest score they hold for.
        pairs: pairs counted: those flagged for a precision, the genuine ones for a recall.
        wrong: of them, wrongly flagged, or missed.
        independent: how many independent pairs they are worth.
        least: the precision or recall is at least this, with the confidence asked for.
    """

    limit: float
    pairs: int
    wrong: int
    independent: float
    least: float


def upper_share(wrong: float, pairs: float, confidence: float) -> float:
    """Clopper and Pearson's one-sided upper bound of a share of which ``wrong`` of ``pairs`` were seen; 1 for no pairs.

    Fractions are allowed, as effective numbers are.
    """
    if pairs <= 0 or wrong >= pairs:
        return 1.0
    return float(betaincinv(wrong + 1, pairs - wrong, confidence))


def _kept(wrong: NDArray[np.float64], pairs: NDArray[np.float64], share: float, confidence: float) -> int:
    """How many of a sequence of tests show, one after the other from the first on, that a share is at most this.

    As ``upper_share(...) <= share`` says, by the binomial tail, a quarter of the cost of its inverse; and none shows less than it saw.
    """
    until = first_of((wrong >= pairs) | (wrong > share * pairs))
    wrong, pairs = wrong[:until], pairs[:until]
    return first_of(betainc(wrong + 1, pairs - wrong, share) < confidence - 1e-12)  # a tie shows it


def first_of(holds: NDArray[np.bool_]) -> int:
    """Of (t,), the place of the first that holds; t where none does."""
    return int(holds.argmax()) if holds.any() else len(holds)


def interval(share: float, pairs: float, confidence: float) -> tuple[float, float]:
    """Clopper and Pearson's two-sided interval of a share seen among so many independent pairs."""
    level = 1 - (1 - confidence) / 2
    return 1 - upper_share((1 - share) * pairs, pairs, level), upper_share(share * pairs, pairs, level)


def describe_share(pairs: int, of: int, independent: float, confidence: float) -> dict[str, Any]:
    """Some of a number of pairs, which are worth so many independent ones: how many, their share, and its interval."""
    share = pairs / max(of, 1)
    return {"share": share, "interval": list(interval(share, independent, confidence)), "pairs": pairs}


def pairs_needed(share: float, confidence: float) -> int:
    """Independent pairs, all right, that show a share: 29 for 0.90, 59 for 0.95 and 299 for 0.99 at 95% confidence."""
    return math.ceil(math.log(1 - confidence) / math.log(share) - 1e-9) if share < 1 else 2**62


def promise_precision(
    evidence: Evidence, precision: float, confidence: float, imposite_weight: float = 1.0
) -> tuple[Bound | None, Bound | None]:
    """The largest threshold at which a precision can be promised.

    Args:
        evidence: held-out pairs.
        precision: promised share of right ones among the flagged, in (0, 1).
        confidence: chance, over draws of the evidence, that the promise is kept; in (0, 1).
        imposite_weight: how many imposites there are, where the promise is to hold, to each of the evidence's. Then the odds of being
            right among the evidence have to be so many times higher.

    Returns:
        The bound that is promised, None where there is none; and that of the threshold that comes nearest.
    """
    curve = evidence.curve()
    rows = np.flatnonzero(np.isfinite(curve.distances))  # a threshold lies between two different scores
    flagged = curve.flagged[rows]
    target = _shifted(precision, imposite_weight)

    wrong = flagged - curve.right[rows]
    worth = evidence.worth[flagged - 1]
    seen = wrong / flagged * worth  # of the independent ones
    starts, level = _starts(target, confidence, evidence.independent(1))
    step = max(1, len(rows) // STEPS)

    def error(row: int) -> float:
        return upper_share(seen[row], worth[row], level)

    def bound(row: int) -> Bound:
        least = 1 - _shifted_error(error(row), imposite_weight)
        return Bound(curve.between(rows[row]), int(flagged[row]), int(wrong[row]), float(worth[row]), least)

    best = -1
    for start in starts:
        first = first_of(worth >= start)
        kept = _kept(seen[first::step], worth[first::step], 1 - target, level)
        best = max(best, first + (kept - 1) * step if kept else -1)
    if best >= 0:
        return bound(best), bound(best)
    nearest = min(range(0, len(rows), step), key=error, default=None)
    return None, None if nearest is None else bound(nearest)


def can_show_precision(evidence: Evidence, precision: float, confidence: float, imposite_weight: float = 1.0) -> bool:
    """Whether the genuine pairs are as many as show a precision without a mistake."""
    return pairs_needed(_shifted(precision, imposite_weight), confidence) <= evidence.independent(1)


def _starts(target: float, confidence: float, genuine: float) -> tuple[list[int], float]:
    """Independent pairs that sequences start from, each twice as many as before, and the confidence of each, which share the risk.

    Fewer than the first show nothing, even without a mistake. One start suffers from a single wrong label among the surest pairs; more
    starts than there are independent genuine pairs for gain nothing. How many pairs are worth so many, labels say only
    as far as they tie records to entities.
    """

    def first(count: int) -> int:
        return pairs_needed(target, 1 - (1 - confidence) / count)

    count = 1
    while first(count + 1) * 2**count <= genuine:
        count += 1
    return [first(count) * 2**i for i in range(count)], 1 - (1 - confidence) / count


def promise_recall(evidence: Evidence, recall: float, confidence: float) -> tuple[Bound | None, Bound | None]:
    """The smallest threshold at which a recall can be promised: the sequence goes from the loosest one down.

    Args and returns as those of :func:`promise_precision`; a share of matches does not matter here. Genuine pairs with a score of inf,
    which no search brings, are missed at every threshold.
    """
    curve = evidence.curve()
    genuine, worth = curve.matches, evidence.independent(1)
    rows = np.flatnonzero(np.isfinite(curve.distances) & (np.diff(curve.right, prepend=0) > 0))
    rows = rows[:: -max(1, len(rows) // STEPS)]
    if len(rows) == 0:
        return None, None
    missed = genuine - curve.right[rows]
    seen = missed / genuine * worth

    def bound(number: int) -> Bound:
        least = 1 - upper_share(seen[number], worth, confidence)
        return Bound(curve.between(rows[number]), int(genuine), int(missed[number]), worth, least)

    kept = _kept(seen, np.full(len(rows), worth), 1 - recall, confidence)
    return bound(kept - 1) if kept else None, bound(0)  # the loosest misses least


def false_positive_rate(evidence: Evidence, limit: float, confidence: float) -> Bound:
    """What share of imposites is flagged at most: unlike a precision, it holds whatever the share of matches.

    The :class:`Bound`'s ``least`` is the share of imposites that is rightly left alone, at least.
    """
    scores, labels = evidence.arrays
    imposites = np.flatnonzero(labels == 0)
    wrong = int((scores[imposites] <= limit).sum())
    worth = evidence.independent(0)
    share = upper_share(wrong / max(len(imposites), 1) * worth, worth, confidence)
    return Bound(limit, len(imposites), wrong, worth, 1 - share)


def check_share(name: str, value: float) -> None:
    """Raises SettingsError unless a share lies between 0 and 1, both excluded: certainty cannot be promised."""
    if not 0 < value < 1:
        raise SettingsError(f"{name} is {value}: expected a share above 0 and below 1, such as 0.95")


def _shifted(precision: float, imposite_weight: float) -> float:
    """The precision that the evidence must have for this one where imposites are so many times as frequent."""
    return imposite_weight * precision / (imposite_weight * precision + 1 - precision)


def _shifted_error(error: float, imposite_weight: float) -> float:
    return imposite_weight * error / (imposite_weight * error + 1 - error)


def more_pairs(nearest: Bound | None, precision: float, confidence: float, imposite_weight: float = 1.0) -> str:
    """What would do, in words, where a share cannot be promised."""
    least = pairs_needed(_shifted(precision, imposite_weight), confidence)
    if nearest is None:
        return f"{least:,} independent pairs without a mistake would show it, and there are none"
    share, target = nearest.wrong / nearest.pairs, 1 - _shifted(precision, imposite_weight)
    seen = (
        f"the best threshold has {nearest.wrong:,} wrong of {nearest.pairs:,} (worth {nearest.independent:,.0f} independent ones), "
        f"which shows {nearest.least:.3f}"
    )
    if nearest.least >= precision:
        return seen + UNSETTLED
    if share >= target:
        return seen + NO_HELP
    n = least
    while upper_share(share * n, n, confidence) > target and n < 1e7:
        n = math.ceil(n * 1.05)
    return f"{seen}; {times_as_many(n / max(nearest.independent, 1))} labelled pairs would do"


def times_as_many(factor: float) -> str:
    """As "about 2.8 times as many", without a figure where it is beyond what anybody labels."""
    return f"about {factor:.1f} times as many" if factor <= 100 else "only hundreds of times as many"
