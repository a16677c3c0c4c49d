"""Attribution: a distance parted among the fields of a pair, and among the words of a field.

Where a tower is additive this is exact. An embedding is e = sum of v_f / |v| over fields f, so the difference of two is u = sum of u_f, and
a squared euclidean distance is u . u = sum of u_f . u: the share of field f is u_f . u, and likewise of every word, for v_f is itself a sum
over words. (Of a manhattan distance it is u_f . sign u, and half as much as of the euclidean one for cosine: see
:func:`siamese.distances.direction`.) A share below 0 brings the pair nearer: the field differs in the direction opposite to the others
together, so that without its part of the difference the two would be farther apart. A field that is equal on both sides can have a small
share above 0: embeddings have length 1, so where one record says more in all, each of its fields is a smaller part of it.

Other towers read the fields together, and no sum is true of them. There the share of a field is its Shapley value (Shapley 1953): what it
adds to the distance when it joins the fields before it, a field that has not joined counting as missing on both sides, on average over the
orders of joining: all orders of up to eight fields that say anything, else a sample by a seed (Castro, Gómez and Tejada 2009), each with
its reverse (Mitchell et al. 2022). These shares add up too, but they say what the tower would make of records with holes: an approximation.
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from siamese.distances import Energy, additive, direction, distance
from siamese.towers import Tower

BLOCK_PAIRS = 512  # parted at once
ALL_SETS = 8  # fields, up to which all sets of them are looked at
ORDERS = 64  # of more fields; half of them are the others reversed
LEAST_LENGTH = 1e-12  # of an embedding before it is brought to length 1, as in the tower


@dataclass(frozen=True)
class WordShares:
    """The words of one pair.

    Attributes:
        words: w distinct ones of a field.
        fields: (w,) int64 number of the field of each.
        shares: (w,) float64, which sum to the shares of the fields.
        on_left, on_right: (w,) bool: which side has it.
    """

    words: list[str]
    fields: NDArray[np.int64]
    shares: NDArray[np.float64]
    on_left: NDArray[np.bool_]
    on_right: NDArray[np.bool_]


def field_shares(
    tower: Tower, texts: pa.Table, left: NDArray[np.int64], right: NDArray[np.int64], energy: Energy, seed: int = 0
) -> NDArray[np.float64]:
    """What each field adds to the distance of each pair.

    Args:
        texts: records, whose columns :meth:`Schema.select` made text.
        left, right: (m,) rows of them.
        seed: of the orders that are drawn, where the tower is not additive.

    Returns:
        (m, fields) whose rows sum to the squared distance where the energy is euclidean, else to the distance: exactly where the tower is
        additive, but for the rounding of float32 (about 1e-6); else as Shapley values.
    """
    shares = np.empty((len(left), len(tower.schema.fields)))
    if not tower.additive:
        for pair, ends in enumerate(zip(left, right, strict=True)):
            shares[pair] = _shapley_values(tower, texts.take(pa.array(ends)).combine_chunks(), energy, seed)
        return shares
    for start in range(0, len(left), BLOCK_PAIRS):
        here = slice(start, start + BLOCK_PAIRS)
        rows, places = np.unique(np.concatenate([left[here], right[here]]), return_inverse=True)
        some = texts.take(pa.array(rows)).combine_chunks()
        one, other = np.split(places, 2)
        shares[here] = _exact_shares(tower, some, one, other, energy)
    return shares


@torch.inference_mode()
def _exact_shares(
    tower: Tower, texts: pa.Table, left: NDArray[np.int64], right: NDArray[np.int64], energy: Energy
) -> NDArray[np.float64]:
    fields = tower.fields(tower.featurise(texts)).cpu().double()
    sums = fields.sum(dim=1)
    fields /= sums.norm(dim=1).clamp(min=LEAST_LENGTH)[:, None, None]
    difference = fields[left] - fields[right]
    towards = direction(difference.sum(dim=1), energy)
    return (difference @ towards[:, :, None])[:, :, 0].numpy()


@torch.inference_mode()
def word_shares(tower: Tower, texts: pa.Table, energy: Energy) -> list[WordShares]:
    """What each word of some pairs adds to their distances: of an additive tower.

    Args:
        texts: the two records of one pair after those of another, whose columns :meth:`Schema.select` made text.
    """
    features = tower.featurise(texts)
    vectors, words = tower.words(features).cpu().double(), tower.spell(texts)
    n_fields, offsets = features.n_fields, features.offsets  # type: ignore[attr-defined]
    shares = []
    for first in range(0, texts.num_rows, 2):
        cells = offsets[first * n_fields : (first + 2) * n_fields + 1]
        here = slice(cells[0], cells[-1])
        side, field = np.divmod(np.repeat(np.arange(2 * n_fields), np.diff(cells)), n_fields)
        shares.append(_shares_of_words(vectors[here], words[here], side, field, energy))
    return shares


def _shares_of_words(
    vectors: Tensor, words: list[str], side: NDArray[np.int64], field: NDArray[np.int64], energy: Energy
) -> WordShares:
    """Of one pair: its words, each with its vector, the record that holds it (0 or 1), and the field."""
    sides = torch.from_numpy(side)
    sums = torch.zeros(2, vectors.shape[1], dtype=torch.float64).index_add(0, sides, vectors)
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64) / sums.norm(dim=1).clamp(min=LEAST_LENGTH)
    parts = vectors * signs[sides][:, None]
    shares = (parts @ direction(parts.sum(dim=0), energy)).numpy()

    places: dict[tuple[int, str], int] = {}
    number = [places.setdefault(key, len(places)) for key in zip(field.tolist(), words, strict=True)]
    size = len(places)
    return WordShares(
        [word for _, word in places],
        np.array([field for field, _ in places], np.int64),
        np.bincount(number, shares, size).astype(np.float64),
        np.bincount(number, side == 0, size) > 0,
        np.bincount(number, side == 1, size) > 0,
    )


def _shapley_values(tower: Tower, pair: pa.Table, energy: Energy, seed: int) -> NDArray[np.float64]:
    """(fields,) of one pair, two records; a field that is missing on both sides adds nothing, whoever joins."""
    values = np.zeros(len(tower.schema.fields))
    fields = [number for number, column in enumerate(pair.columns) if column.null_count < 2]
    joins = _joins(fields, seed)
    sets = list(dict.fromkeys(each for before, field, _ in joins for each in (before, before | {field})))
    totals = dict(zip(sets, _totals(tower, pair, sets, energy).tolist(), strict=True))
    for before, field, weight in joins:
        values[field] += weight * (totals[before | {field}] - totals[before])
    return values


def _joins(fields: list[int], seed: int) -> list[tuple[frozenset[int], int, float]]:
    """Every field as it joins those before it, with the share of the orders in which it does."""
    n = len(fields)
    if n <= ALL_SETS:
        return [
            (frozenset(before), field, 1 / (n * comb(n - 1, size)))
            for size in range(n)
            for before in combinations(fields, size)
            for field in fields
            if field not in before
        ]
    random = np.random.default_rng(seed)
    drawn = [random.permutation(fields).tolist() for _ in range(ORDERS // 2)]
    orders = [order for each in drawn for order in (each, each[::-1])]
    return [(frozenset(order[:count]), order[count], 1 / ORDERS) for order in orders for count in range(n)]


def _totals(tower: Tower, pair: pa.Table, sets: list[frozenset[int]], energy: Energy) -> NDArray[np.float64]:
    """What the distance of a pair adds up to when only some fields are there, for each of some sets of them."""
    nothing = pa.nulls(2, pa.large_string())
    hollow = [
        pa.table({name: pair[name] if number in some else nothing for number, name in enumerate(pair.column_names)})
        for some in sets
    ]
    embedded = tower.encode(pa.concat_tables(hollow).combine_chunks()) if sets else torch.empty(0, tower.dim)
    return additive(distance(embedded[::2], embedded[1::2], energy).double().numpy(), energy)
