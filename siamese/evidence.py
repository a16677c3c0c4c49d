"""Evidence: held-out labelled pairs with their scores, from which a threshold and its promise are drawn."""

import math
from collections import Counter
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

    @property
    def entities(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(n,) each: entity of the left and of the right record of each pair, as far as genuine pairs tell."""
        return entities_of_pairs(np.array(self.left, np.int64), np.array(self.right, np.int64), self.arrays[1])

    @property
    def groups(self) -> NDArray[np.int64]:
        """(n,) group of each pair, by :func:`groups_of_pairs`."""
        return groups_of_pairs(*self.entities)

    def independent(self, label: int) -> float:
        """How many independent pairs those of a label are worth."""
        return self.independent_of(self.arrays[1] == label)

    def independent_of(self, some: NDArray) -> float:
        """How many independent pairs some of them are worth; ``some``: their places, or a mask."""
        return independent_number(*(entity[some] for entity in self.entities))

    @cached_property
    def worth(self) -> NDArray[np.float64]:
        """(n,) how many independent pairs the first 1, 2, ... n are worth."""
        return independent_pairs(*self.entities)


def entities_of_pairs(
    left: NDArray[np.int64], right: NDArray[np.int64], is_match: NDArray
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n,) each: entity of the left and of the right record of n pairs, as far as the genuine ones among them tell."""
    records, places = np.unique(np.stack([left, right]), return_inverse=True)
    left, right = places.reshape(2, -1)
    genuine = np.asarray(is_match) == 1
    entity = components(left[genuine], right[genuine], len(records))
    return entity[left], entity[right]


def groups_of_pairs(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) group of each pair: of the entities of its two records the one that more pairs have.

    To be drawn, or kept apart, together. A chain of pairs may tie all of them, and what is in two groups by its other entity stays tied;
    but the pairs of an entity that has many are together, and these are what makes a few draws look like many.
    """
    touched = np.bincount(np.concatenate([left, right]), minlength=1)
    return np.where(touched[left] >= touched[right], left, right)


def independent_pairs(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) how many independent pairs the first 1, 2, ... n pairs are worth, by the entities of their records.

    Pairs that have an entity in common are counted as wrong or right together, the worst case, and others as independent, though a
    chain of pairs ties them: dyadic clustering (Aronow, Samii and Assenova 2015). So a mean varies as that of
    n ** 2 / (ordered pairs of pairs that have one in common) independent ones, which is Kish's effective sample size if each has one only.
    """
    touched: Counter[int] = Counter()  # pairs of each entity
    between: Counter[tuple[int, int]] = Counter()  # of both of two
    ties, worth = 0, np.empty(len(left))
    for number, (one, other) in enumerate(zip(left.tolist(), right.tolist(), strict=True), 1):
        tied = touched[one]
        if one != other:
            both = min(one, other), max(one, other)
            tied += touched[other] - between[both]
            touched[other] += 1
            between[both] += 1
        touched[one] += 1
        ties += 2 * tied + 1
        worth[number - 1] = number**2 / ties
    return worth


def independent_number(left: NDArray[np.int64], right: NDArray[np.int64]) -> float:
    """How many independent pairs all (n,) pairs are worth, by the entities of their records: the last of :func:`independent_pairs`."""
    n = len(left)
    if n == 0:
        return 0.0
    apart = left != right
    touched = np.unique(np.concatenate([left, right[apart]]), return_counts=True)[1]
    low, high = np.minimum(left, right)[apart], np.maximum(left, right)[apart]
    between = np.unique(np.stack([low, high]), axis=1, return_counts=True)[1]
    return float(n**2 / ((touched**2).sum() - (between**2).sum()))
