"""Comparison: a pair of records as numbers that say what the two share and where they part; what the verifier reads.

No number changes when left and right change places, and none depends on the tower.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from operator import contains

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from rapidfuzz import fuzz, process
from rapidfuzz.distance import JaroWinkler

from siamese.features import take_ragged
from siamese.profiles import Profiles, amount_fields, word_fields
from siamese.schema import DATES, Schema

_jaro_winkler = JaroWinkler.normalized_similarity
ODD_WORDS = 3  # words of a record that the other lacks, the rarest of them, which are compared letter by letter

OVERLAP = ("shared", "jaccard", "contained", "only_min", "only_max", "rarest_shared")
ODD = ("odd_min", "odd_max", "odd_alike", "odd_alike_min", "odd_alike_max")
CODES = (
    "code_length",
    "codes",
    "codes_only_min",
    "codes_only_max",
    "code_only_length_min",
    "code_only_length_max",
    "codes_alike",
)
DIGITS = ("digits", "digits_only_min", "digits_only_max")
FIELD = ("jaccard", "contained", "length_ratio", "ratio", "jaro_winkler", *ODD)
# Features of which more can only speak for a match, other things equal, or only against one; of the rest either may be.
FOR = {"shared", "jaccard", "contained", "rarest_shared", "odd_alike", "odd_alike_min", "odd_alike_max"}
FOR |= {"code_length", "codes", "codes_alike", "digits", "ratio", "jaro_winkler"}
AGAINST = {"only_min", "only_max", "odd_min", "odd_max", "codes_only_min", "codes_only_max", "code_only_length_min"}
AGAINST |= {"code_only_length_max", "digits_only_min", "digits_only_max", "difference"}


@dataclass(frozen=True)
class Comparison:
    """m pairs of rows of some profiles.

    Attributes:
        profiles: of the records; F of their fields hold words.
        left, right: (m,) int64 rows.
    """

    profiles: Profiles
    left: NDArray[np.int64]
    right: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.left)

    def take(self, chosen: NDArray | slice) -> "Comparison":
        return Comparison(self.profiles, self.left[chosen], self.right[chosen])

    @cached_property
    def n_fields(self) -> int:
        return len(self.profiles.texts)

    @cached_property
    def left_cells(self) -> NDArray[np.int64]:
        """(m * F,) rows of ``profiles.cells``."""
        return (self.left[:, None] * self.n_fields + np.arange(self.n_fields)).ravel()

    @cached_property
    def right_cells(self) -> NDArray[np.int64]:
        return (self.right[:, None] * self.n_fields + np.arange(self.n_fields)).ravel()

    @cached_property
    def shared_cells(self) -> sp.csr_array:
        """(m * F, v) words that a field has on both sides."""
        return self.profiles.cells[self.left_cells].multiply(self.profiles.cells[self.right_cells]).tocsr()

    def features(self, schema: Schema) -> NDArray[np.float32]:
        """(m, len(feature_names(schema))) float32; NaN where a side has nothing to compare."""
        p, m = self.profiles, len(self.left)
        whole_left, whole_right = p.whole[self.left], p.whole[self.right]
        whole_shared = whole_left.multiply(whole_right).tocsr()
        joined_left, joined_right = p.joined[self.left], p.joined[self.right]
        whole = [
            *_overlap(p.weights, whole_left, whole_right, whole_shared),
            *_odd_words(p, whole_left - whole_shared, whole_right - whole_shared, joined_left, joined_right),
            *self._codes(joined_left, joined_right),
            *_only(p.digits[self.left], p.digits[self.right]),
        ]
        fields = np.stack(self._fields(joined_left, joined_right), axis=1)
        amounts = np.empty((m, p.amounts.shape[1]))
        for column, field in enumerate(amount_fields(schema)):
            a, b = p.amounts[self.left, column], p.amounts[self.right, column]
            scale = 1.0 if field.kind in DATES else np.maximum(np.maximum(np.abs(a), np.abs(b)), 1e-9)
            amounts[:, column] = np.abs(a - b) / scale
        missing = p.missing[self.left].astype(np.float32) + p.missing[self.right]
        return np.concatenate(
            [np.stack(whole, axis=1), fields.reshape(m, -1), amounts, missing], axis=1, dtype=np.float32
        )

    def _codes(self, joined_left: NDArray, joined_right: NDArray) -> list[NDArray]:
        """Words with a digit, found in the other record wherever and however it spells them ("PS-LX350H", "ps lx350 h")."""
        p, m = self.profiles, len(self.left)
        lengths = np.array([len(code) for code in p.codes], np.float32)
        found_longest, found, only, only_longest, left_over = np.zeros(m), [], [], [], []
        for rows, joined in ((self.left, joined_right), (self.right, joined_left)):
            codes = p.coded[rows]
            pair = row_numbers(codes)
            is_found = _contained(p.codes[codes.indices], joined[pair])
            found_longest = np.maximum(found_longest, _maxima(lengths[codes.indices] * is_found, pair, m))
            found.append(np.bincount(pair[is_found], minlength=m))
            only.append(np.bincount(pair[~is_found], minlength=m))
            only_longest.append(_maxima(lengths[codes.indices] * ~is_found, pair, m))
            left_over.append(_first_few(codes.indices[~is_found], pair[~is_found]))
        alike = _best_alike(p.codes, left_over[0], left_over[1], m)
        return [found_longest, np.maximum(*found), *_ordered(*only), *_ordered(*only_longest), alike.best]

    def _fields(self, joined_left: NDArray, joined_right: NDArray) -> list[NDArray]:
        """The features of FIELD, (m * F,) each."""
        p = self.profiles
        left, right, both = p.cells[self.left_cells], p.cells[self.right_cells], self.shared_cells
        said = p.cells @ p.weights
        said_left, said_right, said_both = said[self.left_cells], said[self.right_cells], both @ p.weights
        count_left, count_right = np.diff(left.indptr), np.diff(right.indptr)
        nothing = (count_left == 0) | (count_right == 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            jaccard = said_both / (said_left + said_right - said_both)
            contained = said_both / np.minimum(said_left, said_right)
            length_ratio = np.minimum(count_left, count_right) / np.maximum(count_left, count_right)
        ratio, jaro_winkler = np.full((2, len(self.left), self.n_fields), np.nan, np.float32)
        for field, texts in enumerate(p.texts):
            here = np.flatnonzero(~nothing[field :: self.n_fields])
            one, other = texts[self.left[here]], texts[self.right[here]]
            ratio[here, field] = alike(fuzz.ratio, one, other, 100)
            jaro_winkler[here, field] = alike(_jaro_winkler, one, other)
        columns = [jaccard, contained, length_ratio, ratio.ravel(), jaro_winkler.ravel()]
        again = np.repeat(np.arange(len(self.left)), self.n_fields)
        odd = _odd_words(p, left - both, right - both, joined_left[again], joined_right[again])
        return [*(np.where(nothing, np.nan, column) for column in columns), *odd]


def feature_names(schema: Schema) -> list[str]:
    """What each column of :meth:`Comparison.features` says."""
    return [
        *OVERLAP,
        *ODD,
        *CODES,
        *DIGITS,
        *(f"{field.name}: {feature}" for field in word_fields(schema) for feature in FIELD),
        *(f"{field.name}: difference" for field in amount_fields(schema)),
        *(f"{name}: missing" for name in schema.names),
    ]


def feature_signs(schema: Schema) -> list[int]:
    """For each of :func:`feature_names`: 1 where more can only speak for a match, -1 only against one, 0 either."""
    features = [name.rpartition(": ")[2] for name in feature_names(schema)]
    return [(feature in FOR) - (feature in AGAINST) for feature in features]


@dataclass(frozen=True)
class _Alike:
    best: NDArray[np.float64]  # (m,) the most alike two words of either side; NaN without words on both
    worst: NDArray[np.float64]  # (m,) the least alike of all words to what is nearest to them
    first: NDArray[np.float64]  # (m,) the mean over the two sides of how near the first word comes to any


def _overlap(weights: NDArray, left: sp.csr_array, right: sp.csr_array, both: sp.csr_array) -> list[NDArray]:
    said_left, said_right, said_both = left @ weights, right @ weights, both @ weights
    with np.errstate(invalid="ignore", divide="ignore"):
        return [
            said_both,
            said_both / (said_left + said_right - said_both),
            said_both / np.minimum(said_left, said_right),
            *_ordered(said_left - said_both, said_right - said_both),
            _of_first(weights, both),
        ]


def _odd_words(
    p: Profiles, only_left: sp.csr_array, only_right: sp.csr_array, joined_left: NDArray, joined_right: NDArray
) -> list[NDArray]:
    """The rarest words that the other side lacks, even inside its words: how rare they are and how nearly it has them."""
    m = only_left.shape[0]
    sides, rarest = [], []
    for only, joined in ((only_left, joined_right), (only_right, joined_left)):
        word, row = _first_few(only.indices, row_numbers(only))
        odd = ~_contained(p.words[word], joined[row])
        sides.append((word[odd], row[odd]))
        rarest.append(_maxima(p.weights[word[odd]], row[odd], m))
    alike = _best_alike(p.words, sides[0], sides[1], m)
    return [*_ordered(*rarest), alike.first, alike.worst, alike.best]


def _only(left: sp.csr_array, right: sp.csr_array) -> list[NDArray]:
    """How many are shared, and how many each side has alone."""
    shared = np.diff(left.multiply(right).tocsr().indptr)
    return [shared, *_ordered(np.diff(left.indptr) - shared, np.diff(right.indptr) - shared)]


def _best_alike(
    words: NDArray[np.object_], left_side: tuple[NDArray, NDArray], right_side: tuple[NDArray, NDArray], m: int
) -> _Alike:
    """Each word of a row against each of the same row on the other side.

    Args:
        words: distinct ones.
        left_side, right_side: numbers of words, few a row, and the row of each, ascending.
        m: rows.
    """
    (left, left_rows), (right, right_rows) = left_side, right_side
    right_counts = np.bincount(right_rows, minlength=m)
    right_offsets = np.concatenate(([0], np.cumsum(right_counts)))
    b, partners = take_ragged(np.arange(len(right)), right_offsets, left_rows)
    a = np.repeat(np.arange(len(left)), np.diff(partners))
    likeness = _alike_words(words, left[a], right[b])
    order = np.argsort(b, kind="stable")
    best_left, best_right = _maxima(likeness, a, len(left)), _maxima(likeness[order], b[order], len(right))
    both = (np.bincount(left_rows, minlength=m) > 0) & (right_counts > 0)
    best = np.where(both, _maxima(best_left, left_rows, m), np.nan)
    worst = 1 - np.maximum(_maxima(1 - best_left, left_rows, m), _maxima(1 - best_right, right_rows, m))
    first = np.zeros(m)
    for rows, near in ((left_rows, best_left), (right_rows, best_right)):
        is_first = np.append(True, rows[1:] != rows[:-1])[: len(rows)]
        first[rows[is_first]] += near[is_first] / 2
    return _Alike(best, np.where(both, worst, np.nan), np.where(both, first, np.nan))


def _first_few(words: NDArray, rows: NDArray) -> tuple[NDArray, NDArray]:
    """The first ODD_WORDS words of each row, and their rows, ascending."""
    starts = np.searchsorted(rows, rows)
    kept = np.arange(len(rows)) - starts < ODD_WORDS
    return words[kept], rows[kept]


def alike(scorer: Callable[..., float], left: NDArray, right: NDArray, same: float = 1) -> NDArray[np.float32]:
    """(n,) similarity of strings, ``same`` of equal ones; the same in both orders (Jaro's greedy matching alone is not)."""
    found = np.full(len(left), same, np.float32)
    differ = np.flatnonzero(left != right)
    left, right = left[differ], right[differ]
    if scorer is not fuzz.ratio:
        swap = left > right
        left, right = np.where(swap, right, left), np.where(swap, left, right)
    found[differ] = process.cpdist(left, right, scorer=scorer, dtype=np.float32)
    return found


def _alike_words(words: NDArray[np.object_], left: NDArray, right: NDArray) -> NDArray[np.float32]:
    """(n,) likeness of words by their numbers, two that meet again once; in order, for to read strings here and there takes longest."""
    lesser, greater = np.minimum(left, right).astype(np.int64), np.maximum(left, right)
    once, place = np.unique(lesser * len(words) + greater, return_inverse=True)
    one, other = np.divmod(once, max(len(words), 1))
    return alike(_jaro_winkler, words[one], words[other])[place]


def _contained(words: NDArray, texts: NDArray) -> NDArray[np.bool_]:
    return np.fromiter(map(contains, texts, words), bool, len(words))


def row_numbers(matrix: sp.csr_array) -> NDArray[np.int64]:
    """The row of each stored element."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def _of_first(weights: NDArray, matrix: sp.csr_array) -> NDArray[np.float32]:
    """(m,) weight of the first column of each row, 0 for an empty one."""
    first = np.zeros(matrix.shape[0], np.float32)
    filled = np.diff(matrix.indptr) > 0
    first[filled] = weights[matrix.indices[matrix.indptr[:-1][filled]]]
    return first


def _maxima(values: NDArray, groups: NDArray, n: int) -> NDArray[np.float64]:
    """(n,) greatest value of each of the ascending groups, 0 for an empty one; no value is below 0."""
    maxima = np.zeros(n)
    if len(groups):
        starts = np.append(0, np.flatnonzero(groups[1:] != groups[:-1]) + 1)
        maxima[groups[starts]] = np.maximum.reduceat(values, starts)
    return maxima


def _ordered(one: NDArray, other: NDArray) -> tuple[NDArray, NDArray]:
    return np.minimum(one, other), np.maximum(one, other)
