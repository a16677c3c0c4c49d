"""Audits of made-up finished runs whose every pair is known: do the intervals hold the truth as often as they say?"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest
from scipy import stats

from pipeline.audit import estimate_run, tally_of
from pipeline.intervals import Estimate, Tally, share_found, share_right
from pipeline.strata import Kind, Strata
from siamese.errors import SettingsError

AUDITS, DRAWS = 1000, 200


@dataclass(frozen=True)
class Truth:
    """A finished run: strata, and how many pairs of each are right."""

    strata: Strata
    right: np.ndarray  # (rows,) of each row, 1.0 or 0.0
    sample: int
    lost: float = 0.0  # share of the rows that nobody judges

    @property
    def right_of(self) -> np.ndarray:
        return np.bincount(self.strata.of_pair, self.right * self.strata.weight, len(self.strata.rows)).round()

    def share(self, *kinds: Kind) -> tuple[float, float]:
        """(precision, recall among pairs of these kinds)."""
        flagged, of = self.strata.are(Kind.FLAGGED), self.strata.are(*kinds)
        found = self.right_of[flagged].sum()
        return found / self.strata.size[flagged].sum(), found / self.right_of[of].sum()


SHAPES = {  # (flagged pairs, others), share right of a pair that the run holds for likely with p, sample
    "well calibrated": ((3000, 4000), lambda p: p, 200),
    "badly calibrated": ((3000, 4000), lambda p: np.where(p > 0.5, 0.55 + 0.2 * p, 0.1 + 0.3 * p), 200),
    "the sure ones are wrong": ((3000, 4000), lambda p: np.where(p > 0.98, 0.95, p > 0.5), 200),
    "tiny strata": ((40, 25), lambda p: p, 24),
    "no errors": ((3000, 4000), lambda p: p > 0.5, 200),
    "few errors": ((3000, 4000), lambda p: np.where(p > 0.5, 0.99, 0.004), 200),
    "many errors, many rows not judged": ((3000, 4000), lambda p: np.where(p > 0.5, 0.4, 0.3), 100),
    "beyond": ((3000, 4000), lambda p: np.where(p > 0.005, p, 0.005), 300),
}


@lru_cache
def truth(shape: str) -> Truth:
    (flagged, others), rate, sample = SHAPES[shape]
    random = np.random.default_rng(list(shape.encode()))
    p = np.concatenate([0.5 + random.beta(8, 0.5, flagged) / 2, 0.01 + random.beta(0.4, 2.5, others) * 0.49])
    p = np.clip(p, 0.01, 0.9999)
    is_flagged = np.arange(flagged + others) < flagged
    weight, written = np.ones(len(p)), len(p)
    equal = is_flagged & (random.random(written) < 0.2)
    if (
        shape == "beyond"
    ):  # every row is one pair in what the audit is told, so that the truth is known: the weight is 1
        p, weight = np.append(p, np.full(20_000, 0.002)), np.ones(len(p) + 20_000)
    right = (random.random(len(p)) < np.asarray(rate(p), float)).astype(float)
    return Truth(Strata.of(p, is_flagged, equal, weight), right, sample, 0.5 * ("not judged" in shape))


@lru_cache
def audits(shape: str) -> list[tuple[Estimate, Estimate]]:
    """Precision and recall of 1,000 audits."""
    run = truth(shape)
    strata, random = run.strata, np.random.default_rng(0)
    counts = strata.allocate(run.sample)
    flagged = strata.are(Kind.FLAGGED)
    found, said = run.right_of.astype(np.int64), {}

    def one(seed: int) -> tuple[Estimate, Estimate]:
        judged = np.maximum(random.binomial(counts, 1 - run.lost), 1)
        right = random.hypergeometric(found, strata.size.astype(np.int64) - found, judged)
        key = (*judged.tolist(), *right.tolist())
        if key not in said:
            tally = Tally(strata.size, judged.astype(float), right.astype(float))
            precision = share_right(tally.of(flagged), 0.95, seed=seed, draws=DRAWS)
            recall = share_found(tally.of(flagged), tally.of(~flagged), 0.95, seed=seed, draws=DRAWS)
            assert precision is not None and recall is not None
            said[key] = precision, recall
        return said[key]

    return [one(seed) for seed in range(AUDITS)]


LEAST = int(stats.binom.ppf(1e-3, AUDITS, 0.95))  # fewer than that of 1,000 hits, and the rate is below 0.95


@pytest.mark.parametrize("shape", SHAPES)
def test_intervals_cover_at_their_rate(shape):
    run, made = truth(shape), audits(shape)
    for figure, true in enumerate(run.share(*Kind)):
        estimates = [each[figure] for each in made]
        assert sum(e.low - 1e-9 <= true <= e.high + 1e-9 for e in estimates) >= LEAST
        assert sum(e.at_least - 1e-9 <= true for e in estimates) >= LEAST
        assert all(0 <= e.low <= e.at_least <= e.estimate <= e.high <= 1 for e in estimates)


def test_intervals_are_not_absurdly_wide():
    """Beside the normal interval of a plain sample of as many flagged pairs, by one who knows the precision."""
    for shape in ("well calibrated", "badly calibrated"):
        run = truth(shape)
        precision, _ = run.share(*Kind)
        flagged = run.strata.are(Kind.FLAGGED)
        n, size = run.strata.allocate(run.sample)[flagged].sum(), run.strata.size[flagged].sum()
        oracle = 2 * stats.norm.ppf(0.975) * np.sqrt(precision * (1 - precision) / n * (1 - n / size))
        assert 0.5 * oracle < np.mean([e.high - e.low for e, _ in audits(shape)]) < 1.25 * oracle


@pytest.mark.parametrize(
    ("size", "judged", "right"), [(50, 20, 20), (50, 20, 17), (1000, 30, 1), (12, 5, 0), (9, 9, 4)]
)
def test_one_stratum_has_the_exact_limits(size, judged, right):
    """Those that inverting the hypergeometric test gives, number by number."""
    numbers = np.arange(right, size - (judged - right) + 1)
    at_most = stats.hypergeom.cdf(right, size, numbers, judged)
    at_least = stats.hypergeom.sf(right - 1, size, numbers, judged)
    tally = Tally(*(np.array([float(each)]) for each in (size, judged, right)))
    made = share_right(tally, 0.9, draws=200_000)
    assert made is not None
    slack = 0.006 * size  # of the draws
    assert made.high * size == pytest.approx(numbers[at_most > 0.05].max(), abs=slack)
    assert made.low * size == pytest.approx(numbers[at_least > 0.05].min(), abs=slack)


@pytest.mark.parametrize(("n", "precision"), [(29, 0.90), (59, 0.95), (299, 0.99)])
def test_without_an_error_a_proportional_sample_shows_what_a_plain_one_does(n, precision):
    size, judged = np.array([3e6, 1e6]), np.array([0.75 * n, 0.25 * n])
    made = share_right(Tally(size, judged, judged), 0.95)
    assert made is not None and made.high == made.estimate == 1
    assert made.at_least == pytest.approx(0.05 ** (1 / n), abs=1e-3) and made.at_least >= precision - 1e-3


def test_estimates_are_unbiased():
    """Through the draw itself, with rows beyond that stand for unequal numbers of pairs, and rows that are not judged."""
    random = np.random.default_rng(0)
    p = np.concatenate([random.uniform(0.5, 1, 600), random.uniform(0.01, 0.5, 900), np.full(500, 0.001)])
    weight = np.concatenate([np.ones(1500), random.choice([1, 40.0, 55.0], 500)])
    strata = Strata.of(p, np.arange(1500) < 600, np.arange(1500) < 100, weight)
    right = (random.random(2000) < np.where(p > 0.5, 0.8, 0.2)).astype(float)
    run = Truth(strata, right, 150)
    counts, made = strata.allocate(run.sample), []
    kinds = [strata.are(kind) for kind in Kind]
    for seed in range(AUDITS):
        rows = strata.draw(counts, np.random.default_rng(seed))
        rows = rows[random.random(len(rows)) < 0.8]
        tally = tally_of(strata, rows, right[rows])
        made.append([tally.of(chosen).estimate() for chosen in kinds])
    error = np.mean(made, axis=0) - [run.right_of[chosen].sum() for chosen in kinds]
    assert (abs(error) < 4 * np.std(made, axis=0) / np.sqrt(AUDITS)).all()
    audit = estimate_run(strata, rows, right[rows], 150, 0.95, draws=10)
    found, written, beyond = made[-1]
    assert audit.precision is not None and audit.recall is not None and audit.recall_of_written is not None
    assert audit.precision.estimate == pytest.approx(found / strata.size[kinds[0]].sum())
    assert audit.recall.estimate == pytest.approx(found / (found + written + beyond))
    assert audit.recall_of_written.estimate == pytest.approx(found / (found + written))


def test_every_row_of_a_stratum_is_equally_likely():
    run = truth("tiny strata")
    counts, drawn = run.strata.allocate(run.sample), np.zeros(65)
    for seed in range(2000):
        rows = run.strata.draw(counts, np.random.default_rng(seed))
        assert len(set(rows.tolist())) == run.sample
        drawn[rows] += 1
    expected = 2000 * (counts / run.strata.rows)[run.strata.of_pair]
    whole = (counts == run.strata.rows)[run.strata.of_pair]
    assert (drawn[whole] == 2000).all()
    assert (abs(drawn - expected)[~whole] < 5 * np.sqrt(expected[~whole])).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_strata_are_of_like_pairs_and_none_is_neglected(shape):
    run = truth(shape)
    strata, written = run.strata, run.strata.written
    flagged = np.arange(written) < SHAPES[shape][0][0]
    kind = np.array(strata.kind)[strata.of_pair]
    assert set(kind[:written][flagged]) == {Kind.FLAGGED} and set(kind[:written][~flagged]) == {Kind.WRITTEN}
    assert set(kind[written:]) <= {Kind.BEYOND}
    counts = strata.allocate(run.sample)
    assert counts.sum() == run.sample and (counts >= np.minimum(2, strata.rows)).all() and (counts <= strata.rows).all()
    assert (strata.allocate(10**6) == strata.rows).all()
    with pytest.raises(SettingsError, match="too small"):
        strata.allocate(2)


def test_equal_contents_are_a_stratum_of_their_own():
    random = np.random.default_rng(1)
    p, equal = np.full(500, 0.97), random.random(500) < 0.3
    strata = Strata.of(p, np.ones(500, bool), equal, np.ones(500))
    [number] = np.unique(strata.of_pair[equal])
    assert (strata.of_pair[~equal] != number).all()


def test_a_stratum_that_nobody_judged_may_be_all_wrong_or_all_right():
    size = np.array([600.0, 400.0])
    made = share_right(Tally(size, np.array([60.0, 0.0]), np.array([60.0, 0.0])), 0.95)
    assert made is not None and made.estimate == 1 and made.high == 1
    assert made.low == pytest.approx(0.6 * 0.025 ** (1 / 60), abs=2e-3)


def test_what_was_not_judged_is_not_made_up():
    run = truth("beyond")
    strata = run.strata
    rows = strata.draw(strata.allocate(300), np.random.default_rng(0))
    kind = np.array(strata.kind)[strata.of_pair[rows]]

    def audit(*kinds: Kind):
        some = rows[np.isin(kind, kinds)]
        return estimate_run(strata, some, run.right[some], 300, 0.95, draws=100)

    assert audit(Kind.FLAGGED).recall is None and audit(Kind.FLAGGED).precision is not None
    assert audit(Kind.WRITTEN).precision is None and audit(Kind.WRITTEN).recall is None
    both = audit(Kind.FLAGGED, Kind.WRITTEN)
    assert both.recall is None and both.recall_of_written is not None and both.recall_is_of == "all pairs"
    assert both.not_judged == 300 - both.judged > 0


def test_runs_with_little_in_them():
    nothing = Strata.of(np.empty(0), np.empty(0, bool), np.empty(0, bool), np.empty(0))
    assert len(nothing.of_pair) == len(nothing.allocate(10)) == 0
    one = Strata.of(np.array([0.9]), np.array([True]), np.array([False]), np.ones(1))
    audit = estimate_run(one, np.array([0]), np.array([1.0]), 1, 0.95)
    assert audit.precision == audit.recall == Estimate(1.0, 1.0, 1.0, 1.0)
    others = Strata.of(np.full(9, 0.2), np.zeros(9, bool), np.zeros(9, bool), np.ones(9))
    audit = estimate_run(others, np.arange(4), np.zeros(4), 4, 0.95)
    assert audit.precision is None and audit.recall is None
