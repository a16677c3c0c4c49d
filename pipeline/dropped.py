"""Dropped: the records left out of ``unique.parquet``, each with the one that stands for it and the path of matches that ties them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.clustering import Clusters
from pipeline.embedding import Corpus
from pipeline.rowpairs import blocks_by_sum
from pipeline.spanning import Forest

DROPPED = "dropped.parquet"
SCHEMA = pa.schema(
    [
        ("record_id", pa.large_string()),
        ("kept_record_id", pa.large_string()),
        ("cluster_id", pa.int64()),
        ("links", pa.int64()),  # pairs on the path
        ("weakest_link", pa.float64()),  # the least of their probabilities
        ("path", pa.large_list(pa.large_string())),  # from the record to the one kept, both included
        ("path_probabilities", pa.large_list(pa.float64())),  # of the pairs on it
    ]
)
BLOCK = 2**20  # ids of paths laid out at once


def write_dropped(path: Path, corpus: Corpus, clusters: Clusters, forest: Forest, equal: float) -> pa.Table:
    """Write ``dropped.parquet``: a row for each record that is not its cluster's representative, in file order.

    A content on the way stands for its first record. Every pair on a path is in ``pairs.parquet``.

    Args:
        forest: over the contents, its roots those of the representatives.
        equal: probability of two records that hold the same.

    Returns:
        The table without the paths.
    """
    record = np.flatnonzero(~clusters.is_representative)
    kept, row = clusters.representative[record], corpus.rows[record]
    same = corpus.rows[kept] == row
    links = np.where(same, 1, forest.links[row])
    weakest = np.where(same, equal, forest.weakest[row])
    ids, members, offsets = corpus.ids, *corpus.members
    heads = {
        "record_id": ids.take(pa.array(record)),
        "kept_record_id": ids.take(pa.array(kept)),
        "cluster_id": clusters.cluster_id[record],
        "links": links,
        "weakest_link": weakest,
    }
    table = pa.table(heads, schema=pa.schema([SCHEMA.field(name) for name in heads]))
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for some in blocks_by_sum(links + 1, BLOCK):
            ends = np.cumsum(links[some])
            starts = ends - links[some]
            steps, strength = np.empty(ends[-1] + len(some), np.int64), np.empty(ends[-1])
            steps[starts + np.arange(len(some))] = record[some]
            steps[ends + np.arange(len(some))] = kept[some]
            strength[starts[same[some]]] = equal
            for place, at, to in _walk(forest, np.where(same[some], -1, row[some])):
                strength[starts[place] + at] = forest.probability[to]
                on_the_way = place[at + 1 < links[some][place]]
                between = forest.parent[to[at + 1 < links[some][place]]]
                steps[starts[on_the_way] + on_the_way + at + 1] = members[offsets[between]]
            names = pa.LargeListArray.from_arrays(
                np.append(starts + np.arange(len(some)), len(steps)), ids.take(pa.array(steps))
            )
            probabilities = pa.LargeListArray.from_arrays(np.append(starts, len(strength)), pa.array(strength))
            block = table.slice(some[0], len(some))
            writer.write_table(pa.table([*block.columns, names, probabilities], schema=SCHEMA))
    return table


def least_sure(path: Path, table: pa.Table, n: int = 20) -> list[dict[str, Any]]:
    """Rows of ``dropped.parquet`` with the weakest links, the weakest first, in file order where they are equal.

    Args:
        table: what :func:`write_dropped` gave.
    """
    order = np.argsort(table["weakest_link"].to_numpy(), kind="stable")[:n]
    ids = table["record_id"].take(pa.array(order)).to_pylist()
    found = pq.read_table(path, filters=[("record_id", "in", ids)]) if ids else table
    rows = {row["record_id"]: row for row in found.to_pylist()}
    return [rows[name] for name in ids]


def _walk(forest: Forest, row: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], int, NDArray[np.int64]]]:
    """Step by step to the roots: (places of those still on the way, the step, where each of them is); -1 does not set out."""
    place = np.flatnonzero(row >= 0)
    at = row[place]
    step = 0
    while len(place):
        yield place, step, at
        at = forest.parent[at]
        going = forest.parent[at] >= 0
        place, at, step = place[going], at[going], step + 1
