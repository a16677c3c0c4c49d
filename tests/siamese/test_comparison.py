"""What a pair of records looks like to the verifier, against plain Python over sets and strings."""

import datetime
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese.comparison import AGAINST, FOR, Comparison, feature_names, feature_signs
from siamese.features import HASH_BITS
from siamese.profiles import Profiles, document_frequency
from siamese.schema import Field, Kind, Schema

SCHEMA = Schema(
    fields=(
        Field(name="title", kind=Kind.TEXT),
        Field(name="maker", kind=Kind.NAME),
        Field(name="price", kind=Kind.NUMBER),
        Field(name="day", kind=Kind.DATE),
    )
)
NAMES = feature_names(SCHEMA)
EVEN = np.ones(2**HASH_BITS, np.float32)


def records(*rows: tuple[str | None, str | None, str | None, str | None]) -> pa.Table:
    columns = zip(*rows, strict=True)
    return SCHEMA.select(pa.table({name: list(column) for name, column in zip(SCHEMA.names, columns, strict=True)}))


def compare(left, right, idf: np.ndarray = EVEN) -> dict[str, float]:
    comparison = Comparison(Profiles.of(records(left, right), SCHEMA, idf), np.array([0]), np.array([1]))
    (row,) = comparison.features(SCHEMA)
    return dict(zip(NAMES, row.tolist(), strict=True))


def test_words_are_weighed_by_how_rare_they_are() -> None:
    table = records(("sony turntable", "sony", None, None), ("sony radio", "sony", None, None))
    idf = document_frequency(table, SCHEMA)
    rare, common = math.log(3 / 2) + 1, math.log(3 / 3) + 1
    found = compare(("sony turntable", "sony", None, None), ("sony radio", "sony", None, None), idf)
    assert found["shared"] == pytest.approx(common)  # of the whole record: once, though two fields have it
    assert found["jaccard"] == pytest.approx(common / (common + 2 * rare))
    assert found["only_min"] == found["only_max"] == pytest.approx(rare)
    assert found["title: jaccard"] == pytest.approx(common / (common + 2 * rare))
    assert found["title: contained"] == pytest.approx(common / (common + rare))
    assert found["maker: jaccard"] == 1
    assert found["rarest_shared"] == pytest.approx(common)


@pytest.mark.parametrize("other", ["receiver PS LX350H", "receiver ps-lx350h", "ps.lx.350.h receiver"])
def test_a_code_is_found_however_it_is_spelled(other) -> None:
    found = compare(("receiver PS-LX350H", None, None, None), (other, None, None, None))
    assert found["code_length"] >= 6 and found["codes_only_max"] == 0


def test_a_code_that_differs_is_seen_and_how_much() -> None:
    found = compare(("tv kdl40v", None, None, None), ("tv kdl46v", None, None, None))
    assert found["codes_only_min"] == found["codes_only_max"] == 1
    assert found["code_only_length_min"] == found["code_only_length_max"] == 6
    assert 0.8 < found["codes_alike"] < 1
    assert found["digits_only_min"] == 1


def test_odd_words_inside_the_other_record_are_not_odd() -> None:
    found = compare(("photo editor", None, None, None), ("photoshop", None, None, None))
    assert found["odd_min"] == found["odd_max"] == 1  # "editor" against "photoshop"; "photo" is inside the other record
    glued = compare(("photoshop", None, None, None), ("photo shop", None, None, None))
    assert glued["odd_min"] == glued["odd_max"] == 0 and math.isnan(glued["odd_alike"])


def test_amounts_differ_by_a_share_and_days_by_days() -> None:
    found = compare((None, None, "$100.00", "2020-01-31"), (None, None, "80", "2020-02-02"))
    assert found["price: difference"] == pytest.approx(0.2)
    assert found["day: difference"] == (datetime.date(2020, 2, 2) - datetime.date(2020, 1, 31)).days


def test_what_is_missing_is_nan_and_counted() -> None:
    found = compare(("a", None, None, None), ("a", "sony", "3", None))
    assert math.isnan(found["maker: jaccard"]) and math.isnan(found["price: difference"])
    assert (found["title: missing"], found["maker: missing"], found["day: missing"]) == (0, 1, 2)


VALUES = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.lists(st.sampled_from(["sony", "ps-lx350h", "lx350h", "40", "4.5", "tv", "été", "x1"]), max_size=5).map(
        " ".join
    ),
)
ROWS = st.lists(st.tuples(VALUES, VALUES, VALUES, VALUES), min_size=2, max_size=6)


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_left_and_right_may_change_places(rows) -> None:
    table = records(*rows)
    profiles = Profiles.of(table, SCHEMA, document_frequency(table, SCHEMA))
    left, right = (side.ravel() for side in np.meshgrid(np.arange(len(rows)), np.arange(len(rows))))
    one, other = Comparison(profiles, left, right), Comparison(profiles, right, left)
    assert one.features(SCHEMA).shape == (len(left), len(NAMES))
    np.testing.assert_array_equal(one.features(SCHEMA), other.features(SCHEMA))


@given(ROWS)
@settings(max_examples=50, deadline=None)
def test_a_pair_looks_the_same_among_any_others(rows) -> None:
    """Nothing of one pair leaks into another, nor does the order of the records count."""
    table = records(*rows)
    idf = document_frequency(table, SCHEMA)
    pairs = [(a, b) for a in range(len(rows)) for b in range(len(rows))]
    left, right = np.array(pairs).T
    together = Comparison(Profiles.of(table, SCHEMA, idf), left, right).features(SCHEMA)
    for (a, b), expected in zip(pairs[:6], together, strict=False):
        alone = Profiles.of(table.take(pa.array([b, a])), SCHEMA, idf)
        np.testing.assert_allclose(
            Comparison(alone, np.array([1]), np.array([0])).features(SCHEMA)[0], expected, rtol=1e-6
        )


def test_what_speaks_for_a_match_is_greatest_and_what_speaks_against_least_of_a_record_and_itself() -> None:
    one = ("sony ps-lx350h turntable black", "sony electronics", "199.99", "2019-05-03")
    others = [
        ("sony pslx350h turntable", "sony", "189", "2019-05-04"),
        ("bose radio ab99 12", "bose corp", "20", "1999-01-01"),
        ("sony ps-lx250h black turntabel", None, None, "2019-05-03"),
    ]
    same, signs = np.array(list(compare(one, one).values())), np.array(feature_signs(SCHEMA))
    assert {name.rpartition(": ")[2] for name in NAMES} >= FOR | AGAINST and not FOR & AGAINST
    moved = np.zeros(len(NAMES), bool)
    for other in others:
        gap = (same - np.array(list(compare(one, other).values()))) * signs
        assert not (gap < -1e-6).any()  # NaN where one of them has nothing to compare
        moved |= gap > 0
    assert moved[(signs != 0) & ~np.isnan(same)].mean() > 0.8
