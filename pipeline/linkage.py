"""Linkage: components that hang together by a few weak pairs, parted where the average says that they are not the same."""

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

from pipeline.bonds import Bonds
from siamese.components import components

LAID_OUT = range(65, 8_001)  # rows of a component whose pairs are laid out at once, 256 MB at most


def split_loose(component: NDArray[np.int64], bonds: Bonds, least_mean: float) -> NDArray[np.int64]:
    """Part components by average linkage (Sokal and Michener 1958): two groups stay together while the mean probability over all pairs
    between them is ``least_mean`` or more. A pair that is no candidate counts as 0. Components of any size, and any number of them.

    Args:
        component: (n,) of each row.
        bonds: all candidates; those that are flagged tie the components.
        least_mean: between two groups that are one, over 0.

    Returns:
        (n,) groups from 0. Where two means are equal to the last digit, which groups merge first is drawn from a fixed seed.
    """
    inside = bonds.within(component)
    sizes = np.bincount(component, minlength=1)
    flagged = np.bincount(component[inside.left], inside.is_match, minlength=len(sizes))
    # Two rows are tied by their match, and where every pair is one nothing is loose.
    is_loose = (sizes > 2) & (flagged < sizes * (sizes - 1) / 2)
    is_laid_out = is_loose & (sizes >= LAID_OUT.start) & (sizes < LAID_OUT.stop)
    in_rounds = inside.take((is_loose & ~is_laid_out)[component[inside.left]])
    part = _merge_in_rounds(len(component), in_rounds, least_mean)
    part[~is_loose[component]] = 0
    _lay_out(part, component, np.flatnonzero(is_laid_out), inside, least_mean)
    return np.unique(component * len(component) + part, return_inverse=True)[1]


def _merge_in_rounds(n: int, bonds: Bonds, least_mean: float) -> NDArray[np.int64]:
    """(n,) group of each row. All pairs of groups that are each other's nearest are merged at once, in every component: merging takes no
    group nearer to another, so the order does not matter (Bruynooghe 1977; Sumengen et al. 2021). Quick where the pairs are few or the
    groups small; a group to which all others are nearest grows by one a round.
    """
    row, size = np.arange(n), np.ones(n)  # of each group: its first row, and how many it has
    one, other, total = bonds.left, bonds.right, bonds.probability
    merges, random = [], np.random.default_rng(0)
    while len(one):
        if 4 * len(one) < len(row):  # most groups are done
            going_on, ends = np.unique(np.concatenate([one, other]), return_inverse=True)
            row, size, (one, other) = row[going_on], size[going_on], np.split(ends, 2)
        mean = total / (size[one] * size[other])
        nearest = _greatest(mean, one, other, len(row))
        grows = nearest >= least_mean  # another group never merges again, whatever the others do
        going = grows[one] & grows[other]
        one, other, total, mean = one[going], other[going], total[going], mean[going]
        mutual = np.flatnonzero((mean == nearest[one]) & (mean == nearest[other]))
        lot = random.permutation(len(mutual))  # of equals, one pair a group
        drawn = _greatest(lot, one[mutual], other[mutual], len(row))
        merged = mutual[(lot == drawn[one[mutual]]) & (lot == drawn[other[mutual]])]
        merges.append(np.stack([row[one[merged]], row[other[merged]]]))
        size[one[merged]] += size[other[merged]]
        into = np.arange(len(row))
        into[other[merged]] = one[merged]
        one, other, total = _relabelled(into, one, other, total)
    left, right = np.concatenate([np.empty((2, 0), np.int64), *merges], axis=1)
    return components(left, right, n)


def _greatest(values: NDArray, one: NDArray[np.int64], other: NDArray[np.int64], n: int) -> NDArray:
    """(n,) the greatest value of each node's edges, -1 without any."""
    greatest = np.full(n, -1, values.dtype)
    np.maximum.at(greatest, one, values)
    np.maximum.at(greatest, other, values)
    return greatest


def _relabelled(
    into: NDArray[np.int64], one: NDArray[np.int64], other: NDArray[np.int64], total: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Edges between what their ends are now in, each once with the sum."""
    one, other = into[one], into[other]
    key = np.minimum(one, other) * len(into) + np.maximum(one, other)
    apart = np.flatnonzero(one != other)
    order = apart[np.argsort(key[apart], kind="stable")]
    starts = np.flatnonzero(np.append(True, np.diff(key[order]) != 0)[: len(order)])
    edge = key[order[starts]]
    sums = np.add.reduceat(total[order], starts) if len(starts) else total[:0]
    return edge // len(into), edge % len(into), sums


def _lay_out(
    part: NDArray[np.int64],
    component: NDArray[np.int64],
    chosen: NDArray[np.int64],
    bonds: Bonds,
    least_mean: float,
) -> None:
    """Part some components one by one, by SciPy; written into ``part``."""
    if len(chosen) == 0:
        return
    of_pairs = np.argsort(component[bonds.left], kind="stable")
    pair_bounds = np.searchsorted(component[bonds.left[of_pairs]], [chosen, chosen + 1])
    of_rows = np.argsort(component, kind="stable")
    row_bounds = np.searchsorted(component[of_rows], [chosen, chosen + 1])
    for pair_from, pair_to, row_from, row_to in zip(*pair_bounds, *row_bounds, strict=True):
        pairs, rows = of_pairs[pair_from:pair_to], of_rows[row_from:row_to]
        n = len(rows)
        one, other = (np.searchsorted(rows, ends[pairs]) for ends in (bonds.left, bonds.right))
        low, high = np.minimum(one, other), np.maximum(one, other)
        apart = np.ones(n * (n - 1) // 2)
        apart[n * low - low * (low + 1) // 2 + high - low - 1] = 1 - bonds.probability[pairs]
        part[rows] = fcluster(linkage(apart, "average"), 1 - least_mean, "distance")
