"""Stacking against a sum over all weights, and what it does with few and with many labels."""

import numpy as np
import pytest

from siamese.stacking import log_losses, mean_weights, weightings


def judges(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two judges: the first knows, the second guesses."""
    random = np.random.default_rng(n)
    is_match = random.integers(0, 2, n).astype(np.int8)
    knows = (2 * is_match - 1) + random.normal(0, 1, n)
    return np.stack([2 * knows, random.normal(0, 2, n)]), is_match


def test_all_weights_sum_to_one_and_come_once() -> None:
    every = weightings(3)
    assert len(every) == len(np.unique(every, axis=0)) == 66
    np.testing.assert_allclose(every.sum(axis=1), 1)
    assert every.min() == 0


def test_weights_are_the_posterior_mean() -> None:
    log_odds, is_match = judges(6)
    likelihoods, total = [], np.zeros(2)
    for step in range(11):
        weights = np.array([step / 10, 1 - step / 10])
        p = 1 / (1 + np.exp(-(weights @ log_odds)))
        likelihoods.append(np.prod(np.where(is_match == 1, p, 1 - p)))
        total += likelihoods[-1] * weights
    found = mean_weights(log_losses(log_odds, is_match), 2)
    np.testing.assert_allclose(found, total / sum(likelihoods))


def test_few_labels_leave_the_judges_nearly_equal_and_many_let_the_better_one_speak() -> None:
    none = mean_weights(log_losses(np.empty((2, 0)), np.empty(0, np.int8)), 2)
    np.testing.assert_allclose(none, 0.5)
    few, many = (mean_weights(log_losses(*judges(n)), 2)[0] for n in (4, 400))
    assert 0.5 < few < 0.8 < many


def test_losses_of_parts_add_up() -> None:
    log_odds, is_match = judges(50)
    parts = log_losses(log_odds[:, :20], is_match[:20]) + log_losses(log_odds[:, 20:], is_match[20:])
    np.testing.assert_allclose(parts, log_losses(log_odds, is_match))


def test_a_pair_counts_as_many_as_its_weight_says() -> None:
    log_odds, is_match = judges(50)
    twice = np.where(np.arange(50) < 20, 2.0, 1.0)
    again = np.concatenate([np.arange(50), np.arange(20)])
    np.testing.assert_allclose(log_losses(log_odds, is_match, twice), log_losses(log_odds[:, again], is_match[again]))


def test_judges_past_all_doubt_are_no_fault() -> None:
    log_odds = np.array([[1e4, -1e4], [-1e4, 1e4]])
    first = (0.5 / 4 + 0.6 + 0.7 + 0.8 + 0.9 + 1.0) / (
        1 / 4 + 5
    )  # where both weigh the same, each of the two labels is a toss-up
    assert mean_weights(log_losses(log_odds, np.array([1, 0], np.int8)), 2) == pytest.approx([first, 1 - first])
