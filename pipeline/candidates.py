"""Candidates: the pairs that a search brought, scored; and a sample of those that were looked at and not kept."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.decision import Decision
from pipeline.embedding import Corpus, Encoder
from pipeline.judging import Judge
from pipeline.matching import PAIR_SCHEMA, PairTable, RowPairs, record_pairs

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
    """All m candidates with a score up to the judge's cut.

    Attributes:
        pairs: of rows.
        scores: (m,).
        refused: the others.
        looked_at: how many pairs of contents the search brought.
    """

    pairs: RowPairs
    scores: NDArray[np.float64]
    refused: Refused
    looked_at: int

    def of_records(self, left: Corpus, right: Corpus) -> "Candidates":
        """The same as pairs of the records that hold the contents."""
        expanded = list(record_pairs(self.pairs, left, right))
        pair = np.concatenate([pair for _, pair in expanded] or [np.empty(0, np.int64)])
        return replace(self, pairs=RowPairs.concat([block for block, _ in expanded]), scores=self.scores[pair])


def score_candidates(
    judge: Judge, encoder: Encoder, blocks: Iterable[RowPairs], left: Corpus, right: Corpus, seed: int = 0
) -> Candidates:
    """Score what a search brings, block by block.

    Args:
        blocks: pairs of rows of ``left`` and ``right``.
        seed: of the sample (reservoir sampling by random keys: Efraimidis and Spirakis 2006, with equal weights).
    """
    random = np.random.default_rng(seed)
    kept: list[tuple[RowPairs, NDArray[np.float64]]] = []
    sample, keys, sampled, total = RowPairs.concat([]), np.empty(0), np.empty(0), 0
    for block in blocks:
        apart = encoder.margin_distance(block.distances)
        scores = judge.score_rows(apart, left.contents, block.left, right.contents, block.right)
        within = scores <= judge.cut
        kept.append((block.take(within), scores[within]))
        beyond = np.flatnonzero(~within)
        total += len(beyond)
        keys = np.concatenate([keys, random.random(len(beyond))])
        sample, sampled = RowPairs.concat([sample, block.take(beyond)]), np.concatenate([sampled, scores[beyond]])
        least = np.argsort(keys)[:SAMPLE]
        sample, sampled, keys = sample.take(least), sampled[least], keys[least]
    scores = np.concatenate([scores for _, scores in kept] or [np.empty(0)])
    pairs = RowPairs.concat([pairs for pairs, _ in kept])
    return Candidates(pairs, scores, Refused(sample, sampled, total), len(scores) + total)
