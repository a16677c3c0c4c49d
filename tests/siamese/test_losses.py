"""Losses: against a loop and against pytorch-metric-learning."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import ContrastiveLoss
from pytorch_metric_learning.reducers import DoNothingReducer

from siamese.distances import Energy, distance
from siamese.losses import class_weights, contrastive_loss

PAIRS = st.lists(st.tuples(st.floats(0, 2, width=32), st.integers(0, 1), st.floats(0, 3, width=32)), min_size=1)


@given(PAIRS, st.floats(0.1, 2), st.floats(0, 1))
def test_equal_to_a_loop(pairs: list[tuple[float, int, float]], margin: float, slack: float) -> None:
    distances, labels, weights = zip(*pairs, strict=True)
    losses = [
        max(0.0, energy - slack) ** 2 if y == 1 else max(0.0, margin - energy) ** 2
        for energy, y in zip(distances, labels, strict=True)
    ]
    plain = contrastive_loss(torch.tensor(distances), torch.tensor(labels), margin, slack=slack)
    weighted = contrastive_loss(torch.tensor(distances), torch.tensor(labels), margin, torch.tensor(weights), slack)
    assert plain.item() == pytest.approx(np.mean(losses), rel=1e-4, abs=1e-6)
    assert weighted.item() == pytest.approx(np.mean(np.multiply(losses, weights)), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(("margin", "slack"), [(0.5, 0.0), (1.3, 0.0), (1.3, 0.4)])
def test_equal_to_the_squares_of_pytorch_metric_learning(margin: float, slack: float) -> None:
    embeddings = torch.nn.functional.normalize(torch.randn(24, 6, generator=torch.Generator().manual_seed(3)), dim=1)
    entities = torch.arange(24) // 3
    theirs = ContrastiveLoss(
        pos_margin=slack,
        neg_margin=margin,
        distance=LpDistance(normalize_embeddings=False),
        reducer=DoNothingReducer(),
    )(embeddings, entities)
    for name, label in (("pos_loss", 1), ("neg_loss", 0)):
        losses, (left, right) = theirs[name]["losses"], theirs[name]["indices"]
        assert len(losses) > 0
        distances = distance(embeddings[left], embeddings[right], Energy.EUCLIDEAN)
        ours = contrastive_loss(distances, torch.full((len(left),), label), margin, slack=slack)
        assert ours.item() == pytest.approx(losses.square().mean().item(), rel=1e-4)


def test_the_gradient_pulls_genuine_pairs_together_and_pushes_imposite_ones_apart_up_to_the_margin() -> None:
    distances = torch.tensor([0.5, 0.5, 1.5], requires_grad=True)
    contrastive_loss(distances, torch.tensor([1, 0, 0]), 1.2).backward()
    assert distances.grad.tolist() == pytest.approx([2 * 0.5 / 3, -2 * (1.2 - 0.5) / 3, 0])


def test_the_gradient_is_finite_at_distance_zero() -> None:
    embeddings = torch.eye(2)[[0, 0, 1]].requires_grad_()
    distances = distance(embeddings[[0, 0]], embeddings[[1, 1]], Energy.EUCLIDEAN)
    contrastive_loss(distances, torch.tensor([1, 0]), 1.0).backward()
    assert torch.isfinite(embeddings.grad).all()


@given(st.lists(st.integers(0, 1), min_size=2).filter(lambda y: 0 < sum(y) < len(y)), st.floats(0, 1))
def test_class_weights_make_up_for_unequal_classes(labels: list[int], balance: float) -> None:
    y = torch.tensor(labels, dtype=torch.int8)
    weights = class_weights(y, balance).double()
    n, matches = len(labels), sum(labels)
    expected = [(n / 2 / (matches if label else n - matches)) ** balance for label in labels]
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    assert class_weights(y, 0).tolist() == [1.0] * n
    even = class_weights(y, 1).double()
    assert even[y == 1].sum().item() == pytest.approx(even[y == 0].sum().item(), rel=1e-5)


def test_one_class_alone_has_finite_weights() -> None:
    assert torch.isfinite(class_weights(torch.ones(3), 1.0)).all()
    assert torch.isfinite(class_weights(torch.zeros(3), 1.0)).all()
