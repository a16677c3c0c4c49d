"""What a run lets go by at a glance."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from pipeline.glancing import AT_ONCE, CONFIDENCE, ENOUGH, LEARNED, LOST, MOST, Drawn, least_of
from siamese.glance import Glance
from siamese.prior import Histogram


def test_the_limit_loses_more_than_it_may_as_seldom_as_it_says() -> None:
    random, lost = np.random.default_rng(0), []
    for _ in range(2000):
        for n in (ENOUGH, 2500):
            lost.append(least_of(random.random(n)) > LOST)  # of uniform glances, the share below a limit is the limit
    assert np.mean(lost) <= 1 - CONFIDENCE + 0.01


def test_the_limit_is_the_highest_that_leaves_few_enough_below() -> None:
    glances = np.random.default_rng(1).permutation(5000).astype(float)
    below = int(least_of(glances))  # ten are expected below the quantile, and this many or fewer come about seldom
    chance = [np.exp(_log_binomial(5000, k)) for k in range(below + 2)]
    assert sum(chance[: below + 1]) <= 1 - CONFIDENCE < sum(chance)
    assert least_of(np.arange(float(ENOUGH))) == 0


def _log_binomial(n: int, k: int) -> float:
    choices = sum(np.log((n - i) / (i + 1)) for i in range(k))
    return choices + k * np.log(LOST) + (n - k) * np.log(1 - LOST)


class Corpus:
    """Candidates of which a share is flagged, and how doubtful they are shows at a glance, but for some noise."""

    def __init__(self, n: int, share: float) -> None:
        random = np.random.default_rng(2)
        self.is_flagged = random.random(n) < share
        self.scores = np.abs(8 + 3 * random.normal(size=n)) * np.where(self.is_flagged, -1, 1)
        self.seen = (self.scores[:, None] + random.normal(size=(n, 2))).astype(np.float32)
        self.looked: list[int] = []

    def look(self, places: np.ndarray) -> np.ndarray:
        self.looked += places.tolist()
        return self.scores[places]

    def draw(self) -> Drawn:
        drawn = Drawn.of(len(self.is_flagged), self.look, 0.0)
        assert self.looked == drawn.places.tolist() and len(set(self.looked)) == len(self.looked)
        np.testing.assert_array_equal(drawn.is_flagged, self.is_flagged[drawn.places])
        return drawn


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_strangers_go_by_and_what_would_be_flagged_hardly_does(share) -> None:
    corpus = Corpus(200_000, share)
    drawn = corpus.draw()
    glance = drawn.settle(lambda places: corpus.seen[places])
    assert glance is not None and Glance(**json.loads(json.dumps(asdict(glance)))) == glance
    worth = glance.is_worth(corpus.seen)
    assert (~worth[corpus.is_flagged]).mean() <= LOST
    assert (~worth[~corpus.is_flagged]).mean() > 0.8
    assert len(drawn.places) <= MOST * 200_000
    flagged, last = (int(drawn.is_flagged[start:].sum()) for start in (LEARNED, -AT_ONCE))
    assert flagged - last < ENOUGH <= flagged  # not one draw more than needed


def test_what_goes_by_is_counted_by_a_sample_that_did_not_teach() -> None:
    corpus = Corpus(200_000, 0.05)
    drawn = corpus.draw()
    glance = drawn.settle(lambda places: corpus.seen[places])
    goes_by = ~glance.is_worth(corpus.seen)
    sample, every = drawn.let_by(glance, lambda places: corpus.seen[places]), corpus.scores[goes_by]
    assert len(sample) == goes_by[drawn.places[LEARNED : 2 * LEARNED]].sum() > 1000
    assert abs((sample <= np.median(every)).mean() - 0.5) < 4 * 0.5 / np.sqrt(len(sample))
    counted = Histogram.of(corpus.scores[~goes_by], 8.0, len(every), sample)
    assert sum(counted.counts) == pytest.approx((corpus.scores <= 8.0).sum(), rel=0.05)
    assert sum(Histogram.of(corpus.scores[~goes_by], 8.0).counts) < 0.8 * (corpus.scores <= 8.0).sum()


@pytest.mark.parametrize(("n", "share"), [(20_000, 0.5), (200_000, 0.001), (200_000, 0.0), (0, 0.0)])
def test_where_too_few_would_be_flagged_nothing_goes_by(n, share) -> None:
    corpus = Corpus(n, share)
    drawn = corpus.draw()
    assert drawn.settle(lambda places: corpus.seen[places]) is None
    assert len(drawn.places) <= LEARNED  # seen at once
