"""Contents: what the records of a corpus say, each distinct content once, in Arrow files that are mapped into memory when read."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from siamese.hashing import hash_texts

SHARD_ROWS = 65_536


@dataclass(frozen=True)
class Contents:
    """The text fields of the distinct contents, by row of the embeddings."""

    shards: tuple[pa.Table, ...]

    @classmethod
    def of(cls, texts: pa.Table) -> "Contents":
        """Records that are in memory."""
        return cls(tuple(texts.slice(start, SHARD_ROWS) for start in range(0, max(texts.num_rows, 1), SHARD_ROWS)))

    @classmethod
    def open(cls, folder: Path) -> "Contents":
        return cls(
            tuple(pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in sorted(folder.glob("*.arrow")))
        )

    def take(self, rows: NDArray[np.int64]) -> pa.Table:
        """The contents of ascending rows."""
        numbers, starts = np.unique(rows // SHARD_ROWS, return_index=True)
        parts = np.split(rows % SHARD_ROWS, starts[1:])
        taken = [self.shards[number].take(pa.array(part)) for number, part in zip(numbers, parts, strict=False)]
        return pa.concat_tables(taken).combine_chunks() if taken else self.shards[0].slice(0, 0)


def write_contents(texts: pa.Table, folder: Path, number: int) -> None:
    """One shard."""
    path = folder / f"{number:06d}.arrow"
    beside = path.with_suffix(".partial")
    with pa.ipc.new_file(beside, texts.schema) as writer:
        writer.write_table(texts.combine_chunks())
    os.replace(beside, path)


def content_keys(texts: pa.Table) -> NDArray[np.uint64]:
    """(n, 2) 128-bit digest of each record's fields: equal contents have equal keys."""
    keys = np.zeros((texts.num_rows, 2), np.uint64)
    for number, column in enumerate(texts.columns):
        for half in (0, 1):
            keys[:, half] += hash_texts(column.combine_chunks(), key=2 * number + half)
    return keys


def number_contents(
    keys: NDArray[np.uint64], is_empty: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows (0, 1, ...) of distinct contents in order of first appearance (-1 where empty), and which records appear first."""
    order = np.lexsort((np.arange(len(keys)), keys[:, 1], keys[:, 0]))
    ordered = keys[order]
    starts = np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1)) if len(keys) else np.empty(0, bool)
    first = np.empty(len(keys), np.int64)
    first[order] = order[np.flatnonzero(starts)][np.cumsum(starts) - 1]
    is_first = (first == np.arange(len(keys))) & ~is_empty
    number = np.cumsum(is_first) - 1
    return np.where(is_empty, -1, number[first]), is_first
