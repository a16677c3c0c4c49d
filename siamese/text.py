"""Text: columns of strings, normalised and cut into words, a whole column at a time and without a Python loop a record."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from siamese.errors import DataError

SPACE = 32
PARTED = ", "  # between the parts of a nested value
COMBINING_DIACRITICS = (0x0300, 0x036F)  # the accents that NFKD splits off Latin, Greek and Cyrillic letters


@dataclass(frozen=True)
class Words:
    """The words of n records of one or more columns, cut out of their text.

    Attributes:
        chars: (c,) code points, uint8 where all are below 256, else uint32; spaces for whatever belongs to no word, one at either end.
        starts: (w,) int64; word k is ``chars[starts[k] : ends[k]]``, and a space lies before and after it.
        ends: (w,) int64.
        offsets: (n * columns + 1,) int64; record i's value in column j holds the words ``offsets[i * columns + j]`` to the next offset.
    """

    chars: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def spelled(self, chosen: np.ndarray | None = None) -> list[str]:
        """The words, or those chosen, as strings, in order."""
        chars = self.chars
        if chosen is not None:
            lengths = self.ends[chosen] - self.starts[chosen] + 1  # with the space after it
            ends = np.cumsum(lengths)
            chars = chars[
                np.arange(ends[-1] if len(ends) else 0) + np.repeat(self.starts[chosen] + lengths - ends, lengths)
            ]
        return chars.astype("<u4").tobytes().decode("utf-32-le").split()


def as_text(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column of any type as large_string with nulls kept; blank values and NaN are null too: missing is one thing.

    A list, a map or a struct is what its parts say, one after the other; parts that are missing are left out, as are a struct's names,
    which are the same in all records.

    Raises:
        DataError: it is nested deeper than Python goes.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), pa.large_string())
    if pa.types.is_floating(column.type):
        return _amounts(column)
    try:
        text = _parts(column) if pa.types.is_nested(column.type) else column.cast(pa.large_string())
    except pa.ArrowNotImplementedError:  # what Arrow cannot spell, such as a union or an interval of months
        values = [value if value is None else str(value) for value in column.to_pylist()]
        text = pa.array(values, pa.large_string())
    except RecursionError as error:
        raise DataError("a value holds hundreds of lists, each in another: flatten it") from error
    blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(text)), 0)
    return pc.if_else(blank, pa.scalar(None, pa.large_string()), text)


def _amounts(column: pa.Array) -> pa.Array:
    """Floats as large_string: 7.0 is "7", whatever else is in the column, for holes make a column of ints float."""
    column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    whole = pc.and_(pc.equal(column, pc.round(column)), pc.less(pc.abs(column), 1e15))
    whole = pc.fill_null(whole, False)
    texts = pc.if_else(whole, pa.scalar(None, column.type), column).cast(pa.large_string())
    ints = pc.if_else(whole, column, pa.scalar(None, column.type)).cast(pa.int64()).cast(pa.large_string())
    return pc.coalesce(ints, texts)


def _parts(column: pa.Array) -> pa.Array:
    """Nested values as large_string, "" or null where no part says anything. Raises ArrowNotImplementedError: of a union."""
    between = pa.scalar(PARTED, pa.large_string())
    if pa.types.is_struct(column.type):
        # The first, which is never null: where all parts are, Arrow 26 leaves the row out.
        parts = [pa.repeat(pa.scalar("", pa.large_string()), len(column)), *map(as_text, column.flatten())]
        return pc.utf8_slice_codeunits(pc.binary_join_element_wise(*parts, between, null_handling="skip"), len(PARTED))
    if pa.types.is_map(column.type):
        column = column.cast(pa.list_(pa.struct(list(column.type.field(0).type))))
    texts, record = as_text(pc.list_flatten(column)), pc.list_parent_indices(column).to_numpy()
    said = texts.is_valid().to_numpy(zero_copy_only=False)
    bounds = np.concatenate(([0], np.cumsum(np.bincount(record[said], minlength=len(column)))))
    lists = pa.ListArray.from_arrays(pa.array(bounds.astype(np.int32)), texts.filter(pa.array(said)))
    return pc.binary_join(lists, between)


def text_of(value: Any) -> str | None:
    """One value of JSON or of Python, as :func:`as_text` spells a column of them."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        parts = [part for part in map(text_of, value) if part and not part.isspace()]
        return PARTED.join(parts) or None
    if isinstance(value, bool):
        return "true" if value else "false"
    is_missing = value is None or (isinstance(value, float) and value != value)
    return None if is_missing else str(value)


def normalise(text: pa.Array) -> pa.Array:
    """Lower case, compatibility-decomposed (NFKD) large_string; accents are dropped later, by :func:`split_words`."""
    wide = pc.fill_null(pc.invert(pc.string_is_ascii(text)), False)
    lowered = pc.ascii_lower(text)
    if not pc.any(wide).as_py():
        return lowered
    return pc.replace_with_mask(lowered, wide, pc.utf8_lower(pc.utf8_normalize(text.filter(wide), form="NFKD")))


def split_words(*columns: pa.Array) -> Words:
    """Cut normalised text into words: runs of letters, digits and the marks that belong to them.

    Args:
        columns: (n,) large_string each; null reads as no words.
    """
    if not columns:
        return Words(np.full(1, SPACE, np.uint8), *(np.empty(0, np.int64),) * 2, np.zeros(1, np.int64))
    chars, offsets = _laid_out(columns)
    if len(chars) and chars.max() > 0x7F:
        chars, offsets = _code_points(chars, offsets)
    folded = np.full(len(chars) + 1, SPACE, chars.dtype)
    _word_characters(chars).take(chars, out=folded[:-1], mode="clip")
    in_word = folded != SPACE
    edges = np.flatnonzero(in_word[1:] != in_word[:-1]) + 1
    starts, ends = edges[::2], edges[1::2]
    return Words(folded, starts, ends, np.searchsorted(starts, offsets))


def join_words(text: pa.Array) -> pa.Array:
    """Normalised text with everything but letters and digits removed: a code reads the same with or without its dashes."""
    is_ascii = pc.all(pc.string_is_ascii(text)).as_py()  # whose pattern takes a quarter of the time
    return pc.replace_substring_regex(text, "[^A-Za-z0-9]+" if is_ascii else r"[^\p{L}\p{M}\p{N}]+", "")


def _laid_out(columns: Sequence[pa.Array]) -> tuple[np.ndarray, np.ndarray]:
    """UTF-8 (uint8) of all values, record by record with a space before each value, and the (n * columns + 1,) places of those spaces."""
    n = len(columns[0])
    nothing, space = pa.scalar("", pa.large_string()), pa.scalar(" ", pa.large_string())
    joined = pc.binary_join_element_wise(nothing, *columns, space, null_handling="replace", null_replacement="")
    lengths = np.stack([pc.fill_null(pc.binary_length(column), 0).to_numpy() for column in columns], axis=1)
    offsets = np.concatenate(([0], np.cumsum(lengths + 1)))
    data = joined.buffers()[2]
    return (np.frombuffer(data, np.uint8, offsets[-1]) if n else np.empty(0, np.uint8)), offsets


def _code_points(octets: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """UTF-8 as code points without accents, and where offsets into the one lie in the other."""
    wide = wide_points(octets)
    is_accent = (wide >= COMBINING_DIACRITICS[0]) & (wide <= COMBINING_DIACRITICS[1])
    begins = (octets & 0xC0) != 0x80
    chars = octets[begins]
    offsets = offsets - np.searchsorted(np.flatnonzero(~begins), offsets)
    at = np.flatnonzero(chars > 0x7F)
    if wide[~is_accent].max(initial=0) >= 256:
        chars = chars.astype(np.uint32)
    chars[at] = wide
    accents = at[is_accent]
    return np.delete(chars, accents), offsets - np.searchsorted(accents, offsets)


def wide_points(octets: np.ndarray) -> np.ndarray:
    """Code points (uint32) of what is not ASCII in UTF-8, which is little of most text: to decode all takes many times as long."""
    return np.frombuffer(octets[octets > 0x7F].tobytes().decode("utf-8").encode("utf-32-le"), np.uint32)


def _word_characters(chars: np.ndarray) -> np.ndarray:
    """A table of what each of these code points becomes: itself in a word, else a space."""
    if chars.dtype == np.uint8:
        return _latin_characters()
    table = np.full(int(chars.max()) + 1, SPACE, chars.dtype)
    seen = np.zeros(len(table), bool)
    seen[chars] = True
    points = np.flatnonzero(seen)
    table[points] = _in_words(points)
    return table


@cache
def _latin_characters() -> np.ndarray:
    return np.array(_in_words(range(256)), np.uint8)


def _in_words(points: Iterable[int]) -> list[int]:
    return [point if unicodedata.category(chr(point))[0] in "LMN" else SPACE for point in points]
