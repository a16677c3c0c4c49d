"""Buckets: records that share a key, made of some of their words in a band of :mod:`siamese.spellings`, however the rest differs.

The method is blocking by locality-sensitive hashing (Indyk and Motwani 1998), with keys that combine one, two or three words: each by
itself may be frequent, together they are rare. All keys of a band and a number of words make one *block*; buckets are taken from the
smallest on, until they have brought as many pairs as a record can afford, so that the work grows with the number of records.
"""

from itertools import combinations
from math import comb

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
AT_ONCE = 2**25  # keys that are sorted together
ROWS = 2**14  # records whose keys are made together, in a core's cache
BLOCK = 2**16  # keys whose neighbours are looked at together, likewise


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
    parts = max(-(-_key_count(spelled, order) // AT_ONCE), 1)
    found = [_pairs(_codes(spelled, order, part, parts), n, PAIRS * order * n / parts) for part in range(parts)]
    codes = np.sort(np.concatenate([np.empty(0, np.uint64), *found]))
    left, right = np.divmod(codes[_fresh(codes)].astype(np.int64), max(n, 1))
    if first is None:
        return left, right
    across = (left < first) & (right >= first)
    return left[across], right[across] - first


def _codes(spelled: NDArray[np.uint32], order: int, part: int, parts: int) -> NDArray[np.uint64]:
    """Sorted keys of one part of the block that several records have, each with a row that has it in its lowest bits."""
    row_bits = _row_bits(len(spelled))
    key_bits = ~((np.uint64(1) << row_bits) - np.uint64(1))
    keys, filled = np.empty(_key_count(spelled, order), np.uint64), 0  # what is not filled takes no memory
    for start in range(0, len(spelled), ROWS):
        some = np.ascontiguousarray(spelled[start : start + ROWS].T)
        words = mix(some.astype(np.uint64))
        for last in range(order - 1, WORDS):
            has = np.flatnonzero(some[last])  # a record's words come first
            if order == 1:
                has = has[some[ALONE, has] == 0]
            those, rows = [word.take(has) for word in words[: last + 1]], (start + has).astype(np.uint64)
            for places in combinations(range(last), order - 1):
                codes = keys[filled : filled + len(has)]
                codes[:] = those[last]
                for place in places:
                    codes += those[place]  # in any order
                codes &= key_bits
                codes |= rows
                if parts > 1:
                    here = codes[(codes >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32) == part]
                    codes = keys[filled : filled + len(here)]
                    codes[:] = here
                filled += len(codes)
    keys[:filled].sort()
    kept = _keep_several(keys[:filled], row_bits)
    keys.resize(kept, refcheck=False)  # in place: copies of all keys were the peak of a run
    return keys


def _key_count(spelled: NDArray[np.uint32], order: int) -> int:
    """Keys in a block, at most."""
    return sum(int(np.count_nonzero(spelled[:, last])) * comb(last, order - 1) for last in range(WORDS))


def _keep_several(ordered: NDArray[np.uint64], row_bits: np.uint64) -> int:
    """Move to the front the codes with a key that others have too; of equal ones, for a row may have a key twice, the first. How many."""
    one_key, kept, before = np.uint64(1) << row_bits, 0, ~ordered[:1]
    for start in range(0, len(ordered), BLOCK):
        some = np.concatenate([before, ordered[start : start + BLOCK + 1]])
        apart = some[1:] ^ some[:-1]
        if len(some) <= BLOCK + 1:
            apart = np.append(apart, one_key)  # nothing follows
        codes = some[1 : len(apart)]
        before = codes[-1:]
        codes = codes[(apart[:-1] != 0) & (np.minimum(apart[:-1], apart[1:]) < one_key)]
        ordered[kept : kept + len(codes)] = codes
        kept += len(codes)
    return kept


def _pairs(codes: NDArray[np.uint64], n: int, most: float) -> NDArray[np.uint64]:
    """Pairs left * n + right of those that share a bucket, smallest buckets first, as long as they are about ``most``."""
    row_bits = _row_bits(n)
    rows = (np.uint64(1) << row_bits) - np.uint64(1)  # their bits
    starts = _starts(codes, row_bits)
    sizes = np.diff(np.append(starts, len(codes)))
    found, total = [np.empty(0, np.uint64)], 0
    for size in np.flatnonzero(np.bincount(sizes)):
        if size < SMALLEST:
            continue
        here = starts[sizes == size]
        if size > SMALLEST and len(here) * size * (size - 1) // 2 > AGAIN * most:
            break
        members = [codes.take(here + place) & rows for place in range(size)]
        by_places = np.empty((comb(int(size), 2), len(here)), np.uint64)
        for pairs, (one, other) in zip(by_places, combinations(members, 2), strict=True):
            np.multiply(one, np.uint64(n), out=pairs)
            pairs += other
        pairs = by_places.ravel()
        pairs.sort()
        fresh = _fresh(pairs)
        once = int((fresh & np.append(fresh[1:], True)).sum())  # pairs that share several keys are hardly strangers
        total += once
        if size > SMALLEST and total > most:
            break
        found.append(pairs[fresh])
    return np.concatenate(found)


def _starts(codes: NDArray[np.uint64], row_bits: np.uint64) -> NDArray[np.int64]:
    """Places of the first code of each key."""
    found = [np.zeros(min(len(codes), 1), np.int64)]
    for start in range(0, len(codes) - 1, BLOCK):
        some = codes[start : start + BLOCK + 1]
        found.append(start + 1 + np.flatnonzero(some[1:] ^ some[:-1] >= np.uint64(1) << row_bits))
    return np.concatenate(found)


def _row_bits(n: int) -> np.uint64:
    """That number n rows."""
    return np.uint64(max(n - 1, 1).bit_length())


def _fresh(ordered: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which elements differ from the one before."""
    return np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
