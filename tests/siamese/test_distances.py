"""Distances: against SciPy's, and sound gradients where embeddings meet."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.spatial import distance as scipy_distance

from siamese.distances import Energy, distance

SCIPY = {
    Energy.EUCLIDEAN: scipy_distance.euclidean,
    Energy.MANHATTAN: scipy_distance.cityblock,
    Energy.COSINE: scipy_distance.cosine,
}


def unit(n: int, dim: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.mark.parametrize("energy", list(Energy))
def test_equal_to_scipy(energy: Energy) -> None:
    left, right = unit(50, 16, 1), unit(50, 16, 2)
    expected = [SCIPY[energy](a, b) for a, b in zip(left.double().numpy(), right.double().numpy(), strict=True)]
    np.testing.assert_allclose(distance(left, right, energy).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("energy", list(Energy))
def test_zero_when_the_same_symmetric_and_bounded(energy: Energy) -> None:
    left, right = unit(50, 16, 1), unit(50, 16, 2)
    top = 2 * 16**0.5 if energy is Energy.MANHATTAN else 2
    assert (distance(left, left, energy) == 0).all()
    assert torch.equal(distance(left, right, energy), distance(right, left, energy))
    opposite = torch.full((1, 16), 0.25)
    assert distance(opposite, -opposite, energy).item() == pytest.approx(top)


@pytest.mark.parametrize("energy", list(Energy))
def test_near_pairs_keep_their_digits(energy: Energy) -> None:
    left = torch.zeros(1, 4)
    left[0, 0] = 1
    right = left.clone()
    right[0, 1] = 1e-5
    expected = {Energy.EUCLIDEAN: 1e-5, Energy.MANHATTAN: 1e-5, Energy.COSINE: 5e-11}[energy]
    assert distance(left, right, energy).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("energy", list(Energy))
def test_the_gradient_is_zero_where_embeddings_meet(energy: Energy) -> None:
    left = unit(3, 8, 1).requires_grad_()
    distance(left, left.detach().clone(), energy).sum().backward()
    assert torch.equal(left.grad, torch.zeros_like(left))


@pytest.mark.parametrize("energy", list(Energy))
def test_the_gradient_is_right_elsewhere(energy: Energy) -> None:
    left, right = unit(4, 5, 1).double().requires_grad_(), unit(4, 5, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: distance(a, b, energy), (left, right))
