"""Text: columns of strings, normalised and cut into words, a whole column at a time and without a Python loop a record."""

import unicodedata
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SPACE = 32
COMBINING_DIACRITICS = (0x0300, 0x036F)  # the accents that NFKD splits off Latin, Greek and Cyrillic letters


@dataclass(frozen=True)
class Words:
    """The words of n values, laid end to end.

    Attributes:
        chars: (c,) uint32 code points, one space before every word and one after the last: ``" ab cd ef "``.
        spaces: (w + 1,) int64 positions of those spaces; word k is ``chars[spaces[k] + 1 : spaces[k + 1]]``.
        offsets: (n + 1,) int64; value i holds the words ``offsets[i]`` to ``offsets[i + 1]``.
    """

    chars: np.ndarray
    spaces: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.spaces) - 1


def as_text(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column of any type as large_string with nulls kept; blank values and NaN are null too: missing is one thing."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), pa.large_string())
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        whole = pc.all(pc.equal(column, pc.round(column))).as_py() and pc.less(pc.max(pc.abs(column)), 1e15).as_py()
        column = column.cast(pa.int64()) if whole else column  # a column of ints that holes made float: 7.0 is "7"
    try:
        text = column.cast(pa.large_string())
    except pa.ArrowNotImplementedError:  # nested values, such as a list of tags: their words are what counts
        values = [None if value in (None, [], {}) else str(value) for value in column.to_pylist()]
        text = pa.array(values, pa.large_string())
    blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(text)), 0)
    return pc.if_else(blank, pa.scalar(None, pa.large_string()), text)


def normalise(text: pa.Array) -> pa.Array:
    """Lower case, compatibility-decomposed (NFKD) large_string; accents are dropped later, by :func:`split_words`."""
    if not pc.all(pc.string_is_ascii(text)).as_py():
        text = pc.utf8_normalize(text, form="NFKD")
    return pc.utf8_lower(text)


def split_words(text: pa.Array) -> Words:
    """Cut normalised text into words: runs of letters, digits and the marks that belong to them.

    Args:
        text: (n,) large_string; null reads as no words.
    """
    nothing, space = pa.scalar("", pa.large_string()), pa.scalar(" ", pa.large_string())
    spaced = pc.binary_join_element_wise(nothing, pc.fill_null(text, nothing), space)
    chars, offsets = _code_points(spaced)
    is_word, is_dropped = _classify(chars)
    if is_dropped.any():
        offsets = _positions_after(~is_dropped, offsets)
        chars, is_word = chars[~is_dropped], is_word[~is_dropped]
    # Of a run of separators only the last stays, and only before a word: every word then has one space before it.
    before_word = np.append(is_word[1:], False)
    kept = is_word | before_word
    offsets = _positions_after(kept, offsets)
    chars = np.append(np.where(is_word, chars, SPACE)[kept], np.uint32(SPACE)).astype(np.uint32)
    spaces = np.flatnonzero(chars == SPACE)
    return Words(chars, spaces, np.searchsorted(spaces[:-1], offsets))


def join_words(text: pa.Array) -> pa.Array:
    """Normalised text with everything but letters and digits removed: a code reads the same with or without its dashes."""
    return pc.replace_substring_regex(text, r"[^\p{L}\p{M}\p{N}]+", "")


def _code_points(text: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Code points (uint32) of all values end to end, and the (n + 1,) offsets of the values in them."""
    if text.null_count or text.type != pa.large_string():
        raise TypeError(f"expected large_string without nulls, got {text.type} with {text.null_count} nulls")
    _, offset_buffer, data = text.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64, len(text) + 1, 8 * text.offset)
    if data is None or len(text) == 0:
        return np.empty(0, np.uint32), np.zeros(len(text) + 1, np.int64)
    octets = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
    offsets = offsets - offsets[0]
    if (octets < 0x80).all():
        return octets.astype(np.uint32), offsets
    decoded = np.frombuffer(octets.tobytes().decode("utf-8").encode("utf-32-le"), np.uint32)
    return decoded, _positions_after((octets & 0xC0) != 0x80, offsets)


def _positions_after(kept: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Where positions lie once only the elements with kept = True remain."""
    return np.concatenate(([0], np.cumsum(kept)))[positions]


def _classify(chars: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(is part of a word, is an accent to drop), both (c,) bool. Only the distinct characters are looked up."""
    size = int(chars.max()) + 1 if len(chars) else 1
    seen = np.zeros(size, bool)
    seen[chars] = True
    word, dropped = np.zeros(size, bool), np.zeros(size, bool)
    for point in np.flatnonzero(seen):
        word[point] = unicodedata.category(chr(point))[0] in "LMN"
    dropped[COMBINING_DIACRITICS[0] : COMBINING_DIACRITICS[1] + 1] = True
    return word[chars], dropped[chars]
