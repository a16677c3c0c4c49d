"""Precision promised by imposites alone: by simulation with a known truth, and against Fisher's test one number at a time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from siamese.decoys import Decoys, more_decoys
from siamese.evidence import Evidence
from siamese.prior import Histogram
from siamese.promise import promise_precision
from tests.siamese.test_promise import CONFIDENCE, DRAWS, at_most

FEWER = 300  # draws of what breaks no promise
IMPOSITE = 2.0, 1.0  # mean and spread of their scores


@pytest.fixture
def coarse(monkeypatch) -> None:
    monkeypatch.setattr("siamese.decoys.STEPS", 12)
    monkeypatch.setattr("siamese.prior.BINS", 128)


def draw_run(random: np.random.Generator, matches: int, imposites: int, mean: float = -2.0) -> tuple:
    scores = np.concatenate([random.normal(mean, 1, matches), random.normal(*IMPOSITE, imposites)])
    return scores, np.arange(matches + imposites) < matches


def precision_of(limit: float, scores: np.ndarray, is_match: np.ndarray) -> float:
    return float(is_match[scores <= limit].mean())


def plain_threshold(decoys: np.ndarray, scores: np.ndarray, precision: float) -> float:
    """The largest at which Storey's estimate, with no bound around it, is as good as asked."""
    decoys = np.sort(decoys)
    limits = np.sort(scores[scores <= decoys[-1]])
    flagged = np.arange(1, len(limits) + 1)
    share = np.searchsorted(decoys[:-1], limits, side="right") / (len(decoys) - 1)
    wrong = share / np.maximum(1 - share, 1e-9) * (len(limits) - flagged)
    good = np.flatnonzero(wrong <= (1 - precision) * flagged)
    return float(limits[good[-1]]) if len(good) else -np.inf


@pytest.mark.parametrize(("matches", "imposites", "decoys"), [(400, 60, 300), (1500, 500, 50)])
def test_the_promised_precision_is_missed_at_most_at_the_stated_rate(coarse, matches, imposites, decoys) -> None:
    """Of the run as it comes out, luck and all, whatever its share of matches."""
    random, missed, promised, plain_missed = np.random.default_rng(decoys), 0, 0, 0
    for _ in range(DRAWS):
        scores, is_match = draw_run(random, matches, imposites)
        drawn = random.normal(*IMPOSITE, decoys)
        bound = Decoys.of(Evidence.of(drawn, np.zeros(decoys)), np.inf, Histogram.of(scores)).promise(0.95, CONFIDENCE)
        promised += bound is not None
        missed += bound is not None and precision_of(bound.limit, scores, is_match) < 0.95
        plain = plain_threshold(drawn, scores, 0.95)
        plain_missed += np.isfinite(plain) and precision_of(plain, scores, is_match) < 0.95
    assert at_most(missed, 1 - CONFIDENCE)
    assert not at_most(plain_missed, 1 - CONFIDENCE)  # the same test fails for the estimate alone
    assert promised > 0.9 * DRAWS


def test_decoys_that_share_records_do_not_break_the_promise(coarse) -> None:
    """Each record is in thirty pairs that are scored alike: 900 decoys that are 30 draws."""
    random, missed, blind, promised = np.random.default_rng(1), 0, 0, 0
    left, right = np.repeat(np.arange(30), 30), 30 + np.arange(900)
    for _ in range(FEWER):
        scores, is_match = draw_run(random, 400, 400)
        drawn = np.repeat(random.normal(*IMPOSITE, 30), 30) + random.normal(0, 0.001, 900)
        for records in ((left, right), ()):  # without records every pair is one of its own
            some = Decoys.of(Evidence.of(drawn, np.zeros(900), *records), np.inf, Histogram.of(scores))
            bound = some.promise(0.9, CONFIDENCE)
            is_missed = bound is not None and precision_of(bound.limit, scores, is_match) < 0.9
            if records:
                missed += is_missed
                promised += bound is not None
            else:
                blind += is_missed
    assert at_most(missed, 1 - CONFIDENCE, FEWER)
    assert not at_most(blind, 1 - CONFIDENCE, FEWER)
    assert promised > 0.5 * FEWER


def test_matches_of_another_kind_than_the_labelled_ones_do_not_break_the_promise(coarse) -> None:
    """Labelled matches are plain ones, a run's are not: what the labelled pairs flag for right is wrong there more often."""
    random, missed, promised, by_pairs = np.random.default_rng(2), 0, 0, 0
    for _ in range(FEWER):
        scores, is_match = draw_run(random, 300, 300, mean=0.2)
        labels = np.arange(600) < 300
        evidence = Evidence.of(
            np.where(labels, random.normal(-2, 1, 600), random.normal(*IMPOSITE, 600)), labels.astype(int)
        )
        bound = Decoys.of(evidence, np.inf, Histogram.of(scores)).promise(0.8, CONFIDENCE)
        promised += bound is not None
        missed += bound is not None and precision_of(bound.limit, scores, is_match) < 0.8
        alike, _ = promise_precision(evidence, 0.8, CONFIDENCE)
        by_pairs += alike is not None and precision_of(alike.limit, scores, is_match) < 0.8
    assert at_most(missed, 1 - CONFIDENCE, FEWER)
    assert not at_most(by_pairs, 1 - CONFIDENCE, FEWER)
    assert promised > 0.5 * FEWER


@given(
    st.integers(0, 12), st.integers(1, 40), st.integers(1, 40), st.integers(0, 60), st.sampled_from([0.8, 0.95, 0.99])
)
def test_the_wrong_ones_are_as_many_as_fisher_s_test_does_not_refute(seen, decoys, flagged, others, confidence) -> None:
    seen = min(seen, decoys)
    some = Decoys(100.0, decoys, float(decoys), np.zeros(1), *(np.array([each]) for each in (seen, flagged, others)))
    table = [[[seen, decoys - seen], [wrong, others]] for wrong in range(flagged + 1)]
    refuted = [fisher_exact(each, "less").pvalue <= 1 - confidence + 1e-12 for each in table]
    assert refuted == sorted(refuted)  # more wrong ones are refuted the sooner
    (most,) = some._wrong_at_most(confidence)
    assert most == max(wrong for wrong in range(flagged + 1) if wrong == 0 or not refuted[wrong])


def test_a_sequence_ends_at_the_first_threshold_that_does_not_show_it() -> None:
    random, promised = np.random.default_rng(3), 0
    for decoys in (50, 100, 100, 100):
        scores, _is_match = draw_run(random, 200, 100)
        evidence = Evidence.of(random.normal(*IMPOSITE, decoys), np.zeros(decoys))
        some = Decoys.of(evidence, 1.5, Histogram.of(scores))
        within = np.array([score for score in evidence.scores if score <= 1.5])
        assert some.number == some.independent == len(within) - 1
        assert [(scores < limit - 6e-8).sum() for limit in some.limits] == some.flagged.tolist()
        assert [(within[:-1] <= limit).sum() for limit in some.limits] == some.seen.tolist()
        assert (some.flagged + some.others >= (scores <= within[-1]).sum()).all()

        def least(row: int, seen: int, level: float, some=some) -> float:
            alone = replace(some, seen=np.full_like(some.seen, seen))
            return 1 - alone._wrong_at_most(level)[row] / some.flagged[row]

        count = 1 if some.independent < 60 else 2
        best = None
        for number in range(count):
            is_started = False
            for row, limit in enumerate(some.limits):
                is_started |= least(row, 2**number - 1, 1 - 0.1 / count) >= 0.9
                if is_started and least(row, some.seen[row], 1 - 0.1 / count) < 0.9:
                    break
                best = limit if is_started and (best is None or limit > best) else best
        bound, nearest = some.promise(0.9, 0.9), some.nearest(0.9)
        assert (bound.limit if bound else None) == best and nearest is not None
        promised += bound is not None
        assert bound is None or bound.least >= 0.9
    assert promised > 1


def test_what_is_too_little_says_what_would_do() -> None:
    random = np.random.default_rng(4)
    scores, _ = draw_run(random, 300, 60)
    candidates = Histogram.of(scores)
    some = Decoys.of(Evidence.of(random.normal(*IMPOSITE, 40), np.zeros(40)), np.inf, candidates)
    bound, nearest = some.promise(0.99, 0.95), some.nearest(0.95)
    assert bound is None and nearest is not None and nearest.pairs == 39
    times = some.times_needed(0.99, 0.95)
    assert 1 < times < 100
    assert (
        f"{nearest.wrong} of 39 held-out imposites (worth 39 independent ones) are flagged, which shows {nearest.least:.3f}"
        in (more_decoys(nearest, times))
    )
    assert f"about {times:.1f} times as many labelled imposites would do" in more_decoys(nearest, times)
    assert "stricter ones do not" in more_decoys(nearest, 1.0)
    none = Decoys.of(Evidence.of([5.0, 6.0], [0, 0]), 1.0, candidates)
    assert none.promise(0.9, 0.9) is None and not none.can_show(0.5, 0.5) and none.nearest(0.9) is None


def test_what_was_let_by_counts_by_its_sample() -> None:
    scores = np.arange(1000.0)
    counted = Histogram.of(scores, 499.5, unseen=300, sample=[100.0, 200.0, 900.0])
    assert counted.up_to == 499.5 and sum(counted.counts) == 500 + 200  # two in three of the 300
    assert Histogram.of(scores, 99.5).counts == (1,) * 100
    assert Histogram.of(np.array([]), 1.0, unseen=5, sample=[2.0]) == Histogram((), (), 1.0)
