"""The linear judge against scikit-learn's own prediction."""

import numpy as np
from sklearn.linear_model import LogisticRegression

from siamese.linear import PENALTY, Linear

RANDOM = np.random.default_rng(3)
IS_MATCH = RANDOM.integers(0, 2, 200).astype(np.int8)
FEATURES = np.stack([IS_MATCH + RANDOM.normal(0, 1, 200), 1000 * RANDOM.normal(0, 1, 200)], axis=1).astype(np.float32)


def test_log_odds_are_those_of_the_model_on_scaled_features() -> None:
    scaled = (FEATURES - FEATURES.mean(axis=0, dtype=np.float64)) / FEATURES.std(axis=0, dtype=np.float64)
    expected = LogisticRegression(C=PENALTY, max_iter=1000).fit(scaled, IS_MATCH).decision_function(scaled)
    np.testing.assert_allclose(Linear.fit(FEATURES, IS_MATCH).log_odds(FEATURES), expected, atol=1e-4)


def test_what_is_missing_counts_as_the_median_and_what_is_always_missing_or_the_same_as_nothing() -> None:
    some = np.concatenate([FEATURES, np.full((200, 1), np.nan), np.full((200, 1), 7)], axis=1).astype(np.float32)
    some[::3, 0] = np.nan
    linear = Linear.fit(some, IS_MATCH)
    filled = some.copy()
    filled[::3, 0] = np.nanmedian(some[:, 0])
    filled[:, 2] = 0
    np.testing.assert_allclose(linear.log_odds(some), linear.log_odds(filled), atol=1e-6)
    np.testing.assert_allclose(linear.slope[2:], 0, atol=1e-12)
    loaded = Linear.from_tensors(linear.tensors())
    np.testing.assert_array_equal(loaded.log_odds(some), linear.log_odds(some))


def test_a_pair_of_twice_the_weight_counts_as_two() -> None:
    twice = np.where(np.arange(200) < 50, 2.0, 1.0)
    scaled = (FEATURES - FEATURES.mean(axis=0, dtype=np.float64)) / FEATURES.std(axis=0, dtype=np.float64)
    again = np.concatenate([np.arange(200), np.arange(50)])
    expected = LogisticRegression(C=PENALTY, max_iter=1000).fit(scaled[again], IS_MATCH[again])
    found = Linear.fit(FEATURES, IS_MATCH, twice).log_odds(FEATURES)
    np.testing.assert_allclose(found, expected.decision_function(scaled), atol=1e-3)


def test_a_pair_has_the_same_odds_to_the_last_digit_in_whatever_company() -> None:
    features = RANDOM.normal(size=(500, 60)).astype(np.float32)
    linear = Linear(np.zeros(60), RANDOM.normal(size=60), np.zeros(1))
    whole = linear.log_odds(features)
    for start, stop in ((0, 1), (3, 10), (7, 500), (250, 351)):
        assert np.array_equal(linear.log_odds(features[start:stop]), whole[start:stop])
