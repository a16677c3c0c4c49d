"""Assignment: one-to-one matches between two tables, nearest overall."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from pipeline.rowpairs import RowPairs
from siamese.calibration import Calibration
from siamese.components import components

DENSE = 2**20  # cells of a matrix: larger ones take memory with the square, and time with the cube


def expected_right(calibration: Calibration, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) what a match is worth where matches compete: its probability, so that the sum is the number of right ones to be expected.

    Equals part by their scores.
    """
    _, rank = np.unique(-scores, return_inverse=True)
    return calibration.probability(scores) + 1e-6 * (rank + 1) / (len(scores) + 1)


def of_winners(calibration: Calibration) -> Calibration:
    """What scores mean where each record is matched once at most: learned on the held-out pairs that win where they compete.

    The calibration as it is where the winners are of one class.
    """
    evidence = calibration.evidence
    scores, labels = evidence.arrays
    known = np.flatnonzero(np.isfinite(scores))
    left, right = np.array(evidence.left)[known], np.array(evidence.right)[known]
    worth = expected_right(calibration, scores[known])
    won = one_to_one(RowPairs(left, right, np.zeros(len(known), np.float32)), np.ones(len(known), bool), worth)
    kept = np.union1d(known[won], np.flatnonzero(~np.isfinite(scores)))
    if len(np.unique(labels[known[won]])) < 2:
        return calibration
    left, right = np.array(evidence.left)[kept], np.array(evidence.right)[kept]
    return Calibration.fit(
        scores[kept], labels[kept], left, right, are_doubts=evidence.are_doubts, are_chosen=evidence.are_chosen
    )


def one_to_one(pairs: RowPairs, allowed: NDArray[np.bool_], reward: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The matches in which each row is used once, with the greatest sum of rewards.

    Optimal (Jonker-Volgenant, through scipy), solved for each connected component by itself: as a dense matrix or, where that would be
    large, by its candidates alone.

    Args:
        pairs: candidates.
        allowed: (m,) candidates that may be matched.
        reward: (m,) positive for those.
    """
    chosen = np.zeros(len(pairs.left), bool)
    candidates = np.flatnonzero(allowed)
    if len(candidates) == 0:
        return chosen
    lefts, left = np.unique(pairs.left[candidates], return_inverse=True)
    rights, right = np.unique(pairs.right[candidates], return_inverse=True)
    component = components(left, right + len(lefts), len(lefts) + len(rights))[left]
    order = np.argsort(component, kind="stable")
    for some in np.split(order, np.flatnonzero(np.diff(component[order])) + 1):
        _, row = np.unique(left[some], return_inverse=True)
        _, column = np.unique(right[some], return_inverse=True)
        is_large = (row.max() + 1) * (column.max() + 1) > DENSE
        solve = _matched_sparsely if is_large else _matched
        chosen[candidates[some]] = solve(row, column, reward[candidates[some]])
    return chosen


def _matched(row: NDArray[np.int64], column: NDArray[np.int64], reward: NDArray[np.float64]) -> NDArray[np.bool_]:
    value = np.zeros((row.max() + 1, column.max() + 1))
    value[row, column] = reward
    matched = np.zeros(value.shape, bool)
    matched[linear_sum_assignment(value, maximize=True)] = True
    return matched[row, column]


def _matched_sparsely(
    row: NDArray[np.int64], column: NDArray[np.int64], reward: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """The same without the matrix; each row may also be matched to a column of its own, which is worth nothing."""
    n, width = int(row.max()) + 1, int(column.max()) + 1
    most = float(reward.max()) + 1  # so that costs are above 0, which would be no edge
    # A pair may come twice.
    keys, first, place = np.unique(row * width + column, return_index=True, return_inverse=True)
    own = np.arange(n)
    cost = np.concatenate([most - reward[first], np.full(n, most)])
    ends = np.concatenate([keys // width, own]), np.concatenate([keys % width, width + own])
    _, partner = min_weight_full_bipartite_matching(csr_array((cost, ends), shape=(n, width + n)))
    return (partner[keys // width] == keys % width)[place]
