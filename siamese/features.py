"""Features: records as bags of hashed words and character n-grams, computed a whole batch at a time.

A record's n-grams never cross a word, so they depend on the word alone: they are made once for each distinct word of a batch
(its vocabulary), and a record is only the list of its words. Summing over words then costs what words cost, not what n-grams do.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pyarrow as pa

from siamese.kinds import canonical
from siamese.schema import Kind, Schema
from siamese.text import SPACE, Words, split_words

HASH_BITS = (
    18  # 262,144 rows: collisions stay rare for the vocabularies of single domains, and the tables stay in tens of MB
)
GRAM_SIZES = (3, 4, 5)


class Group(IntEnum):
    """Kinds of features that are weighted apart in every field."""

    WORD = 0  # a word without a digit
    CODE = 1  # a word with a digit: model numbers, years, amounts
    GRAM = 2  # n characters inside a word
    JOINED = 3  # two neighbouring words as one: what they say together, and "photo shop" as "photoshop"
    JOINED_CODE = 4  # the same with a digit: "ps lx350h" as "pslx350h"


@dataclass(frozen=True)
class Bags:
    """n records as bags of words over a vocabulary of v distinct words, joined ones among them.

    Attributes:
        groups: (v,) int64 Group of each distinct word.
        feature_ids: (f,) int32 hashed features, word after word: the word itself, then its n-grams; joined words have none, for their
            parts have them.
        feature_offsets: (v + 1,) int64; word w has the features ``feature_offsets[w]`` to ``feature_offsets[w + 1]``.
        words: (o,) int64 vocabulary index of every occurrence, by record, then field.
        offsets: (n * fields + 1,) int64 bounds of each record's field in ``words``.
        n_fields: fields a record.
    """

    groups: np.ndarray
    feature_ids: np.ndarray
    feature_offsets: np.ndarray
    words: np.ndarray
    offsets: np.ndarray
    n_fields: int

    def __len__(self) -> int:
        return (len(self.offsets) - 1) // self.n_fields

    def take(self, rows: np.ndarray) -> "Bags":
        """The bags of some records, over the words that they hold."""
        cells = (np.asarray(rows)[:, None] * self.n_fields + np.arange(self.n_fields)).ravel()
        words, offsets = take_ragged(self.words, self.offsets, cells)
        kept = np.zeros(len(self.groups), bool)
        kept[words] = True
        kept = np.flatnonzero(kept)
        renumbered = np.empty(len(self.groups), np.int64)
        renumbered[kept] = np.arange(len(kept))
        ids, id_offsets = take_ragged(self.feature_ids, self.feature_offsets, kept)
        return Bags(self.groups[kept], ids, id_offsets, renumbered[words], offsets, self.n_fields)


def take_ragged(values: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a ragged array (values end to end, (n + 1,) offsets) as another one."""
    return take_spans(values, offsets[rows], offsets[rows + 1] - offsets[rows])


def take_spans(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spans of values as a ragged array: end to end, with their (n + 1,) offsets."""
    taken = np.concatenate(([0], np.cumsum(lengths)))
    positions = np.arange(taken[-1]) + np.repeat(starts - taken[:-1], lengths)
    return values[positions], taken


def featurise(records: pa.Table, schema: Schema, joined: Collection[Kind] = ()) -> Bags:
    """Bags of records whose columns :meth:`Schema.select` made text.

    Args:
        joined: kinds of fields whose neighbouring words are joined too.
    """
    n, n_fields = records.num_rows, len(schema.fields)
    columns = [split_words(canonical(records[field.name].combine_chunks(), field.kind)) for field in schema.fields]
    hashes, cells, groups = [], [], []
    for number, (field, words) in enumerate(zip(schema.fields, columns, strict=True)):
        cell = np.repeat(np.arange(n) * n_fields + number, np.diff(words.offsets))
        unmixed, lengths = _unmixed_hashes(words)
        has_digit = _has_digit(words)
        hashes.append(_mix(unmixed))
        cells.append(cell)
        groups.append(has_digit.astype(np.int64))
        if field.kind in joined and len(words):
            first = np.flatnonzero(cell[1:] == cell[:-1])
            powers = _powers(_BASE, int(lengths.max()) + 1)
            hashes.append(_mix(unmixed[first] + powers[lengths[first]] * unmixed[first + 1]))
            cells.append(cell[first])
            groups.append(Group.JOINED + (has_digit[first] | has_digit[first + 1]))
    group, cell = np.concatenate(groups), np.concatenate(cells)
    # One entry for a spelling as a word and another one for it as two: their features are the same, their groups are not.
    is_joined = group >= Group.JOINED
    keys = np.concatenate(hashes) ^ np.where(is_joined, np.uint64(_JOINED_SALT), np.uint64(0))
    coded = pa.array(keys).dictionary_encode()
    occurrences, entries = coded.indices.to_numpy().astype(np.int64), coded.dictionary.to_numpy()

    first = np.zeros(len(entries), np.int64)
    first[occurrences[::-1]] = np.arange(len(occurrences))[::-1]  # of each distinct word: the last write stays
    group = group[first]
    spelled = group < Group.JOINED
    place = (np.cumsum(~is_joined) - 1)[first[spelled]]  # among the words alone, which lie by field
    gram_ids, gram_offsets = _hash_grams(_subset(columns, place))
    gram_counts = np.zeros(len(entries), np.int64)
    gram_counts[spelled] = np.diff(gram_offsets)
    gram_offsets = np.concatenate(([0], np.cumsum(gram_counts)))
    word_ids = feature_of(entries ^ np.where(spelled, np.uint64(0), np.uint64(_JOINED_SALT)))
    return Bags(
        group,
        np.insert(gram_ids, gram_offsets[:-1], word_ids).astype(np.int32),
        gram_offsets + np.arange(len(gram_offsets)),
        occurrences[np.argsort(cell, kind="stable")],
        np.concatenate(([0], np.cumsum(np.bincount(cell, minlength=n * n_fields)))),
        n_fields,
    )


# Hashing: a polynomial in an odd base modulo 2^64, then a finaliser; the top bits pick the row.
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 2**64)
_GRAM_SALT = 0xD6E8FEB86659FD93
_JOINED_SALT = 0xA0761D6478BD642F


def _mix(h: np.ndarray) -> np.ndarray:
    """Finaliser of splitmix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


def feature_of(h: np.ndarray) -> np.ndarray:
    """(w,) int64 row of the feature tables for each 64-bit hash."""
    return (h >> np.uint64(64 - HASH_BITS)).astype(np.int64)


def _powers(base: int, count: int) -> np.ndarray:
    powers = np.full(count, base, np.uint64)
    powers[:1] = 1
    return np.multiply.accumulate(powers)


def hash_words(words: Words) -> np.ndarray:
    """(w,) uint64 hash of each word."""
    return _mix(_unmixed_hashes(words)[0])


def _unmixed_hashes(words: Words) -> tuple[np.ndarray, np.ndarray]:
    """(w,) uint64: sum of char * base^position over each word, from prefix sums shifted back by the inverse power; (w,) lengths.

    The sum of a word joined to another is its own plus base^length times the other's.
    """
    terms = _mix(words.chars.astype(np.uint64)) * _powers(_BASE, len(words.chars))
    sums = np.concatenate(([np.uint64(0)], np.cumsum(terms, dtype=np.uint64)))
    starts, ends = words.spaces[:-1] + 1, words.spaces[1:]
    return (sums[ends] - sums[starts]) * _powers(_INVERSE, len(words.chars) + 1)[starts], ends - starts


def _hash_grams(words: Words) -> tuple[np.ndarray, np.ndarray]:
    """Hashed n-grams of each word with its two bounding spaces, as ragged (ids, offsets)."""
    chars = _mix(words.chars.astype(np.uint64))
    size = len(chars)
    word_of = np.cumsum(words.chars == SPACE) - 1  # a space belongs to the word after it
    ids = np.zeros((size, len(GRAM_SIZES)), np.int64)
    valid = np.zeros((size, len(GRAM_SIZES)), bool)
    rolling = np.zeros(size, np.uint64)
    for n in range(1, max(GRAM_SIZES) + 1):
        if n > size:
            break
        rolling = rolling[: size - n + 1] * np.uint64(_BASE) + chars[n - 1 :]
        if n in GRAM_SIZES:
            column = GRAM_SIZES.index(n)
            ids[: size - n + 1, column] = feature_of(_mix(rolling ^ np.uint64(_GRAM_SALT * n % 2**64)))
            valid[: size - n + 1, column] = (
                word_of[: size - n + 1] == word_of[n - 2 : size - 1]
            )  # only the last may be the next space
    counts = np.bincount(np.repeat(word_of, valid.sum(axis=1)), minlength=len(words) + 1)[: len(words)]
    return ids[valid], np.concatenate(([0], np.cumsum(counts)))


def _has_digit(words: Words) -> np.ndarray:
    digits = np.concatenate(([0], np.cumsum((words.chars >= 48) & (words.chars <= 57))))
    return digits[words.spaces[1:]] > digits[words.spaces[:-1]]


def _subset(columns: list[Words], places: np.ndarray) -> Words:
    """Some of the words of several columns (numbered through) as Words of their own."""
    chars = np.concatenate([words.chars for words in columns])
    shifts = np.cumsum([0] + [len(words.chars) for words in columns])
    starts = np.concatenate([words.spaces[:-1] + shift for words, shift in zip(columns, shifts, strict=False)])[places]
    ends = np.concatenate([words.spaces[1:] + shift for words, shift in zip(columns, shifts, strict=False)])[places]
    offsets = np.concatenate(([0], np.cumsum(ends - starts)))
    positions = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], ends - starts)
    return Words(np.append(chars[positions], np.uint32(SPACE)), offsets, np.arange(len(places) + 1))
