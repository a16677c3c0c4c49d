"""Linkage: components that hang together by a few weak pairs, parted where the average says that they are not the same."""

import logging

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from pipeline.components import components

LARGEST = 8_000  # rows of a component whose pairs are laid out at once: 256 MB
TIGHTER = (0.9, 0.99, 0.999)  # a larger one falls apart first by leaving out matches below these probabilities

log = logging.getLogger("siamese")


def split_loose(
    component: NDArray[np.int64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    probability: NDArray[np.float64],
    is_match: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], int]:
    """Part components by average linkage (Sokal and Michener 1958): two groups stay together while the mean probability over all pairs
    between them is a half or more. A pair that is no candidate counts as 0.

    Args:
        component: (n,) of each row.
        left, right: (m,) rows of the candidates, each pair once.
        probability: (m,) of a match.
        is_match: (m,) flagged; they tie the components.

    Returns:
        (n,) groups from 0, and how many components were parted.
    """
    component = _tighten(component, left[is_match], right[is_match], probability[is_match])
    sizes = np.bincount(component, minlength=len(component))
    inside = np.flatnonzero(component[left] == component[right])
    tied = np.bincount(component[left[inside]], is_match[inside], minlength=len(sizes))
    # Two rows are tied by their match, and where every pair is one nothing is loose.
    loose = np.flatnonzero((sizes > 2) & (sizes <= LARGEST) & (tied < sizes * (sizes - 1) / 2))
    of_pairs = inside[np.argsort(component[left[inside]], kind="stable")]
    pair_starts = np.searchsorted(component[left[of_pairs]], [loose, loose + 1])
    of_rows = np.argsort(component, kind="stable")
    row_starts = np.searchsorted(component[of_rows], [loose, loose + 1])
    group, fresh, parted = component.copy(), len(component), 0
    for pair_from, pair_to, row_from, row_to in zip(*pair_starts, *row_starts, strict=True):
        pairs, rows = of_pairs[pair_from:pair_to], of_rows[row_from:row_to]
        n = len(rows)
        one, other = (np.searchsorted(rows, each[pairs]) for each in (left, right))
        low, high = np.minimum(one, other), np.maximum(one, other)
        apart = np.ones(n * (n - 1) // 2)
        apart[n * low - low * (low + 1) // 2 + high - low - 1] = 1 - probability[pairs]
        found = fcluster(linkage(apart, "average"), 0.5, "distance")
        parted += int(found.max() > 1)
        group[rows] = fresh + found
        fresh += n + 1
    return np.unique(group, return_inverse=True)[1], parted


def _tighten(
    component: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64], probability: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Components too large to lay out fall apart by the weaker of the matches that tie them."""
    for least in TIGHTER:
        large = np.flatnonzero(np.bincount(component) > LARGEST)
        if len(large) == 0:
            return component
        log.warning(
            "%d groups of over %d contents: their matches below a probability of %g are left out",
            len(large),
            LARGEST,
            least,
        )
        kept = ~np.isin(component[left], large) | (probability >= least)
        component = components(left[kept], right[kept], len(component))
    return component
