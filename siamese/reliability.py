"""Reliability: whether pairs with a probability of p are matches p of the time."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15  # of equal width (Guo, Pleiss, Sun and Weinberger 2017)
DRAWS = 500


@dataclass(frozen=True)
class Bin:
    """Pairs whose probability lies in (low, high]; the first bin holds 0 too."""

    low: float
    high: float
    pairs: int
    probability: float  # mean
    matches: float  # share


@dataclass(frozen=True)
class Reliability:
    """How far probabilities can be trusted.

    Attributes:
        bins: those with pairs in them, ascending.
        error: expected calibration error: mean over pairs of the bins' |share of matches - mean probability|.
        brier: mean squared error of the probabilities.
        error_interval, brier_interval: 95%: 1.96 bootstrap standard errors to either side (quantiles of draws would not do: the error of a
            draw is greater than that of its sample, on average); pairs of a group are drawn together.
    """

    bins: tuple[Bin, ...]
    error: float
    brier: float
    error_interval: tuple[float, float]
    brier_interval: tuple[float, float]

    @classmethod
    def of(
        cls,
        probability: NDArray[np.float64],
        is_match: NDArray,
        groups: NDArray[np.int64] | None = None,
        seed: int = 0,
    ) -> "Reliability":
        """Measure (n,) probabilities, n at least 1, against (n,) labels.

        Args:
            groups: (n,) of pairs that are not independent (:func:`siamese.evidence.groups_of_pairs`); every pair is one unless given.

        Example:
            >>> Reliability.of(np.array([0.1, 0.1, 0.9, 0.9]), np.array([0, 0, 1, 1])).error
            0.1
        """
        label = np.asarray(is_match, np.float64)
        n = len(label)
        place = np.clip(np.ceil(probability * BINS).astype(np.int64) - 1, 0, BINS - 1)
        square = (probability - label) ** 2
        random = np.random.default_rng(seed)
        _, group = np.unique(np.arange(n) if groups is None else groups, return_inverse=True)
        count, draws = int(group.max()) + 1, []
        for _ in range(DRAWS):
            times = np.bincount(random.integers(0, count, count), minlength=count)[group]
            draws.append((_error(place, probability, label, times), float(times @ square) / times.sum()))
        spread = 1.96 * np.std(draws, axis=0)
        bins = []
        for bin_ in np.unique(place):
            here = place == bin_
            low, high = bin_ / BINS, (bin_ + 1) / BINS
            bins.append(Bin(low, high, int(here.sum()), float(probability[here].mean()), float(label[here].mean())))
        error = round(_error(place, probability, label, np.ones(n, np.int64)), 12)
        brier = float(square.mean())
        intervals = [
            (max(0.0, value - reach), min(1.0, value + reach))
            for value, reach in zip((error, brier), spread.tolist(), strict=True)
        ]
        return cls(tuple(bins), error, brier, intervals[0], intervals[1])

    def describe(self) -> dict[str, Any]:
        return {
            "expected_calibration_error": self.error,
            "expected_calibration_error_interval": list(self.error_interval),
            "brier": self.brier,
            "brier_interval": list(self.brier_interval),
            "bins": [vars(each) for each in self.bins],
        }


def _error(place: NDArray, probability: NDArray, label: NDArray, times: NDArray) -> float:
    gap = np.bincount(place, times * (label - probability), minlength=BINS)
    return float(np.abs(gap).sum() / times.sum())
