"""The vector index: which rows of a corpus lie near an embedding. The only module that knows FAISS.

It proposes rows; their exact distances are always computed from the embeddings themselves, so that compression costs at most
candidates, never digits.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

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
            index = faiss.read_index(str(folder / INDEX), faiss.IO_FLAG_MMAP)
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

    def nearest(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k nearest rows of each query: (q, k) exact distances ascending (inf: none), (q, k) rows (-1: none)."""
        k = min(k, len(self.embeddings))
        asked = k if self.kind is IndexKind.FLAT else min(PQ_GROWTH * k + 16, len(self.embeddings))
        rows = np.empty((0, asked), np.int64) if len(queries) == 0 else self.index.search(queries, asked)[1]
        places = np.repeat(np.arange(len(queries)), asked)
        distances = np.where(rows < 0, np.inf, self._exact(queries, places, rows.ravel()).reshape(rows.shape))
        order = np.lexsort((rows, distances), axis=1)[:, :k]
        return np.take_along_axis(distances, order, axis=1), np.take_along_axis(rows, order, axis=1)

    def within(
        self, queries: NDArray[np.float32], radius: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Every row within a distance, however many there are.

        Returns:
            (query, row, distance), each (m,), by query and then row.
        """
        found = [
            self._within_block(queries[s : s + QUERY_BLOCK], radius, s) for s in range(0, len(queries), QUERY_BLOCK)
        ]
        if not found:
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
        query, row, apart = (np.concatenate(column) for column in zip(*found, strict=True))
        return query, row, apart

    def _within_block(
        self, queries: NDArray[np.float32], radius: float, first: int
    ) -> tuple[NDArray, NDArray, NDArray]:
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
        """The radius in FAISS's terms (squared Euclidean), a little wider: its arithmetic and half precision lose digits."""
        if self.energy is Energy.MANHATTAN:
            return radius * 1.01 + 1e-3
        squared = 2 * radius if self.energy is Energy.COSINE else radius**2
        return squared * 1.01 + 1e-3

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


def _lengths(limits: NDArray) -> NDArray[np.int64]:
    limits = limits.astype(np.int64)
    return limits[1:] - limits[:-1]
