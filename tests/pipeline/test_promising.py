"""Two ways to show a precision: together they keep their word, and no risk is spent on one that cannot."""

import numpy as np
import pytest

from pipeline.decision import Threshold
from pipeline.promising import promise_a_precision
from siamese.calibration import Calibration
from siamese.decoys import Decoys
from siamese.errors import SettingsError
from siamese.evidence import Evidence
from siamese.prior import Histogram, Prior
from tests.siamese.test_promise import DRAWS, at_most, plain_threshold

ERROR = 0.1


def draw(matches: int, imposites: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    scores = np.concatenate([random.normal(-2, 1, matches), random.normal(2, 1, imposites)])
    return scores, (np.arange(matches + imposites) < matches).astype(int)


def prior_of(weight: float) -> Prior:
    return Prior(0.5, 0.5, weight, weight, 1000)


def test_what_either_way_promises_is_kept(monkeypatch) -> None:
    """On a corpus whose imposites are twice as frequent as among the labels; four times for all that is known."""
    monkeypatch.setattr("siamese.decoys.STEPS", 25)
    monkeypatch.setattr("siamese.prior.BINS", 128)
    random, missed, plain_missed, by = np.random.default_rng(0), 0, 0, {"held-out pairs": 0, "held-out imposites": 0}
    for _ in range(DRAWS):
        evidence = Evidence.of(*draw(200, 200, random))
        scores, labels = draw(400, 800, random)
        plain_missed += labels[scores <= plain_threshold(evidence, 0.9)].mean() < 0.9
        decoys = Decoys.of(evidence, np.inf, Histogram.of(scores))
        try:
            promise = promise_a_precision(0.9, ERROR, evidence, prior_of(4.0), decoys)
        except SettingsError:
            continue
        by[promise.shown_by] += 1
        missed += labels[scores <= promise.bound.limit].mean() < 0.9
    assert at_most(missed, ERROR)
    assert not at_most(plain_missed, ERROR)
    assert min(by.values()) > 0.02 * DRAWS  # either is the better one at times
    assert sum(by.values()) > 0.9 * DRAWS


def test_risk_is_spent_on_what_can_show_it() -> None:
    random = np.random.default_rng(1)
    evidence, (scores, _) = Evidence.of(*draw(300, 300, random)), draw(500, 50, random)
    decoys = Decoys.of(evidence, np.inf, Histogram.of(scores))
    both = promise_a_precision(0.9, 0.1, evidence, prior_of(1.0), decoys)
    assert both.confidence in (0.95, 0.975)
    rare = promise_a_precision(0.9, 0.1, evidence, prior_of(100.0), decoys)
    assert (rare.shown_by, rare.confidence) == ("held-out imposites", 0.9)
    few = Evidence.of(*draw(300, 1, random))  # no imposite before the last
    pairs = promise_a_precision(0.9, 0.1, few, prior_of(1.0), Decoys.of(few, np.inf, Histogram.of(scores)))
    assert (pairs.shown_by, pairs.imposite_weight) == ("held-out pairs", 1.0) and pairs.confidence == pytest.approx(
        0.925
    )
    alone = promise_a_precision(0.9, 0.1, evidence)
    assert (alone.shown_by, alone.confidence) == ("held-out pairs", 0.9)


def test_a_refusal_says_what_the_better_way_shows() -> None:
    random = np.random.default_rng(2)
    scores, _ = draw(500, 50, random)
    few = Evidence.of(*draw(20, 40, random))
    with pytest.raises(SettingsError, match=r"20 of them genuine: at the best threshold \d of 39 held-out imposites"):
        promise_a_precision(0.995, 0.05, few, prior_of(1.0), Decoys.of(few, np.inf, Histogram.of(scores)))
    fewer = Evidence.of(*draw(20, 1, random))
    with pytest.raises(SettingsError, match=r"imposites may be 3\.0 times as frequent here, and the best threshold"):
        promise_a_precision(0.99, 0.05, fewer, prior_of(3.0), Decoys.of(fewer, np.inf, Histogram.of(scores)))


def test_imposites_that_are_few_or_easier_than_the_run_s_promise_nothing() -> None:
    """Strangers drawn at random for labels: the run's imposites are near misses, and all that it proposes would seem right."""
    random = np.random.default_rng(4)
    genuine, easy = random.normal(-2, 1, 30), random.normal(6, 1, 60)
    corpus = np.concatenate([random.normal(-2, 1, 500), random.normal(3, 0.7, 2000), random.normal(5, 1, 100)])
    for imposites in (12, 60):
        calibration = Calibration.fit(np.append(genuine, easy[:imposites]), [1] * 30 + [0] * imposites)
        candidates = Histogram.of(corpus)
        decoys = Decoys.of(calibration.evidence, 6.0, candidates)
        with pytest.raises(SettingsError, match=r"0\.9 cannot be promised"):
            Threshold(min_precision=0.9).decide(calibration, candidates)
        assert decoys.are_enough == (imposites > 30)
    with pytest.raises(SettingsError, match="alone would show it, but the probabilities of this run expect less"):
        promise_a_precision(0.9, 0.05, calibration.evidence, prior_of(1e6), decoys, expected_to=-np.inf)
    assert decoys.promise(0.9, 0.95).limit > 1  # what it would have flagged: four in five of it wrong


def test_what_the_labels_alone_do_not_promise_is_not_refused_before_the_corpus_is_seen() -> None:
    random = np.random.default_rng(3)
    calibration = Calibration.fit(*draw(25, 200, random))
    asked = Threshold(min_precision=0.95)
    with pytest.raises(SettingsError, match="cannot be promised from 225 held-out pairs"):
        asked.decide(calibration)
    assert asked.outermost(calibration) == Threshold().decide(calibration).limit
    corpus, labels = draw(3000, 100, random)
    decision = asked.decide(calibration, Histogram.of(corpus))
    assert decision.promises[0].shown_by == "held-out imposites"
    assert labels[corpus <= decision.limit].mean() >= 0.95 and decision.limit > -2
    sure = Calibration.fit(*draw(2000, 2000, random))
    loose = Threshold(min_precision=0.6)
    assert loose.outermost(sure) == loose.decide(sure).limit > Threshold().decide(sure).limit
    for made in (Threshold(min_precision=2.0), Threshold(min_precision=0.9, max_distance=1.0)):
        with pytest.raises(SettingsError):
            made.outermost(sure)
