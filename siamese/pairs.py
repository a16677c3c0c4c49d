"""Pairs: labelled row numbers, as training reads them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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

    def __add__(self, other: "Pairs") -> "Pairs":
        return Pairs(
            np.concatenate([self.left, other.left]),
            np.concatenate([self.right, other.right]),
            np.concatenate([self.is_match, other.is_match]),
        )
