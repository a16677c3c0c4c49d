"""Assignment: one-to-one matches between two tables, nearest overall."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pipeline.components import components
from pipeline.matching import RowPairs


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
