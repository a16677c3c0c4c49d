"""Paths: the strongest path of pairs from each row of a cluster to the one that stands for it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order

from pipeline.bonds import Bonds
from pipeline.forest import strongest_ties


@dataclass(frozen=True)
class Paths:
    """A tree in each cluster, of n rows, all (n,): the path of each row to the root.

    Attributes:
        parent: the next row on the way to the root; -1 for a root, and for rows that no root is tied to.
        probability: of the pair with the parent; NaN without one.
        links: pairs on the way to the root.
        weakest: the least probability on the way; 1 at a root.
    """

    parent: NDArray[np.int64]
    probability: NDArray[np.float64]
    links: NDArray[np.int64]
    weakest: NDArray[np.float64]

    @classmethod
    def of(cls, bonds: Bonds, roots: NDArray[np.int64], n: int) -> "Paths":
        """Maximum spanning trees by probability: of all paths between two rows, theirs has the strongest weakest link (Hu 1961).
        Of equal probabilities a flagged pair goes first, then one with a root, then the first of the rows.

        Args:
            bonds: pairs within the clusters, by which each hangs together.
            roots: a row of each cluster.
        """
        is_root = np.zeros(n, bool)
        is_root[roots] = True
        low, high = np.minimum(bonds.left, bonds.right), np.maximum(bonds.left, bonds.right)
        to_root = is_root[low] | is_root[high]
        order = np.lexsort((high, low, ~to_root, ~bonds.is_match, -bonds.probability))
        tree = bonds.take(order[strongest_ties(low[order], high[order], n)])
        # One walk for all trees, from a row beyond the last that is tied to every root.
        one, other = np.append(tree.left, np.full(len(roots), n)), np.append(tree.right, roots)
        graph = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(n + 1, n + 1)).tocsr()
        walk, before = breadth_first_order(graph, n, directed=False)
        parent = np.where((before[:n] < 0) | (before[:n] == n), -1, before[:n]).astype(np.int64)
        strength = np.full(n, np.nan)
        child = np.where(parent[tree.left] == tree.right, tree.left, tree.right)
        strength[child] = tree.probability
        strength[parent < 0] = np.nan
        return cls(parent, strength, *_along(parent, strength, walk[1:]))


def _along(
    parent: NDArray[np.int64], strength: NDArray[np.float64], walk: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(n,) links to the root and the weakest of them, level by level from the roots."""
    links, weakest = np.zeros(len(parent), np.int64), np.ones(len(parent))
    place = np.empty(len(parent), np.int64)
    place[walk] = np.arange(len(walk))
    before = np.where(parent[walk] < 0, -1, place[parent[walk]])  # ascends: the walk takes one level after the other
    start, depth = int(np.searchsorted(before, 0)), 0
    while start < len(walk):
        depth, end = depth + 1, int(np.searchsorted(before, start))
        rows = walk[start:end]
        links[rows] = depth
        weakest[rows] = np.minimum(weakest[parent[rows]], strength[rows])
        start = end
    return links, weakest
