"""Features: the vectorised bags equal bags made by a loop over each record."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from siamese.features import FIRST_WORDS, GRAM_SIZES, HASH_BITS, Bags, Group, featurise, take_ragged
from siamese.schema import Field, Kind, Schema

SCHEMA = Schema(fields=(Field(name="title", kind=Kind.TEXT), Field(name="note", kind=Kind.NAME)))
# Lower-case ASCII and one wider letter: what text becomes is tested in test_text; here it is only cut at spaces.
VALUES = st.none() | st.lists(st.text("abc19日", min_size=1, max_size=7), max_size=4).map(" ".join)
RECORDS = st.lists(st.tuples(VALUES, VALUES), max_size=7)


def table(records: list[tuple[str | None, str | None]]) -> pa.Table:
    columns = list(zip(*records, strict=True)) or [(), ()]
    return pa.table({n: pa.array(c, pa.large_string()) for n, c in zip(SCHEMA.names, columns, strict=True)})


def cells(bags: Bags) -> list[list[list[int]]]:
    """The vocabulary indices of each record's fields."""
    spans = zip(bags.offsets[:-1], bags.offsets[1:], strict=True)
    flat = [bags.words[start:end].tolist() for start, end in spans]
    return [flat[i : i + bags.n_fields] for i in range(0, len(flat), bags.n_fields)]


def word_ids(bags: Bags) -> np.ndarray:
    return bags.feature_ids[bags.feature_offsets[:-1]]


def grams(bags: Bags, word: int) -> list[int]:
    return bags.feature_ids[bags.feature_offsets[word] + 1 : bags.feature_offsets[word + 1]].tolist()


def content(bags: Bags) -> list[list[Counter]]:
    """Each record's fields as multisets of (word id, group, its n-grams): free of the vocabulary's numbering."""
    return [
        [
            Counter(
                (int(word_ids(bags)[w]), int(bags.groups[w]), tuple(sorted(Counter(grams(bags, w)).items())))
                for w in field
            )
            for field in record
        ]
        for record in cells(bags)
    ]


def naive_grams(word: str) -> list[str]:
    """By position, then size: the order of the bags."""
    bounded = f" {word} "
    return [bounded[i : i + n] for i in range(len(bounded)) for n in GRAM_SIZES if i + n <= len(bounded)]


@given(RECORDS)
@example([])
@example([(None, None)])
@example([("a", "a"), (None, "a b"), ("日", "")])
def test_bags_equal_those_of_a_loop(records: list[tuple[str | None, str | None]]) -> None:
    bags = featurise(table(records), SCHEMA)
    assert len(bags) == len(records)
    word_id: dict[str, int] = {}
    gram_id: dict[str, int] = {}
    vocabulary: dict[str, int] = {}
    for record, found in zip(records, cells(bags), strict=True):
        for value, indices in zip(record, found, strict=True):
            words = (value or "").split()
            assert len(indices) == len(words)
            for word, index in zip(words, indices, strict=True):
                # One index, one id, whatever the record, field and place.
                assert vocabulary.setdefault(word, index) == index
                assert word_id.setdefault(word, word_ids(bags)[index]) == word_ids(bags)[index]
                assert bags.groups[index] == (Group.CODE if any(char in "19" for char in word) else Group.WORD)
                for gram, hashed in zip(naive_grams(word), grams(bags, index), strict=True):
                    assert gram_id.setdefault(gram, hashed) == hashed
    assert len(set(vocabulary.values())) == len(vocabulary) == len(word_ids(bags))
    assert ((bags.feature_ids >= 0) & (bags.feature_ids < 2**HASH_BITS)).all()


@given(RECORDS)
@example([("ab a 1", "a b"), ("aba", None)])
def test_neighbouring_words_are_joined_into_the_word_that_they_spell(records) -> None:
    bags = featurise(table(records), SCHEMA, joined=(Kind.TEXT,))
    plain = featurise(table(records), SCHEMA)
    for record, found, without in zip(records, cells(bags), cells(plain), strict=True):
        words = (record[0] or "").split()
        spelled, joined = found[0][: len(words)], found[0][len(words) :]
        assert [int(word_ids(bags)[w]) for w in spelled] == [int(word_ids(plain)[w]) for w in without[0]]
        pairs = [a + b for a, b in pairwise(words)]
        alone = featurise(table([(" ".join(pairs), None)]), SCHEMA)
        assert [int(word_ids(bags)[w]) for w in joined] == [int(word_ids(alone)[w]) for w in cells(alone)[0][0]]
        for pair, index in zip(pairs, joined, strict=True):
            has_digit = any(char in "19" for char in pair)
            assert bags.groups[index] == (Group.JOINED_CODE if has_digit else Group.JOINED)
            assert grams(bags, index) == []
        assert len(found[1]) == len((record[1] or "").split())  # a name here, whose words were not to be joined


@given(RECORDS, st.data())
def test_take_equals_featurising_those_records_alone(
    records: list[tuple[str | None, str | None]], data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.integers(0, len(records) - 1), max_size=9)) if records else []
    joined = data.draw(st.sampled_from([(), (Kind.TEXT, Kind.NAME)]))
    taken = featurise(table(records), SCHEMA, joined).take(np.array(rows, np.int64))
    alone = featurise(table([records[row] for row in rows]), SCHEMA, joined)
    assert content(taken) == content(alone)
    assert sorted(word_ids(taken)) == sorted(word_ids(alone))  # no word is kept that no record holds


def test_a_slice_of_a_table_reads_as_its_records() -> None:
    records = [("alpha 1", "beta"), ("gamma", None), (None, "alpha delta"), ("x", "y")]
    whole = table(records)
    assert content(featurise(whole.slice(1, 2), SCHEMA)) == content(featurise(table(records[1:3]), SCHEMA))
    chunked = pa.concat_tables([whole.slice(0, 1), whole.slice(1)])
    assert content(featurise(chunked, SCHEMA)) == content(featurise(whole, SCHEMA))


def test_ids_are_spread_over_the_table() -> None:
    words = [f"{a}{b}{c}" for a in "abcdefghij" for b in "klmnopqrst" for c in "uvwxyz0123"]
    bags = featurise(table([(" ".join(words), None)]), SCHEMA)
    assert len(word_ids(bags)) == 1000
    # 1000 of 2^18 at random: 1.9 collisions expected.
    assert len(set(word_ids(bags).tolist())) > 985
    quarters = np.bincount(word_ids(bags) * 4 // 2**HASH_BITS, minlength=4)
    assert quarters.min() > 180


def test_letters_in_another_order_are_another_word() -> None:
    bags = featurise(table([("abc cba bca ab abca aabc", None)]), SCHEMA)
    assert len(set(word_ids(bags).tolist())) == 6


def test_a_word_is_not_its_own_n_gram_feature() -> None:
    bags = featurise(table([("a", None)]), SCHEMA)
    assert grams(bags, 0) != word_ids(bags).tolist()


def test_ids_do_not_depend_on_the_records_around() -> None:
    one = featurise(table([("turntable", None)]), SCHEMA)
    other = featurise(table([("x" * 500, "turntable" * 30), ("sony", "é turntable")]), SCHEMA)
    index = cells(other)[1][1][1]
    assert word_ids(one)[0] == word_ids(other)[index]
    assert grams(one, 0) == grams(other, index)


def test_the_kind_of_a_field_is_heeded() -> None:
    schema = Schema(fields=(Field(name="c", kind=Kind.CODE), Field(name="d", kind=Kind.DATE)))
    records = pa.table(
        {
            "c": pa.array(["PS-LX 350", "pslx350"], pa.large_string()),
            "d": pa.array(["4 Mar 2021", "2021-03-04"], pa.large_string()),
        }
    )
    first, second = content(featurise(records, schema))
    assert first == second


@pytest.mark.parametrize("rows", [[], [2], [3, 0, 0, 2]])
def test_take_ragged(rows: list[int]) -> None:
    ragged = [[1, 2], [], [3], [4, 5, 6]]
    offsets = np.cumsum([0] + [len(row) for row in ragged])
    values, taken = take_ragged(np.array(sum(ragged, [])), offsets, np.array(rows, np.int64))
    assert values.tolist() == [value for row in rows for value in ragged[row]]
    assert np.diff(taken).tolist() == [len(ragged[row]) for row in rows]


def test_features_are_those_that_they_always_were() -> None:
    """A saved model's weights belong to them."""
    bags = featurise(table([("Café ps-LX350h, 日本", "x y"), (None, "łódź 12")]), SCHEMA, joined=(Kind.TEXT,))
    sums = [sum(place * gram for place, gram in enumerate(grams(bags, word), 2)) for word in bags.words]
    assert list(zip(bags.groups[bags.words].tolist(), word_ids(bags)[bags.words].tolist(), sums, strict=True)) == [
        (Group.WORD, 102441, 7087440),
        (Group.WORD, 258374, 1919073),
        (Group.CODE, 216894, 12040797),
        (Group.WORD, 171317, 953337),
        (Group.JOINED, 250911, 0),
        (Group.JOINED_CODE, 211040, 0),
        (Group.JOINED_CODE, 93556, 0),
        (Group.WORD, 203750, 237568),
        (Group.WORD, 29581, 7074),
        (Group.WORD, 139140, 4362182),
        (Group.CODE, 119726, 1469330),
    ]


def test_long_fields_are_thinned_to_as_many_words_the_same_ones_in_every_record() -> None:
    random = np.random.default_rng(0)
    long = [" ".join(f"w{word}" for word in random.integers(0, 500, 400)) for _ in range(20)]
    bags = featurise(table([(text, "sony turntable") for text in long]), SCHEMA, joined=(Kind.TEXT,))
    thin = bags.thin(200, np.random.default_rng(1))
    before, after = (np.diff(each.offsets).reshape(-1, 2) for each in (bags, thin))
    assert (before[:, 1] == after[:, 1]).all()  # a short field keeps all
    assert after[:, 0].mean() == pytest.approx(200 + 2 * FIRST_WORDS * (1 - 200 / before[:, 0].mean()), rel=0.2)
    kept = set(thin.words[thin.places >= FIRST_WORDS])
    for cell in range(0, 40, 2):
        had, has = (each.words[each.offsets[cell] : each.offsets[cell + 1]] for each in (bags, thin))
        places = bags.places[bags.offsets[cell] : bags.offsets[cell + 1]]
        expected = [word for word, place in zip(had, places, strict=True) if place < FIRST_WORDS or word in kept]
        assert has.tolist() == expected


def test_short_fields_are_not_thinned_nor_is_anything_drawn() -> None:
    bags, random = featurise(table([("sony ps lx350h", None)]), SCHEMA), np.random.default_rng(0)
    assert bags.thin(3, random) is bags
    assert random.random() == np.random.default_rng(0).random()
