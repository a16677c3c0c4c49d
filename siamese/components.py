"""Connected components: what is tied together, directly or through others; and a walk along what ties it."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, reverse_cuthill_mckee


def components(left: NDArray[np.int64], right: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """(n,) component of each of n nodes, tied by edges between ``left`` and ``right``, each (m,)."""
    graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def walked(left: NDArray[np.int64], right: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """(n,) place of each record in a walk along the pairs that goes to near ones first (reverse Cuthill-McKee, 1969).

    Args:
        left, right: (m,) the records of each pair.
    """
    ends = np.concatenate([left, right]), np.concatenate([right, left])
    graph = coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(n, n)).tocsr()
    place = np.empty(n, np.int64)
    place[reverse_cuthill_mckee(graph, symmetric_mode=True)] = np.arange(n)
    return place
