"""Cells: a corpus parted into neighbourhoods, so that a row is compared with the rows of the cells near it and not with all.

The inverted file of Sivic and Zisserman (2003), laid out for matrix products: the rows of a cell lie side by side on disk, in the
precision of :mod:`pipeline.products`, and are mapped into memory.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.embedding import Embeddings
from pipeline.products import QUERY_ROWS, bits, greatest, likeness, precision, reaches
from pipeline.progress import track
from siamese.distances import Energy

ONE_CELL = 30_000  # rows up to which comparing all with all takes a second: one cell, and nothing is lost
CELL_ROWS = 400  # with fewer rows in a cell, gathering the queries takes longer than comparing them
# Of Lloyd's algorithm, rows a cell: more moves recall by less than its sampling error.
LEARNED_ROWS, LEARNED_ROUNDS = 24, 5
BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class Cells:
    """n rows in C cells; rows that are all zeros (nothing to compare) lie in none.

    Attributes:
        energy: the distance; cosine and Euclidean order unit vectors alike.
        centroids: (C, dim) of unit length.
        order: (m,) int64 rows by cell.
        offsets: (C + 1,) int64 bounds of each cell in ``order``.
        vectors: (m, dim) of those rows, in the order of ``order``.
    """

    energy: Energy
    centroids: Tensor
    order: NDArray[np.int64]
    offsets: NDArray[np.int64]
    vectors: Tensor

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def cell_of(self) -> NDArray[np.int64]:
        """(m,) cell of each place in ``order``."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @classmethod
    def one(cls, rows: NDArray[np.int64], vectors: NDArray[np.float32], energy: Energy) -> "Cells":
        """Rows with their vectors in memory as one cell; a row of -1 lies in none."""
        filled = np.flatnonzero((rows >= 0) & vectors.any(axis=1))
        some = torch.from_numpy(vectors if len(filled) == len(rows) else vectors[filled]).to(precision(energy))
        return cls(
            energy,
            torch.zeros((1, vectors.shape[1]), dtype=some.dtype),
            rows[filled],
            np.array([0, len(filled)]),
            some,
        )

    @classmethod
    def build(
        cls, embeddings: Embeddings, energy: Energy, folder: Path, *, exact: bool = False, seed: int = 0
    ) -> "Cells":
        """Part a corpus, and write the cells into a folder.

        Args:
            embeddings: of the corpus.
            folder: to make, or one that this was killed in.
            exact: one cell, however many rows: everything is compared with everything.
            seed: of the rows that the centroids are learned from.
        """
        n, dtype = len(embeddings), precision(energy)
        count = 1 if exact else cell_count(n)
        random = np.random.default_rng(seed)
        centroids = _learn(_sample(embeddings, count * LEARNED_ROWS, random).to(dtype), count, random)
        cell_of = np.full(n, -1, np.int64)
        for first, block in track(embeddings.blocks(BLOCK_ROWS), "parting"):
            filled = np.flatnonzero(block.any(axis=1))
            cell_of[first + filled] = _nearest_cell(torch.from_numpy(block[filled]).to(dtype), centroids)
        order = np.argsort(cell_of, kind="stable")
        order = order[np.searchsorted(cell_of[order], 0) :]
        offsets = np.searchsorted(cell_of[order], np.arange(count + 1))
        folder.mkdir(exist_ok=True)
        for name, array in (("order", order), ("offsets", offsets), ("centroids", bits(centroids))):
            np.save(folder / f"{name}.npy", array)
        shape, whole = (len(order), embeddings.dim), bits(centroids).dtype
        vectors = np.lib.format.open_memmap(folder / "vectors.npy", mode="w+", dtype=whole, shape=shape)
        for start in range(0, len(order), BLOCK_ROWS):
            block = embeddings.take(order[start : start + BLOCK_ROWS])
            vectors[start : start + BLOCK_ROWS] = bits(torch.from_numpy(block).to(dtype))
        vectors.flush()
        return cls.open(folder, energy)

    @classmethod
    def open(cls, folder: Path, energy: Energy) -> "Cells":
        """Cells that :meth:`build` wrote; the vectors are mapped."""
        order, offsets = (np.load(folder / f"{name}.npy", mmap_mode="c") for name in ("order", "offsets"))
        centroids, vectors = (
            _tensor(np.load(folder / f"{name}.npy", mmap_mode="c")) for name in ("centroids", "vectors")
        )
        return cls(energy, centroids, order, offsets, vectors)

    def look(self, vectors: Tensor, probes: int) -> NDArray[np.bool_]:
        """(C, q) whether a cell is among the ``probes`` nearest to a vector, or ties with the last of them.

        The cells near a vector's own one will not do: in many dimensions they are others.
        """
        looked = np.empty((len(self), len(vectors)), bool)
        for start in range(0, len(vectors), QUERY_ROWS):
            alike = likeness(vectors[start : start + QUERY_ROWS], self.centroids, Energy.COSINE)
            looked[:, start : start + QUERY_ROWS] = reaches(alike, greatest(alike, min(probes, len(self)))).T
        return looked

    def locate(self, vectors: Tensor) -> NDArray[np.int64]:
        """(q,) the cell of each vector."""
        return _nearest_cell(vectors, self.centroids)


def cell_count(n: int) -> int:
    """Cells for n rows."""
    return 1 if n <= ONE_CELL else min(n // CELL_ROWS, int(4 * n**0.5))


def comparisons_of_one_look(n: int, queries: int) -> float:
    """Until n rows are parted, and each query has looked into a cell beside its own."""
    cells = cell_count(n)
    return cells * (n + LEARNED_ROUNDS * LEARNED_ROWS * cells) + queries * (cells + 2 * n / cells)


def _sample(embeddings: Embeddings, count: int, random: np.random.Generator) -> Tensor:
    rows = np.sort(random.permutation(len(embeddings))[:count])
    sample = embeddings.take(rows)
    return torch.from_numpy(sample[sample.any(axis=1)])


def _learn(sample: Tensor, count: int, random: np.random.Generator) -> Tensor:
    """(count, dim) centroids of unit length by Lloyd's algorithm; in low precision it is twenty times as fast as faiss.Kmeans.

    A cell that nothing is nearest to keeps its centroid.
    """
    start = random.permutation(max(len(sample), count))[:count] % max(len(sample), 1)
    centroids = (
        sample[torch.from_numpy(start)] if len(sample) else torch.zeros(count, sample.shape[1], dtype=sample.dtype)
    )
    for _ in range(LEARNED_ROUNDS if count > 1 else 0):
        cell = torch.from_numpy(_nearest_cell(sample, centroids))
        sums = torch.zeros(centroids.shape).index_add_(0, cell, sample.float())
        length = sums.norm(dim=1, keepdim=True)
        centroids = torch.where(length > 0, sums / length.clamp(min=1e-12), centroids.float()).to(sample.dtype)
    return centroids


def _nearest_cell(vectors: Tensor, centroids: Tensor) -> NDArray[np.int64]:
    """(q,) cell of the greatest product, the first of equals."""
    found = np.empty(len(vectors), np.int64)
    for start in range(0, len(vectors), QUERY_ROWS):
        alike = likeness(vectors[start : start + QUERY_ROWS], centroids, Energy.COSINE)
        found[start : start + QUERY_ROWS] = bits(alike).argmax(axis=1)
    return found


def _tensor(array: NDArray) -> Tensor:
    """The floats that :func:`pipeline.products.bits` was given."""
    return torch.from_numpy(array).view(torch.bfloat16 if array.dtype == np.int16 else torch.float32)
