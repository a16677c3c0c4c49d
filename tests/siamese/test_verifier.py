"""The verifier: learns, never from a pair's own label, and is the same when it is loaded again."""

import builtins
import itertools

import lightgbm
import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score

from siamese.comparison import Comparison, feature_signs
from siamese.errors import SettingsError
from siamese.judges import DISTANCE_SIGN, SAID_SIGN
from siamese.profiles import Profiles, document_frequency
from siamese.schema import Field, Kind, Schema
from siamese.stacking import log_losses
from siamese.verifier import Verifier
from siamese.wordweights import WordWeights

SCHEMA = Schema(fields=(Field(name="title", kind=Kind.TEXT), Field(name="price", kind=Kind.NUMBER)))
RANDOM = np.random.default_rng(7)
N = 400


def corpus() -> tuple[np.ndarray, Comparison, np.ndarray, pa.Table]:
    """N things, each listed twice; imposites differ in the one code alone, or in "refurbished", which says all here."""
    makers = RANDOM.choice(["sony", "bose", "canon", "denon"], N)
    codes = RANDOM.integers(100, 999, N)
    titles = [f"{maker} receiver mx{code}" for maker, code in zip(makers, codes, strict=True)]
    others = [f"{maker} mx-{code} receiver black" for maker, code in zip(makers, codes, strict=True)]
    is_match = (np.arange(N) % 2).astype(np.int8)
    for i in np.flatnonzero(is_match == 0):
        others[i] = others[i] + " refurbished" if i % 4 else f"{makers[i]} mx-{RANDOM.integers(100, 999)} receiver"
    table = SCHEMA.select(pa.table({"title": [*titles, *others], "price": RANDOM.integers(9, 99, 2 * N).astype(str)}))
    idf = document_frequency(table, SCHEMA)
    return idf, Comparison(Profiles.of(table, SCHEMA, idf), np.arange(N), np.arange(N) + N), is_match, table


IDF, COMPARISON, IS_MATCH, TABLE = corpus()
FOLDS = np.where(np.arange(N) % 5 == 4, -1, np.arange(N) // 2 % 4)
DISTANCES = RANDOM.uniform(0, 1, N)
EVIDENCE = np.flatnonzero(FOLDS == -1)


def fit(is_match=IS_MATCH, seed=0):
    return Verifier.fit(SCHEMA, IDF, COMPARISON, DISTANCES, is_match, FOLDS, EVIDENCE, seed)


@pytest.fixture(scope="module")
def fitted():
    return fit()


def test_it_learns_what_the_distance_does_not_say(fitted) -> None:
    verifier, doubts = fitted
    assert average_precision_score(IS_MATCH[EVIDENCE], -DISTANCES[EVIDENCE]) < 0.7
    assert average_precision_score(IS_MATCH[EVIDENCE], -doubts[EVIDENCE]) > 0.95
    judged = verifier.doubt(COMPARISON.profiles, COMPARISON.left, COMPARISON.right, DISTANCES)
    np.testing.assert_allclose(
        judged[EVIDENCE], doubts[EVIDENCE]
    )  # nothing was learned from them, so they are judged alike
    flagged = judged[EVIDENCE] <= verifier.calibration.max_distance
    assert (flagged == IS_MATCH[EVIDENCE]).mean() > 0.9


def test_no_doubt_has_seen_its_own_label() -> None:
    """Labels drawn at random cannot be foretold, but word weights that saw them know them by heart."""
    labels = RANDOM.permutation(IS_MATCH)
    doubts, learned = fit(labels)[1], FOLDS >= 0
    by_heart = WordWeights.fit(COMPARISON, labels).score(COMPARISON)
    assert average_precision_score(labels[learned], by_heart[learned]) > 0.75
    assert average_precision_score(labels[learned], -doubts[learned]) < 0.6


def test_no_label_weighs_the_judges_of_its_own_pair(monkeypatch) -> None:
    """Labels of a fold, turned where the judges are weighed, change the other folds' doubts and not its own."""
    _, doubts = fit()
    for fold in range(2):
        seen = itertools.count()

        def judge(log_odds, is_match, weights, fold=fold, seen=seen):
            return log_losses(log_odds, 1 - is_match if next(seen) == fold else is_match, weights)

        monkeypatch.setattr("siamese.judges.log_losses", judge)
        _, turned = fit()
        np.testing.assert_array_equal(turned[fold == FOLDS], doubts[fold == FOLDS])
        assert np.abs(turned - doubts)[(FOLDS >= 0) & (fold != FOLDS)].max() > 0.1


def test_random_trees_never_hold_likeness_against_a_pair(fitted) -> None:
    verifier = fitted[0]
    signs = [*feature_signs(SCHEMA), DISTANCE_SIGN, SAID_SIGN]
    features = COMPARISON.features(SCHEMA)[:50]
    features = np.column_stack([features, DISTANCES[:50], np.zeros(50)])
    random_trees = lightgbm.Booster(model_str=verifier.trees[1])
    used = random_trees.feature_importance() > 0
    before = random_trees.predict(features, raw_score=True)
    assert used[np.array(signs) != 0].sum() > 5
    for column, sign in enumerate(signs):
        if sign:
            liker = features.copy()
            liker[:, column] += sign * RANDOM.uniform(0, 3, 50)
            assert (random_trees.predict(liker, raw_score=True) >= before - 1e-9).all()


def test_labels_of_evidence_teach_nothing(fitted) -> None:
    turned = IS_MATCH.copy()
    turned[EVIDENCE] = 1 - turned[EVIDENCE]
    verifier, doubts = fit(turned)
    assert verifier.trees == fitted[0].trees
    np.testing.assert_array_equal(doubts, fitted[1])


def test_the_same_seed_grows_the_same_trees(fitted) -> None:
    assert fit()[0].trees == fitted[0].trees
    assert fit(seed=1)[0].trees != fitted[0].trees


def test_saved_and_loaded_it_doubts_the_same(fitted, tmp_path) -> None:
    verifier = fitted[0]
    verifier.save(tmp_path / "verifier")
    loaded = Verifier.load(tmp_path / "verifier", SCHEMA)
    rows = (COMPARISON.profiles, COMPARISON.left, COMPARISON.right, DISTANCES)
    np.testing.assert_array_equal(loaded.doubt(*rows), verifier.doubt(*rows))
    assert loaded.calibration == verifier.calibration and loaded.candidate_distance == verifier.candidate_distance


def test_left_and_right_may_change_places(fitted) -> None:
    one = fitted[0].doubt(COMPARISON.profiles, COMPARISON.left, COMPARISON.right, DISTANCES)
    other = fitted[0].doubt(COMPARISON.profiles, COMPARISON.right, COMPARISON.left, DISTANCES)
    np.testing.assert_array_equal(one, other)


def test_pairs_are_judged_alike_in_any_company(fitted, monkeypatch) -> None:
    every = fitted[0].doubt(COMPARISON.profiles, COMPARISON.left, COMPARISON.right, DISTANCES)
    monkeypatch.setattr("siamese.verifier.BLOCK_PAIRS", 7)
    few = fitted[0].profile(TABLE.take(pa.array([3, 3 + N, 9, 9 + N])))
    alone = fitted[0].doubt(few, np.array([0, 2]), np.array([1, 3]), DISTANCES[[3, 9]])
    np.testing.assert_allclose(alone, every[[3, 9]])


@pytest.mark.parametrize("first, step", [(0, 1), (3, 1), (0, 2), (5, 7)])
def test_a_pair_is_doubted_the_same_to_the_last_digit_in_whatever_company(fitted, first: int, step: int) -> None:
    """Kernels of a matrix product round the last columns otherwise than the first ones, on some processors."""
    verifier, profiles = fitted[0], COMPARISON.profiles
    whole = verifier.doubt(profiles, COMPARISON.left, COMPARISON.right, DISTANCES)
    for count in (1, 2, 5, 50):
        some = slice(first, first + step * count, step)
        judged = verifier.doubt(profiles, COMPARISON.left[some], COMPARISON.right[some], DISTANCES[some])
        np.testing.assert_array_equal(judged, whole[some])


def test_no_pairs_are_no_fault(fitted) -> None:
    none = np.empty(0, np.int64)
    assert len(fitted[0].doubt(COMPARISON.profiles, none, none, np.empty(0))) == 0


def test_without_openmp_the_sentence_says_what_to_do(fitted, monkeypatch) -> None:
    imported = builtins.__import__

    def fail(name, *args, **kwargs):
        if name == "lightgbm":
            raise OSError("libgomp.so.1: cannot open shared object file")
        return imported(name, *args, **kwargs)

    verifier = Verifier(**{name: getattr(fitted[0], name) for name in Verifier.__dataclass_fields__})
    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(SettingsError, match=r"libgomp1.*--verifier none"):
        verifier.doubt(COMPARISON.profiles, COMPARISON.left, COMPARISON.right, DISTANCES)


def test_word_weights_are_a_sum_over_words() -> None:
    weights = WordWeights.fit(COMPARISON, IS_MATCH)
    scores = weights.score(COMPARISON)
    p = COMPARISON.profiles
    for pair in range(12):
        left, right = (set(p.cells[[row]].indices) for row in (COMPARISON.left[pair], COMPARISON.right[pair]))
        naive = sum(weights.shared[0, p.ids[word]] for word in left & right)
        naive += sum(weights.unshared[0, p.ids[word]] for word in left ^ right)
        assert scores[pair] == pytest.approx(naive, abs=1e-5)
    refurbished = p.ids[list(p.words).index("refurbished")]
    assert weights.unshared[0, refurbished] == weights.unshared[0].min()
    loaded = WordWeights.from_tensors(weights.tensors(), n_fields=1)
    np.testing.assert_array_equal(loaded.score(COMPARISON), scores)


@pytest.mark.parametrize("gap", [0.5, 3.0])
def test_pairs_out_of_reach_are_lost_whatever_their_doubt_but_some_imposites_have_to_be_left(gap) -> None:
    distances = np.where(
        IS_MATCH == 1, 0.1, 0.1 + gap * (np.arange(N) % 3)
    )  # every third imposite is as near as a match
    if gap > 1:
        distances[(IS_MATCH == 0) & (distances < 1)] = gap  # none is
    verifier, _ = Verifier.fit(SCHEMA, IDF, COMPARISON, distances, IS_MATCH, FOLDS, EVIDENCE, 0)
    scores, labels = verifier.calibration.evidence.arrays
    out_of_reach = int((distances[EVIDENCE] > verifier.candidate_distance).sum())
    assert (~np.isfinite(scores)).sum() == (out_of_reach if gap < 1 else 0)
    assert out_of_reach > 0 and np.isfinite(scores[labels == 1]).all()


@pytest.mark.parametrize("genuine", [2, 40])
def test_the_fewer_genuine_pairs_there_are_the_farther_it_looks(genuine) -> None:
    labels = IS_MATCH[EVIDENCE]
    evidence = np.concatenate([EVIDENCE[labels == 1][:genuine], EVIDENCE[labels == 0]])
    verifier, _ = Verifier.fit(SCHEMA, IDF, COMPARISON, DISTANCES, IS_MATCH, FOLDS, evidence, 0)
    farthest = DISTANCES[evidence[:genuine]].max()
    assert verifier.candidate_distance == pytest.approx((1.1 + 1 / genuine) * farthest)
