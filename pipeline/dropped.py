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
from pipeline.paths import Paths
from pipeline.rowpairs import blocks_by_sum
from pipeline.tables import DISTINCT

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


def write_dropped(path: Path, corpus: Corpus, clusters: Clusters, paths: Paths, equal: float) -> pa.Table:
    """Write ``dropped.parquet``: a row for each record that is not its cluster's representative, in file order.

    A record that holds the same as the one kept is tied to it directly; the others by the strongest path of contents, each of which stands
    for its first record. Every pair on a path is in ``pairs.parquet``.

    Args:
        paths: over the contents, their roots those of the representatives.
        equal: probability of two records that hold the same.

    Returns:
        The table without the paths.
    """
    record = np.flatnonzero(~clusters.is_representative)
    kept, row = clusters.representative[record], corpus.rows[record]
    same = corpus.rows[kept] == row
    heads = {
        "record_id": corpus.ids.take(pa.array(record)),
        "kept_record_id": corpus.ids.take(pa.array(kept)),
        "cluster_id": clusters.cluster_id[record],
        "links": np.where(same, 1, paths.links[row]),
        "weakest_link": np.where(same, equal, paths.weakest[row]),
    }
    table = pa.table(heads, schema=pa.schema([SCHEMA.field(name) for name in heads]))
    first = corpus.members[0][corpus.members[1][:-1]]  # record of each content
    with pq.ParquetWriter(path, SCHEMA, **DISTINCT) as writer:
        for some in blocks_by_sum(heads["links"] + 1, BLOCK):
            ends = np.cumsum(heads["links"][some])
            starts = ends - heads["links"][some]  # of the pairs of each path; it has one record more than pairs
            place = np.arange(len(some))
            steps, strength = np.empty(ends[-1] + len(some), np.int64), np.full(ends[-1], equal)
            steps[starts + place], steps[ends + place] = record[some], kept[some]
            for on_the_way, taken, content in _walk(paths, np.where(same[some], -1, row[some])):
                pair = starts[on_the_way] + taken
                strength[pair] = paths.probability[content]
                inner = pair + 1 < ends[on_the_way]  # the others are at the record that is kept
                steps[(pair + on_the_way + 1)[inner]] = first[paths.parent[content[inner]]]
            names = corpus.ids.take(pa.array(steps))
            walked = pa.LargeListArray.from_arrays(np.append(starts + place, len(steps)), names)
            probabilities = pa.LargeListArray.from_arrays(np.append(starts, len(strength)), pa.array(strength))
            block = table.slice(some[0], len(some))
            writer.write_table(pa.table([*block.columns, walked, probabilities], schema=SCHEMA))
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


def _walk(paths: Paths, row: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], int, NDArray[np.int64]]]:
    """Step by step to the roots: (places of those still on the way, links taken, the content that each is at); -1 does not set out."""
    place = np.flatnonzero(row >= 0)
    content, taken = row[place], 0
    while len(place):
        yield place, taken, content
        content = paths.parent[content]
        going = paths.parent[content] >= 0
        place, content, taken = place[going], content[going], taken + 1
