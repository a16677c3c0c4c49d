"""Bonds: the pairs within components, with their probabilities: what clusters hang together by."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.embedding import save_array


@dataclass(frozen=True)
class Bonds:
    """m candidates as pairs of rows, each pair once, all (m,).

    Attributes:
        left, right: rows.
        probability: of a match.
        is_match: flagged.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    probability: NDArray[np.float64]
    is_match: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.left)

    def take(self, chosen: NDArray) -> "Bonds":
        return Bonds(self.left[chosen], self.right[chosen], self.probability[chosen], self.is_match[chosen])

    def within(self, label: NDArray[np.int64]) -> "Bonds":
        """Those whose ends have the same label; (n,) of each row."""
        return self.take(label[self.left] == label[self.right])

    def save(self, path: Path) -> None:
        table = np.empty(len(self), [(name, column.dtype) for name, column in vars(self).items()])
        for name, column in vars(self).items():
            table[name] = column
        save_array(path, table)

    @classmethod
    def load(cls, path: Path) -> "Bonds":
        table = np.load(path, mmap_mode="r")
        return cls(*(np.ascontiguousarray(table[name]) for name in table.dtype.names))

    def cohesion(self, label: NDArray[np.int64], copies: NDArray[np.int64], equal: float) -> NDArray[np.float64]:
        """(labels,) mean probability over all pairs of records with a label; a pair that is no candidate counts as 0; NaN without pairs.

        Args:
            label: (n,) of each row, from 0.
            copies: (n,) records that hold each row.
            equal: probability of two records that hold the same.
        """
        inside = self.within(label)
        weight = inside.probability * copies[inside.left] * copies[inside.right]
        total = np.bincount(label[inside.left], weight, minlength=label.max(initial=-1) + 1)
        total = total + equal * np.bincount(label, copies * (copies - 1) / 2, minlength=len(total))
        records = np.bincount(label, copies, minlength=len(total))
        pairs = records * (records - 1) / 2
        return np.divide(total, pairs, out=np.full(len(total), np.nan), where=pairs > 0)
