"""Evidence: held-out labelled pairs with their scores, from which a threshold and its promise are drawn."""

import math
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, field_serializer, field_validator

from siamese.components import components
from siamese.measures import Curve


class Evidence(BaseModel):
    """n pairs, each scored by a model that did not learn from it; ascending by score.

    A score is small when alike: margin_distance, or a verifier's doubt. ``inf`` is a pair that no candidate search brings.

    Attributes:
        scores: (n,) rounded to seven digits, so that a rounding error decides no pair.
        is_match: (n,) labels.
        left, right: (n,) numbers of the pair's records: pairs that share one are not independent.
        are_doubts: whether the scores are minus log-odds, which are nearly right as they come.
        are_chosen: whether the pairs were chosen to teach (active learning): what they say of a score holds, but no share of them does,
            of matches or of errors, and so nothing is promised from them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    scores: tuple[float, ...]
    is_match: tuple[int, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    are_doubts: bool = False
    are_chosen: bool = False

    @field_validator("scores", mode="before")
    @classmethod
    def _read(cls, scores: Any) -> Any:
        return [math.inf if one is None else one for one in scores]

    @field_serializer("scores", when_used="json")
    def _write(self, scores: tuple[float, ...]) -> list[float | None]:
        return [one if math.isfinite(one) else None for one in scores]  # JSON has no inf

    @classmethod
    def of(
        cls,
        scores: ArrayLike,
        is_match: ArrayLike,
        left: ArrayLike | None = None,
        right: ArrayLike | None = None,
        *,
        are_doubts: bool = False,
        are_chosen: bool = False,
    ) -> Self:
        """Put pairs in order. Without record numbers every pair counts as one of its own."""
        values, labels = np.asarray(scores, np.float64).round(7), np.asarray(is_match, np.int64)
        order = np.lexsort((labels, values))
        one, other = 2 * np.arange(len(values)), 2 * np.arange(len(values)) + 1
        if left is not None and right is not None:
            one, other = np.asarray(left, np.int64), np.asarray(right, np.int64)
            order = np.lexsort((other, one, labels, values))
            one, other = one[order], other[order]
        return cls(
            scores=tuple(values[order].tolist()),
            is_match=tuple(labels[order].tolist()),
            left=tuple(one.tolist()),
            right=tuple(other.tolist()),
            are_doubts=are_doubts,
            are_chosen=are_chosen,
        )

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Scores and labels."""
        return np.array(self.scores), np.array(self.is_match, np.int64)

    def curve(self, imposite_weight: float = 1.0) -> Curve:
        """What each threshold gives, an imposite counting as so many."""
        return Curve.of(*self.arrays, imposite_weight)

    def independent(self, label: int) -> float:
        """How many independent pairs those of a label are worth."""
        chosen = self.arrays[1] == label
        left, right = np.array(self.left, np.int64)[chosen], np.array(self.right, np.int64)[chosen]
        return independent_number(left, right)

    @cached_property
    def worth(self) -> NDArray[np.float64]:
        """(n,) how many independent pairs the first 1, 2, ... n are worth."""
        return independent_pairs(np.array(self.left, np.int64), np.array(self.right, np.int64))


def independent_pairs(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) how many independent pairs the first 1, 2, ... n pairs of record numbers are worth.

    Pairs tied by records that they share are counted as wrong or right together, the worst case: Kish's effective sample size
    (sum of sizes) ** 2 / (sum of sizes ** 2) over the groups.
    """
    n = len(left)
    distinct, record = np.unique(np.concatenate([left, right]), return_inverse=True)
    if len(distinct) == 2 * n:
        return np.arange(1.0, n + 1)
    parent, size = list(range(len(distinct))), [0] * len(distinct)  # union-find, with the pairs of each group

    def group(one: int) -> int:
        while parent[one] != one:
            parent[one] = one = parent[parent[one]]
        return one

    squares, worth = 0, np.empty(n)
    for number, (one, other) in enumerate(zip(*np.split(record, 2), strict=True), 1):
        a, b = group(one), group(other)
        merged = size[a] + (size[b] if a != b else 0) + 1
        squares += merged**2 - size[a] ** 2 - (size[b] ** 2 if a != b else 0)
        parent[b], size[a] = a, merged
        worth[number - 1] = number**2 / squares
    return worth


def independent_number(left: NDArray[np.int64], right: NDArray[np.int64]) -> float:
    """How many independent pairs all (n,) pairs of record numbers are worth: the last of :func:`independent_pairs`."""
    n = len(left)
    if n == 0:
        return 0.0
    distinct, record = np.unique(np.concatenate([left, right]), return_inverse=True)
    sizes = np.bincount(components(record[:n], record[n:], len(distinct))[record[:n]])
    return float(n**2 / (sizes**2).sum())
