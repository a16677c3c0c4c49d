"""Measures: how well distances part genuine pairs from imposite ones."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Curve:
    """What flagging every pair up to a distance gives, at each distance where that changes.

    Attributes:
        distances: (t,) ascending distinct distances; row i flags all pairs up to ``distances[i]``.
        flagged: (t,) pairs flagged.
        right: (t,) genuine pairs among them, counted or expected.
        matches: genuine pairs in all.
        imposite_weight: how many imposites each one given stands for; 1 where they are as frequent as in the data meant.
    """

    distances: NDArray[np.float64]
    flagged: NDArray[np.int64]
    right: NDArray
    matches: float
    imposite_weight: float = 1.0

    @classmethod
    def of(cls, distances: NDArray, is_match: NDArray, imposite_weight: float = 1.0) -> "Curve":
        distances = np.asarray(distances, np.float64)
        order = np.argsort(distances, kind="stable")
        ordered, labels = distances[order], np.asarray(is_match)[order] == 1
        last = (
            np.append(np.flatnonzero(ordered[1:] > ordered[:-1]), len(ordered) - 1)
            if len(ordered)
            else np.empty(0, np.int64)
        )
        return cls(ordered[last], last + 1, np.cumsum(labels)[last], int(labels.sum()), imposite_weight)

    @property
    def weighed(self) -> NDArray[np.float64]:
        """(t,) pairs flagged, each imposite counted with its weight."""
        return self.right + self.imposite_weight * (self.flagged - self.right)

    @property
    def precision(self) -> NDArray[np.float64]:
        return self.right / self.weighed

    @property
    def recall(self) -> NDArray[np.float64]:
        return self.right / max(self.matches, 1)

    @property
    def f1(self) -> NDArray[np.float64]:
        return 2 * self.right / (self.weighed + max(self.matches, 1))

    def between(self, row: int) -> float:
        """The threshold for a row: half-way to the next distance, so that a rounding error decides no pair."""
        if row + 1 < len(self.distances) and np.isfinite(self.distances[row + 1]):
            return float((self.distances[row] + self.distances[row + 1]) / 2)
        return float(np.nextafter(self.distances[row], np.inf))


def average_precision(distances: NDArray, is_match: NDArray) -> float:
    """Area under the precision-recall curve as a step function (scikit-learn's ``average_precision_score``); 0 without matches."""
    curve = Curve.of(distances, is_match)
    if curve.matches == 0:
        return 0.0
    return float(np.sum(np.diff(curve.recall, prepend=0.0) * curve.precision))
