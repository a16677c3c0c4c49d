"""Clusters: records tied by matches, and the one that stands for each."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.embedding import Corpus, Encoder
from pipeline.rowpairs import blocks_by_sum

BLOCK = 1024  # records whose embeddings are held at once, where a core's cache can


@dataclass(frozen=True)
class Clusters:
    """Of n records, all (n,).

    Attributes:
        cluster_id: 0, 1, ... by first record.
        size: records in the record's cluster.
        representative: place of the record that stands for the cluster: the one nearest to the cluster's mean embedding,
            which has the least sum of squared distances to the others; the first of equals.
        distance_to_representative: energy.
    """

    cluster_id: NDArray[np.int64]
    size: NDArray[np.int64]
    representative: NDArray[np.int64]
    distance_to_representative: NDArray[np.float32]

    @property
    def is_representative(self) -> NDArray[np.bool_]:
        return self.representative == np.arange(len(self.representative))

    def table(self, ids: pa.Array) -> pa.Table:
        return pa.table(
            {
                "record_id": ids,
                "cluster_id": self.cluster_id,
                "cluster_size": self.size,
                "is_representative": self.is_representative,
                "distance_to_representative": self.distance_to_representative,
            }
        )


def rows_of(corpora: list[Corpus]) -> NDArray[np.int64]:
    """(n,) row of each record of the corpora end to end; -1 for a record with nothing to compare."""
    shifts = _shifts(corpora)
    return np.concatenate([np.where(c.rows < 0, -1, c.rows + shift) for c, shift in zip(corpora, shifts, strict=False)])


def number(label: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n,) number of each record's label, 0, 1, ... by first record, and how many records have it; -1 is a label of its own each time."""
    alone = label < 0
    label = np.where(alone, label.max(initial=-1) + np.cumsum(alone), label)
    _, first, inverse, counts = np.unique(label, return_index=True, return_inverse=True, return_counts=True)
    by_first = np.empty(len(first), np.int64)
    by_first[np.argsort(first, kind="stable")] = np.arange(len(first))
    return by_first[inverse], counts[inverse]


def cluster_records(
    encoder: Encoder, corpora: list[Corpus], component: NDArray[np.int64], *, of_records: bool = False
) -> Clusters:
    """Clusters of the records of one corpus, or of two laid end to end.

    Args:
        component: of the corpora's rows, end to end; of their records, with ``of_records``.
    """
    shifts, rows = _shifts(corpora), rows_of(corpora)
    cluster_id, size = number(component if of_records else label_records(component, rows))

    # The first of each cluster, which of two it is: they are equally near to their mean.
    first = np.empty(cluster_id.max(initial=-1) + 1, np.int64)
    first[cluster_id[::-1]] = np.arange(len(rows))[::-1]  # the last write stays
    representative = first[cluster_id]
    members = np.flatnonzero(size > 2)
    members = members[np.argsort(cluster_id[members], kind="stable")]
    starts = np.flatnonzero(np.append(True, np.diff(cluster_id[members]) != 0)[: len(members)])
    sizes = np.diff(np.append(starts, len(members)))
    for some in blocks_by_sum(sizes, BLOCK):
        here = slice(starts[some[0]], starts[some[-1]] + sizes[some[-1]])
        apart = _apart(corpora, shifts, rows[members[here]], sizes[some])
        offsets = starts[some] - starts[some[0]]
        is_least = apart == np.repeat(np.minimum.reduceat(apart, offsets), sizes[some])
        places = np.where(is_least, np.arange(len(apart)), len(apart))
        nearest = members[here][np.minimum.reduceat(places, offsets)]
        representative[members[here]] = np.repeat(nearest, sizes[some])

    distances = np.zeros(len(rows), np.float32)
    others = np.flatnonzero(representative != np.arange(len(rows)))
    for start in range(0, len(others), BLOCK):
        block = others[start : start + BLOCK]
        left, right = _vectors(corpora, shifts, rows[block]), _vectors(corpora, shifts, rows[representative[block]])
        distances[block] = encoder.energies(left, right)
    return Clusters(cluster_id, size, representative, distances)


def label_records(label: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) label of each record's row; -1 for a record without one, which is a cluster of its own."""
    return np.where(rows < 0, -1, label[rows] if len(label) else -1)


def _apart(
    corpora: list[Corpus], shifts: NDArray[np.int64], rows: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(m,) squared distance of each row to the mean of its cluster, to nine digits; clusters lie one after the other."""
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    means, apart = np.zeros((len(sizes), corpora[0].embeddings.dim)), np.empty(len(rows))
    blocks = [slice(start, start + BLOCK) for start in range(0, len(rows), BLOCK)]
    for block in blocks:  # more than one where one cluster has more than a block
        first = np.flatnonzero(np.append(True, np.diff(cluster[block]) != 0))
        sums = np.add.reduceat(_vectors(corpora, shifts, rows[block]), first, axis=0, dtype=np.float64)
        means[cluster[block][first]] += sums
    means /= sizes[:, None]
    for block in blocks:
        apart[block] = np.square(_vectors(corpora, shifts, rows[block]) - means[cluster[block]]).sum(axis=1)
    return apart.round(9)


def _shifts(corpora: list[Corpus]) -> NDArray[np.int64]:
    return np.cumsum([0] + [len(corpus.embeddings) for corpus in corpora])


def _vectors(corpora: list[Corpus], shifts: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    vectors = np.empty((len(rows), corpora[0].embeddings.dim), np.float32)
    for number, corpus in enumerate(corpora):
        here = (rows >= shifts[number]) & (rows < shifts[number + 1])
        vectors[here] = corpus.embeddings.take(rows[here] - shifts[number])
    return vectors
