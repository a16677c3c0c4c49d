"""Matching: every pair of records within a distance, as a Parquet file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.embedding import Corpus, Encoder
from pipeline.index import VectorIndex
from pipeline.progress import track

PAIRS = "pairs.parquet"
NEAR_MISS_BAND = 0.1  # pairs up to this share beyond max_distance are written too, not flagged: what was nearly a match
EXPAND_PAIRS = 2**20  # pairs of records laid out at once
PAIR_SCHEMA = pa.schema(
    [
        ("left_id", pa.large_string()),
        ("right_id", pa.large_string()),
        ("distance", pa.float32()),
        ("margin_distance", pa.float64()),
        ("probability", pa.float64()),
        ("is_match", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class RowPairs:
    """Pairs of distinct contents (rows of embeddings) and their distances, all (m,)."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    distances: NDArray[np.float32]

    @classmethod
    def concat(cls, parts: list["RowPairs"]) -> "RowPairs":
        if not parts:
            return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        return cls(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ("left", "right", "distances"))
        )

    def take(self, chosen: NDArray | slice) -> "RowPairs":
        return RowPairs(self.left[chosen], self.right[chosen], self.distances[chosen])


def self_join(index: VectorIndex, radius: float) -> Iterator[RowPairs]:
    """Every pair of rows within a distance, once, left < right, by left row."""
    for first, block in track(index.embeddings.blocks(4096), "searching"):
        query, row, distances = index.within(block, radius)
        left = query + first
        once = left < row
        yield RowPairs(left[once], row[once], distances[once])


def cross_join(index: VectorIndex, queries: Corpus, radius: float) -> Iterator[RowPairs]:
    """Every pair (row of ``queries``, row of the index) within a distance."""
    for first, block in track(queries.embeddings.blocks(4096), "searching"):
        query, row, distances = index.within(block, radius)
        yield RowPairs(query + first, row, distances)


def record_pairs(pairs: RowPairs, left: Corpus, right: Corpus) -> Iterator[tuple[RowPairs, NDArray[np.int64]]]:
    """Pairs of contents as pairs of the records that hold them, block by block: (pairs of records, which pair each is of)."""
    (left_records, left_offsets), (right_records, right_offsets) = left.members, right.members
    right_count = np.diff(right_offsets)[pairs.right]
    counts = np.diff(left_offsets)[pairs.left] * right_count
    for some in _blocks_by_sum(counts, EXPAND_PAIRS):
        pair = np.repeat(some, counts[some])
        within = np.arange(len(pair)) - np.repeat(np.cumsum(counts[some]) - counts[some], counts[some])
        records_left = left_records[left_offsets[pairs.left[pair]] + within // right_count[pair]]
        records_right = right_records[right_offsets[pairs.right[pair]] + within % right_count[pair]]
        yield RowPairs(records_left, records_right, pairs.distances[pair]), pair


class PairWriter:
    """Writes pairs of records to ``pairs.parquet`` as they are found, whatever their number."""

    def __init__(self, folder: Path, encoder: Encoder, left: Corpus, right: Corpus | None = None) -> None:
        self.encoder, self.left, self.right = encoder, left, right or left
        self.one_corpus = right is None
        self.writer = pq.ParquetWriter(folder / PAIRS, PAIR_SCHEMA, compression="zstd")
        self.pairs = self.matches = 0

    def __enter__(self) -> "PairWriter":
        return self

    def __exit__(self, *_: Any) -> None:
        self.writer.close()

    def write(self, pairs: RowPairs, is_match: NDArray[np.bool_]) -> None:
        """All pairs of records that hold the contents of these rows."""
        for records, pair in record_pairs(pairs, self.left, self.right):
            self._write_block(records, is_match[pair])

    def write_equal_contents(self) -> None:
        """All pairs of records with the same content: they are not searched for, their distance is 0."""
        records, offsets = self.left.members
        sizes = np.diff(offsets)
        for row in np.flatnonzero(sizes > 1):
            members = records[offsets[row] : offsets[row + 1]]
            for position in _blocks_by_sum(np.arange(len(members)), EXPAND_PAIRS):
                right = np.repeat(position, position)  # record p pairs with the p before it
                left = np.arange(len(right)) - np.repeat(np.cumsum(position) - position, position)
                equal = RowPairs(members[left], members[right], np.zeros(len(left), np.float32))
                self._write_block(equal, np.ones(len(left), bool))

    def write_records(self, pairs: RowPairs, is_match: NDArray[np.bool_]) -> None:
        """Pairs that name records, not rows."""
        for start in range(0, len(pairs.left), EXPAND_PAIRS):
            here = slice(start, start + EXPAND_PAIRS)
            self._write_block(pairs.take(here), is_match[here])

    def _write_block(self, pairs: RowPairs, is_match: NDArray[np.bool_]) -> None:
        if len(pairs.left) == 0:
            return
        left_ids, right_ids = self.left.ids.take(pa.array(pairs.left)), self.right.ids.take(pa.array(pairs.right))
        if self.one_corpus:
            ordered = pc.less(left_ids, right_ids)
            left_ids, right_ids = pc.if_else(ordered, left_ids, right_ids), pc.if_else(ordered, right_ids, left_ids)
        margin_distances = self.encoder.margin_distance(pairs.distances)
        probability = self.encoder.calibration.probability(margin_distances)
        columns = [left_ids, right_ids, pairs.distances, margin_distances, probability, is_match]
        self.writer.write_table(pa.table([pa.array(column) for column in columns], schema=PAIR_SCHEMA))
        self.pairs += len(pairs.left)
        self.matches += int(is_match.sum())


def _blocks_by_sum(counts: NDArray[np.int64], limit: int) -> Iterator[NDArray[np.int64]]:
    """Positions in runs whose counts add up to about ``limit``."""
    if len(counts) == 0:
        return
    block = (np.cumsum(counts) - counts) // limit
    yield from np.split(np.arange(len(counts)), np.flatnonzero(np.diff(block)) + 1)
