"""Spellings: the rarest words of each record, each as a few numbers that another spelling of it is likely to share.

A slip of the keyboard makes another word of a word, but leaves it most of its three-letter runs. The number of a word in a *band* is the
least of the hashes of its runs (minwise hashing, Broder 1997), so two words share it as often as they share runs; the bands have
independent hashes. Nothing here is learned, and nothing depends on the tower.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from siamese.features import hash_words, take_spans
from siamese.hashing import mix
from siamese.kinds import canonical
from siamese.schema import Schema
from siamese.text import Words, split_words

BANDS = 6
WORDS = 8  # of a record, the rarest
COUNT_BITS = (
    22  # of a word's hash, by which it is counted: words that collide are taken for more frequent than they are
)
_MOST = 2**16 - 1
_RUN = 3  # letters
_BATCH_BITS = 12  # of a record's place in a batch, whose words stay in a core's cache


def count_words(texts: pa.Table, schema: Schema) -> NDArray[np.uint16]:
    """(2**22,) how often each hashed word occurs in records whose columns :meth:`Schema.select` made text, up to 65,535."""
    counted = [_counted(hash_words(words)) for _, words in _batches(texts, schema)]
    counts = np.bincount(np.concatenate([np.empty(0, np.int64), *counted]), minlength=2**COUNT_BITS)
    return np.minimum(counts, _MOST).astype(np.uint16)


def spell(texts: pa.Table, schema: Schema, counts: NDArray[np.uint16]) -> NDArray[np.uint32]:
    """(BANDS, n, WORDS) numbers of the rarest words of n records, the rarest first; 0 where a record has no more words.

    Args:
        texts: as for :func:`count_words`.
        counts: what it gave for these records, or for a sample of them.
    """
    spelled = np.zeros((BANDS, texts.num_rows, WORDS), np.uint32)
    for start, words in _batches(texts, schema):
        if len(words):
            record, place, kept, hashes = _rarest(words, len(schema.fields), counts)
            coded = pa.array(hashes).dictionary_encode()
            number, distinct = coded.indices.to_numpy(), len(coded.dictionary)
            first = np.empty(distinct, np.int64)
            first[number] = kept
            spelled[:, start + record, place] = _sketches(words, first)[:, number]
    return spelled


def _rarest(
    words: Words, n_fields: int, counts: NDArray[np.uint16]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]:
    """Of the rarest words of each record: the record, the place among its words, which of the words it is, and its hash."""
    hashes = hash_words(words)
    record = np.repeat(
        np.arange(2**_BATCH_BITS)[: len(words.offsets[::n_fields]) - 1], np.diff(words.offsets[::n_fields])
    )
    # Sorted as one number each: the record, how frequent the word is and, of equally rare words, their hashes, whose order is the same
    # in every record.
    rarity = (record.astype(np.uint64) << np.uint64(16)) | counts[_counted(hashes)]
    rarity = (rarity << np.uint64(48 - _BATCH_BITS)) | (hashes >> np.uint64(16 + _BATCH_BITS))
    order = np.argsort(rarity)
    order = order[np.append(True, np.diff(rarity[order]) != 0)]
    record = record[order]
    starts = np.flatnonzero(np.append(True, np.diff(record) != 0))
    place = np.arange(len(record)) - np.repeat(starts, np.diff(np.append(starts, len(record))))
    kept = place < WORDS
    return record[kept], place[kept], order[kept], hashes[order[kept]]


def _batches(texts: pa.Table, schema: Schema) -> Iterator[tuple[int, Words]]:
    """The first record of each batch, and its words."""
    columns = [canonical(texts[field.name].combine_chunks(), field.kind) for field in schema.fields]
    for start in range(0, texts.num_rows, 2**_BATCH_BITS):
        yield start, split_words(*(column.slice(start, 2**_BATCH_BITS) for column in columns))


def _counted(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    return (hashes >> np.uint64(64 - COUNT_BITS)).astype(np.int64)


def _sketches(words: Words, places: NDArray[np.int64]) -> NDArray[np.uint32]:
    """(BANDS, w) numbers of some words, 1 or more. The runs of a word are of it and the space on either side."""
    lengths = words.ends[places] - words.starts[places]
    chars, bounds = take_spans(words.chars, words.starts[places] - 1, lengths + _RUN - 1)
    chars = np.append(chars, np.zeros(_RUN - 1, chars.dtype)).astype(np.uint64)
    runs = np.zeros(bounds[-1], np.uint64)
    for letter in range(_RUN):
        runs = (runs << np.uint64(21)) | chars[letter : letter + bounds[-1]]  # code points have 21 bits
    runs, starts = take_spans(runs, bounds[:-1], lengths)
    sketches = np.empty((BANDS, len(places)), np.uint32)
    for band, salt in enumerate(mix(np.arange(1, BANDS + 1, dtype=np.uint64))):
        sketches[band] = np.minimum.reduceat(mix(runs ^ salt), starts[:-1]) >> np.uint64(32)
    return np.maximum(sketches, 1)
