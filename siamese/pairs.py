"""Pairs: labelled row numbers, as training reads them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from siamese.components import components


@dataclass(frozen=True)
class Pairs:
    """n pairs of rows of one table of records.

    Attributes:
        left, right: (n,) int64 row numbers.
        is_match: (n,) int8: 1 genuine, 0 imposite.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    is_match: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.left)

    @property
    def n_matches(self) -> int:
        return int(self.is_match.sum())

    def take(self, chosen: NDArray) -> "Pairs":
        return Pairs(self.left[chosen], self.right[chosen], self.is_match[chosen])

    def rows(self) -> NDArray[np.int64]:
        """Distinct row numbers, ascending."""
        return np.unique(np.concatenate([self.left, self.right]))

    def record_weights(self) -> NDArray[np.float64]:
        """(n,) weights in which a record's pairs with one entity count about as one, be it its own or another, else entities of many
        records, whose pairs grow with the product of their numbers, drown the others. Entities are records tied by genuine pairs."""
        n = int(max(self.left.max(initial=-1), self.right.max(initial=-1))) + 1
        tied = self.is_match == 1
        entity = components(self.left[tied], self.right[tied], n)
        met = np.stack([self.left * n + entity[self.right], self.right * n + entity[self.left]])
        _, place, times = np.unique(2 * met + tied, return_inverse=True, return_counts=True)
        return 1 / np.sqrt(times[place.reshape(met.shape)].prod(axis=0))

    def renumber(self, rows: NDArray[np.int64]) -> "Pairs":
        """The pairs in a table of these rows alone (ascending, and every row of the pairs among them)."""
        return Pairs(np.searchsorted(rows, self.left), np.searchsorted(rows, self.right), self.is_match)

    def __add__(self, other: "Pairs") -> "Pairs":
        return Pairs.concat([self, other])

    @classmethod
    def concat(cls, parts: Sequence["Pairs"]) -> "Pairs":
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("left", "right", "is_match")))
