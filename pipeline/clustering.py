"""Clusters: records tied by matches, and the one that stands for each."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.embedding import Corpus, Encoder


@dataclass(frozen=True)
class Clusters:
    """Of n records, all (n,).

    Attributes:
        cluster_id: 0, 1, ... by first record.
        size: records in the record's cluster.
        is_representative: the record nearest to the cluster's mean embedding, which has the least sum of squared distances to the
            others; the first of equals. One in each cluster.
        distance_to_representative: energy.
    """

    cluster_id: NDArray[np.int64]
    size: NDArray[np.int64]
    is_representative: NDArray[np.bool_]
    distance_to_representative: NDArray[np.float32]

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


def cluster_records(
    encoder: Encoder, corpora: list[Corpus], component: NDArray[np.int64], *, of_records: bool = False
) -> Clusters:
    """Clusters of the records of one corpus, or of two laid end to end.

    Args:
        component: of the corpora's rows, end to end; of their records, with ``of_records``.
    """
    shifts = np.cumsum([0] + [len(corpus.embeddings) for corpus in corpora])
    rows = np.concatenate([np.where(c.rows < 0, -1, c.rows + shift) for c, shift in zip(corpora, shifts, strict=False)])
    label = component.copy() if of_records else np.where(rows < 0, -1, component[rows] if len(component) else -1)
    alone = label < 0  # a record with nothing to compare is its own cluster
    label[alone] = len(component) + np.arange(alone.sum())
    _, first, inverse, counts = np.unique(label, return_index=True, return_inverse=True, return_counts=True)
    by_first = np.empty(len(first), np.int64)
    by_first[np.argsort(first, kind="stable")] = np.arange(len(first))
    cluster_id, size = by_first[inverse], counts[inverse]

    representative = np.arange(len(rows))
    order = np.argsort(cluster_id, kind="stable")
    starts = np.searchsorted(cluster_id[order], np.arange(len(first)))
    for cluster in np.unique(cluster_id[size > 1]):
        members = order[starts[cluster] : starts[cluster] + size[order[starts[cluster]]]]
        vectors = _vectors(corpora, shifts, rows[members])
        apart = np.square(vectors - vectors.mean(axis=0, dtype=np.float64)).sum(axis=1).round(9)
        representative[members] = members[np.argmin(apart)]

    distances = np.zeros(len(rows), np.float32)
    others = np.flatnonzero(representative != np.arange(len(rows)))
    for start in range(0, len(others), 65_536):
        some = others[start : start + 65_536]
        left, right = _vectors(corpora, shifts, rows[some]), _vectors(corpora, shifts, rows[representative[some]])
        distances[some] = encoder.energies(left, right)
    return Clusters(cluster_id, size, representative == np.arange(len(rows)), distances)


def _vectors(corpora: list[Corpus], shifts: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    vectors = np.empty((len(rows), corpora[0].embeddings.dim), np.float32)
    for number, corpus in enumerate(corpora):
        here = (rows >= shifts[number]) & (rows < shifts[number + 1])
        vectors[here] = corpus.embeddings.take(rows[here] - shifts[number])
    return vectors
