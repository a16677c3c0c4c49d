"""Signs: drawn as ever, and summed from two bits each as from floats."""

import hashlib
from itertools import pairwise

import numpy as np
import pytest
import torch

from siamese.towers.signs import Signs


def test_a_seed_gives_the_signs_that_it_always_gave() -> None:
    """Models keep only their seed."""
    signs = Signs(10_000, 48, seed=7)
    drawn = signs.floats().numpy()
    assert set(np.unique(drawn)) == {-1, 1}
    raw = np.random.Philox(key=7).random_raw(10_000 * 48 // 64)
    expected = np.unpackbits(raw.view(np.uint8)).reshape(10_000, 48)
    assert np.array_equal(drawn > 0, expected)
    assert hashlib.sha256(expected.tobytes()).hexdigest()[:16] == "facfe81ef7ecd3d7"


@pytest.mark.parametrize("dim", [1, 30, 48, 256])
def test_sums_with_and_without_gradients_are_the_same(dim: int) -> None:
    signs = Signs(500, dim, seed=1)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 500, (300,), generator=generator, dtype=torch.int32)
    offsets = torch.tensor([0, 0, 1, 20, 20, 300], dtype=torch.int32)
    weights = torch.rand(300, generator=generator)
    one_by_one = weights[:, None] * signs.floats()[ids] / dim**0.5
    expected = torch.stack([one_by_one[a:b].sum(dim=0) for a, b in pairwise(offsets)])
    with torch.inference_mode():
        np.testing.assert_allclose(signs(ids, offsets, weights), expected, atol=2e-5)
    summed = signs(ids, offsets, weights.requires_grad_())
    np.testing.assert_allclose(summed.detach(), expected, atol=2e-5)
    summed.sum().backward()
    np.testing.assert_allclose(weights.grad, (signs.floats()[ids] / dim**0.5).sum(dim=1), atol=1e-5)


def test_floats_are_made_only_for_gradients() -> None:
    signs = Signs(500, 16, seed=1)
    ids, offsets = torch.arange(9, dtype=torch.int32), torch.tensor([0, 4, 9], dtype=torch.int32)
    signs(ids, offsets, torch.ones(9))
    assert signs._floats is None
    assert signs.state_dict() == {}
