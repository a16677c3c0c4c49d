"""Contents: what the records of a corpus say, each distinct content once, in Arrow files that are mapped into memory when read."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from siamese.folders import written
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
    with written(path):
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


class ContentNumbers:
    """Numbers distinct contents 0, 1, ... in order of first appearance, as they come by.

    Contents that differ are never taken for one. Of two that share the first half of their keys (a chance of 2^-64 a pair) the later one
    gets a new number in each batch.

    Attributes:
        count: distinct contents so far.
    """

    def __init__(self) -> None:
        self.count = 0
        self._keys = np.empty(0, np.uint64)  # first halves, ascending; the second halves and numbers beside them
        self._others = np.empty(0, np.uint64)
        self._numbers = np.empty(0, np.int64)

    def number(
        self, keys: NDArray[np.uint64], is_empty: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(n,) number of each record's content, -1 where it is empty; ascending places of the records whose content is new.

        Args:
            keys: (n, 2) from :func:`content_keys`.
            is_empty: (n,) records with nothing to compare.
        """
        code, first = _coded(keys)
        numbers = np.full(len(first), -1, np.int64)
        asked = np.flatnonzero(~is_empty[first])
        halves, others = keys[first[asked]].T
        place = np.searchsorted(self._keys, halves)
        near = np.minimum(place, max(len(self._keys) - 1, 0))
        known = np.zeros(len(asked), bool)
        if len(self._keys):
            known = (self._keys[near] == halves) & (self._others[near] == others)
            numbers[asked[known]] = self._numbers[near[known]]
        fresh = asked[~known]
        numbers[fresh] = self.count + np.arange(len(fresh))
        self.count += len(fresh)
        order = np.flatnonzero(~known)[np.argsort(halves[~known], kind="stable")]
        self._keys = np.insert(self._keys, place[order], halves[order])
        self._others = np.insert(self._others, place[order], others[order])
        self._numbers = np.insert(self._numbers, place[order], numbers[asked[order]])
        return numbers[code], first[fresh]


def _coded(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """(n,) number of each key, by first appearance, and the places where they appear first, ascending."""
    buffers = [None, pa.py_buffer(np.ascontiguousarray(keys))]
    coded = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(keys), buffers).dictionary_encode()
    code = coded.indices.to_numpy()
    first = np.empty(len(coded.dictionary), np.int64)
    first[code[::-1]] = np.arange(len(code) - 1, -1, -1)  # the last write stays
    return code, first
