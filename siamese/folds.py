"""Folds: groups of pairs dealt out, so that each fold has its part of two kinds."""

import numpy as np
from numpy.typing import NDArray


def deal_in_turn(order: NDArray[np.int64], kind: NDArray[np.bool_], folds: int) -> NDArray[np.int64]:
    """(g,) int64 fold of each group: those of either kind are dealt by themselves, one after the other.

    Args:
        order: (g,) the groups in the order in which they are dealt.
        kind: (g,) of each group.
        folds: how many.
    """
    fold = np.empty(len(kind), np.int64)
    for either in (False, True):
        members = order[kind[order] == either]
        fold[members] = np.arange(len(members)) % folds
    return fold
