"""Kinds: each kind of field brought to the one spelling in which equal things look equal."""

import re
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from siamese.schema import DATES, Kind
from siamese.text import join_words, normalise

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# Widths of the bins, in units of log(amount), that near amounts share. Two grids, half a bin apart, so that no edge parts two neighbours.
MAGNITUDE_BINS = (0.02, 0.2)


def canonical(text: pa.Array, kind: Kind) -> pa.Array:
    """A column of text in the canonical spelling of its kind, normalised; null stays null."""
    spell = {Kind.NUMBER: number, Kind.DATE: date, Kind.US_DATE: us_date, Kind.CODE: code}.get(kind)
    if spell is None:
        return normalise(text)
    coded = text.dictionary_encode()  # regular expressions are slow: each distinct value is spelled once
    return spell(coded.dictionary).take(coded.indices)


def code(text: pa.Array) -> pa.Array:
    """Letters and digits alone."""
    return join_words(normalise(text))


def parse_number(text: pa.Array) -> pa.Array:
    """(n,) float64: the amount in each value, whatever the currency, grouping or decimal sign; null where there is none."""
    text = pc.replace_substring_regex(normalise(text), r"(^\s*|[^\d\pL\s.,']\s*|\pL\s+)\.(\d)", r"\10.\2")
    found = pc.struct_field(pc.extract_regex(text, r"(?P<n>-?\d[\d,.' ]*(?:e[+-]\d{1,2}\b)?)"), "n")
    found = pc.replace_substring_regex(found, r"[ ']|[.,]$", "")
    found = pc.replace_substring_regex(found, r"[.,]$", "")
    # The last sign is the decimal one, unless it comes twice or parts exactly three digits after a comma.
    comma_decimal = pc.match_substring_regex(found, r"^-?[\d.]*,(\d{1,2}|\d{4,})$")
    swapped = pc.replace_substring(pc.replace_substring(found, ".", ""), ",", ".")
    plain = pc.replace_substring(found, ",", "")
    dot_groups = pc.match_substring_regex(found, r"^-?\d{1,3}(\.\d{3}){2,}$")
    found = pc.if_else(comma_decimal, swapped, pc.if_else(dot_groups, pc.replace_substring(found, ".", ""), plain))
    valid = pc.match_substring_regex(found, r"^-?\d{1,200}(\.\d*)?(e[+-]\d\d?)?$")
    return pc.if_else(valid, found, pa.scalar(None, found.type)).cast(pa.float64())


def number(text: pa.Array) -> pa.Array:
    """Amounts as ``12d99`` followed by the names of their magnitude bins (letters only); other values stay as they are."""
    amounts = parse_number(text)
    known = amounts.is_valid().to_numpy(zero_copy_only=False)
    values = np.unique(amounts.drop_null().to_numpy())
    spelled = pa.array(_spell(values), pa.large_string())
    places = np.zeros(len(text), np.int64)
    places[known] = np.searchsorted(values, amounts.drop_null().to_numpy())
    indices = pa.array(places, mask=~known)
    taken = spelled.take(indices) if len(values) else pa.nulls(len(text), pa.large_string())
    return pc.coalesce(taken, normalise(text))


def _spell(values: np.ndarray) -> list[str]:
    exact = [f"{value:.15g}".replace(".", "d").replace("-", "minus").replace("+", "") for value in values.tolist()]
    sizes = np.log(np.abs(values), where=values != 0, out=np.zeros(len(values)))
    bins = [
        [_letters(f"{level}{grid}", index) for index in np.floor(sizes / width + grid / 2).astype(int).tolist()]
        for level, width in enumerate(MAGNITUDE_BINS)
        for grid in (0, 1)
    ]
    return [" ".join(names) if value else names[0] for value, *names in zip(values, exact, *bins, strict=True)]


@lru_cache(maxsize=10_000)  # near amounts share them
def _letters(prefix: str, index: int) -> str:
    """A name of letters only, so that it is told from a number by having no digit."""
    return "".join(chr(ord("a") + int(digit)) if digit.isdigit() else "m" for digit in f"{prefix}-{index}").join(
        ("zz", "zz")
    )


def readable(word: str, kind: Kind) -> str:
    """A word of :func:`canonical` as people write it; a magnitude bin as the amounts that it holds."""
    if kind in DATES and re.fullmatch(r"\d{8}", word):
        return f"{word[:4]}-{word[4:6]}-{word[6:]}"
    if kind is not Kind.NUMBER:
        return word
    if found := _BIN.fullmatch(word):
        level, grid, index = found[1].translate(_DIGITS), found[2].translate(_DIGITS), found[3].translate(_DIGITS)
        low, high = (np.exp((int(index) + end - int(grid) / 2) * MAGNITUDE_BINS[int(level)]) for end in (0, 1))
        return f"{low:.3g} to {high:.3g}"
    if found := _AMOUNT.fullmatch(word):
        return ("-" if found[1] else "") + found[2] + (f".{found[3]}" if found[3] else "")
    return word


_BIN = re.compile(r"zz([ab])([ab])m(m?[a-j]+)zz")  # of _letters
_DIGITS = str.maketrans("abcdefghijm", "0123456789-")
_AMOUNT = re.compile(r"(minus)?(\d+)(?:d(\d+))?")


def parse_date(text: pa.Array, kind: Kind = Kind.DATE) -> pa.Array:
    """(n,) float64: days since 1970-01-01; null where a value is no day in a known order."""
    days = pc.strptime(canonical(text, kind), format="%Y%m%d", unit="s", error_is_null=True)
    return days.cast(pa.date32()).cast(pa.int32()).cast(pa.float64())


def date(text: pa.Array) -> pa.Array:
    """Days as ``yyyymmdd``; values in no known order of day, month and year stay as they are.

    Of 3/4/2020 the day comes first; of 3/14/2020, which can be no other, the month.
    """
    return _date(pc.replace_substring_regex(normalise(text), _MONTH_DAY_YEAR, r"\3-\1-\2"))


def us_date(text: pa.Array) -> pa.Array:
    """The same where the month comes first, as far as it can."""
    return _date(pc.replace_substring_regex(normalise(text), _ANY_MONTH_DAY_YEAR, r"\3-\1-\2"))


_MONTH = r"^\s*(0?[1-9]|1[0-2])"
_MONTH_DAY_YEAR = rf"{_MONTH}[/.-](1[3-9]|2\d|3[01])[/.-](\d{{4}})\b"
_ANY_MONTH_DAY_YEAR = rf"{_MONTH}[/.-](\d{{1,2}})[/.-](\d{{4}})\b"


def _date(text: pa.Array) -> pa.Array:
    text = pc.replace_substring_regex(text, r"^\s+|\s+$|[t ]\d\d:[\d:.]+.*$", "")
    for number_, month in enumerate(MONTHS, 1):
        named = pc.fill_null(pc.match_substring(text, month), False)
        if pc.any(named).as_py():
            text = pc.replace_with_mask(text, named, _number_month(text.filter(named), month, number_))
    text = pc.replace_substring_regex(text, r"^(\d{1,2})[/.](\d{1,2})[/.](\d{2}|\d{4})$", r"\3-\2-\1")
    text = pc.replace_substring_regex(text, r"^(\d{1,2})-(\d{1,2})-(\d{4})$", r"\3-\2-\1")
    text = pc.replace_substring_regex(text, r"^(\d{4})[/.](\d{1,2})[/.](\d{1,2})$", r"\1-\2-\3")
    text = pc.replace_substring_regex(text, r"-(\d)\b", r"-0\1")
    text = pc.replace_substring_regex(text, r"^([0-4]\d)-(\d\d)-(\d\d)$", r"20\1-\2-\3")
    text = pc.replace_substring_regex(text, r"^([5-9]\d)-(\d\d)-(\d\d)$", r"19\1-\2-\3")
    return pc.replace_substring_regex(text, r"^(\d{4})-(\d\d)-(\d\d)$", r"\1\2\3")


def _number_month(text: pa.Array, month: str, number_: int) -> pa.Array:
    text = pc.replace_substring_regex(
        text, rf"^(\d{{1,2}})[- ]{month}[a-z]*[-, ]+(\d{{2,4}})$", rf"\2-{number_:02d}-\1"
    )
    return pc.replace_substring_regex(text, rf"^{month}[a-z]*\.?\s+(\d{{1,2}}),?\s+(\d{{4}})$", rf"\2-{number_:02d}-\1")
