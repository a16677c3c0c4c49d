"""Company: the records of two tables among which the rivals of labelled pairs are sought, as a run seeks them in its corpora."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from siamese.distances import Energy
from siamese.mining import Neighbours, exact_neighbours
from siamese.pairs import Pairs
from siamese.towers import Features, Tower
from siamese.training import pair_distances

NEAREST = 5  # of each record that are rivals: a run looks at as many at least


@dataclass(frozen=True)
class Rivals:
    """r pairs of rows of a company that towers found near the records of held-out pairs.

    Attributes:
        pairs: each a row of the left table and one of the right; labels say nothing.
        folds: (r,) which fold's tower found it.
        distances: (r,) float32 energies by that tower.
    """

    pairs: Pairs
    folds: NDArray[np.int64]
    distances: NDArray[np.float32]

    @classmethod
    def concat(cls, parts: Sequence["Rivals"]) -> "Rivals":
        return cls(
            Pairs.concat([each.pairs for each in parts]),
            np.concatenate([each.folds for each in parts]),
            np.concatenate([each.distances for each in parts]),
        )


@dataclass(frozen=True)
class Company:
    """n records of two tables.

    Attributes:
        features: as the tower reads them.
        rows: (k,) which of them each record of the labelled pairs is.
        sides: (n,) 0 or 1: the table of each.
        neighbours: how to find near records.
    """

    features: Features
    rows: NDArray[np.int64]
    sides: NDArray[np.int8]
    neighbours: Neighbours = exact_neighbours

    def rivals(self, tower: Tower, records: NDArray[np.int64], fold: int, energy: Energy) -> Rivals:
        """The nearest of the other table, of each of some records that the labelled pairs name, by a tower that a fold was held out of."""
        embeddings = tower.embed(self.features)
        pairs = self.near(embeddings.numpy(), self.rows[records])
        return Rivals(pairs, np.full(len(pairs), fold), pair_distances(embeddings, pairs, energy))

    def near(self, embeddings: NDArray[np.float32], asking: NDArray[np.int64]) -> Pairs:
        """The nearest of the other table, of each of some rows of (n, dim) embeddings: every pair once."""
        found = []
        for side in (0, 1):
            some, others = asking[self.sides[asking] == side], np.flatnonzero(self.sides == 1 - side)
            if len(some) and len(others):
                near = others[self.neighbours(embeddings[some], embeddings[others], min(NEAREST, len(others)))]
                ends = np.repeat(some, near.shape[1]), near.ravel()
                found.append(np.column_stack(ends if side == 0 else ends[::-1]))
        distinct = np.unique(np.concatenate(found), axis=0) if found else np.empty((0, 2), np.int64)
        return Pairs(distinct[:, 0], distinct[:, 1], np.zeros(len(distinct), np.int8))
