"""Search: the candidates of a corpus, as pairs of rows near each other, found through cells.

Every pair within a radius is one, however many there are; beyond it, up to a reach, the nearest rows of each query. A corpus is searched
in blocks of queries, each by itself and with the same outcome whoever does it and in whatever order.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.cells import Cells
from pipeline.embedding import Embeddings, measure
from pipeline.products import (
    QUERY_ROWS,
    SLACK,
    coarse,
    coarse_hits,
    greatest,
    has_coarse,
    least_likeness,
    likeness,
    reaches,
)
from pipeline.rowpairs import RowPairs
from siamese.distances import Energy
from siamese.threads import side_by_side

BOUND_ROWS = 2048  # of a query's own cell that its bound is taken from


@dataclass(frozen=True)
class Scope:
    """How far a search goes, in units of the energy.

    Attributes:
        radius: within it every pair is a candidate.
        reach: beyond the radius and up to here, the nearest rows of each query are.
        neighbours: how many of the nearest.
    """

    radius: float
    reach: float = 0.0
    neighbours: int = 0

    @property
    def farthest(self) -> float:
        return max(self.radius, self.reach) if self.neighbours else self.radius


@dataclass(frozen=True)
class Queries:
    """q queries, by the cell of the searched corpus that each lies in.

    Attributes:
        rows: (q,) int64 rows of the corpus that asks.
        cells: (q,) int64 ascending.
        vectors: (q, dim) in the precision of the cells.
    """

    rows: NDArray[np.int64]
    cells: NDArray[np.int64]
    vectors: Tensor

    @classmethod
    def of_cells(cls, cells: Cells, start: int, stop: int) -> "Queries":
        """Rows of the searched corpus itself: places ``start`` to ``stop`` of its order."""
        return cls(cells.order[start:stop], cells.cell_of[start:stop], cells.vectors[start:stop])

    @classmethod
    def of_rows(cls, cells: Cells, embeddings: Embeddings, rows: NDArray[np.int64]) -> "Queries":
        """Rows of any corpus; those that are all zeros ask nothing."""
        found = embeddings.take(rows)
        filled = found.any(axis=1)
        vectors = torch.from_numpy(found[filled]).to(cells.vectors.dtype)
        cell = cells.locate(vectors)
        order = np.argsort(cell, kind="stable")
        return cls(rows[filled][order], cell[order], vectors[torch.from_numpy(order)])

    def __len__(self) -> int:
        return len(self.rows)

    def runs(self) -> list[tuple[int, slice]]:
        """Each cell with the queries that lie in it."""
        starts = np.flatnonzero(np.append(True, self.cells[1:] != self.cells[:-1]))[: len(self.cells)]
        stops = np.append(starts[1:], len(self.cells))[: len(starts)]
        return [(int(self.cells[a]), slice(int(a), int(b))) for a, b in zip(starts, stops, strict=True)]


def search(
    cells: Cells,
    searched: Embeddings,
    queries: Queries,
    asking: Embeddings,
    scope: Scope,
    probes: int | None,
    wanted: NDArray[np.float32] | None = None,
) -> RowPairs:
    """The candidates of some queries.

    Args:
        cells: of the corpus that is searched.
        searched: its embeddings.
        queries: who asks.
        asking: the embeddings of the corpus that they are rows of; the same object where a corpus is searched for its own rows.
        scope: how far.
        probes: nearest cells that each query looks into; None: all cells.
        wanted: (n,) of each row of ``searched``, the distance up to which it wants to be found, whatever the query's scope.

    Returns:
        left: rows of ``asking``; right: rows of ``searched``. No row is paired with itself.
    """
    itself = asking is searched
    least = _thresholds(cells, queries, scope, itself)
    least_of_rows = None
    if wanted is not None:
        least_of_rows = least_likeness(wanted[cells.order], cells.energy, searched.dim).astype(np.float32)
    query, place, alike = _near(cells, queries, least, probes, least_of_rows)
    other = cells.order[place] != queries.rows[query] if itself else np.ones(len(place), bool)
    if scope.neighbours:
        hopeful = alike >= _floors(query[other], alike[other], len(queries), scope, cells)[query]
        other &= hopeful if least_of_rows is None else hopeful | (alike >= least_of_rows[place])
    query, rows = query[other], cells.order[place[other]]
    apart = measure(asking, queries.rows[query], searched, rows, cells.energy)
    within = apart <= scope.radius
    if scope.neighbours:
        within |= (ranks(query, apart, rows) < scope.neighbours) & (apart <= scope.farthest)
    if wanted is not None:
        within |= apart <= wanted[rows]
    return RowPairs(queries.rows[query[within]], rows[within], apart[within])


def search_exactly(
    searched: Embeddings,
    asking: Embeddings,
    rows: NDArray[np.int64],
    energy: Energy,
    scope: Scope,
    wanted: NDArray[np.float32] | None = None,
) -> RowPairs:
    """The candidates of some rows of ``asking``, by query and then distance, none left out; shard by shard, and without cells.

    With ``wanted``, as in :func:`search`, also what the searched rows want, and no pair is left out for its rank.
    """

    def search_part(part: tuple[NDArray[np.int64], NDArray[np.float32]]) -> RowPairs:
        cells = Cells.one(*part, energy)
        return search(cells, searched, Queries.of_rows(cells, asking, rows), asking, scope, None, wanted)

    pairs = RowPairs.concat(list(side_by_side(search_part, list(searched.parts()))))
    return pairs if wanted is not None else nearest(pairs, scope)


def nearest(pairs: RowPairs, scope: Scope) -> RowPairs:
    """Of what left rows found in parts of a corpus, what they find in the whole, by row and then distance."""
    pairs = pairs.take(np.lexsort((pairs.right, pairs.distances, pairs.left)))
    rank = np.arange(len(pairs)) - np.searchsorted(pairs.left, pairs.left)
    return pairs.take((pairs.distances <= scope.radius) | (rank < scope.neighbours))


def ranks(query: NDArray[np.int64], distances: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """(m,) place of each row among those of its query, the nearest 0."""
    order = np.lexsort((rows, distances, query))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - np.searchsorted(query[order], query[order])
    return rank


def within_scope(pairs: RowPairs, scope: Scope, n: int, both: bool, slack: float = 0.0) -> NDArray[np.bool_]:
    """(m,) which pairs, each there once, are candidates: within the radius, or of a row's nearest.

    Args:
        n: rows that ask.
        both: of one corpus: the right rows ask too, and are rows of it.
        slack: by how much the distances may be too great; then also which may be candidates.
    """
    apart = pairs.distances - np.float32(slack)
    within = apart <= scope.radius
    if not scope.neighbours:
        return within
    near = apart <= scope.farthest
    asking = [pairs.left, pairs.right] if both else [pairs.left]
    farthest = farthest_neighbour(np.concatenate(asking), np.tile(pairs.distances, len(asking)), n, scope.neighbours)
    return within | (near & np.logical_or.reduce([apart <= farthest[row] for row in asking]))


def farthest_neighbour(
    rows: NDArray[np.int64], distances: NDArray[np.float32], n: int, neighbours: int, few: float | None = None
) -> NDArray[np.float32]:
    """(n,) distance of each row's last of so many nearest: of its farthest where it has fewer, unless ``few`` says what stands for that;
    0 where it has none."""
    # Sorted as one number each: the row, and then how far. (Distances are not negative: their bits are ordered as they are.)
    ordered = np.sort(rows.astype(np.uint64) << np.uint64(32) | distances.view(np.uint32))
    bounds = np.searchsorted(ordered, np.arange(n + 1, dtype=np.uint64) << np.uint64(32))
    has = np.diff(bounds)
    some = np.flatnonzero(has)
    last = bounds[:-1] + np.minimum(has, neighbours) - 1
    farthest = np.zeros(n, np.float32)
    farthest[some] = (ordered[last[some]] & np.uint64(0xFFFFFFFF)).astype(np.uint32).view(np.float32)
    if few is not None:
        farthest[has < neighbours] = few
    return farthest


def _thresholds(cells: Cells, queries: Queries, scope: Scope, itself: bool) -> NDArray[np.float32]:
    """(q,) likeness below which no row is a candidate: that of the radius, or, where that is less, of the k-th nearest in its own cell."""
    dim = cells.vectors.shape[1]
    radius = least_likeness(scope.radius, cells.energy, dim)
    if not scope.neighbours:
        return np.full(len(queries), radius, np.float32)
    reach = least_likeness(scope.farthest, cells.energy, dim)
    least = np.full(len(queries), reach, np.float32)
    k = scope.neighbours + itself
    for cell, here in queries.runs():
        rows = cells.vectors[cells.offsets[cell] : min(cells.offsets[cell + 1], cells.offsets[cell] + BOUND_ROWS)]
        if len(rows) < k:
            continue
        for start in range(here.start, here.stop, QUERY_ROWS):
            some = slice(start, min(start + QUERY_ROWS, here.stop))
            bound = greatest(likeness(queries.vectors[some], rows, cells.energy), k)
            least[some] = np.where(bound > 0, np.maximum(least[some], bound - 2 * SLACK), least[some])
    return np.minimum(least, np.float32(radius))


def _near(
    cells: Cells,
    queries: Queries,
    least: NDArray[np.float32],
    probes: int | None,
    least_of_rows: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """(query, place in the cells' order, likeness) of all that reach their query's threshold, or that of the place's row, in the cells
    that the query looks into."""
    found: list[tuple[NDArray, NDArray, NDArray]] = []
    if probes is None and least_of_rows is None and has_coarse(cells.energy, queries.vectors):
        return _near_of_all(cells, queries.vectors, least)
    for cell, asking in _askers(cells, queries, probes):
        for first in range(int(cells.offsets[cell]), int(cells.offsets[cell + 1]), QUERY_ROWS):
            rows = cells.vectors[first : min(first + QUERY_ROWS, int(cells.offsets[cell + 1]))]
            for start in range(0, len(asking), QUERY_ROWS):
                some = asking[start : start + QUERY_ROWS]
                alike = likeness(queries.vectors.index_select(0, torch.from_numpy(some)), rows, cells.energy)
                hits = reaches(alike, least[some])
                if least_of_rows is not None:
                    hits |= reaches(alike.T, least_of_rows[first : first + len(rows)]).T
                row, column = np.divmod(np.flatnonzero(hits), len(rows))
                if len(row):
                    found.append((some[row], first + column, alike[row, column].float().numpy()))
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    queries_found, places, likenesses = (np.concatenate(part) for part in zip(*found, strict=True))
    return queries_found, places, likenesses


def _near_of_all(
    cells: Cells, queries: Tensor, least: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The same where each query looks into all cells: by products of whole numbers, and exactly where these leave it open."""
    asking = queries.numpy()
    rounded = [coarse(queries[start : start + QUERY_ROWS]) for start in range(0, len(queries), QUERY_ROWS)]
    found = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))]
    for first in range(0, len(cells.order), QUERY_ROWS):
        rows = cells.vectors[first : first + QUERY_ROWS]
        for number, some in enumerate(rounded):
            start = number * QUERY_ROWS
            query, place = coarse_hits(some, rows, least[start : start + QUERY_ROWS])
            query += start
            alike = np.einsum("ij,ij->i", asking[query], rows.numpy()[place])
            near = alike >= least[query]
            found.append((query[near], first + place[near], alike[near]))
    query, place, alike = (np.concatenate(part) for part in zip(*found, strict=True))
    return query, place, alike


def _askers(cells: Cells, queries: Queries, probes: int | None) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each cell with the queries that look into it."""
    if probes is None:
        yield from ((cell, np.arange(len(queries))) for cell in range(len(cells)))
        return
    for cell, looked in enumerate(cells.look(queries.vectors, probes)):
        yield cell, np.flatnonzero(looked)


def _floors(
    query: NDArray[np.int64], alike: NDArray[np.float32], queries: int, scope: Scope, cells: Cells
) -> NDArray[np.float32]:
    """(queries,) likeness below which what was found is neither within the radius nor among the nearest: not worth measuring."""
    # Sorted as one number each, which is many times faster: the query, and then how unlike.
    ordered = np.sort((query.astype(np.uint64) << np.uint64(32)) | (~_bits(alike)).astype(np.uint64))
    last = np.searchsorted(ordered >> np.uint64(32), np.arange(queries, dtype=np.uint64)) + scope.neighbours - 1
    has = last < len(ordered)
    has[has] = ordered[last[has]] >> np.uint64(32) == np.flatnonzero(has).astype(np.uint64)
    floors = np.full(queries, -np.inf, np.float32)
    floors[has] = _floats(~(ordered[last[has]] & np.uint64(0xFFFFFFFF)).astype(np.uint32)) - 2 * SLACK
    return np.minimum(floors, np.float32(least_likeness(scope.radius, cells.energy, cells.vectors.shape[1])))


def _bits(numbers: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Numbers that are ordered as these floats are, negative ones too."""
    bits = numbers.view(np.uint32)
    return np.where(bits >> 31 == 1, ~bits, bits | np.uint32(0x80000000))


def _floats(bits: NDArray[np.uint32]) -> NDArray[np.float32]:
    """What :func:`_bits` was given."""
    return np.where(bits >> 31 == 1, bits & np.uint32(0x7FFFFFFF), ~bits).view(np.float32)
