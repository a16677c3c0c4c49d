"""Reliability: against a loop, and against probabilities that are right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from siamese.reliability import BINS, Reliability


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=50))
def test_the_error_is_that_of_a_plain_loop(pairs) -> None:
    found = Reliability.of(np.array([p for p, _ in pairs]), np.array([y for _, y in pairs]))
    bins: dict[int, list] = {}
    for p, y in pairs:
        bins.setdefault(max(0, int(np.ceil(p * BINS)) - 1), []).append((p, y))
    error = sum(abs(sum(y for _, y in each) - sum(p for p, _ in each)) for each in bins.values()) / len(pairs)
    assert found.error == pytest.approx(error, abs=1e-9)
    assert found.brier == pytest.approx(brier_score_loss([y for _, y in pairs], [p for p, _ in pairs]), abs=1e-9)
    assert sum(each.pairs for each in found.bins) == len(pairs)
    assert all(each.low - 1e-9 <= each.probability <= each.high + 1e-9 for each in found.bins)
    assert found.brier_interval[0] - 1e-9 <= found.brier <= found.brier_interval[1] + 1e-9


def test_right_probabilities_have_a_small_error_and_wrong_ones_a_large() -> None:
    random = np.random.default_rng(0)
    probability = random.random(20_000)
    labels = random.random(20_000) < probability
    right, wrong = Reliability.of(probability, labels), Reliability.of(probability**3, labels)
    assert right.error < 0.02 < 0.2 < wrong.error_interval[0] < wrong.error < wrong.error_interval[1]


def test_the_brier_interval_covers() -> None:
    random, inside = np.random.default_rng(1), 0
    for draw in range(60):
        probability = random.random(400)
        low, high = Reliability.of(probability, random.random(400) < probability, seed=draw).brier_interval
        inside += low <= 1 / 6 <= high  # the mean of p (1 - p)
    assert inside >= 52  # 57 are expected; fewer than 52 would come once in two hundred times


def test_the_interval_of_pairs_that_count_together_covers_at_its_rate() -> None:
    """Ten pairs of each record are wrong or right together: four hundred that are forty."""
    covered, blind, truth = 0, 0, 0.5 * 0.5 / 2  # the mean of p (1 - p) under Beta(1/2, 1/2)
    for draw in range(200):
        random = np.random.default_rng(draw)
        probability = random.beta(0.5, 0.5, 40)
        label = random.random(40) < probability
        group = np.repeat(np.arange(40), 10)
        low, high = Reliability.of(probability[group], label[group], group, seed=draw).brier_interval
        covered += low <= truth <= high
        low, high = Reliability.of(probability[group], label[group], seed=draw).brier_interval
        blind += low <= truth <= high
    assert covered > 0.88 * 200  # a bootstrap of forty is a little short of 95%
    assert blind < 0.6 * 200
