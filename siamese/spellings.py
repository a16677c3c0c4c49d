"""Spellings: the rarest words of each record, each as a few numbers that another spelling of it is likely to share.

A slip of the keyboard makes another word of a word, but leaves it most of its three-letter runs. The number of a word in a *band* is the
least of the hashes of its runs (minwise hashing, Broder 1997), so two words share it as often as they share runs; the bands have
independent hashes. Nothing here is learned, and nothing depends on the tower.
"""

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


def count_words(texts: pa.Table, schema: Schema) -> NDArray[np.uint16]:
    """(2**22,) how often each hashed word occurs in records whose columns :meth:`Schema.select` made text, up to 65,535."""
    hashes = hash_words(_words(texts, schema))
    return np.minimum(np.bincount(_counted(hashes), minlength=2**COUNT_BITS), _MOST).astype(np.uint16)


def spell(texts: pa.Table, schema: Schema, counts: NDArray[np.uint16]) -> NDArray[np.uint32]:
    """(BANDS, n, WORDS) numbers of the rarest words of n records, the rarest first; 0 where a record has no more words.

    Args:
        texts: as for :func:`count_words`.
        counts: what it gave for these records, or for a sample of them.
    """
    words, n = _words(texts, schema), texts.num_rows
    spelled = np.zeros((BANDS, n, WORDS), np.uint32)
    if len(words) == 0:
        return spelled
    hashes = hash_words(words)
    record = np.repeat(np.arange(n * len(schema.fields)) // len(schema.fields), np.diff(words.offsets))
    # Of equally rare words the order must be the same in every record: that of their hashes.
    rarity = (counts[_counted(hashes)].astype(np.uint64) << np.uint64(48)) | (hashes >> np.uint64(16))
    order = np.lexsort((rarity, record))
    record, rarity = record[order], rarity[order]
    again = np.append(False, (record[1:] == record[:-1]) & (rarity[1:] == rarity[:-1]))
    order, record = order[~again], record[~again]
    place = np.arange(len(record)) - np.searchsorted(record, record)
    kept = place < WORDS
    coded = pa.array(hashes[order[kept]]).dictionary_encode()
    number, distinct = coded.indices.to_numpy(), len(coded.dictionary)
    first = np.empty(distinct, np.int64)
    first[number] = order[kept]
    spelled[:, record[kept], place[kept]] = _sketches(words, first)[:, number]
    return spelled


def _words(texts: pa.Table, schema: Schema) -> Words:
    return split_words(*(canonical(texts[field.name].combine_chunks(), field.kind) for field in schema.fields))


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
