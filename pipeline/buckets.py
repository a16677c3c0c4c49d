"""Buckets: records that share a key, made of some of their words in a band of :mod:`siamese.spellings`, however the rest differs.

The method is blocking by locality-sensitive hashing (Indyk and Motwani 1998), with keys that combine one, two or three words: each by
itself may be frequent, together they are rare. All keys of a band and a number of words make one *block*; buckets are taken from the
smallest on, until they have brought as many pairs as a record can afford, so that the work grows with the number of records.
"""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from siamese.hashing import mix
from siamese.spellings import BANDS, WORDS

ORDERS = (1, 2, 3)  # words in a key; the more of them two records share, the likelier they are the same
ALONE = 2  # words of a record, at most, that are keys each by itself
BLOCKS = BANDS * len(ORDERS)
PAIRS = 2.0  # of strangers, for each record and word of the key
SMALLEST = 2  # records in a bucket that are always compared
AGAIN = 8  # times that a pair may be in buckets of one size, on average
AT_ONCE = 2**24  # keys that are sorted together


def pairs_of_block(
    spelled: NDArray[np.uint32], order: int, first: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(left, right) rows of records that share a key, left < right, each pair once.

    Args:
        spelled: (n, WORDS) of one band.
        order: words in a key.
        first: of two corpora, the records of the first one, which come first: left counts those, right the others, and no pair is of one.
    """
    n = len(spelled)
    parts = -(-n * len(list(combinations(range(WORDS), order))) // AT_ONCE)
    found = [_pairs(_codes(spelled, order, part, parts), n, PAIRS * order * n / parts) for part in range(parts)]
    codes = _distinct(np.concatenate(found or [np.empty(0, np.uint64)]))
    left, right = np.divmod(codes.astype(np.int64), max(n, 1))
    if first is None:
        return left, right
    across = (left < first) & (right >= first)
    return left[across], right[across] - first


def _codes(spelled: NDArray[np.uint32], order: int, part: int, parts: int) -> NDArray[np.uint64]:
    """Sorted keys of one part of the block, each with the row that has it in its lowest bits."""
    row_bits = np.uint64(max(len(spelled) - 1, 1).bit_length())
    rows = np.arange(len(spelled), dtype=np.uint64)
    codes: list[NDArray[np.uint64]] = []
    words = [mix(spelled[:, place].astype(np.uint64) ^ (np.uint64(order) << np.uint64(40))) for place in range(WORDS)]
    for places in combinations(range(WORDS), order):
        key = words[places[0]].copy()
        for place in places[1:]:
            key += words[place]  # in any order
        key = mix(key)
        has = spelled[:, places[-1]] > 0  # a record's words come first
        if order == 1:
            has &= spelled[:, ALONE] == 0
        if parts > 1:
            has &= key % np.uint64(parts) == part
        codes.append(((key >> row_bits) << row_bits | rows)[has])
    return _distinct(np.concatenate(codes))


def _pairs(codes: NDArray[np.uint64], n: int, most: float) -> NDArray[np.uint64]:
    """Pairs left * n + right of those that share a bucket, smallest buckets first, as long as they are about ``most``."""
    row_bits = np.uint64(max(n - 1, 1).bit_length())
    keys, rows = codes >> row_bits, codes & ((np.uint64(1) << row_bits) - np.uint64(1))
    starts = np.flatnonzero(_fresh(keys))
    sizes = np.diff(np.append(starts, len(keys)))
    shared = sizes >= SMALLEST
    starts, sizes = starts[shared], sizes[shared]
    found, total = [np.empty(0, np.uint64)], 0
    for size in np.flatnonzero(np.bincount(sizes)):
        here = starts[sizes == size]
        if size > SMALLEST and len(here) * size * (size - 1) // 2 > AGAIN * most:
            break
        members = rows[here[:, None] + np.arange(size)]
        left, right = np.triu_indices(int(size), 1)
        pairs = np.sort((members[:, left] * np.uint64(n) + members[:, right]).ravel())
        fresh = _fresh(pairs)
        once = int((fresh & np.append(fresh[1:], True)).sum())  # pairs that share several keys are hardly strangers
        total += once
        if size > SMALLEST and total > most:
            break
        found.append(pairs[fresh])
    return np.concatenate(found)


def _distinct(codes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Sorted, each once; np.unique hashes, which takes ten times as long."""
    codes = np.sort(codes)
    return codes[_fresh(codes)]


def _fresh(ordered: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which elements differ from the one before."""
    return np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
