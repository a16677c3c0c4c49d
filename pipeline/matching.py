"""Matching: judged pairs of records, as a Parquet file."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.decision import ZONES, Judgement
from pipeline.embedding import Corpus, Encoder
from pipeline.rowpairs import RowPairs, blocks_by_sum
from pipeline.tables import DISTINCT

log = logging.getLogger("siamese")

PAIRS = "pairs.parquet"
EXPAND_PAIRS = 2**20  # pairs of records laid out at once
CROWD_PAIRS = 10_000_000  # of equal records, from which it is said that they are many: 4,500 placeholders make as many
PAIR_SCHEMA = pa.schema(
    [
        ("left_id", pa.large_string()),
        ("right_id", pa.large_string()),
        ("distance", pa.float32()),
        ("margin_distance", pa.float64()),
        ("probability", pa.float64()),
        ("is_match", pa.bool_()),
        (
            "score",
            pa.float64(),
        ),  # what was compared with the limit; null for equal contents, which nothing has to score
        ("zone", pa.string()),
    ]
)


def record_pairs(pairs: RowPairs, left: Corpus, right: Corpus) -> Iterator[tuple[RowPairs, NDArray[np.int64]]]:
    """Pairs of contents as pairs of the records that hold them, block by block: (pairs of records, which pair each is of)."""
    (left_records, left_offsets), (right_records, right_offsets) = left.members, right.members
    right_count = np.diff(right_offsets)[pairs.right]
    counts = np.diff(left_offsets)[pairs.left] * right_count
    for some in blocks_by_sum(counts, EXPAND_PAIRS):
        pair = np.repeat(some, counts[some])
        within = np.arange(len(pair)) - np.repeat(np.cumsum(counts[some]) - counts[some], counts[some])
        records_left = left_records[left_offsets[pairs.left[pair]] + within // right_count[pair]]
        records_right = right_records[right_offsets[pairs.right[pair]] + within % right_count[pair]]
        yield RowPairs(records_left, records_right, pairs.distances[pair]), pair


class PairTable:
    """Judged pairs of records as rows of ``pairs.parquet``."""

    def __init__(self, encoder: Encoder, left: Corpus, right: Corpus | None) -> None:
        self.encoder, self.left, self.right = encoder, left, right or left
        self.one_corpus = right is None

    def rows(self, pairs: RowPairs, judgement: Judgement) -> pa.Table:
        left_ids, right_ids = self.left.ids.take(pa.array(pairs.left)), self.right.ids.take(pa.array(pairs.right))
        if self.one_corpus:
            ordered = pc.less(left_ids, right_ids)
            left_ids, right_ids = pc.if_else(ordered, left_ids, right_ids), pc.if_else(ordered, right_ids, left_ids)
        columns = [
            left_ids,
            right_ids,
            pairs.distances,
            self.encoder.margin_distance(pairs.distances),
            judgement.probability,
            judgement.is_match,
            pa.array(judgement.score, from_pandas=True),
            np.array(ZONES)[judgement.zone],
        ]
        return pa.table([pa.array(column) for column in columns], schema=PAIR_SCHEMA)


class PairWriter:
    """Writes pairs of records to ``pairs.parquet``, whatever their number.

    Attributes:
        pairs, matches, review: pairs written, flagged, and for a person to look at.
        expected: right pairs to be expected among the flagged: the sum of their probabilities.
    """

    def __init__(self, folder: Path, encoder: Encoder, left: Corpus, right: Corpus | None = None) -> None:
        self.left, self.right = left, right or left
        self.table = PairTable(encoder, left, right)
        self.writer = pq.ParquetWriter(folder / PAIRS, PAIR_SCHEMA, **DISTINCT)
        self.pairs = self.matches = self.review = 0
        self.expected = 0.0

    def __enter__(self) -> "PairWriter":
        return self

    def __exit__(self, *_: Any) -> None:
        self.writer.close()

    def write(self, pairs: RowPairs, judgement: Judgement) -> None:
        """All pairs of records that hold the contents of these rows."""
        for records, pair in record_pairs(pairs, self.left, self.right):
            self._write_block(records, judgement.take(pair))

    def write_equal_contents(self, probability: float) -> None:
        """All pairs of records with the same content: they are not searched for, their distance is 0, and they are matches."""
        records, offsets = self.left.members
        sizes = np.diff(offsets)
        counts = sizes * (sizes - 1) // 2
        ends = np.cumsum(counts)
        if counts.sum() > CROWD_PAIRS:
            most = int(sizes.argmax())
            log.warning(
                "%s rows of pairs.parquet are pairs of equal records; %s records say what '%s' says: leave out what is a placeholder",
                f"{int(counts.sum()):,}",
                f"{int(sizes[most]):,}",
                self.left.ids[int(records[offsets[most]])].as_py(),
            )
        for start in range(0, int(counts.sum()), EXPAND_PAIRS):
            pair = np.arange(start, min(start + EXPAND_PAIRS, ends[-1]))
            row = np.searchsorted(ends, pair, side="right")
            pair -= ends[row] - counts[row]
            # Record p of a content pairs with the p before it, from pair p (p - 1) / 2 on.
            later = ((1 + np.sqrt(1 + 8 * pair)) / 2).astype(np.int64)
            earlier = pair - later * (later - 1) // 2
            n = len(pair)
            equal = RowPairs(records[offsets[row] + earlier], records[offsets[row] + later], np.zeros(n, np.float32))
            self._write_block(equal, Judgement(np.full(n, np.nan), np.full(n, probability), np.ones(n, bool)))

    def write_records(self, pairs: RowPairs, judgement: Judgement) -> None:
        """Pairs that name records, not rows."""
        for start in range(0, len(pairs.left), EXPAND_PAIRS):
            here = slice(start, start + EXPAND_PAIRS)
            self._write_block(pairs.take(here), judgement.take(here))

    def _write_block(self, pairs: RowPairs, judgement: Judgement) -> None:
        if len(pairs.left) == 0:
            return
        self.writer.write_table(self.table.rows(pairs, judgement))
        self.pairs += len(pairs.left)
        self.matches += int(judgement.is_match.sum())
        self.review += int((judgement.zone == ZONES.index("review")).sum())
        self.expected += float(judgement.probability[judgement.is_match].sum())
