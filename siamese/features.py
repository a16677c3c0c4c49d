"""Features: records as bags of hashed words and character n-grams, computed a whole batch at a time.

A record's n-grams never cross a word, so they depend on the word alone: they are made once for each distinct word of a batch
(its vocabulary), and a record is only the list of its words. Summing over words then costs what words cost, not what n-grams do.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import pairwise
from typing import Self

import numpy as np
import pyarrow as pa

from siamese.hashing import mix, powers
from siamese.kinds import canonical, readable
from siamese.schema import Kind, Schema
from siamese.text import SPACE, Words, split_words

HASH_BITS = (
    18  # 262,144 rows: collisions stay rare for the vocabularies of single domains, and the tables stay in tens of MB
)
GRAM_SIZES = (3, 4, 5)
FIRST_WORDS = 16  # of a field, and as many pairs of neighbours, that are never thinned out


class Group(IntEnum):
    """Kinds of features that are weighted apart in every field."""

    WORD = 0  # a word without a digit
    CODE = 1  # a word with a digit: model numbers, years, amounts
    GRAM = 2  # n characters inside a word without a digit
    JOINED = 3  # two neighbouring words as one: what they say together, and "photo shop" as "photoshop"
    JOINED_CODE = 4  # the same with a digit: "ps lx350h" as "pslx350h"
    GRAM_CODE = 5  # n characters inside a word with a digit: what two models of one maker share


@dataclass(frozen=True)
class Bags:
    """n records as bags of words over a vocabulary of v distinct words, joined ones among them.

    Attributes:
        groups: (v,) int64 Group of each distinct word.
        feature_ids: (f,) int32 hashed features, word after word: the word itself, then its n-grams; joined words have none, for their
            parts have them.
        feature_offsets: (v + 1,) int64; word w has the features ``feature_offsets[w]`` to ``feature_offsets[w + 1]``.
        words: (o,) int64 vocabulary index of every occurrence, by record, then field.
        places: (o,) uint8: 0 for the first word of a field, or for it and the next as one, and so on; 255 is that, or later.
        offsets: (n * fields + 1,) int64 bounds of each record's field in ``words``.
        n_fields: fields a record.
    """

    groups: np.ndarray
    feature_ids: np.ndarray
    feature_offsets: np.ndarray
    words: np.ndarray
    places: np.ndarray
    offsets: np.ndarray
    n_fields: int

    def __len__(self) -> int:
        return (len(self.offsets) - 1) // self.n_fields

    def take(self, rows: np.ndarray) -> "Bags":
        """The bags of some records, over the words that they hold."""
        cells = (np.asarray(rows)[:, None] * self.n_fields + np.arange(self.n_fields)).ravel()
        chosen, offsets = spans(self.offsets[cells], self.offsets[cells + 1] - self.offsets[cells])
        words = self.words[chosen]
        kept = np.zeros(len(self.groups), bool)
        kept[words] = True
        kept = np.flatnonzero(kept)
        renumbered = np.empty(len(self.groups), np.int64)
        renumbered[kept] = np.arange(len(kept))
        ids, id_offsets = take_ragged(self.feature_ids, self.feature_offsets, kept)
        return Bags(self.groups[kept], ids, id_offsets, renumbered[words], self.places[chosen], offsets, self.n_fields)

    def thin(self, most: int, random: np.random.Generator) -> Self:
        """The bags with ``most`` words a record, about, of each field that has more on average: the first ones, which have a place of their
        own, and of the vocabulary as many as that asks for, so that what two records share they share still."""
        counts = np.diff(self.offsets).reshape(-1, self.n_fields)
        share = most * (counts > 0).sum(axis=0) / np.maximum(counts.sum(axis=0), 1)
        if (share[counts.any(axis=0)] >= 1).all():
            return self
        field = np.repeat(np.tile(np.arange(self.n_fields), len(self)), counts.ravel())
        drawn = random.random(len(self.groups))
        kept = (drawn[self.words] < share[field]) | (self.places < FIRST_WORDS)
        offsets = np.concatenate(([0], np.cumsum(kept)))[self.offsets]
        return replace(self, words=self.words[kept], places=self.places[kept], offsets=offsets)


def take_ragged(values: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a ragged array (values end to end, (n + 1,) offsets) as another one."""
    return take_spans(values, offsets[rows], offsets[rows + 1] - offsets[rows])


def take_spans(values: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spans of values as a ragged array: end to end, with their (n + 1,) offsets."""
    positions, taken = spans(starts, lengths)
    return values[positions], taken


def spans(starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions in spans, end to end, with the (n + 1,) offsets of each."""
    taken = np.concatenate(([0], np.cumsum(lengths)))
    return np.arange(taken[-1]) + np.repeat(starts - taken[:-1], lengths), taken


def featurise(records: pa.Table, schema: Schema, joined: Collection[Kind] = ()) -> Bags:
    """Bags of records whose columns :meth:`Schema.select` made text.

    Args:
        joined: kinds of fields whose neighbouring words are joined too.
    """
    n_fields = len(schema.fields)
    words = split_words(*(canonical(records[field.name].combine_chunks(), field.kind) for field in schema.fields))
    counts = np.diff(words.offsets)
    joins = np.tile([field.kind in joined for field in schema.fields], records.num_rows)
    before_next = np.repeat(joins, counts)
    before_next[words.offsets[1:][counts > 0] - 1] = False
    left = np.flatnonzero(before_next)

    unmixed, lengths = _unmixed_hashes(words), words.ends - words.starts
    shift = powers(_BASE, int(lengths.max(initial=0)) + 1)[lengths[left]]
    spelled, spelled_ids, spelled_first = _vocabulary(mix(unmixed))
    paired, paired_ids, paired_first = _vocabulary(mix(unmixed[left] + shift * unmixed[left + 1]))
    feature_ids, feature_counts, has_digit = _hash_grams(words, spelled_first, spelled_ids)
    left = left[paired_first]
    pair_has_digit = has_digit[spelled[left]] | has_digit[spelled[left + 1]]

    # Of each field first its words, then its pairs.
    pairs_before = np.concatenate(([0], np.cumsum(np.where(joins & (counts > 0), counts - 1, 0))))
    pair_counts = np.diff(pairs_before)
    occurrences = np.empty(len(spelled) + len(paired), np.int64)
    places = np.empty(len(occurrences), np.uint8)
    for number, first, own, before in (
        (spelled, words.offsets, counts, pairs_before[:-1]),
        (paired + len(spelled_ids), pairs_before, pair_counts, words.offsets[1:]),
    ):
        order = np.arange(len(number))
        at = order + np.repeat(before, own)
        occurrences[at] = number
        places[at] = np.minimum(order - np.repeat(first[:-1], own), 255)
    return Bags(
        np.concatenate([has_digit, Group.JOINED + pair_has_digit]).astype(np.int64),
        np.concatenate([feature_ids, paired_ids]),
        np.concatenate(([0], np.cumsum(np.append(feature_counts, np.ones(len(paired_ids), np.int64))))),
        occurrences,
        places,
        words.offsets + pairs_before,
        n_fields,
    )


def spell(records: pa.Table, schema: Schema, joined: Collection[Kind] = ()) -> list[str]:
    """(o,) the words that :func:`featurise` finds, in the order of ``Bags.words``, for people; of few records, for it goes word by word."""
    words = split_words(*(canonical(records[field.name].combine_chunks(), field.kind) for field in schema.fields))
    spelled, n_fields, found = words.spelled(), len(schema.fields), []
    for cell, (start, end) in enumerate(pairwise(words.offsets.tolist())):
        kind = schema.fields[cell % n_fields].kind
        own = [readable(word, kind) for word in spelled[start:end]]
        found += own + ([f"{one} {other}" for one, other in pairwise(own)] if kind in joined else [])
    return found


def _vocabulary(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of (o,) hashes: (o,) which distinct one each is, (v,) the features of those, and (v,) where each is first."""
    coded = pa.array(hashes).dictionary_encode()
    numbers, distinct = coded.indices.to_numpy(), coded.dictionary.to_numpy()
    first = np.empty(len(distinct), np.int64)
    first[numbers[::-1]] = np.arange(len(numbers) - 1, -1, -1)  # the last write stays
    return numbers, feature_of(distinct), first


# Hashing: a polynomial in an odd base modulo 2^64, then a finaliser; the top bits pick the row.
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 2**64)
_HASHED = 2**15  # words at once: their letters stay in a core's cache
_GRAM_SALT = 0xD6E8FEB86659FD93


def feature_of(h: np.ndarray) -> np.ndarray:
    """(w,) int32 row of the feature tables for each 64-bit hash."""
    return (h >> np.uint64(64 - HASH_BITS)).astype(np.int32)


def hash_words(words: Words) -> np.ndarray:
    """(w,) uint64 hash of each word."""
    return mix(_unmixed_hashes(words))


def _unmixed_hashes(words: Words) -> np.ndarray:
    """(w,) uint64: sum of char * base^position over each word, from prefix sums shifted back by the inverse power.

    The sum of a word joined to another is its own plus base^length times the other's.
    """
    hashes = np.empty(len(words), np.uint64)
    mixed = _mixed(words.chars)
    for first in range(0, len(words), _HASHED):
        starts, ends = words.starts[first : first + _HASHED], words.ends[first : first + _HASHED]
        chars = mixed[starts[0] : ends[-1]]
        sums = np.zeros(len(chars) + 1, np.uint64)
        np.cumsum(chars * powers(_BASE, len(chars)), out=sums[1:])
        at = starts - starts[0]
        hashes[first : first + _HASHED] = (sums.take(ends - starts[0]) - sums.take(at)) * powers(
            _INVERSE, len(chars)
        ).take(at)
    return hashes


def _mixed(chars: np.ndarray) -> np.ndarray:
    """(c,) uint64 of each character."""
    return mix(np.arange(int(chars.max()) + 1, dtype=np.uint64)).take(chars)


def _hash_grams(words: Words, places: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of some words.

    Args:
        places: (v,) which of the words.
        ids: (v,) int32 their own features.

    Returns:
        (f,) int32 features, of each word its own and then those of the n-grams of it and its two bounding spaces; (v,) how many
        each has; (v,) bool: has it a digit?
    """
    lengths = words.ends[places] - words.starts[places] + 1
    chars, spaces = take_spans(words.chars, words.starts[places] - 1, lengths)
    chars = np.append(chars, chars.dtype.type(SPACE))
    size = len(chars)
    word_of = np.repeat(np.arange(len(places)), lengths)
    features = np.zeros((size, 1 + len(GRAM_SIZES)), np.int32)
    valid = np.zeros(features.shape, bool)
    features[spaces[:-1], 0] = ids
    valid[spaces[:-1], 0] = True
    mixed = _mixed(chars)
    rolling = np.zeros(size, np.uint64)
    for n in range(1, min(max(GRAM_SIZES), size) + 1):
        rolling = rolling[: size - n + 1] * np.uint64(_BASE) + mixed[n - 1 :]
        if n in GRAM_SIZES:
            column = 1 + GRAM_SIZES.index(n)
            features[: size - n + 1, column] = feature_of(mix(rolling ^ np.uint64(_GRAM_SALT * n % 2**64)))
            # only the last may be the next space
            valid[: size - n + 1, column] = word_of[: size - n + 1] == word_of[n - 2 : size - 1]
    digits = np.concatenate(([0], np.cumsum((chars >= 48) & (chars <= 57))))
    counts = 1 + sum(np.maximum(lengths + 2 - n, 0) for n in GRAM_SIZES)
    return features[valid], counts, np.diff(digits[spaces]) > 0
