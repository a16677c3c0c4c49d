"""Buckets and the spellings that their keys are made of."""

from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest

from pipeline import buckets
from pipeline.buckets import ORDERS, PAIRS, pairs_of_band, pairs_of_rows
from siamese.schema import Schema
from siamese.spellings import BANDS, WORDS, count_words, spell

RECORDS = [
    {"name": "anna lindqvist", "street": "163 vinecrest street"},
    {"name": "ana lindqvist", "street": "163 vinecrst street"},
    {"name": "Lindqvist, Anna", "street": "163 vinecrest street"},
    {"name": "bo", "street": None},
    {"name": None, "street": None},
    {"name": "\U0001f600 \u03b9\u03c9\u03ac\u03bd\u03bd\u03b1 bo bo", "street": "x " * 50},
]


def spelled(records: list[dict[str, str | None]]) -> np.ndarray:
    table = pa.Table.from_pylist(records, pa.schema([("name", pa.large_string()), ("street", pa.large_string())]))
    schema = Schema.model_validate({"fields": [{"name": name, "kind": "text"} for name in ("name", "street")]})
    return spell(table, schema, count_words(table, schema))


def test_a_record_has_as_many_numbers_as_distinct_words_and_no_more_than_there_is_room_for():
    numbers = spelled(RECORDS)
    assert numbers.shape == (BANDS, 6, WORDS) and numbers.dtype == np.uint32
    assert (numbers > 0).sum(axis=2).tolist() == [[5, 5, 5, 1, 0, 3]] * BANDS
    assert ((numbers > 0) == (np.sort(numbers > 0, axis=2)[:, :, ::-1])).all()  # the empty places come last


def test_order_and_case_do_not_matter_and_a_slip_leaves_most_of_a_record():
    numbers = spelled(RECORDS)
    assert np.array_equal(np.sort(numbers[:, 0]), np.sort(numbers[:, 2]))
    alike = [len(np.intersect1d(numbers[band, 0], numbers[band, 1])) for band in range(BANDS)]
    assert min(alike) >= 3 and max(alike) > 3  # three words are the same, and two are nearly


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("first", [None, 120])
@pytest.mark.parametrize("at_once", [2**24, 500])
def test_pairs_are_those_of_small_buckets(order, first, at_once, monkeypatch):
    monkeypatch.setattr(buckets, "AT_ONCE", at_once)
    monkeypatch.setattr(buckets, "ORDERS", (order,))
    monkeypatch.setattr(buckets, "PAIRS", 1e9)
    monkeypatch.setattr(buckets, "AGAIN", 1e9)
    random, n = np.random.default_rng(order), 300
    words = np.array([random.permutation(60)[:WORDS] + 1 for _ in range(n)], np.uint32)
    words[random.random(n) < 0.3, 2:] = 0
    words[:7] = 0
    filled = [set(row[row > 0].tolist()) for row in words]
    true = {
        (a, b)
        for a, b in combinations(range(n), 2)
        if len(filled[a] & filled[b]) >= order and (order > 1 or max(len(filled[a]), len(filled[b])) <= buckets.ALONE)
    }
    if first is not None:
        true = {(a, b - first) for a, b in true if a < first <= b}
    (left, right), _ = pairs_of_band(words, first)
    found = list(zip(left.tolist(), right.tolist(), strict=True))
    assert set(found) == true and len(found) == len(true)


def test_buckets_of_a_size_that_bring_nothing_new_are_left_out_but_for_surveyed_rows(monkeypatch):
    """Two records of each of 300 triples of words, four of each of 100 others: only the twos are said to be worth it."""
    monkeypatch.setattr(buckets, "PAIRS", 1e9)
    twos, fours = ((np.arange(3 * n, dtype=np.uint32) + base).reshape(n, 3) for n, base in ((300, 1), (100, 10_001)))
    words = np.zeros((1000, WORDS), np.uint32)
    words[:, :3] = np.concatenate([twos.repeat(2, axis=0), fours.repeat(4, axis=0)])
    asked: list[tuple[int, int]] = []

    def is_worth(new: buckets.Sides, pairs: int) -> bool:
        asked.append((len(new[0]), pairs))
        return False

    (left, right), _ = pairs_of_band(words, None, is_worth, np.array([600, 3]))
    true = {(row, row + 1) for row in range(0, 600, 2)} | {(600, 601), (600, 602), (600, 603)}
    assert set(zip(left.tolist(), right.tolist(), strict=True)) == true and len(left) == len(true)
    assert asked == [(600, 600), (597, 600)]  # by three words; by two, where the surveyed row's were found before
    assert len(pairs_of_band(words, None, is_worth)[0][0]) == 300  # with no surveyed row
    (left, right), _ = pairs_of_band(words, None, lambda new, pairs: len(new[0]) == pairs)
    assert len(left) == 300 + 600
    words = words[:, [2, 0, 1, 3, 4, 5, 6, 7]]  # keys are sums, whatever the order of the words
    assert all(np.array_equal(a, b) for a, b in zip(pairs_of_band(words)[0], (left, right), strict=True))


@pytest.mark.parametrize("most_bits", [3, 22])
@pytest.mark.parametrize("at_once", [2**24, 500])
def test_what_some_rows_share_is_what_a_whole_band_says_of_them(most_bits, at_once, monkeypatch):
    """In few slots most keys share one with others."""
    monkeypatch.setattr(buckets, "MOST_BITS", most_bits)
    monkeypatch.setattr(buckets, "AT_ONCE", at_once)
    monkeypatch.setattr(buckets, "ROWS", 64)
    random, n, some = np.random.default_rng(0), 400, 0
    for _ in range(6):
        words = np.array([random.permutation(random.choice([20, 60]))[:WORDS] + 1 for _ in range(n)], np.uint32)
        twice = random.random(n) < 0.2
        words[twice, 1] = words[twice, 0]
        for row, count in enumerate(random.integers(0, WORDS + 1, n)):
            words[row, count:] = 0
        (left, right), sizes = pairs_of_band(words)
        assert all(len(greatest) == len(sizes[0]) or at_once == 500 for greatest in sizes)
        rows = random.permutation(n)[: random.integers(0, 40)]
        is_asked = np.isin(np.arange(n), rows)
        asked = is_asked[left] | is_asked[right]
        for found, true in zip(pairs_of_rows(words, rows, sizes), (left[asked], right[asked]), strict=True):
            assert np.array_equal(found, true)
        some += int(asked.sum())
    assert some > 1000
    assert len(pairs_of_rows(words[:0], rows[:0], sizes)[0]) == 0


def test_pairs_grow_with_the_records_and_not_with_their_square():
    """A thousand copies of a pair of records each, all in one street: the street's bucket has them all."""
    random, n = np.random.default_rng(0), 4000
    words = random.integers(1, 2**32, (n // 2, WORDS), np.uint32).repeat(2, axis=0)
    words[:, 0] = 7
    words[:, 1] = random.integers(1, 20, n)
    (left, right), _ = pairs_of_band(words)
    assert len(left) <= n // 2 + PAIRS * sum(ORDERS) * n
    assert set(range(0, n, 2)) <= {a for a, b in zip(left.tolist(), right.tolist(), strict=True) if b == a + 1}


def test_no_records_have_no_pairs():
    for n in (0, 1):
        (left, right), _ = pairs_of_band(np.ones((n, WORDS), np.uint32))
        assert len(left) == len(right) == 0
