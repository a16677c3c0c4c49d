"""Candidates: the pairs that a search brought, with their scores, and a sample of those that were looked at and not kept."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.decision import Decision
from pipeline.embedding import Corpus, Encoder
from pipeline.matching import PAIR_SCHEMA, PairTable, record_pairs
from pipeline.rowpairs import RowPairs

BEYOND = "beyond.parquet"
SAMPLE = 10_000  # pairs of contents that are remembered of those not kept, for audits


@dataclass(frozen=True)
class Refused:
    """A uniform sample of the pairs that were looked at and not kept.

    Attributes:
        pairs, scores: of the sample.
        total: how many there were.
    """

    pairs: RowPairs
    scores: NDArray[np.float64]
    total: int

    def write(self, folder: Path, encoder: Encoder, left: Corpus, right: Corpus | None, decision: Decision) -> None:
        """``beyond.parquet``: as ``pairs.parquet``, with the ``weight`` of each row: how many pairs it stands for."""
        weight = self.total / max(len(self.scores), 1)
        judgement = decision.judge(self.scores)
        table = PairTable(encoder, left, right)
        with pq.ParquetWriter(folder / BEYOND, PAIR_SCHEMA.append(pa.field("weight", pa.float64()))) as writer:
            for records, pair in record_pairs(self.pairs, left, right or left):
                rows = table.rows(records, judgement.take(pair))
                writer.write_table(rows.append_column("weight", pa.array(np.full(len(pair), weight))))


@dataclass(frozen=True)
class Candidates:
    """All m candidates with a score up to a cut.

    Attributes:
        pairs: of rows.
        scores: (m,).
        refused: the others.
    """

    pairs: RowPairs
    scores: NDArray[np.float64]
    refused: Refused

    @classmethod
    def of(cls, looked_at: RowPairs, scores: NDArray[np.float64], cut: float, seed: int = 0) -> "Candidates":
        """Part what a search brought at the greatest score that is worth keeping.

        Args:
            scores: of all that was looked at.
            seed: of the sample.
        """
        within = scores <= cut
        beyond = np.flatnonzero(~within)
        sample = np.sort(np.random.default_rng(seed).permutation(beyond)[:SAMPLE])
        refused = Refused(looked_at.take(sample), scores[sample], len(beyond))
        return cls(looked_at.take(within), scores[within], refused)

    @property
    def looked_at(self) -> int:
        """How many pairs of contents the search brought."""
        return len(self.scores) + self.refused.total

    def of_records(self, left: Corpus, right: Corpus) -> "Candidates":
        """The same as pairs of the records that hold the contents."""
        expanded = list(record_pairs(self.pairs, left, right))
        pair = np.concatenate([pair for _, pair in expanded] or [np.empty(0, np.int64)])
        return replace(self, pairs=RowPairs.concat([block for block, _ in expanded]), scores=self.scores[pair])
