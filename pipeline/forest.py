"""Forest: the strongest ties that hold records together, from pairs that come batch by batch."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree


def strongest_ties(left: NDArray[np.int64], right: NDArray[np.int64], nodes: int) -> NDArray[np.int64]:
    """(e,) ascending places of the edges of the spanning forest that takes the first ones it can (Kruskal 1956), e below ``nodes``.

    Args:
        left, right: (m,) different nodes of each edge, the strongest edge first.
    """
    low, high = np.minimum(left, right), np.maximum(left, right)
    once = np.sort(np.unique(low * nodes + high, return_index=True)[1])  # of edges between the same nodes the first
    rank = once + 1.0  # no two alike: there is one forest
    graph = coo_array((rank, (low[once], high[once])), shape=(nodes, nodes)).tocsr()
    return np.sort(minimum_spanning_tree(graph).data.astype(np.int64)) - 1


class Forest:
    """A maximum spanning forest of n nodes: whichever ties below a strength are cut, it hangs together as all of them do.

    Attributes:
        left, right: (e,) int64 nodes of its edges, e below n; the strongest first.
        strength: (e,) float64.
    """

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes
        self.left = self.right = np.empty(0, np.int64)
        self.strength = np.empty(0)

    def add(self, left: NDArray[np.int64], right: NDArray[np.int64], strength: NDArray[np.float64]) -> None:
        """Take in (m,) edges between different nodes; what is no longer needed is dropped."""
        left, right = np.concatenate([self.left, left]), np.concatenate([self.right, right])
        strength = np.concatenate([self.strength, strength])
        order = np.argsort(-strength, kind="stable")
        kept = order[strongest_ties(left[order], right[order], self.nodes)]
        self.left, self.right, self.strength = left[kept], right[kept], strength[kept]

    def strongest(self) -> NDArray[np.float64]:
        """(n,) strength of each node's strongest tie; -inf without one."""
        found = np.full(self.nodes, -np.inf)
        np.maximum.at(found, self.left, self.strength)
        np.maximum.at(found, self.right, self.strength)
        return found
