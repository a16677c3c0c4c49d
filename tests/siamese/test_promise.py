"""Promises kept: by simulation with a known truth, and against plain formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, norm

from siamese.calibration import Calibration
from siamese.errors import SettingsError
from siamese.evidence import Evidence, independent_number, independent_pairs
from siamese.prior import Histogram, estimate_prior
from siamese.promise import (
    STEPS,
    _starts,
    check_share,
    false_positive_rate,
    interval,
    more_pairs,
    pairs_needed,
    promise_precision,
    promise_recall,
    upper_share,
)

DRAWS = 1000
CONFIDENCE = 0.9
LAW = 0.25, 2.0  # share of matches; genuine pairs are scored N(-2, 1.5), imposites N(2, 1.5)


def draw(n: int, random: np.random.Generator, share: float = LAW[0]) -> tuple[np.ndarray, np.ndarray]:
    labels = (random.random(n) < share).astype(int)
    return random.normal(np.where(labels == 1, -LAW[1], LAW[1]), 1.5), labels


def true_precision(limit: float, share: float = LAW[0]) -> float:

    right, wrong = share * norm.cdf((limit + LAW[1]) / 1.5), (1 - share) * norm.cdf((limit - LAW[1]) / 1.5)
    return right / (right + wrong)


def plain_threshold(evidence: Evidence, precision: float) -> float:
    """What everybody does: the largest threshold that had the precision on the pairs."""
    curve = evidence.curve()
    reached = np.flatnonzero(curve.precision >= precision)
    return curve.between(int(reached[-1])) if len(reached) else -np.inf


def at_most(missed: int, rate: float, draws: int = DRAWS) -> bool:
    """Whether so many of the draws are no evidence (1 in 1,000) against the stated rate."""
    return missed <= binom.ppf(0.999, draws, rate)


def test_the_promised_precision_is_missed_at_most_at_the_stated_rate() -> None:
    random, missed, promised, plain_missed = np.random.default_rng(0), 0, 0, 0
    for _ in range(DRAWS):
        evidence = Evidence.of(*draw(600, random))
        bound, _ = promise_precision(evidence, 0.9, CONFIDENCE)
        promised += bound is not None
        missed += bound is not None and true_precision(bound.limit) < 0.9
        plain_missed += true_precision(plain_threshold(evidence, 0.9)) < 0.9
    assert at_most(missed, 1 - CONFIDENCE)
    assert not at_most(plain_missed, 1 - CONFIDENCE)  # the same test fails for the plain empirical threshold
    assert promised > 0.9 * DRAWS  # and it does not keep its word by promising nothing


def test_pairs_that_share_records_do_not_break_the_promise() -> None:
    """Each record is in eight pairs that are scored and labelled alike: 960 pairs that are 120 draws."""
    random, missed, blind, promised = np.random.default_rng(1), 0, 0, 0
    left, right = np.repeat(np.arange(120), 8), 120 + np.arange(960)
    for _ in range(DRAWS):
        scores, labels = draw(120, random)
        spread = np.repeat(scores, 8) + random.normal(0, 0.001, 960), np.repeat(labels, 8)
        bound, _ = promise_precision(Evidence.of(*spread, left, right), 0.8, CONFIDENCE)
        promised += bound is not None
        missed += bound is not None and true_precision(bound.limit) < 0.8
        alone, _ = promise_precision(Evidence.of(*spread), 0.8, CONFIDENCE)
        blind += alone is not None and true_precision(alone.limit) < 0.8
    assert at_most(missed, 1 - CONFIDENCE)
    assert not at_most(blind, 1 - CONFIDENCE)  # taken as independent, they do
    assert (
        promised > 0.7 * DRAWS
    )  # where sequences start from as many independent pairs as can show it, not from as many pairs


def test_a_changed_share_of_matches_does_not_break_the_promise(monkeypatch) -> None:
    """Labels with a share of matches of 0.5, a corpus whose candidates have 0.2: its scores alone tell."""
    monkeypatch.setattr("siamese.prior.DRAWS", 10)
    monkeypatch.setattr("siamese.prior.BINS", 128)
    monkeypatch.setattr(
        "siamese.logodds._held_out_losses", lambda name, scores, *_: np.full(len(scores), float(name != "logistic"))
    )  # the law's kind
    random, missed, blind, promised = np.random.default_rng(2), 0, 0, 0
    level = 1 - (1 - CONFIDENCE) / 2
    for number in range(DRAWS):
        calibration = Calibration.fit(*draw(500, random, 0.5))
        scores, _ = draw(1000, random, 0.2)
        prior = estimate_prior(calibration, Histogram.of(scores), np.inf, level, seed=number)
        bound, _ = promise_precision(calibration.evidence, 0.85, level, prior.at_most)
        promised += bound is not None
        missed += bound is not None and true_precision(bound.limit, 0.2) < 0.85
        alone, _ = promise_precision(calibration.evidence, 0.85, CONFIDENCE)
        blind += alone is not None and true_precision(alone.limit, 0.2) < 0.85
    assert at_most(missed, 1 - CONFIDENCE)
    assert not at_most(blind, 1 - CONFIDENCE)
    assert promised > 0.5 * DRAWS


@pytest.mark.parametrize("imposite_weight", [1.0, 2.0])
@pytest.mark.parametrize("share", [0.5, 0.8, 0.9])
@pytest.mark.parametrize("n", [2, 30, 300, 900])
def test_a_sequence_ends_at_the_first_threshold_that_does_not_show_it(n, share, imposite_weight) -> None:
    """Beside every threshold's own bound, one after the other."""
    random = np.random.default_rng(n)
    scores, labels = draw(n, random, 0.6)
    evidence = Evidence.of(scores.round(2), labels, random.integers(0, n, n), random.integers(n, 9 * n, n))
    curve, worth = evidence.curve(), evidence.worth[evidence.curve().flagged - 1]
    target = imposite_weight * share / (imposite_weight * share + 1 - share)
    starts, level = _starts(target, CONFIDENCE, evidence.independent(1))
    step = max(1, len(worth) // STEPS)
    reached = []
    for start in starts:
        for row in range(int(np.argmax(worth >= start)) if (worth >= start).any() else len(worth), len(worth), step):
            if upper_share((1 - curve.precision[row]) * worth[row], worth[row], level) > 1 - target + 1e-12:
                break
            reached.append(row)
    bound, nearest = promise_precision(evidence, share, CONFIDENCE, imposite_weight)
    assert (bound is None) == (not reached) and nearest is not None
    if bound is not None:
        assert bound.limit == curve.between(max(reached)) and bound.pairs == curve.flagged[max(reached)]
        assert bound.least >= share - 1e-9

    matches, worth = curve.matches, evidence.independent(1)
    rows = np.flatnonzero(np.diff(curve.right, prepend=0) > 0)
    kept = None
    for row in rows[:: -max(1, len(rows) // STEPS)]:
        if upper_share((matches - curve.right[row]) / matches * worth, worth, CONFIDENCE) > 1 - share + 1e-12:
            break
        kept = curve.between(row)
    bound, _ = promise_recall(evidence, share, CONFIDENCE)
    assert (bound.limit if bound else None) == kept


def test_the_promised_recall_is_missed_at_most_at_the_stated_rate() -> None:

    random, missed, promised = np.random.default_rng(3), 0, 0
    for _ in range(DRAWS):
        scores, labels = draw(600, random)
        lost = random.random(600) < 0.03  # brought by no search
        bound, _ = promise_recall(Evidence.of(np.where(lost, np.inf, scores), labels), 0.85, CONFIDENCE)
        promised += bound is not None
        missed += bound is not None and 0.97 * norm.cdf((bound.limit + LAW[1]) / 1.5) < 0.85
    assert at_most(missed, 1 - CONFIDENCE)
    assert promised > 0.9 * DRAWS


def test_the_share_of_matches_is_found_from_scores_alone() -> None:
    random = np.random.default_rng(4)
    calibration = Calibration.fit(*draw(4000, random, 0.5))
    for share in (0.1, 0.2, 0.5, 0.8):
        scores, labels = draw(20_000, random, share)
        prior = estimate_prior(calibration, Histogram.of(scores), np.inf, 0.95)
        assert prior.share == pytest.approx(labels.mean(), rel=0.15)
        assert prior.imposite_weight == pytest.approx(max(1, (1 - share) / share), rel=0.2)
        assert prior.at_most >= max(1.0, prior.imposite_weight)
        if share < 0.5:
            found = calibration.probability(scores, prior.imposite_weight)
            assert found.sum() == pytest.approx(labels.sum(), rel=0.15)


def test_a_share_guessed_from_thin_evidence_is_drawn_to_what_is_usual() -> None:
    random, here = np.random.default_rng(6), 0.3
    drawn, plain = [], []
    for number in range(40):
        calibration = Calibration.fit(*draw(30, random, 0.5))
        prior = estimate_prior(calibration, Histogram.of(draw(1000, random, here)[0]), np.inf, 0.95, seed=number)
        odds = prior.evidence_share / (1 - prior.evidence_share) * (1 - prior.share) / prior.share
        right = np.log(prior.evidence_share / (1 - prior.evidence_share) * (1 - here) / here)
        drawn.append((np.log(prior.imposite_weight) - right) ** 2)
        plain.append((np.log(max(1, odds)) - right) ** 2)
        assert prior.at_most >= max(1, odds) >= prior.imposite_weight
    assert np.mean(drawn) < np.mean(plain)
    assert np.max(drawn) < np.max(plain) / 2


@pytest.mark.parametrize("tied", [1, 10])
def test_the_bound_of_the_share_holds_where_pairs_count_together(monkeypatch, tied: int) -> None:
    """Ten pairs of each record are scored alike: two hundred of either label that are twenty."""
    monkeypatch.setattr("siamese.prior.DRAWS", 40)
    monkeypatch.setattr("siamese.prior.BINS", 128)
    monkeypatch.setattr(
        "siamese.logodds._held_out_losses", lambda name, scores, *_: np.full(len(scores), float(name != "logistic"))
    )
    missed = 0
    for number in range(100):
        random = np.random.default_rng(number)
        labels = np.repeat([1, 0], 200)
        record = np.arange(400) // tied
        scores = random.normal(np.where(labels[::tied] == 1, -1.2, 1.2))[record] + random.normal(0, 0.01, 400)
        calibration = Calibration.fit(scores, labels, record, 1000 + np.arange(400))
        corpus = np.concatenate([random.normal(-1.2, 1, 1000), random.normal(1.2, 1, 5000)])
        prior = estimate_prior(calibration, Histogram.of(corpus), np.inf, 0.95, seed=number)
        missed += prior.at_most < 5
    assert at_most(missed, 0.05, 100)


def test_few_candidates_leave_the_share_as_it_was() -> None:
    calibration = Calibration.fit(*draw(400, np.random.default_rng(5)))
    prior = estimate_prior(calibration, Histogram.of(np.linspace(-3, 3, 20)), np.inf, 0.95)
    assert prior.candidates == 0 and prior.imposite_weight == prior.at_most == 1


def test_the_known_numbers() -> None:
    assert [pairs_needed(share, 0.95) for share in (0.9, 0.95, 0.99)] == [29, 59, 299]
    assert upper_share(0, 59, 0.95) < 0.05 < upper_share(0, 58, 0.95)
    assert upper_share(3, 3, 0.95) == upper_share(0, 0, 0.95) == 1


@given(st.integers(0, 60), st.integers(1, 60), st.floats(0.5, 0.99))
def test_the_interval_is_scipy_s_exact_one(wrong, pairs, confidence) -> None:
    wrong = min(wrong, pairs)
    exact = binomtest(wrong, pairs).proportion_ci(confidence, "exact")
    assert interval(wrong / pairs, pairs, confidence) == pytest.approx((exact.low, exact.high), abs=1e-6)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=25))
def test_effective_numbers_count_pairs_that_have_an_entity_in_common(pairs) -> None:
    ties = sum(bool(set(one) & set(other)) for one in pairs for other in pairs)
    left, right = np.array(pairs).T
    assert independent_pairs(left, right)[-1] == pytest.approx(len(pairs) ** 2 / ties)
    assert independent_pairs(left, right)[:-1].tolist() == independent_pairs(left[:-1], right[:-1]).tolist()


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(9, 17), st.booleans()), min_size=1, max_size=25))
def test_entities_are_what_genuine_pairs_tie(pairs) -> None:
    import networkx

    left, right, is_match = (np.array(column) for column in zip(*pairs, strict=True))
    graph = networkx.Graph([(one, other) for one, other, genuine in pairs if genuine])
    graph.add_nodes_from([*left.tolist(), *right.tolist()])
    of = {node: number for number, nodes in enumerate(networkx.connected_components(graph)) for node in nodes}
    expected = [of[node] for node in [*left.tolist(), *right.tolist()]]
    evidence = Evidence.of(np.arange(len(pairs)), is_match, left, right)
    found = np.concatenate(evidence.entities).tolist()
    assert len(set(zip(expected, found, strict=True))) == len(set(expected)) == len(set(found))


def test_too_few_pairs_are_refused_with_what_would_do() -> None:
    evidence = Evidence.of(np.linspace(-2, 2, 40), np.arange(40) < 20)
    bound, nearest = promise_precision(evidence, 0.95, 0.95)
    assert bound is None and nearest is not None and nearest.pairs == 20 and nearest.wrong == 0
    assert nearest.least == pytest.approx(0.05 ** (1 / 20))
    assert "0 wrong of 20" in more_pairs(nearest, 0.95, 0.95)
    assert "3.0 times as many" in more_pairs(nearest, 0.95, 0.95)  # 59 of 20
    useless = Evidence.of(np.linspace(-2, 2, 40), np.arange(40) % 2)
    assert "would not help" in more_pairs(promise_precision(useless, 0.95, 0.95)[1], 0.95, 0.95)


def test_a_threshold_that_shows_it_past_one_that_does_not_is_said_to_be_a_lucky_one() -> None:
    """One wrong label among the surest of 120 ends the one sequence that so few can afford."""
    labels = np.arange(240) < 120
    labels[3] = False
    bound, nearest = promise_precision(Evidence.of(np.linspace(-2, 2, 240), labels), 0.95, 0.95)
    assert bound is None and nearest is not None and nearest.least > 0.95
    assert "which shows 0.961, but stricter ones do not" in more_pairs(nearest, 0.95, 0.95)


def test_the_rate_of_false_positives_is_bounded() -> None:
    evidence = Evidence.of(np.arange(100), np.arange(100) < 10)
    found = false_positive_rate(evidence, 9.5, 0.95)
    assert (found.pairs, found.wrong) == (90, 0)
    assert 1 - found.least == pytest.approx(1 - 0.05 ** (1 / 90))


@pytest.mark.parametrize("wrong", [0, 1, -0.1, 1.5, float("nan")])
def test_certainty_cannot_be_promised(wrong) -> None:
    with pytest.raises(SettingsError, match=f"min_precision is {wrong}"):
        check_share("min_precision", wrong)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=40))
def test_the_number_of_independent_pairs_is_that_of_all_pairs_one_by_one(pairs: list[tuple[int, int]]) -> None:
    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    one_by_one = independent_pairs(left, right)
    assert independent_number(left, right) == pytest.approx(one_by_one[-1] if len(pairs) else 0)
