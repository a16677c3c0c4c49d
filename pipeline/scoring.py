"""Scoring: the distance and the probability of given pairs of records."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.decision import Decision, Judgement, Threshold
from pipeline.judging import Judge
from pipeline.pairs import read_id_pairs, read_named
from pipeline.records import Records, check_fields
from siamese.encoder import SiameseEncoder
from siamese.pairs import Pairs

SCORES = ("distance", "margin_distance", "probability", "is_match")


@dataclass(frozen=True)
class Scores:
    """What a model makes of m pairs.

    Attributes:
        distance: (m,) float32, in units of the energy.
        margin_distance: (m,) float64, in margins.
        judgement: of the pairs.
        said: (m,) whether both records have anything to compare; of a pair without, the rest means nothing.
    """

    distance: NDArray[np.float32]
    margin_distance: NDArray[np.float64]
    judgement: Judgement
    said: NDArray[np.bool_]

    def frame(self) -> pd.DataFrame:
        """(m, 4) distance, margin_distance, probability (NaN where a record has nothing to compare) and is_match."""
        columns = (self.distance, self.margin_distance, self.judgement.probability)
        known = [np.where(self.said, column, column.dtype.type(np.nan)) for column in columns]
        return pd.DataFrame(dict(zip(SCORES, [*known, self.judgement.is_match], strict=True)))


def score_rows(encoder: SiameseEncoder, judge: Judge, decision: Decision, records: pa.Table, pairs: Pairs) -> Scores:
    """Score and judge pairs of rows of some records; no other record is read."""
    rows = pairs.rows()
    chosen, pairs = records.take(pa.array(rows)), pairs.renumber(rows)
    embeddings = encoder.encode(chosen)
    distances = encoder.energies(embeddings[pairs.left], embeddings[pairs.right])
    apart = encoder.margin_distance(distances)
    scores = judge.score(apart, encoder.schema.select(chosen), pairs.left, pairs.right)
    says = np.asarray(embeddings.any(axis=1))
    said = says[pairs.left] & says[pairs.right]
    scores = np.where(said, scores, np.inf)  # a run does not propose the others
    return Scores(distances, apart, decision.judge(scores), said)


def score_pairs(
    encoder: SiameseEncoder, threshold: Threshold, records: Records, path: str, right: Records | None = None
) -> pa.Table:
    """Score the pairs of a file.

    Args:
        path: file of left_id and right_id; its other columns, a label too, are handed on as they are.
        right: the table of the right_ids, where it is another.

    Returns:
        The rows of the file in its order, with distance (float32, units of the energy), margin_distance, probability and
        is_match. The first three are null where a record has nothing to compare. Columns of these names in the file give way.

    Raises:
        DataError: a column is missing, or a pair names a record that is not there; SchemaError: a table lacks a column that the
            model reads.
    """
    check_fields(encoder.schema, records, right)
    table = read_id_pairs(path)
    named = table.select(["left_id", "right_id"]).to_pandas()
    chosen, one, other, _ = read_named(named, path, records, right, Records.take)
    pairs = Pairs(one, other, np.zeros(len(one), np.int8))
    scores = score_rows(encoder, *threshold.settle(encoder), chosen, pairs).frame()
    table = table.drop_columns([name for name in SCORES if name in table.column_names])
    for name in SCORES:
        table = table.append_column(name, pa.array(scores[name], from_pandas=True))
    return table
