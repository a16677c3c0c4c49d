"""Distances: the energies that a tower's embeddings are compared by. Small when alike, 0 when the same; never a similarity."""

from enum import StrEnum

import torch
from numpy.typing import NDArray
from torch import Tensor


class Energy(StrEnum):
    """How far two embeddings are apart. On unit-length embeddings of d dimensions:"""

    EUCLIDEAN = "euclidean"  # 0 to 2
    MANHATTAN = "manhattan"  # 0 to 2 sqrt(d)
    COSINE = "cosine"  # 1 - cos: 0 to 2


def distance(left: Tensor, right: Tensor, energy: Energy = Energy.EUCLIDEAN) -> Tensor:
    """Energy E of each pair of rows.

    Args:
        left, right: (n, dim) unit-length float embeddings.

    Returns:
        (n,) distances. Differences are taken before squaring, so that near pairs keep their digits, and the
        gradient at E = 0 is 0, not NaN.
    """
    difference = left - right
    if energy is Energy.MANHATTAN:
        return difference.abs().sum(dim=1)
    squared = difference.square().sum(dim=1)
    if energy is Energy.COSINE:
        return squared / 2  # |u - v|^2 = 2 - 2 cos for unit vectors
    return torch.where(squared > 0, squared.clamp(min=1e-20).sqrt(), 0.0)


def direction(difference: Tensor, energy: Energy) -> Tensor:
    """What a difference of two embeddings is multiplied by, and summed, to give what it adds up to (see :func:`additive`).

    The product is linear in its other side: what a part of the difference gives is that part's share, and the shares add up.

    Args:
        difference: (n, dim) left - right.
    """
    if energy is Energy.MANHATTAN:
        return difference.sign()
    return difference / 2 if energy is Energy.COSINE else difference


def additive(distances: NDArray, energy: Energy) -> NDArray:
    """(n,) what sums over fields, from (n,) distances: E squared where the energy is euclidean, else E itself."""
    return distances**2 if energy is Energy.EUCLIDEAN else distances
