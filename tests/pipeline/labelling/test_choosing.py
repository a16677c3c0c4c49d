"""The pool and what is chosen from it."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.metrics import cohen_kappa_score

from pipeline.labelling.choosing import Draws, _spread, draw, teach
from pipeline.labelling.committee import Opinion, entropy, form_opinion
from pipeline.labelling.pool import NEIGHBOURS, Pool, _halves, _share_out
from pipeline.labelling.standing import advise, agreement, observed
from pipeline.records import Records
from siamese.errors import DataError
from tests.pipeline.fakes import FakeEncoder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("pool") / "records.parquet"
    names = [f"w{number % 40}~0.{number // 40 + 1}" for number in range(160)] + [
        "w1~0.1",
        None,
    ]  # an equal, an empty one
    pd.DataFrame({"record_id": [f"r{i:03}" for i in range(162)], "name": names}).to_parquet(path)
    return Records.open(str(path))


def test_the_pool_holds_each_record_s_nearest_in_strata_of_distance(corpus, tmp_path):
    encoder = FakeEncoder()
    pool = Pool.draw(encoder, [corpus], tmp_path)
    names = pd.read_parquet(corpus.path).set_index("record_id")["name"]
    assert (pool.left_ids < pool.right_ids).all()
    pairs = set(zip(pool.left_ids, pool.right_ids, strict=True))
    assert len(pairs) == len(pool) == pool.sizes.sum()  # small enough to hold all of them
    vectors = encoder.encode(pd.DataFrame({"name": names[:160]}))
    apart = np.array([encoder.energies(np.tile(one, (160, 1)), vectors) for one in vectors])
    np.fill_diagonal(apart, np.inf)
    for row, nearest in enumerate(np.argsort(apart, axis=1)[:, : NEIGHBOURS - 1]):
        assert all((min(f"r{row:03}", f"r{n:03}"), max(f"r{row:03}", f"r{n:03}")) in pairs for n in nearest)
    number = {name: place for place, name in enumerate(names.index)}
    exact = [apart[number[a], number[b]] for a, b in zip(pool.left_ids, pool.right_ids, strict=True)]
    np.testing.assert_allclose(pool.distances, exact, atol=1e-6)
    for nearer in range(len(pool.sizes) - 1):
        assert pool.distances[pool.stratum == nearer].max() <= pool.distances[pool.stratum == nearer + 1].min()
    assert pool.texts["name"].to_pylist()[pool.left[0]] == names[pool.left_ids[0]]


def test_given_candidates_are_the_pool(corpus, tmp_path):
    given = pd.DataFrame({"left_id": ["r000", "r002", "r001", "r003"], "right_id": ["r001", "r000", "r160", "r161"]})
    pool = Pool.draw(FakeEncoder(), [corpus], tmp_path, given=given)
    # r160 says what r001 says, and r161 says nothing: there is nothing to ask about them
    assert set(zip(pool.left_ids, pool.right_ids, strict=True)) == {("r000", "r001"), ("r000", "r002")}


def test_records_without_anything_to_compare_are_refused(tmp_path):
    pd.DataFrame({"record_id": ["a", "b"], "name": [None, "x"]}).to_parquet(tmp_path / "r.parquet")
    with pytest.raises(DataError, match="no two records"):
        Pool.draw(FakeEncoder(), [Records.open(str(tmp_path / "r.parquet"))], tmp_path)


def test_strata_halve():
    assert _halves(1000).tolist() == [62, 63, 125, 250, 500]
    assert _halves(1_000_000).sum() == 1_000_000 and len(_halves(1_000_000)) == 8
    assert _halves(3).tolist() == [3]
    assert _share_out(np.array([5, 50, 500, 5000]), 700).tolist() == [5, 50, 322, 323]
    assert _share_out(np.array([5, 50]), 700).tolist() == [5, 50]


def pool_of(sizes: list[int], held: list[int]) -> Pool:
    """Pairs that are nothing but places."""
    m = sum(held)
    ids = np.array([f"p{number}" for number in range(2 * m)], object)
    stratum = np.repeat(np.arange(len(sizes)), held)
    vectors = np.random.default_rng(0).normal(size=(2 * m, 4)).astype(np.float32)
    rows = np.arange(m)
    distances = np.arange(m, dtype=np.float32) / m
    return Pool(ids[:m], ids[m:], rows, rows + m, pa.table({}), vectors, distances, stratum, np.array(sizes))


def test_the_heads_of_the_random_orders_are_what_was_asked_without_a_gap():
    pool = pool_of([10, 40], [10, 20])
    known = np.zeros(30, bool)
    known[[0, 1, 3, 10, 12]] = True  # 3 and 12 were chosen out of turn: they count when their turn comes
    draws = Draws(pool, known)
    assert draws.places().tolist() == [0, 1, 10]
    assert [
        each.place for each in draw(draws, known, None, np.array([1, 0], np.int8), 3, set(), np.random.default_rng(0))
    ] == [11, 2, 13]
    known[2] = True
    assert Draws(pool, known).places().tolist() == [0, 1, 2, 3, 10]
    assert draws.weight(11) == 40 / 2  # the second of twenty held of forty


def test_the_next_draws_go_where_answers_of_a_kind_are_to_be_found():
    pool = pool_of([20, 40, 80], [20, 20, 20])
    draws = Draws(pool, np.zeros(60, bool))
    few_matches, few_others = np.zeros(20, np.int8), np.ones(20, np.int8)
    near = draw(draws, np.zeros(60, bool), None, few_matches, 7, set(), np.random.default_rng(0))
    far = draw(draws, np.zeros(60, bool), None, few_others, 7, set(), np.random.default_rng(0))
    assert pool.stratum[[each.place for each in near]].mean() < 1 < pool.stratum[[each.place for each in far]].mean()


def test_what_teaches_is_in_doubt_open_and_unlike_the_rest():
    pool = pool_of([60], [60])
    probability = np.where(np.arange(60) < 20, 0.5, 0.001)
    opinion = Opinion(probability, np.zeros(60), probability)
    open_ = np.ones(60, bool)
    open_[:4] = False
    features = np.zeros((60, 1), np.float32)
    features[10] = 50
    chosen = teach(pool, features, opinion, open_, 2, np.random.default_rng(0))
    places = [each.place for each in chosen]
    assert len(set(places)) == 2 and 10 in places and all(4 <= place < 20 for place in places)


def test_spreading_takes_equals_only_when_nothing_else_is_left():
    points = np.repeat(np.eye(3), 4, axis=0)
    chosen = _spread(points, np.ones(12), 12, np.random.default_rng(0))
    assert sorted(chosen) == list(range(12))
    assert sorted(chosen[:3] // 4) == [0, 1, 2]


def test_the_committee_learns_and_is_not_shown_the_answer_that_it_is_asked_for():
    random = np.random.default_rng(0)
    features = random.normal(size=(400, 5)).astype(np.float32)
    truth = (features[:, 0] > 0).astype(np.int8)
    answered = random.permutation(400)[:60]
    labels = truth[answered].copy()
    opinion = form_opinion(features, [1, 0, 0, 0, -1], answered, labels, 0)
    assert ((opinion.probability > 0.5) == truth).mean() > 0.9
    assert (opinion.disagreement >= 0).all() and (opinion.disagreement <= np.log(2)).all()
    wrong = int(np.argmax(np.abs(features[answered, 0])))
    labels[wrong] = 1 - labels[wrong]
    misled = form_opinion(features, [1, 0, 0, 0, -1], answered, labels, 0).held_out[answered[wrong]]
    assert (misled > 0.5) == truth[answered[wrong]]
    assert form_opinion(features, [1, 0, 0, 0, -1], answered[:2], labels[:2], 0) is None
    assert entropy(np.array([0.5]))[0] == pytest.approx(np.log(2))


def test_estimates_are_exact_where_all_is_known_and_cover_where_a_part_is():
    random = np.random.default_rng(1)
    pool = pool_of([300, 600], [300, 300])
    p = random.random(600) * np.where(pool.stratum == 0, 1, 0.5)
    truth = (random.random(600) < p).astype(np.int8)
    opinion = Opinion(p, np.zeros(600), p)
    times, flagged = np.where(pool.stratum == 0, 1, 2), p >= 0.5
    right = (times * truth)[flagged].sum()
    exact = right / times[flagged].sum(), right / (times * truth).sum()
    exact = *exact, 2 * exact[0] * exact[1] / sum(exact)
    for estimate, value in zip(observed(pool, opinion, np.arange(600), truth), exact, strict=True):
        assert estimate.estimate == pytest.approx(value)
    inside = 0
    for _ in range(15):
        drawn = np.concatenate([random.permutation(300)[:40], 300 + random.permutation(300)[:40]])
        estimates = observed(pool, opinion, drawn, truth[drawn])
        inside += sum(e.low <= value <= e.high for e, value in zip(estimates, exact, strict=True))
    assert inside >= 0.9 * 45
    assert observed(pool, opinion, np.empty(0, np.int64), np.empty(0, np.int8)) == (None, None, None)


def test_agreement_is_cohens_kappa():
    random = np.random.default_rng(2)
    one, other, times = random.random(200) < 0.3, random.random(200) < 0.4, random.integers(1, 9, 200)
    assert agreement(one, other, times) == pytest.approx(cohen_kappa_score(one, other, sample_weight=times))
    assert agreement(np.zeros(3, bool), np.zeros(3, bool), np.ones(3)) == 1


def test_advice_says_what_is_missing():
    assert "matches are too few" in advise(20, 1, 19, 3, [], 0)
    assert "2 contradictions" in advise(30, 15, 15, 3, [], 2)
