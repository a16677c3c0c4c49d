"""The vector index: which rows of a corpus lie near an embedding. The only module that knows FAISS.

It proposes rows; their exact distances are always computed from the embeddings themselves, so that compression costs at most
candidates, never digits.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import faiss
import numpy as np
from numpy.typing import NDArray

from pipeline.embedding import Embeddings, measure
from siamese.distances import Energy
from siamese.errors import ArtifactError, SettingsError
from siamese.folders import written

INDEX = "index.faiss"
RECALL_TARGET = (
    0.999  # of the pairs within the radius, on an exactly searched sample, when the number of probes is chosen
)
SAMPLE_QUERIES = 256
QUERY_BLOCK = 4096
PQ_GROWTH = 4  # neighbours by estimated distance asked for, over those that turn out within the radius
ROWS_AT_ONCE = 2**20  # of all queries together that are fetched and measured
EXACT_SLACK = 1e-5  # what float32 loses of a squared distance that is worked out by a matrix product
NOTHING: NDArray[np.int64] = np.empty(0, np.int64)

Found: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]  # query, row, distance: (m,) each
NO_ROWS: Found = (NOTHING, NOTHING, np.empty(0, np.float32))


class IndexKind(StrEnum):
    AUTO = "auto"  # by the number of rows
    FLAT = "flat"  # exact
    IVF = "ivf"  # cells, half-precision vectors
    IVFPQ = "ivfpq"  # cells, 4-bit codes: an eighth of the memory of half precision

    @classmethod
    def _missing_(cls, value: object) -> "IndexKind":
        raise SettingsError(f"there is no index of kind '{value}': expected one of {', '.join(cls)}")


def kind_for(rows: int, energy: Energy) -> IndexKind:
    """Exact while that takes seconds; then cells; codes when the vectors would fill the memory."""
    if rows <= 50_000:
        return IndexKind.FLAT
    return IndexKind.IVF if rows <= 4_000_000 or energy is Energy.MANHATTAN else IndexKind.IVFPQ


@dataclass
class VectorIndex:
    """Neighbours in a corpus of embeddings.

    Attributes:
        kind: flat, ivf or ivfpq.
        energy: the distance; cosine is searched as Euclidean, which orders unit vectors alike.
        embeddings: the corpus.
        probes: cells looked into; 0 for the exact kind.
        recall: share of the pairs within the radius that were found on an exactly searched sample; 1 for the exact kind.
    """

    kind: IndexKind
    energy: Energy
    embeddings: Embeddings
    index: Any  # faiss.Index
    probes: int = 0
    recall: float = 1.0

    @classmethod
    def build(
        cls, embeddings: Embeddings, energy: Energy, *, kind: IndexKind = IndexKind.AUTO, radius: float, seed: int = 0
    ) -> "VectorIndex":
        """Index a corpus; for the approximate kinds, choose the probes that find the pairs within ``radius``.

        Raises:
            SettingsError: the kind cannot search this energy.
        """
        if kind is IndexKind.AUTO:
            kind = kind_for(len(embeddings), energy)
        if kind is IndexKind.IVFPQ and energy is Energy.MANHATTAN:
            raise SettingsError("an index of kind 'ivfpq' cannot search the manhattan energy: take 'ivf' or 'flat'")
        built = cls(kind, energy, embeddings, _empty_index(kind, energy, embeddings, seed))
        for _, block in embeddings.blocks(65_536):
            built.index.add(block)
        if kind is not IndexKind.FLAT:
            built._choose_probes(radius, seed)
        return built

    def save(self, folder: Path) -> None:
        with written(folder / INDEX):
            faiss.write_index(self.index, str(folder / INDEX))

    @classmethod
    def load(cls, folder: Path, embeddings: Embeddings, energy: Energy, facts: dict) -> "VectorIndex":
        """Open a saved index; ``facts`` is what :meth:`describe` gave.

        Raises:
            ArtifactError: it is damaged, or does not belong to the embeddings.
        """
        try:
            index = faiss.read_index(str(folder / INDEX), faiss.IO_FLAG_MMAP_IFC)  # IO_FLAG_MMAP copies a flat one
        except RuntimeError as error:
            raise ArtifactError(f"'{folder / INDEX}' is not a whole FAISS index: make the index again") from error
        if index.d != embeddings.dim or index.ntotal != len(embeddings):
            raise ArtifactError(
                f"the index in '{folder}' holds {index.ntotal} vectors of {index.d} dimensions, its embeddings are {len(embeddings)} "
                f"of {embeddings.dim}: make the index again"
            )
        loaded = cls(IndexKind(facts["kind"]), energy, embeddings, index, facts["probes"], facts["recall"])
        loaded._set_probes(loaded.probes)
        return loaded

    def describe(self) -> dict:
        return {"kind": self.kind.value, "rows": len(self.embeddings), "probes": self.probes, "recall": self.recall}

    @cached_property
    def silent(self) -> NDArray[np.int64]:
        """Rows that say nothing, all zeros: they are as near to everything as to nothing, and never found."""
        return self._within_block(np.zeros((1, self.embeddings.dim), np.float32), 0.0, 0)[1]

    def nearest(self, queries: NDArray[np.float32], k: int, dead: NDArray[np.int64] = NOTHING) -> Found:
        """Every row that is no farther from a query than its k-th nearest: rows equally far come all, or none of them.

        Args:
            queries: (q, dim).
            k: of each; fewer come only where there are no more.
            dead: rows to pass over; they cost no others their place.

        Returns:
            (query, row, distance), each (m,), by query, distance and row.
        """
        dead, n = np.union1d(dead, self.silent), len(self.embeddings)
        k = min(k, n - len(dead))
        if k <= 0:
            return NO_ROWS
        found = self._nearest(queries, np.arange(len(queries)), k, dead, min(PQ_GROWTH * k + 16, n), self.probes)
        query, row, distance = joined([NO_ROWS, *found])
        order = np.lexsort((row, distance, query))
        return query[order], row[order], distance[order]

    def _nearest(
        self,
        queries: NDArray[np.float32],
        places: NDArray[np.int64],
        k: int,
        dead: NDArray[np.int64],
        asked: int,
        probes: int,
    ) -> Iterator[Found]:
        """Those of the queries at some places: of so many rows by FAISS's estimate or, where these leave a doubt, of more."""
        cells = self.index.nlist if self.probes else 0
        is_all = asked == len(self.embeddings) and probes == cells
        size = max(1, ROWS_AT_ONCE // asked)
        for start in range(0, len(places), size):
            some = places[start : start + size]
            rows = self._search(queries[some], asked, probes)
            apart = self._exact(queries, np.repeat(some, asked), rows.ravel()).reshape(rows.shape)
            farthest = np.where(rows < 0, np.inf, apart).max(axis=1)
            apart = np.where((rows < 0) | among(rows, dead), np.inf, apart)
            last = np.partition(apart, k - 1, axis=1)[:, k - 1]
            sure = np.isfinite(last) & (self._estimated(farthest) > self._estimated(last, EXACT_SLACK)) | is_all
            query, column = np.nonzero((apart <= last[:, None]) & np.isfinite(apart) & sure[:, None])
            yield some[query], rows[query, column], apart[query, column]
            more = min(PQ_GROWTH * asked, len(self.embeddings)), min(PQ_GROWTH * probes, cells)
            yield from self._nearest(queries, some[~sure], k, dead, *more)

    def _search(self, queries: NDArray[np.float32], k: int, probes: int) -> NDArray[np.int64]:
        """(q, k) rows by FAISS's estimate, -1 for none; other probes than those of the index leave it as it is."""
        asked: Any = None if probes == self.probes else faiss.SearchParametersIVF(nprobe=probes)  # type: ignore[call-arg]
        found: NDArray[np.int64] = self.index.search(queries, k, params=asked)[1]
        return found

    def within(self, queries: NDArray[np.float32], radius: float, dead: NDArray[np.int64] = NOTHING) -> Found:
        """Every row within a distance, however many there are.

        Args:
            dead: rows to pass over.

        Returns:
            (query, row, distance), each (m,), by query and then row.
        """
        starts = range(0, len(queries), QUERY_BLOCK)
        found = [NO_ROWS, *(self._within_block(queries[s : s + QUERY_BLOCK], radius, s) for s in starts)]
        query, row, apart = joined(found)
        alive = ~among(row, np.union1d(dead, self.silent))
        return query[alive], row[alive], apart[alive]

    def _within_block(self, queries: NDArray[np.float32], radius: float, first: int) -> Found:
        if self.kind is IndexKind.IVFPQ:
            query, row = self._grow(queries, radius)
        else:
            limits, _, row = self.index.range_search(queries, self._faiss_radius(radius))
            query = np.repeat(np.arange(len(queries)), _lengths(limits))
        apart = self._exact(queries, query, row)
        inside = (apart <= radius) & (row >= 0)
        query, row, apart = query[inside], row[inside], apart[inside]
        order = np.lexsort((row, query))
        return query[order] + first, row[order], apart[order]

    def _grow(self, queries: NDArray[np.float32], radius: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Codes only estimate distances, so ask for more neighbours until those within the radius are a minority of them."""
        queries_found, rows_found = [], []
        pending, k = np.arange(len(queries)), min(64, len(self.embeddings))
        while len(pending):
            rows = self.index.search(queries[pending], k)[1]
            apart = self._exact(queries, np.repeat(pending, k), rows.ravel()).reshape(rows.shape)
            inside = (apart <= radius) & (rows >= 0)
            done = (inside.sum(axis=1) * PQ_GROWTH <= k) | (k == len(self.embeddings))
            place, column = np.nonzero(inside & done[:, None])
            queries_found.append(pending[place])
            rows_found.append(rows[place, column])
            pending, k = pending[~done], min(PQ_GROWTH * k, len(self.embeddings))
        return np.concatenate(queries_found), np.concatenate(rows_found)

    def _exact(
        self, queries: NDArray[np.float32], query: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """(m,) distances of pairs (query, row), from the embeddings; rows of -1 give any number."""
        asking = Embeddings((queries,), self.embeddings.dim)
        return measure(asking, query, self.embeddings, np.maximum(rows, 0), self.energy)

    def _faiss_radius(self, radius: float) -> float:
        """The radius in FAISS's terms, a little wider: its arithmetic and half precision lose digits."""
        return float(self._estimated(radius, 1e-3)) + 0.01 * float(self._estimated(radius))

    def _estimated(self, distance: Any, slack: float = 0.0) -> Any:
        """A distance, or several, in FAISS's terms: squared Euclidean, or Manhattan."""
        if self.energy is Energy.MANHATTAN:
            return distance + slack
        return (2 * distance if self.energy is Energy.COSINE else distance**2) + slack

    def _choose_probes(self, radius: float, seed: int) -> None:
        """The fewest probes, doubling, that find the sample's true neighbours within the radius, and its nearest ones."""
        rows = np.random.default_rng(seed).permutation(len(self.embeddings))[:SAMPLE_QUERIES]
        sample = self.embeddings.take(np.sort(rows))
        truth = set(zip(*_search_exactly(sample, self.embeddings, self.energy, radius), strict=True))
        cells, probes = self.index.nlist, 1
        while True:
            self._set_probes(probes)
            query, row, _ = self.within(sample, radius)
            found = truth & set(zip(query.tolist(), row.tolist(), strict=True))
            self.recall = len(found) / max(len(truth), 1)
            if self.recall >= RECALL_TARGET or probes == cells:
                break
            probes = min(2 * probes, cells)
        # One doubling beyond what the sample asks for: with few pairs in it, its estimate is coarse.
        self._set_probes(min(2 * probes, cells))

    def _set_probes(self, probes: int) -> None:
        self.probes = probes
        if self.kind is not IndexKind.FLAT:
            self.index.nprobe = probes


def index_neighbours(queries: NDArray[np.float32], corpus: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """k nearest rows by Euclidean distance: what mining asks (``siamese.mining.Neighbours``)."""
    index = faiss.IndexFlatL2(corpus.shape[1])
    index.add(corpus)
    return index.search(queries, min(k, len(corpus)))[1]


def _empty_index(kind: IndexKind, energy: Energy, embeddings: Embeddings, seed: int) -> Any:
    metric = faiss.METRIC_L1 if energy is Energy.MANHATTAN else faiss.METRIC_L2
    if kind is IndexKind.FLAT:
        return faiss.IndexFlat(embeddings.dim, metric)
    rows = len(embeddings)
    cells = max(1, min(int(4 * math.sqrt(rows)), rows // 39))  # FAISS asks for 39 training vectors a cell
    if kind is IndexKind.IVF:
        stored = "Flat" if energy is Energy.MANHATTAN else "SQfp16"
    else:
        stored = f"PQ{next(parts for parts in (64, 32, 16, 8, 4, 2, 1) if embeddings.dim % parts == 0)}x4fs"
    index: Any = faiss.index_factory(embeddings.dim, f"IVF{cells},{stored}", metric)
    index.cp.seed = seed + 1
    chosen = np.sort(np.random.default_rng(seed).permutation(rows)[: max(64 * cells, 4096)])
    index.train(embeddings.take(chosen))
    return index


def _search_exactly(
    queries: NDArray[np.float32], embeddings: Embeddings, energy: Energy, radius: float
) -> tuple[list[int], list[int]]:
    """(query, row) of every pair within the radius and of each query's nearest, by brute force."""
    flat = VectorIndex(IndexKind.FLAT, energy, embeddings, _empty_index(IndexKind.FLAT, energy, embeddings, 0))
    query_found, row_found = [], []
    for first, block in embeddings.blocks(65_536):
        flat.index.reset()
        flat.index.add(block)
        limits, _, rows = flat.index.range_search(queries, flat._faiss_radius(radius))
        query = np.repeat(np.arange(len(queries)), _lengths(limits))
        inside = flat._exact(queries, query, rows + first) <= radius
        query_found += query[inside].tolist()
        row_found += (rows[inside] + first).tolist()
    return query_found, row_found


def joined(found: Sequence[Found]) -> Found:
    query, row, distance = (np.concatenate(column) for column in zip(*found, strict=True))
    return query, row, distance


def among(rows: NDArray[np.int64], some: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which numbers are among some, ascending ones."""
    if len(some) == 0:
        return np.zeros(rows.shape, bool)
    return some[np.minimum(np.searchsorted(some, rows), len(some) - 1)] == rows


def _lengths(limits: NDArray) -> NDArray[np.int64]:
    limits = limits.astype(np.int64)
    return limits[1:] - limits[:-1]
