"""Text: the vectorised cut into words equals the same rules written as a loop over one string."""

import unicodedata
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from siamese.errors import DataError
from siamese.text import as_text, join_words, normalise, split_words, text_of

# Unassigned code points are left out: Arrow's Unicode tables are newer than Python's and know some of them.
CHARACTERS = st.characters(exclude_categories=("Cs", "Cn"))
NOTABLE = st.sampled_from("aZ9 -.,'\t\n\u00a0\u0301\u0327éßİΣς\u200dſKﬁ½²Ⅷ日本語한\u1112\u1161\u11abनि\u0e33😀٣ǅ")
TEXTS = st.none() | st.text(st.one_of(CHARACTERS, NOTABLE), max_size=12)
VALUES = st.lists(TEXTS, max_size=8)


def naive_words(value: str | None) -> list[str]:
    if value is None:
        return []
    lowered = "".join(char.lower() for char in unicodedata.normalize("NFKD", value))  # by character: no final sigma
    bare = [char for char in lowered if not 0x300 <= ord(char) <= 0x36F]
    return "".join(char if unicodedata.category(char)[0] in "LMN" else " " for char in bare).split(" ")


def words_of(text: pa.Array) -> list[list[str]]:
    words = split_words(text)
    cut = ["".join(map(chr, words.chars[start:end])) for start, end in zip(words.starts, words.ends, strict=True)]
    assert len(words) == len(cut)
    assert len(words.offsets) == len(text) + 1
    return [cut[start:end] for start, end in zip(words.offsets[:-1], words.offsets[1:], strict=True)]


def strings(values: list[str | None]) -> pa.Array:
    return pa.array(values, pa.large_string())


@given(VALUES)
@example([])
@example([None, None])
@example(["", " ", None, "a"])
@example(["a", "b", "", "c "])
@example(["\u0301", "e\u0301\u0301t", " \u0327"])
@example(["ΟΔΟΣ", "İstanbul", "ﬁn Ⅷ"])
def test_words_equal_those_of_a_loop(values: list[str | None]) -> None:
    expected = [[word for word in naive_words(value) if word] for value in values]
    assert words_of(normalise(strings(values))) == expected


@given(VALUES, st.data())
def test_a_slice_reads_as_its_values_do(values: list[str | None], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(values)))
    length = data.draw(st.integers(0, len(values) - start))
    whole = strings(values)
    assert words_of(normalise(whole.slice(start, length))) == words_of(normalise(whole))[start : start + length]
    # Cut after normalising: the buffers then hold more than the slice.
    assert words_of(normalise(whole).slice(start, length)) == words_of(normalise(whole))[start : start + length]


@given(VALUES, VALUES)
def test_chunks_read_as_one_column(first: list[str | None], second: list[str | None]) -> None:
    chunked = pa.chunked_array([strings(first), strings(second)], pa.large_string())
    assert as_text(chunked).equals(as_text(strings(first + second)))
    assert words_of(normalise(as_text(chunked))) == words_of(normalise(as_text(strings(first + second))))


def test_accents_case_and_punctuation_part_no_words_that_are_the_same() -> None:
    assert words_of(normalise(strings(["Café-CRÈME, déjà vu!"]))) == [["cafe", "creme", "deja", "vu"]]
    assert words_of(normalise(strings(["cafe\u0301"]))) == words_of(normalise(strings(["caf\u00e9"])))


def test_a_space_lies_before_and_after_every_word() -> None:
    words = split_words(strings(["  ab,, cd", None, "ef"]))
    assert "".join(map(chr, words.chars)) == "   ab   cd  ef "
    assert (words.starts.tolist(), words.ends.tolist()) == ([3, 8, 12], [5, 10, 14])
    assert words.offsets.tolist() == [0, 2, 2, 3]


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=5))
def test_columns_are_read_record_by_record(records: list[tuple[str | None, ...]]) -> None:
    columns = [strings(list(column)) for column in zip(*records, strict=True)] or [strings([])] * 3
    together = split_words(*(normalise(column) for column in columns))
    apart = [words_of(normalise(column)) for column in columns]
    counts = [len(column[row]) for row in range(len(records)) for column in apart]
    assert together.offsets.tolist() == np.cumsum([0, *counts]).tolist()
    spelled = "".join(map(chr, together.chars)).split(" ")
    assert [word for word in spelled if word] == [
        word for row in range(len(records)) for column in apart for word in column[row]
    ]


def test_codes_lose_their_separators_only() -> None:
    assert join_words(normalise(strings(["PS-LX350H", "ps lx/350.h", "日本-5", "--", None]))).to_pylist() == [
        "pslx350h",
        "pslx350h",
        "日本5",
        "",
        None,
    ]


def test_missing_is_one_thing() -> None:
    assert as_text(strings([None, "", "  \t\n", "\u00a0\u2003", "x "])).to_pylist() == [None, None, None, None, "x "]
    assert as_text(pa.array([np.nan, None, 1.5])).to_pylist() == [None, None, "1.5"]
    assert as_text(pa.nulls(2)).to_pylist() == [None, None]
    assert as_text(pa.array([np.nan, np.nan])).to_pylist() == [None, None]
    assert as_text(pa.array([], pa.float64())).to_pylist() == []


def test_integers_that_holes_made_float_read_as_integers() -> None:
    assert as_text(pa.array([7.0, None, np.nan, -3.0])).to_pylist() == ["7", None, None, "-3"]
    assert as_text(pa.array([7.0, 2.5])).to_pylist() == ["7", "2.5"]
    assert as_text(pa.array([12345678901.0, 2.5])).to_pylist() == ["12345678901", "2.5"]  # whatever else a batch holds
    assert as_text(pa.array([np.inf, 1e300])).to_pylist() == ["inf", "1e+300"]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([7, None]), ["7", None]),
        (pa.array(["a", "b", "a", None]).dictionary_encode(), ["a", "b", "a", None]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array(["a"], pa.string_view()), ["a"]),
        (
            pa.array([(1, 2, 3), None], pa.month_day_nano_interval()),
            ["MonthDayNano(months=1, days=2, nanoseconds=3)", None],
        ),
        (pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]), ["1", "b"]),
    ],
)
def test_any_type_becomes_text(column: pa.Array, expected: list[str | None]) -> None:
    text = as_text(column)
    assert text.type == pa.large_string()
    assert text.to_pylist() == expected


NESTED = [
    (pa.list_(pa.string()), [["red", "blue"], None, [], [None], ["", None, "x"]], ["red, blue", None, None, None, "x"]),
    (pa.large_list(pa.string()), [["a"], [None, "b"]], ["a", "b"]),
    (pa.list_(pa.string(), 2), [["a", "b"], None, ["c", None]], ["a, b", None, "c"]),
    (pa.list_view(pa.string()), [["a"], []], ["a", None]),
    (pa.list_(pa.list_(pa.string())), [[["a"], ["b", None]], [[]], None], ["a, b", None, None]),
    (pa.list_(pa.null()), [[None], []], [None, None]),
    (pa.list_(pa.float64()), [[7.0, None], [8.0, 9.0]], ["7", "8, 9"]),
    (pa.map_(pa.string(), pa.int64()), [[("k", 1), ("l", None)], [], None], ["k, 1, l", None, None]),
    (
        pa.struct([("a", pa.string()), ("b", pa.list_(pa.int64()))]),
        [{"a": "x", "b": [1, 2]}, None, {"a": None, "b": []}, {"a": " ", "b": [3]}],
        ["x, 1, 2", None, None, "3"],
    ),
    (pa.struct([]), [{}, None], [None, None]),
]


@pytest.mark.parametrize(("kind", "values", "expected"), NESTED, ids=[str(kind) for kind, _, _ in NESTED])
def test_nested_values_say_what_their_parts_say(kind: pa.DataType, values: list, expected: list[str | None]) -> None:
    column = pa.array(values, kind)
    text = as_text(column)
    assert text.type == pa.large_string() and text.to_pylist() == expected
    assert as_text(column.slice(1)).to_pylist() == expected[1:]
    assert as_text(pa.chunked_array([column[:1], column[1:]])).to_pylist() == expected


leaves = st.none() | st.text("ab ,", max_size=3) | st.integers(0, 99) | st.booleans()


@given(st.lists(st.none() | st.lists(st.none() | st.text("ab ,", max_size=3), max_size=3), max_size=5))
def test_a_value_and_a_column_of_it_are_spelled_alike(values: list) -> None:
    column = as_text(pa.array(values, pa.list_(pa.string()))).to_pylist()
    assert column == [text_of(value) for value in values]


@given(
    st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    )
)
def test_any_json_is_spelled_without_its_brackets(value: Any) -> None:
    text = text_of(value)
    assert text is None or not set(text) & set("[]{}\"'")


def test_what_is_nested_too_deep_is_refused() -> None:
    kind = pa.string()
    for _ in range(900):
        kind = pa.list_(kind)
    with pytest.raises(DataError, match="flatten it"):
        as_text(pa.nulls(2, kind))


def test_what_python_holds_is_spelled_the_same_every_time() -> None:
    assert text_of({"b", "a"}) == "a, b" and text_of(np.array([1, 2])) == "1, 2"
    assert text_of([float("nan"), True, {"k": "v"}]) == "true, v"
