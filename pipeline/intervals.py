"""Intervals: how many pairs of a run are right, from a stratified sample of them that was judged, and how sure that is.

The sources, put together for strata of a finite population:

- One stratum: of N pairs n were judged and x are right. The exact (Clopper-Pearson-like) upper limit of the number of right ones
  K is a quantile of x + BetaBinomial(N - n, x + 1, n - x): the beta-binomial is the negative hypergeometric distribution, so
  P(x + B >= k) = P(X <= x | K = k). The lower limit is one of x + BetaBinomial(N - n, x, n - x + 1).
- Several strata, weighted: Fay and Feuer (1997, "Confidence intervals for directly standardized rates", Statist. Med. 16). The one
  right pair that the upper limit adds is added once, where it weighs most (the greatest N / n), not in every stratum; but a
  stratum of very few judged pairs has one of its own. In the others B has the mean and the variance of the usual stratified
  estimate (Cochran 1977, chapter 5): parameters x and n - x times (n - 2) / n. With no error seen in a proportional sample this
  is the exact limit of a plain one, (1 - confidence)^(1 / n).
- Recall, a ratio of two such numbers: melding (Fay, Proschan and Brittain 2015, "Combining one-sample confidence procedures",
  Biometrics 71): its lower limit takes the number found from below and the number missed from above.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEW = 5  # judged pairs below which a stratum says too little of its own variance, and has an added pair of its own
DRAWS = 20_000  # of each number: another seed moves a limit by about half a hundredth of the interval's width


@dataclass(frozen=True)
class Tally:
    """What was judged, in h strata; all (h,) float64.

    Attributes:
        size: pairs that there are.
        judged: those that were judged, drawn so that every pair of a stratum is equally likely.
        right: those of them that are the same record.
    """

    size: NDArray[np.float64]
    judged: NDArray[np.float64]
    right: NDArray[np.float64]

    def of(self, chosen: NDArray[np.bool_]) -> "Tally":
        return Tally(self.size[chosen], self.judged[chosen], self.right[chosen])

    def estimate(self) -> float:
        """Right pairs among all, unbiased while every stratum has a judged pair; one without counts as the others do."""
        known = self.judged > 0
        right = float((self.size * self.right / np.maximum(self.judged, 1e-12))[known].sum())
        return float(right / self.size[known].sum() * self.size.sum()) if known.any() else float("nan")

    def limits(
        self, random: np.random.Generator, draws: int = DRAWS
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """((draws,), (draws,)) confidence distributions of the number of right pairs, for its lower and its upper limit."""
        return self._draw(random, 0.0, draws), self._draw(random, 1.0, draws)

    def _draw(self, random: np.random.Generator, added: float, draws: int) -> NDArray[np.float64]:
        """(draws,) numbers of right pairs, with one pair added that is right (``added`` 1) or not (0)."""
        total = np.zeros(draws)
        rest = self.size - self.judged
        heavy = np.where((rest > 0.5) & (self.judged >= FEW), self.size / np.maximum(self.judged, 1), -1.0)
        heaviest = int(np.argmax(heavy)) if len(heavy) else -1
        for stratum, (n, right, left) in enumerate(zip(self.judged, self.right, rest, strict=True)):
            a, b = right, n - right
            if stratum == heaviest or n < FEW:
                a, b = a + added, b + 1 - added
            else:
                a, b = a * (n - 2) / n, b * (n - 2) / n
            # No pair judged: all of the stratum may be right, or none.
            share = np.full(draws, float(b <= 0)) if min(a, b) <= 0 else random.beta(a, b, draws)
            total += right + random.binomial(max(round(left), 0), share)
        return total


@dataclass(frozen=True)
class Estimate:
    """A share with its interval.

    Attributes:
        estimate: the stratified estimate.
        low, high: the two-sided interval.
        at_least: the one-sided lower limit, at the same confidence.
    """

    estimate: float
    low: float
    high: float
    at_least: float

    @classmethod
    def of(cls, estimate: float, low: NDArray[np.float64], high: NDArray[np.float64], confidence: float) -> "Estimate":
        """From the confidence distributions of the lower and the upper limit."""
        tail = (1 - confidence) / 2
        return cls(
            estimate,
            min(float(np.quantile(low, tail)), estimate),
            max(float(np.quantile(high, 1 - tail)), estimate),
            min(float(np.quantile(low, 1 - confidence)), estimate),
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def share_right(tally: Tally, confidence: float, *, seed: int = 0, draws: int = DRAWS) -> Estimate | None:
    """Precision: the share of right pairs. None where there are none, or none was judged."""
    if tally.judged.sum() == 0:
        return None
    low, high = tally.limits(np.random.default_rng(seed), draws)
    total = float(tally.size.sum())
    return Estimate.of(tally.estimate() / total, low / total, high / total, confidence)


def share_found(
    found: Tally, missed: Tally, confidence: float, *, seed: int = 0, draws: int = DRAWS
) -> Estimate | None:
    """Recall: of all right pairs, the share among those that ``found`` tallies.

    Returns:
        None where no pair of either was judged though there are some, or none of those judged was right.
    """
    if any(tally.size.sum() > 0 and tally.judged.sum() == 0 for tally in (found, missed)):
        return None
    random = np.random.default_rng(seed)
    (found_low, found_high), (missed_low, missed_high) = found.limits(random, draws), missed.limits(random, draws)
    right = [tally.estimate() if tally.size.sum() > 0 else 0.0 for tally in (found, missed)]
    if sum(right) == 0:
        return None
    return Estimate.of(
        right[0] / sum(right), _share(found_low, missed_high, 0.0), _share(found_high, missed_low, 1.0), confidence
    )


def _share(found: NDArray[np.float64], missed: NDArray[np.float64], of_none: float) -> NDArray[np.float64]:
    total = found + missed
    return np.where(total > 0, found / np.maximum(total, 1e-12), of_none)
