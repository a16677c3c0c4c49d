"""Row pairs: pairs of distinct contents, as rows of embeddings, with their distances."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from siamese.components import walked

DENSE = 3  # pairs a record, below which an order that brings near ones together costs more than it saves


@dataclass(frozen=True)
class RowPairs:
    """Pairs of distinct contents (rows of embeddings) and their distances, all (m,)."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    distances: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.left)

    @property
    def ends(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self.left, self.right

    @classmethod
    def concat(cls, parts: Sequence["RowPairs"]) -> "RowPairs":
        if not parts:
            return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        return cls(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ("left", "right", "distances"))
        )

    def take(self, chosen: NDArray | slice) -> "RowPairs":
        return RowPairs(self.left[chosen], self.right[chosen], self.distances[chosen])

    def turned(self) -> "RowPairs":
        return RowPairs(self.right, self.left, self.distances)

    def once(self) -> "RowPairs":
        """Of one table: each pair once, left < right, by left and then right."""
        left, right = np.minimum(self.left, self.right), np.maximum(self.left, self.right)
        return RowPairs(left, right, self.distances).distinct()

    def distinct(self) -> "RowPairs":
        """Each pair once, by left and then right, with one of its distances."""
        # Sorted as one number each, which is many times faster than by two keys.
        keys = self.left.astype(np.uint64) << np.uint64(32) | self.right.astype(np.uint64)
        order = np.argsort(keys)
        keys = keys[order]
        fresh = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
        keys = keys[fresh]
        left, right = keys >> np.uint64(32), keys & np.uint64(2**32 - 1)
        return RowPairs(left.astype(np.int64), right.astype(np.int64), self.distances[order[fresh]])

    def neighbourly(self, *, of_two: bool) -> NDArray[np.int64] | None:
        """(m,) an order of pairs in which those of the same records, and of records paired with these, lie near each other.

        A block of such pairs is of few records. None where records have few pairs each: any block is of many.

        Args:
            of_two: left and right are rows of two tables.
        """
        left = self.left
        right = self.right + (left.max(initial=-1) + 1 if of_two else 0)
        n = int(max(left.max(initial=-1), right.max(initial=-1))) + 1
        if len(self) <= DENSE * n:
            return None
        place = walked(left, right, n)
        one, other = place[left], place[right]
        return np.lexsort((np.maximum(one, other), np.minimum(one, other)))


def blocks_by_sum(counts: NDArray[np.int64], limit: int) -> Iterator[NDArray[np.int64]]:
    """Positions in runs whose counts add up to about ``limit``."""
    if len(counts) == 0:
        return
    block = (np.cumsum(counts) - counts) // limit
    yield from np.split(np.arange(len(counts)), np.flatnonzero(np.diff(block)) + 1)
