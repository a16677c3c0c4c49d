"""Buckets: records that share a key, made of some of their words in a band of :mod:`siamese.spellings`, however the rest differs.

The method is blocking by locality-sensitive hashing (Indyk and Motwani 1998), with keys that combine one, two or three words: each by
itself may be frequent, together they are rare. Of all keys of a band and a number of words, buckets are taken from the smallest on, as
long as they bring matches that no others brought, and until they have brought as many pairs as a record can afford, so that the work grows
with the number of records.
"""

from collections.abc import Callable, Iterator
from functools import reduce
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from siamese.hashing import mix
from siamese.spellings import WORDS

ORDERS = (1, 3, 2)  # words in a key; three before two, for of the pairs that share three more are matches
ALONE = 2  # words of a record, at most, that are keys each by itself
PAIRS = 4.0  # of strangers, for each record and word of the key, at most
SMALLEST = 2  # records in a bucket that are always compared
SAMPLED = 8192  # pairs that say whether all of buckets of one size are worth it, about
AGAIN = 4  # times that a pair may be in buckets of one size, on average
AT_ONCE = 2**25  # keys that are sorted together
ROWS = 2**16  # records whose keys are made together: of fewer, threads wait for one another
BLOCK = 2**16  # keys whose neighbours are looked at together, in a core's cache
SPARE_BITS = (
    4  # of a slot's number: 16 slots for each key that is looked for, by which most others are told at a glance
)
MOST_BITS = 22  # of it, at most

Sides = tuple[NDArray[np.int64], NDArray[np.int64]]  # left and right rows of pairs
Sizes = list[list[int]]  # records in the greatest buckets that were taken: of each of ORDERS, for each part of its keys


def pairs_of_band(
    spelled: NDArray[np.uint32],
    first: int | None = None,
    is_worth: Callable[[Sides, int], bool] | None = None,
    surveyed: NDArray[np.int64] | None = None,
) -> tuple[Sides, Sizes]:
    """(left, right) rows of records that share a key, left < right, each pair once; and how great buckets were taken.

    Args:
        spelled: (n, WORDS) of one band.
        first: of two corpora, the records of the first one, which come first: left counts those, right the others, and no pair is of one.
        is_worth: whether so many pairs are worth it for some new ones among them. It is asked about a sample of the pairs that buckets of
            a size hold, and of those in it that were not found before; if not, greater buckets are left out. None: all are.
        surveyed: rows whose pairs are found whether they are worth it or not, so that what buckets hold of all candidates can be told.
    """
    n = len(spelled)
    found: list[NDArray[np.uint64]] = []
    is_surveyed = np.zeros(n, bool)
    is_surveyed[[] if surveyed is None else surveyed] = True

    def goes_on(pairs: NDArray[np.uint64]) -> bool:
        if is_worth is None:
            return True
        new = sample = pairs[:: len(pairs) // SAMPLED + 1]
        for earlier in filter(len, found):
            new = new[earlier.take(np.searchsorted(earlier, new), mode="clip") != new]
        return is_worth(_sides(new, n, first), len(sample))

    sizes: Sizes = []
    for order in ORDERS:
        parts = max(-(-_key_count(spelled, order) // AT_ONCE), 1)
        most = PAIRS * order * n / parts
        sizes.append(
            [
                _add_pairs(found, _codes(spelled, order, part, parts), most, goes_on, is_surveyed)
                for part in range(parts)
            ]
        )
    codes = np.sort(np.concatenate([np.empty(0, np.uint64), *found]))
    return _sides(codes[_fresh(codes)], n, first), sizes


def pairs_of_rows(spelled: NDArray[np.uint32], rows: NDArray[np.int64], sizes: Sizes) -> Sides:
    """(left, right) rows of records that share a key, left < right, each pair once, and one of them among some rows.

    Args:
        spelled: (n, WORDS) of one band.
        rows: that are asked about; if they are few, what they share is found in a fraction of the time that all keys take.
        sizes: what :func:`pairs_of_band` said of a corpus like this one; greater buckets are left out.
    """
    n, is_asked = len(spelled), np.zeros(len(spelled), bool)
    is_asked[rows] = True
    found = [np.empty(0, np.uint64)]
    for order, greatest in zip(ORDERS, sizes, strict=True):
        keys = np.unique(np.concatenate([keys for _, keys in _keys(spelled[rows], order)]))
        if len(keys) == 0:
            continue
        most = np.array(greatest)[_part(keys, len(greatest))]
        key, row = _members(spelled, keys, order, 2 * most)
        starts = np.flatnonzero(_fresh(key))
        size = np.diff(np.append(starts, len(key)))
        taken = size <= most[key[starts]]
        for records in np.flatnonzero(np.bincount(size[taken])):
            here = starts[taken & (size == records)]
            for one, other in combinations([row[here + place] for place in range(records)], 2):
                some = np.flatnonzero(is_asked[one] | is_asked[other])
                found.append(one[some].astype(np.uint64) * np.uint64(n) + other[some].astype(np.uint64))
    pairs = np.concatenate(found)
    pairs.sort()
    return _sides(pairs[_fresh(pairs)], n, None)


def _sides(pairs: NDArray[np.uint64], n: int, first: int | None) -> Sides:
    left, right = np.divmod(pairs.astype(np.int64), max(n, 1))
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
                    here = codes[_part(codes, parts) == part]
                    codes = keys[filled : filled + len(here)]
                    codes[:] = here
                filled += len(codes)
    keys[:filled].sort()
    kept = _keep_several(keys[:filled], row_bits)
    keys.resize(kept, refcheck=False)  # in place: copies of all keys were the peak of a run
    return keys


def _members(
    spelled: NDArray[np.uint32], keys: NDArray[np.uint64], order: int, most: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of some keys, and the rows that have it, ascending; of a key that more than so many have, some of these at least."""
    bits = min(len(keys).bit_length() + SPARE_BITS, MOST_BITS)
    shift = np.uint64(64 - bits)
    slots = keys >> shift
    is_first = _fresh(slots)  # of the keys of a slot
    first, is_alone = np.flatnonzero(is_first), is_first & np.append(is_first[1:], True)
    is_open, place = np.zeros(2**bits, bool), np.zeros(2**bits, np.int32)
    is_open[slots], place[slots[first]] = True, first
    counts, found = np.zeros(len(keys), np.int64), [np.empty((2, 0), np.int64)]
    for start in range(0, len(spelled), ROWS):
        before = len(found)
        for rows, theirs in _keys(spelled[start : start + ROWS], order):
            slot = theirs >> shift
            here = np.flatnonzero(is_open.take(slot))
            theirs, key = theirs.take(here), place.take(slot.take(here))
            others = np.flatnonzero(keys.take(key) != theirs)
            others = others[~is_alone.take(key.take(others))]
            key[others] = np.minimum(np.searchsorted(keys, theirs[others]), len(keys) - 1)
            same = np.flatnonzero(keys.take(key) == theirs)
            found.append(np.stack([key[same], start + rows.take(here[same])]))
        counts += np.bincount(np.concatenate([each[0] for each in found[before:]]), minlength=len(keys))
        is_open[slots[is_alone & (counts > most)]] = False
    key, row = np.concatenate(found, axis=1)
    some = np.flatnonzero(counts[key] <= most[key])
    codes = key[some] * len(spelled) + row[some]
    codes.sort()
    return np.divmod(codes[_fresh(codes)], len(spelled))


def _keys(block: NDArray[np.uint32], order: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint64]]]:
    """Rows and their keys of one choice of places after another."""
    numbers = np.ascontiguousarray(block.T)
    words, present = mix(numbers.astype(np.uint64)), numbers > 0
    if order == 1:
        present &= numbers[ALONE] == 0
    for places in combinations(range(WORDS), order):
        has = np.flatnonzero(np.logical_and.reduce([present[place] for place in places]))
        yield has, reduce(np.add, [words[place].take(has) for place in places])


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


def _add_pairs(
    found: list[NDArray[np.uint64]],
    codes: NDArray[np.uint64],
    most: float,
    goes_on: Callable[[NDArray[np.uint64]], bool],
    is_surveyed: NDArray[np.bool_],
) -> int:
    """Add the pairs left * n + right of those that share a bucket, ascending, by the size of the bucket, smallest first, as long as they
    are about ``most``; once they are not worth it, those of surveyed rows. How great the greatest was whose pairs were all added."""
    n, has_surveyed, worth, total, greatest = len(is_surveyed), bool(is_surveyed.any()), True, 0.0, SMALLEST
    row_bits = _row_bits(n)
    rows = (np.uint64(1) << row_bits) - np.uint64(1)  # their bits
    starts = _starts(codes, row_bits)
    sizes = np.diff(np.append(starts, len(codes)))
    for size in np.flatnonzero(np.bincount(sizes)):
        if size < SMALLEST:
            continue
        here = starts[sizes == size]
        if size > SMALLEST and len(here) * size * (size - 1) // 2 > AGAIN * most:
            break
        if not (worth or has_surveyed):
            break
        members = [codes.take(here + place) & rows for place in range(size)]
        if not worth:
            asked = np.flatnonzero(np.any([is_surveyed.take(each) for each in members], axis=0))
            members = [each[asked] for each in members]
        by_places = np.empty((comb(int(size), 2), len(members[0])), np.uint64)
        for pairs, (one, other) in zip(by_places, combinations(members, 2), strict=True):
            np.multiply(one, np.uint64(n), out=pairs)
            pairs += other
        pairs = by_places.ravel()
        pairs.sort()
        fresh = _fresh(pairs)
        once = int((fresh & np.append(fresh[1:], True)).sum())  # pairs that share several keys are hardly strangers
        total += len(here) * (once / len(members[0]) if len(members[0]) else len(by_places))
        if size > SMALLEST and total > most:
            break
        pairs = pairs[fresh]
        worth = worth and (size == SMALLEST or goes_on(pairs))
        if not worth:
            left, right = np.divmod(pairs, np.uint64(n))
            pairs = pairs[is_surveyed.take(left) | is_surveyed.take(right)]
        else:
            greatest = int(size)
        found.append(pairs)
    return greatest


def _part(codes: NDArray[np.uint64], parts: int) -> NDArray[np.uint64]:
    """Of so many parts of all keys, the one that each belongs to."""
    return (codes >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32)


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


def _fresh(ordered: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which elements differ from the one before."""
    return np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
