"""Rivals: what they say against a naive loop, how much of it counts, and that two tables alone ask them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from siamese.calibration import Calibration
from siamese.company import NEAREST, Company
from siamese.pairs import Pairs
from siamese.rivals import Rivalry, among_rivals, pressures, weigh

NUMBERS = st.integers(0, 5)
DOUBTS = st.one_of(st.floats(-20, 20), st.just(math.inf))
NOTHING = np.empty(0, np.int64)


def naive(asked, among) -> list[list[float]]:
    found = []
    for left, right in asked:
        of_left = [doubt for a, b, doubt in among if a == left and b != right and math.isfinite(doubt)]
        of_right = [doubt for a, b, doubt in among if b == right and a != left and math.isfinite(doubt)]
        found.append([math.log1p(math.exp(-min(each))) if each else 0.0 for each in (of_left, of_right)])
    return found


@given(
    st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8),
    st.lists(st.tuples(NUMBERS, NUMBERS, DOUBTS), max_size=20),
)
def test_pressures_are_those_of_a_naive_loop(asked, among) -> None:
    ends = np.array(asked, np.int64).reshape(-1, 2).T
    others = np.array([each[:2] for each in among], np.int64).reshape(-1, 2).T
    doubts = np.array([each[2] for each in among], np.float64)
    found = pressures((ends[0], ends[1]), (others[0], others[1]), doubts)
    assert found.shape == (len(asked), 2)
    np.testing.assert_allclose(found, np.array(naive(asked, among)).reshape(-1, 2), atol=1e-12)


def test_what_says_the_same_as_a_partner_is_no_rival_of_it() -> None:
    twice = np.array([0, 0, 0]), np.array([7, 7, 8])
    found = pressures((np.array([0]), np.array([7])), twice, np.array([-3.0, -2.0, 1.0]))
    np.testing.assert_allclose(found, [[math.log1p(math.exp(-1)), 0]])


def contested(exclusive: bool, n: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Own doubts, pressures and labels of n records with two candidates each, of which one at most is a match, or either may be."""
    random = np.random.default_rng(seed)
    log_odds = random.normal(0, 2, (n, 2))
    is_match = random.random((n, 2)) < expit(log_odds)
    if exclusive:  # what odds of one at most mean: drawn again until no record has two
        while (twice := is_match.all(axis=1)).any():
            is_match[twice] = random.random((int(twice.sum()), 2)) < expit(log_odds[twice])
    rival = np.logaddexp(0, log_odds[:, ::-1])
    pressure = np.stack([rival.ravel(), np.zeros(2 * n)], axis=1)
    return -log_odds.ravel(), pressure, is_match.ravel().astype(np.int8)


def test_rivals_count_in_full_where_a_record_has_one_partner_at_most() -> None:
    left, right = weigh(*contested(exclusive=True))
    assert left == pytest.approx(1, abs=0.15) and right == 0


def test_rivals_count_for_nothing_where_one_match_says_nothing_of_another() -> None:
    left, right = weigh(*contested(exclusive=False))
    assert 0 <= left < 0.1 and right == 0


def test_where_a_match_makes_another_likelier_rivals_count_for_nothing() -> None:
    """A record with many partners: nobody is held less likely for being one of several."""
    own, pressure, is_match = contested(exclusive=False)
    either = np.repeat(is_match.reshape(-1, 2).max(axis=1), 2)
    assert max(weigh(own, pressure, either)) < 1e-6


def test_a_few_labels_move_little() -> None:
    of_few, of_some = (np.mean([weigh(*contested(True, n, seed))[0] for seed in range(20)]) for n in (2, 60))
    assert of_few < 0.5 < of_some


def test_either_table_has_a_weight_of_its_own() -> None:
    """Many offers of one product: a product's other offers say nothing, an offer's other products say all."""
    own, pressure, is_match = contested(exclusive=True)
    of_free, _, other_labels = contested(exclusive=False, seed=1)
    own, is_match = np.append(own, of_free), np.append(is_match, other_labels)
    free = np.column_stack([np.zeros(len(of_free)), np.logaddexp(0, -of_free.reshape(-1, 2)[:, ::-1]).ravel()])
    left, right = weigh(own, np.concatenate([pressure, free]), is_match)
    assert left == pytest.approx(1, abs=0.15) and right < 0.1
    pressure = np.array([[2.0, 0.5], [0.5, 2.0], [0.0, 0.0]])
    np.testing.assert_allclose(among_rivals(np.array([1.0, 1.0, 1.0]), pressure, 1.0, 0.1), [3.05, 1.7, 1.0])


def test_it_is_the_same_when_it_is_read_again() -> None:
    rivalry = Rivalry(0.7, 0.2, Calibration.fit([-1.0, -2.0, 3.0, 1.0], [1, 1, 0, 0], are_doubts=True))
    assert Rivalry.from_json(rivalry.to_json()) == rivalry


def company(sides: list[int]) -> Company:
    return Company(features=None, rows=np.arange(len(sides)), sides=np.array(sides, np.int8))  # type: ignore[arg-type]


def test_near_records_are_those_of_the_other_table() -> None:
    random = np.random.default_rng(3)
    sides = random.integers(0, 2, 60)
    embeddings = random.normal(size=(60, 8)).astype(np.float32)
    asking = np.array([4, 17, 33])
    found = company(sides.tolist()).near(embeddings, asking)
    assert (sides[found.left] == 0).all() and (sides[found.right] == 1).all()
    expected = set()
    for one in asking:
        others = np.flatnonzero(sides != sides[one])
        nearest = others[np.argsort(np.linalg.norm(embeddings[others] - embeddings[one], axis=1))[:NEAREST]]
        expected |= {(int(one), int(other)) if sides[one] == 0 else (int(other), int(one)) for other in nearest}
    assert set(zip(found.left.tolist(), found.right.tolist(), strict=True)) == expected


def test_a_table_without_records_has_no_rivals() -> None:
    found = company([0, 0]).near(np.eye(2, dtype=np.float32), np.array([0, 1]))
    assert isinstance(found, Pairs) and len(found) == 0
    assert not pressures((np.array([0]), np.array([1])), (NOTHING, NOTHING), np.empty(0)).any()
