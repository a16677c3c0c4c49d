"""Assignment: one-to-one matches between two tables, nearest overall."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pipeline.rowpairs import RowPairs
from siamese.calibration import Calibration
from siamese.components import components


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

    Optimal (Jonker-Volgenant, through scipy), solved for each connected component by itself.

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
        value = np.zeros((row.max() + 1, column.max() + 1))
        value[row, column] = reward[candidates[some]]
        matched = np.zeros(value.shape, bool)
        matched[linear_sum_assignment(value, maximize=True)] = True
        chosen[candidates[some]] = matched[row, column]
    return chosen
