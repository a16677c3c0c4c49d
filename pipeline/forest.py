"""Forest: the strongest ties that hold records together, from pairs that come batch by batch."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import minimum_spanning_tree


class Forest:
    """A maximum spanning forest of n nodes (Kruskal 1956): whichever ties below a strength are cut, it hangs together as all of them do.

    Attributes:
        left, right: (e,) int64 nodes of its edges, e below n.
        strength: (e,) float64.
    """

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes
        self.left = self.right = np.empty(0, np.int64)
        self.strength = np.empty(0)

    def add(self, left: NDArray[np.int64], right: NDArray[np.int64], strength: NDArray[np.float64]) -> None:
        """Take in (m,) edges between different nodes; what is no longer needed is dropped."""
        left, right = np.concatenate([self.left, left]), np.concatenate([self.right, right])
        values, rank = np.unique(-np.concatenate([self.strength, strength]), return_inverse=True)
        low, high = np.minimum(left, right), np.maximum(left, right)
        order = np.lexsort((rank, high, low))
        first = np.ones(len(order), bool)  # of edges between the same nodes, the strongest
        first[1:] = (np.diff(low[order]) != 0) | (np.diff(high[order]) != 0)
        order = order[first]
        shape = (self.nodes, self.nodes)
        kept = minimum_spanning_tree(csr_array((rank[order] + 1.0, (low[order], high[order])), shape=shape)).tocoo()
        self.left, self.right = kept.row.astype(np.int64), kept.col.astype(np.int64)
        self.strength = -values[kept.data.astype(np.int64) - 1]

    def strongest(self) -> NDArray[np.float64]:
        """(n,) strength of each node's strongest tie; -inf without one."""
        found = np.full(self.nodes, -np.inf)
        np.maximum.at(found, self.left, self.strength)
        np.maximum.at(found, self.right, self.strength)
        return found
