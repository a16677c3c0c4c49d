"""Calibration: against brute force and a simulated truth."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve

from siamese.calibration import Calibration, pool_evidence
from siamese.errors import DataError

# Whole hundredths: many ties, and always room between two different distances.
PAIRS = st.lists(st.tuples(st.integers(0, 200).map(lambda i: i / 100), st.integers(0, 1)), min_size=2, max_size=40)
BOTH = PAIRS.filter(lambda pairs: 0 < sum(y for _, y in pairs) < len(pairs))


def columns(pairs: list[tuple[float, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([d for d, _ in pairs]), np.array([y for _, y in pairs])


@given(BOTH)
def test_the_probability_falls_with_the_distance_and_stays_one(pairs: list[tuple[float, int]]) -> None:
    calibration = Calibration.fit(*columns(pairs))
    probability = calibration.probability(np.linspace(0, 1e4, 999))
    assert np.isfinite(probability).all()
    assert ((probability >= 0) & (probability <= 1)).all()
    assert (np.diff(probability) <= 0).all()


@given(BOTH)
def test_the_threshold_has_the_best_expected_f1_of_all(pairs: list[tuple[float, int]]) -> None:
    distances, labels = columns(pairs)
    calibration = Calibration.fit(distances, labels)
    probability = calibration.probability(distances)

    def expected_f1(threshold: float) -> float:
        flagged = distances <= threshold
        return 2 * probability[flagged].sum() / (flagged.sum() + max(probability.sum(), 1))

    best = max(map(expected_f1, distances))
    assert expected_f1(calibration.max_distance) == pytest.approx(best)


def test_of_few_labels_a_single_one_moves_the_threshold_little() -> None:
    random = np.random.default_rng(5)
    labels = np.arange(300) % 10 == 0
    scores = random.normal(np.where(labels, 0.0, 3.0))
    first, second = np.sort(scores[labels])[-2:]
    assert second - first > 0.3  # what counting labels alone could jump by
    one = Calibration.fit(scores, labels)
    other = Calibration.fit(scores, labels & (scores != second))
    assert one.max_distance == pytest.approx(other.max_distance, abs=0.2)


def test_doubts_that_are_log_odds_hardly_move_and_others_are_mended() -> None:
    random = np.random.default_rng(6)
    labels = np.arange(600) % 2
    doubts = random.normal(np.where(labels == 1, -1.0, 1.0)) * 2  # log-odds of two normals two deviations apart
    np.testing.assert_allclose(Calibration.fit(doubts, labels, are_doubts=True).log_odds([-1.5, 0]), [1.5, 0], atol=0.1)
    assert Calibration.fit(doubts, labels).log_odds.kind == "logistic"
    mended = Calibration.fit(4 * doubts + 3, labels, are_doubts=True).log_odds
    np.testing.assert_allclose(mended([3.0, 11.0]), [0, -2], atol=0.5)


@given(BOTH)
def test_the_order_of_the_pairs_does_not_matter(pairs: list[tuple[float, int]]) -> None:
    assume(len(pairs) > 2)
    assert Calibration.fit(*columns(pairs)) == Calibration.fit(*columns(pairs[::-1]))


def test_known_parameters_are_recovered_from_a_large_sample() -> None:
    random = np.random.default_rng(1)
    distances = random.uniform(0, 2, 200_000)
    truth = 1 / (1 + np.exp(-(4.0 - 6.0 * distances)))
    calibration = Calibration.fit(distances, random.random(len(distances)) < truth)
    # Standard errors at this size: about 0.03 and 0.02.
    slope, intercept = calibration.log_odds.parameters
    assert calibration.log_odds.kind == "logistic"
    assert slope == pytest.approx(-6.0, abs=0.15)
    assert intercept == pytest.approx(4.0, abs=0.1)
    near = distances < 0.5
    assert calibration.probability(distances[near]).mean() == pytest.approx(truth[near].mean(), abs=0.005)


@pytest.mark.parametrize(
    ("matches", "imposites"),
    [
        (np.linspace(0, 0.1, 500), np.linspace(1.9, 2, 5000)),
        (np.zeros(1), np.full(1, 1e-6)),
        (np.zeros(3), np.full(100_000, 1.0)),
        (np.full(9, 1e-3), np.full(2, 1e6)),
    ],
)
def test_separable_pairs_give_finite_parameters(matches: np.ndarray, imposites: np.ndarray) -> None:
    distances = np.concatenate([matches, imposites])
    labels = np.arange(len(distances)) < len(matches)
    calibration = Calibration.fit(distances, labels)
    assert np.isfinite(calibration.log_odds.parameters).all()
    if len(distances) > 2:
        assert matches.max() < calibration.max_distance < imposites.min()
        assert calibration.probability(matches).min() > 0.5 > calibration.probability(imposites).max()


@pytest.mark.parametrize("distances", [[0.5, 0.5, 0.5, 0.5], [1.0, 0.9, 0.1, 0.2]], ids=["equal", "reversed"])
def test_distances_that_say_nothing_give_the_share_of_matches(distances: list[float]) -> None:
    calibration = Calibration.fit(distances, [1, 1, 0, 0])
    np.testing.assert_allclose(calibration.probability(distances), 0.5, atol=1e-6)


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 0], []])
def test_one_class_alone_is_refused(labels: list[int]) -> None:
    with pytest.raises(DataError, match=rf"got {len(labels)} pairs of one class.*'split' column"):
        Calibration.fit(np.linspace(0, 1, len(labels)), labels)


def test_it_survives_json_with_a_pair_that_no_search_brings() -> None:
    calibration = Calibration.fit([0.1, 0.21, 0.3, 0.9, np.inf], [1, 0, 1, 0, 1], [0, 2, 4, 6, 8], [1, 3, 5, 7, 0])
    text = calibration.model_dump_json()
    assert "Infinity" not in text
    assert Calibration.model_validate_json(text) == calibration
    assert calibration.summary()["pairs"] == 5 and calibration.summary()["matches"] == 3
    assert calibration.probability([np.inf])[0] == 0
    assert calibration.max_distance < 1  # a pair out of reach is flagged by no threshold


@pytest.mark.parametrize("weight", [0.25, 1.0, 8.0])
def test_rarer_matches_have_lower_probabilities_and_a_stricter_threshold(weight: float) -> None:
    random = np.random.default_rng(3)
    labels = np.arange(4000) % 2
    scores = random.normal(np.where(labels == 1, -1.5, 1.5))
    calibration = Calibration.fit(scores, labels)
    # The truth where each imposite stands for so many, by Bayes: log-odds -3 s, less the logarithm of the weight.
    at = np.linspace(-2, 2, 9)
    truth = 1 / (1 + np.exp(3 * at) * weight)
    np.testing.assert_allclose(calibration.probability(at, weight), truth, atol=0.05)
    precision, recall, at = precision_recall_curve(labels, -scores, sample_weight=np.where(labels, 1, weight))
    best = -at[np.argmax(2 * precision[:-1] * recall[:-1] / (precision[:-1] + recall[:-1]))]
    assert calibration.best_f1(weight) == pytest.approx(best, abs=0.1)
    found = (2 * precision * recall / (precision + recall)).max()
    assert calibration.expected_f1(weight) == pytest.approx(found, abs=0.01)
    # Lipton, Elkan and Naryanaswamy 2014: the last pair worth flagging has half the best F1 for a probability.
    half = calibration.probability(calibration.best_f1(weight), weight)
    assert calibration.expected_f1(weight) / 2 == pytest.approx(float(half), abs=0.02)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=4, max_size=80), st.integers(0, 5))
def test_evidence_keeps_all_valid_pairs_and_their_share_of_matches(pairs, seed) -> None:
    is_match, like_valid = (np.array(column) for column in zip(*pairs, strict=True))
    assume(like_valid.any())
    is_match = is_match.astype(np.int8)
    chosen = pool_evidence(is_match, like_valid, np.random.default_rng(seed))
    assert (np.diff(chosen) > 0).all()
    assert set(np.flatnonzero(like_valid)) <= set(chosen)
    others = chosen[~like_valid[chosen]]
    share = is_match[like_valid].mean()
    assert abs(is_match[others].sum() - share * len(others)) <= 1
    # One class of the others is used up: no more of them could be taken.
    left = np.setdiff1d(np.flatnonzero(~like_valid), others)
    used_up = [
        label for label in (0, 1) if np.mean(is_match[like_valid] == label) > 0 and not (is_match[left] == label).any()
    ]
    assert used_up
