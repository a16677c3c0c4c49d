"""Attribution: a distance parted among the fields of a pair, and among the words of a field.

Where a tower is additive this is exact. An embedding is e = sum of v_f / |v| over fields f, so the difference of two is u = sum of u_f, and
a squared euclidean distance is u . u = sum of u_f . u: the share of field f is u_f . u, and likewise of every word, for v_f is itself a sum
over words. (Of a manhattan distance it is u_f . sign u, and half as much as of the euclidean one for cosine: see
:func:`siamese.distances.direction`.) A share below 0 brings the pair nearer: the field differs in the direction opposite to the others
together, so that without its part of the difference the two would be farther apart. A field that is equal on both sides can have a small
share above 0: embeddings have length 1, so where one record says more in all, each of its fields is a smaller part of it.

Other towers read the fields together, and no sum is true of them. There the share of a field is its Shapley value (Shapley 1953): what it
adds to the distance when it joins the fields before it, a field that has not joined counting as missing on both sides, on average over the
orders of joining. All orders of up to four fields, else a drawn and fixed sample (Castro, Gómez and Tejada 2009), each with its reverse
(Mitchell et al. 2022). These shares add up too, but they say what the tower would make of records with holes: an approximation.
"""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from siamese.distances import Energy, additive, direction, distance
from siamese.towers.base import BATCH, Tower

BLOCK_PAIRS = 512  # parted at once
ALL_ORDERS = 4  # fields, up to which all their orders are looked at
ORDERS = 16  # of more fields; half of them are the others reversed
LEAST_LENGTH = 1e-12  # of an embedding before it is brought to length 1, as in the tower


@dataclass(frozen=True)
class WordShares:
    """The words of one pair.

    Attributes:
        words: w distinct ones of a field, by field.
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
    for start in range(0, len(left), BLOCK_PAIRS):
        here = slice(start, start + BLOCK_PAIRS)
        rows, places = np.unique(np.concatenate([left[here], right[here]]), return_inverse=True)
        some = texts.take(pa.array(rows)).combine_chunks()
        one, other = np.split(places, 2)
        if tower.additive:
            shares[here] = _exact_shares(tower, some, one, other, energy)
        else:
            shares[here] = _shapley_values(tower, some, one, other, energy, seed)
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
def word_shares(tower: Tower, texts: pa.Table, energy: Energy) -> WordShares:
    """What each word of a pair adds to its distance: of an additive tower.

    Args:
        texts: two records, whose columns :meth:`Schema.select` made text.
    """
    features = tower.featurise(texts)
    vectors = tower.words(features).cpu().double()
    counts = np.diff(features.offsets)  # type: ignore[attr-defined]
    cell = np.repeat(np.arange(len(counts)), counts)
    side, field = np.divmod(cell, features.n_fields)  # type: ignore[attr-defined]
    sides = torch.from_numpy(side)
    sums = torch.zeros(2, tower.dim, dtype=torch.float64).index_add(0, sides, vectors)
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64) / sums.norm(dim=1).clamp(min=LEAST_LENGTH)
    parts = vectors * signs[sides][:, None]
    shares = (parts @ direction(parts.sum(dim=0), energy)).numpy()

    places: dict[tuple[int, str], int] = {}
    number = [places.setdefault(key, len(places)) for key in zip(field.tolist(), tower.spell(texts), strict=True)]
    size = len(places)
    return WordShares(
        [word for _, word in places],
        np.array([field for field, _ in places], np.int64),
        np.bincount(number, shares, size),
        np.bincount(number, side == 0, size) > 0,
        np.bincount(number, side == 1, size) > 0,
    )


def _shapley_values(
    tower: Tower, texts: pa.Table, left: NDArray[np.int64], right: NDArray[np.int64], energy: Energy, seed: int
) -> NDArray[np.float64]:
    names = tower.schema.names
    orders = _orders(len(names), seed)
    reached = list(dict.fromkeys(frozenset(order[:count]) for order in orders for count in range(1, len(names) + 1)))
    nothing, n = pa.nulls(texts.num_rows, pa.large_string()), texts.num_rows

    def hollow(some: frozenset[int]) -> pa.Table:
        return pa.table({name: texts[name] if number in some else nothing for number, name in enumerate(names)})

    totals = {frozenset[int](): np.zeros(len(left))}
    step = max(1, BATCH // n)
    for start in range(0, len(reached), step):
        together = reached[start : start + step]
        embedded = tower.encode(pa.concat_tables(map(hollow, together)).combine_chunks()).split(n)
        for some, each in zip(together, embedded, strict=True):
            totals[some] = additive(distance(each[left], each[right], energy).double().numpy(), energy)
    values = np.zeros((len(left), len(names)))
    for order in orders:
        for count, field in enumerate(order):
            values[:, field] += totals[frozenset(order[: count + 1])] - totals[frozenset(order[:count])]
    return values / len(orders)


def _orders(n_fields: int, seed: int) -> list[tuple[int, ...]]:
    if n_fields <= ALL_ORDERS:
        return list(permutations(range(n_fields)))
    random = np.random.default_rng(seed)
    drawn = [tuple(random.permutation(n_fields).tolist()) for _ in range(ORDERS // 2)]
    return [order for each in drawn for order in (each, each[::-1])]
