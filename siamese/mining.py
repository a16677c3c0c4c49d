"""Mining: imposites that are hard, found among the near neighbours of each record.

Right where the list of matches is complete: a near neighbour that is not of the same entity is then known to be an imposite.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from siamese.pairs import Pairs

# (queries (q, dim), corpus (n, dim), k) -> (q, k) rows of the corpus, nearest first. The pipeline gives one that asks an index.
Neighbours = Callable[[NDArray[np.float32], NDArray[np.float32], int], NDArray[np.int64]]


def exact_neighbours(queries: NDArray[np.float32], corpus: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """k nearest rows by Euclidean distance, by blocked matrix products."""
    k = min(k, len(corpus))
    others = torch.from_numpy(corpus)
    half_norms = others.square().sum(dim=1) / 2
    blocks = [
        (torch.from_numpy(queries[start : start + 1024]) @ others.T - half_norms).topk(k, dim=1).indices
        for start in range(0, len(queries), 1024)
    ]
    return torch.cat(blocks).numpy() if blocks else np.empty((0, k), np.int64)


def mine_imposites(
    embeddings: NDArray[np.float32],
    rows: NDArray[np.int64],
    entities: NDArray[np.int64],
    per_record: int,
    *,
    sides: NDArray[np.int8] | None = None,
    neighbours: Neighbours = exact_neighbours,
    asking: NDArray[np.int64] | None = None,
) -> Pairs:
    """The nearest records of other entities, for every record.

    Args:
        embeddings: (n, dim) of all records.
        rows: (r,) records among which to look.
        entities: (n,) entity of each record.
        per_record: imposites to take for each record.
        sides: (n,) 0 or 1 where matches only ever tie a left table to a right one: then imposites do too.
        neighbours: how to find them.
        asking: those of ``rows`` whose neighbours are asked for; all when None.
    """
    asking = rows if asking is None else asking
    found: list[tuple[NDArray, NDArray]] = []
    pools = [(asking, rows)] if sides is None else [(asking[sides[asking] == 0], rows[sides[rows] == 1])]
    for queries, corpus in pools:
        # An entity may fill a record's whole neighbourhood: ask again, for more, for the records that came out short.
        pending, k = queries, per_record + 1
        while len(pending) and len(corpus):
            k = min(k, len(corpus))
            near = corpus[neighbours(embeddings[pending], embeddings[corpus], k)]
            other = entities[near] != entities[pending, None]
            enough = (other.sum(axis=1) >= per_record) | (k == len(corpus))
            wanted = other & (np.cumsum(other, axis=1) <= per_record) & enough[:, None]
            record, column = np.nonzero(wanted)
            found.append((pending[record], near[record, column]))
            pending, k = pending[~enough], 4 * k
    left = np.concatenate([pair[0] for pair in found] or [np.empty(0, np.int64)])
    right = np.concatenate([pair[1] for pair in found] or [np.empty(0, np.int64)])
    if sides is None:
        left, right = np.minimum(left, right), np.maximum(left, right)
    distinct = np.unique(np.stack([left, right], axis=1), axis=0).reshape(-1, 2)
    return Pairs(distinct[:, 0], distinct[:, 1], np.zeros(len(distinct), np.int8))
