"""Kinds: equal things in different spellings come out alike, near amounts share a bin, and strays stay as they are."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from siamese.kinds import MAGNITUDE_BINS, MONTHS, canonical, date, number, parse_date, parse_number
from siamese.schema import Kind


def strings(values: list[str | None]) -> pa.Array:
    return pa.array(values, pa.large_string())


def spelled(*values: str | None) -> list[list[str]]:
    return [(text or "").split() for text in number(strings(list(values))).to_pylist()]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1299", 1299),
        ("$1,299.00", 1299),
        ("USD 1299.0", 1299),
        ("1.299,50 €", 1299.5),
        ("1 299,50", 1299.5),
        ("1\u00a0299,50", 1299.5),
        ("1'299.50 CHF", 1299.5),
        ("12,5", 12.5),
        ("12.5%", 12.5),
        ("1,234,567", 1234567),
        ("1.234.567", 1234567),
        ("1.234.567,89", 1234567.89),
        ("-5", -5),
        ("0", 0),
        ("7.", 7),
        (".99", 0.99),
        ("$.99", 0.99),
        ("-.5", -0.5),
        ("1.5e+20", 1.5e20),
        ("1e-7", 1e-7),
        ("N/A", None),
        ("", None),
        ("-", None),
        (None, None),
    ],
)
def test_amounts_are_read_in_any_grouping_and_currency(text: str | None, amount: float | None) -> None:
    assert parse_number(strings([text])).to_pylist() == [amount]


@given(st.integers(-(10**12), 10**12), st.integers(0, 99))
def test_python_s_own_formatting_reads_back(whole: int, cents: int) -> None:
    amount = float(f"{whole}.{cents:02d}")
    english, plain = f"{amount:,.2f}", f"{amount:.2f}"
    german = english.translate(str.maketrans(",.", ".,"))
    assert parse_number(strings([english, plain, german])).to_pylist() == [amount] * 3


def test_equal_amounts_are_spelled_alike_and_others_are_not() -> None:
    first, second, third, other = spelled("$1,299.00", "1299", "1.299,00 €", "1299.50")
    assert first == second == third
    assert first[0] != other[0]
    assert other[0] == "1299d5"


def test_values_without_an_amount_stay_as_normalised_text() -> None:
    assert number(strings(["N/A", None, "12", "Call Us"])).to_pylist()[:2] == ["n/a", None]
    assert number(strings(["N/A", "Call Us"])).to_pylist() == ["n/a", "call us"]
    assert number(strings([None])).to_pylist() == [None]
    assert number(strings([])).to_pylist() == []


@given(
    st.floats(1e-6, 1e12),
    st.floats(0, 0.99),
    st.sampled_from(range(len(MAGNITUDE_BINS))),
)
def test_amounts_within_half_a_bin_share_one(amount: float, share: float, level: int) -> None:
    width = MAGNITUDE_BINS[level]
    near = amount * math.exp(share * width / 2)
    bins = [set(words[1:][2 * level : 2 * level + 2]) for words in spelled(f"{amount:.17f}", f"{near:.17f}")]
    assert len(bins[0]) == 2
    assert bins[0] & bins[1]


@given(st.floats(1e-6, 1e12), st.floats(0.001, 5))
def test_amounts_farther_than_the_widest_bin_share_none(amount: float, beyond: float) -> None:
    far = amount * math.exp(max(MAGNITUDE_BINS) + beyond)
    one, other = spelled(f"{amount:.17f}", f"{far:.17f}")
    assert not set(one) & set(other)


def test_bins_have_no_digits_so_that_only_the_amount_is_a_code() -> None:
    for words in spelled("0.004", "12.99", "-8", "1.5e+20"):
        assert len(words) == 1 + 2 * len(MAGNITUDE_BINS)
        assert all(word.isalpha() for word in words[1:])
        assert any(char.isdigit() for char in words[0])
    assert spelled("0") == [["0"]]


@given(st.dates())
def test_a_day_reads_the_same_in_every_format(day: object) -> None:
    y, m, d = day.year, day.month, day.day  # type: ignore[attr-defined]
    assume(y >= 1000)
    month = MONTHS[m - 1]
    formats = [
        f"{y}-{m:02d}-{d:02d}",
        f"{y}-{m}-{d}",
        f"{y}/{m}/{d}",
        f"{y}.{m:02d}.{d:02d}",
        f"{d}/{m}/{y}",
        f"{d:02d}.{m:02d}.{y}",
        f"{d:02d}-{m:02d}-{y}",
        f"{d} {month.title()} {y}",
        f"{d}-{month.upper()}-{y}",
        f"{month.title()} {d}, {y}",
        f"{y}{m:02d}{d:02d}",
        f" {y}-{m:02d}-{d:02d} ",
        f"{y}-{m:02d}-{d:02d}T10:20:30Z",
        f"{y}-{m:02d}-{d:02d} 00:00:00.000000",
    ]
    assert set(zip(formats, date(strings(formats)).to_pylist(), strict=True)) == {
        (text, f"{y}{m:02d}{d:02d}") for text in formats
    }


def test_two_digit_years_are_of_this_century_until_fifty() -> None:
    assert date(strings(["4/3/21", "4-mar-49", "4.3.50", "04-Dec-99"])).to_pylist() == [
        "20210304",
        "20490304",
        "19500304",
        "19991204",
    ]


def test_full_month_names_are_read() -> None:
    assert date(strings(["4 September, 2021", "February 9 1987", "Sept. 3, 2021"])).to_pylist() == [
        "20210904",
        "19870209",
        "20210903",
    ]


def test_the_month_comes_first_where_it_can_be_no_other_or_the_column_says_so() -> None:
    written = strings(["3/14/2020", "3/4/2020", "14.3.2020", "3/14/2020 10:15", "1.2.123"])
    read = ["20200314", "20200403", "20200314", "20200314", "1.2.123"]
    assert date(written).to_pylist() == read
    assert canonical(written, Kind.US_DATE).to_pylist() == ["20200314", "20200304", *read[2:]]
    assert parse_date(written, Kind.US_DATE)[1].as_py() == parse_date(strings(["2020-03-04"]))[0].as_py()


def test_what_is_no_day_stays() -> None:
    assert date(strings(["Unknown", "spring 1987", "1987", None])).to_pylist() == [
        "unknown",
        "spring 1987",
        "1987",
        None,
    ]


def test_codes_read_the_same_with_and_without_dashes() -> None:
    spellings = ["PS-LX350H", "ps lx 350 h", "PSLX/350.H"]
    assert set(canonical(strings(spellings), Kind.CODE).to_pylist()) == {"pslx350h"}
    assert canonical(strings(spellings[:1]), Kind.TEXT).to_pylist() == ["ps-lx350h"]


@pytest.mark.parametrize("kind", list(Kind))
def test_null_stays_null_and_slices_stay_aligned(kind: Kind) -> None:
    values = ["12", None, "13 Mar 2020", "x-1", None]
    whole = canonical(strings(values), kind)
    assert [value is None for value in whole.to_pylist()] == [value is None for value in values]
    assert canonical(strings(values).slice(1, 3), kind).to_pylist() == whole.to_pylist()[1:4]
    assert np.array_equal(whole.is_null().to_pylist(), [value is None for value in values])
