"""Log-odds curves: against scikit-learn, a made truth, and what every one of them must keep."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from siamese.evidence import Evidence
from siamese.logodds import LogOdds, deal

KINDS = ("given", "logistic", "beta", "isotonic")
PAIRS = st.lists(st.tuples(st.integers(-300, 300), st.integers(0, 1)), min_size=4, max_size=60).filter(
    lambda pairs: 0 < sum(label for _, label in pairs) < len(pairs)
)


@pytest.mark.parametrize("kind", KINDS)
@given(PAIRS)
def test_no_curve_rises_or_runs_away(kind, pairs) -> None:
    scores, labels = np.array(pairs).T
    fitted = LogOdds.fit_kind(kind, scores / 10, labels)
    odds = fitted(np.linspace(-50, 50, 500))
    assert np.isfinite(odds).all()
    assert (np.diff(odds) <= 1e-9).all()
    assert fitted([np.inf])[0] == -np.inf


def test_the_logistic_is_scikit_learn_s() -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=20_000)
    labels = random.random(20_000) < 1 / (1 + np.exp(2 * scores - 1))
    found = LogOdds.fit_kind("logistic", scores, labels).parameters
    other = LogisticRegression(C=1e9).fit(scores[:, None], labels)
    np.testing.assert_allclose(found, [other.coef_[0, 0], other.intercept_[0]], atol=0.01)


def test_the_kind_is_the_simplest_that_the_pairs_speak_for() -> None:
    random = np.random.default_rng(1)
    scores = random.uniform(-4, 4, 20_000)
    shapes = {
        "logistic": -1.5 * scores + 0.5,
        "beta": -3 * np.logaddexp(0, scores) + 0.5 * np.logaddexp(0, -scores) + 1,  # tails of two slopes
        "isotonic": np.where(scores < -1, 3.0, np.where(scores < 2, 0.0, -4.0)),  # steps
    }
    for kind, odds in shapes.items():
        labels = random.random(len(scores)) < 1 / (1 + np.exp(-odds))
        fitted = LogOdds.fit(Evidence.of(scores, labels))
        assert fitted.kind == kind
        fresh = random.random(len(scores)) < 1 / (1 + np.exp(-odds))
        best = log_loss(fresh, 1 / (1 + np.exp(-odds)))
        assert log_loss(fresh, 1 / (1 + np.exp(-fitted(scores)))) < best + 0.01


def test_few_pairs_get_the_simplest_curve() -> None:
    assert LogOdds.fit(Evidence.of([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0])).kind == "logistic"
    assert LogOdds.fit(Evidence.of([-2, -1, 1, 2], [1, 1, 0, 0], are_doubts=True)).kind == "given"


def test_given_log_odds_move_as_far_as_the_pairs_say() -> None:
    random = np.random.default_rng(3)
    right = random.normal(size=20_000) * 3
    labels = (random.random(len(right)) < 1 / (1 + np.exp(right))).astype(int)
    few, wrong = slice(40), right / 1.5 + 1  # doubts: too timid, and one too high
    assert np.abs(LogOdds.fit_kind("given", right, labels).parameters - np.array([-1, 0])).max() < 0.05
    np.testing.assert_allclose(LogOdds.fit_kind("given", wrong, labels).parameters, [-1.5, 1.5], atol=0.1)
    slope, intercept = LogOdds.fit_kind("given", wrong[few], labels[few]).parameters
    assert -1.5 < slope < -1 and 0 < intercept < 1.5


def test_the_given_curve_is_the_likeliest_under_its_prior() -> None:
    random = np.random.default_rng(4)
    labels = np.arange(30) % 3 // 2
    scores = random.normal(np.where(labels == 1, -1.0, 2.0))

    def loss(slope: float, intercept: float) -> float:
        odds = slope * scores + intercept
        likelihood = np.logaddexp(0, np.where(labels == 1, -odds, odds)).sum()
        return likelihood + ((slope + 1) / 0.25) ** 2 / 2 + (intercept / 0.5) ** 2 / 2

    slope, intercept = LogOdds.fit_kind("given", scores, labels).parameters
    best = loss(slope, intercept)
    assert all(loss(slope + d, intercept + e) > best for d, e in [(0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01)])


@pytest.mark.parametrize("kind", KINDS)
def test_reaching_finds_the_last_score_that_has_the_odds(kind) -> None:
    random = np.random.default_rng(2)
    labels = np.arange(600) % 2
    fitted = LogOdds.fit_kind(kind, random.normal(np.where(labels == 1, -2, 2)), labels)
    for wanted in (-2.0, 0.0, 1.0):
        score = fitted.reaching(wanted)
        assert fitted([score])[0] >= wanted > fitted([score + 1e-6])[0]
    if kind == "isotonic":
        assert fitted.reaching(50.0) == -np.inf


def test_a_few_entities_with_many_pairs_each_do_not_speak_for_a_bent_curve() -> None:
    """The law is logistic; sixty draws of ten pairs each would make steps look right if a fold knew the entities of another."""
    kinds = Counter()
    for draw in range(20):
        random = np.random.default_rng(draw)
        score = random.normal(0, 2, 60)
        label = (random.random(60) < 1 / (1 + np.exp(score))).astype(int)
        entity = np.repeat(np.arange(60), 10)
        left, right = entity, 1000 + np.arange(600)
        spread = score[entity] + random.normal(0, 0.001, 600)
        kinds[LogOdds.fit(Evidence.of(spread, label[entity], left, right)).kind] += 1
    assert kinds["logistic"] >= 15 and kinds["isotonic"] == 0


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), min_size=1, max_size=80), st.integers(2, 5))
def test_folds_keep_groups_together_and_share_either_label(pairs: list[tuple[int, int]], folds: int) -> None:
    groups, labels = np.array(pairs).T
    fold = deal(labels, groups, folds, np.random.default_rng(0))
    assert all(len(np.unique(fold[groups == group])) == 1 for group in groups)
    mostly = np.array([2 * labels[groups == group].sum() > (groups == group).sum() for group in np.unique(groups)])
    of_group = np.array([fold[groups == group][0] for group in np.unique(groups)])
    for label in (False, True):
        dealt = np.bincount(of_group[mostly == label], minlength=folds)
        assert dealt.max() - dealt.min() <= 1
