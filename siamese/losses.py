"""Losses: what training makes small."""

import torch
from torch import Tensor


def contrastive_loss(
    distances: Tensor, is_match: Tensor, margin: float, weights: Tensor | None = None, slack: float = 0.0
) -> Tensor:
    """Contrastive loss of Hadsell, Chopra and LeCun (2006), eq. 4, without its factor 1/2; with slack, that of two margins (Lin et al.
    2015, "DeepHash").

    ``y * max(0, E - s)^2 + (1 - y) * max(0, m - E)^2``: a genuine pair is pulled to 0, or as near as the slack; an imposite one costs
    nothing once it is farther apart than the margin.

    Args:
        distances: (n,) energies E.
        is_match: (n,) y: 1 genuine, 0 imposite.
        margin: m, in units of the energy.
        weights: (n,) weight of each pair; equal when None.
        slack: s, below m, in the same units: genuine pairs that are as near cost nothing.

    Returns:
        Scalar mean over the pairs.
    """
    y = is_match.to(distances.dtype)
    losses = y * torch.relu(distances - slack).square() + (1 - y) * torch.relu(margin - distances).square()
    return losses.mean() if weights is None else (weights * losses).mean()


def class_weights(is_match: Tensor, balance: float) -> Tensor:
    """(n,) weights that make up for unequal classes.

    Args:
        balance: 0 leaves every pair its weight of 1; 1 lets both classes weigh the same in all; between is a power between.
    """
    y = is_match.to(torch.float32)
    share = torch.where(y > 0, y.mean(), 1 - y.mean())
    return (0.5 / share.clamp(min=1e-12)) ** balance
