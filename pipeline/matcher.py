"""The matcher: nearest-neighbour queries against an index, from Python."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.contents import Contents
from pipeline.decision import Decision, Threshold
from pipeline.embedding import Corpus
from pipeline.explaining import frame, with_lessons
from pipeline.index import VectorIndex
from pipeline.judging import Judge
from pipeline.scoring import score_rows
from pipeline.stages import open_index
from siamese.encoder import SiameseEncoder
from siamese.errors import DataError, SettingsError
from siamese.explaining import LESSONS, WORDS, explain_pairs
from siamese.explanation import Explanation
from siamese.folders import Place
from siamese.pairs import Pairs
from siamese.schema import as_table


@dataclass(frozen=True)
class Matcher:
    """Encoder, corpus and index that belong together.

    Example:
        >>> matcher = Matcher.load("index")                                                 # doctest: +SKIP
        >>> matcher.nearest({"title": "sony turntable pslx350h"}, k=5)                      # doctest: +SKIP
        >>> matcher.within([{"title": "sony turntable pslx350h"}], max_distance=0.4)        # doctest: +SKIP
        >>> matcher.score({"title": "sony pslx350h"}, {"title": "Sony turntable PS-LX350H"})  # doctest: +SKIP
        >>> matcher.explain("a17", {"title": "sony turntable pslx350h"})                    # doctest: +SKIP
    """

    encoder: SiameseEncoder
    corpus: Corpus
    index: VectorIndex

    @classmethod
    def load(cls, folder: Place, model: Place | None = None) -> "Matcher":
        """Open an index folder.

        Args:
            folder: path, or a URL that fsspec knows.
            model: the model to query with; the index's own copy when None.

        Raises:
            ArtifactError: something is damaged, or the index was built by another model.
        """
        return cls(*open_index(folder, model))

    @cached_property
    def judge(self) -> Judge:
        return Threshold().judge(self.encoder)

    @cached_property
    def decision(self) -> Decision:
        return Threshold().decide(self.judge.calibration)

    def nearest(self, records: Any, k: int = 5) -> pd.DataFrame:
        """The k nearest records of the corpus for each query, nearest first.

        Args:
            records: one dict, or anything that :meth:`SiameseEncoder.encode` takes; a field that is left out counts as missing.
            k: 1 or more. Fewer rows come only where the corpus has fewer records.

        Returns:
            query (number of the record), record_id, distance, margin_distance, probability, is_match. A query with nothing to
            compare has no rows.

        Raises:
            SettingsError: k is below 1.
        """
        if k < 1:
            raise SettingsError(f"k is {k}: expected 1 or more")
        embeddings, texts, queries = self._encode(records)
        distances, rows = self.index.nearest(embeddings, k)  # each row of the index stands for at least one record
        found = np.isfinite(distances).ravel()
        query = np.repeat(np.arange(len(queries)), distances.shape[1])[found]
        frame = self._frame(texts, queries, query, rows.ravel()[found], distances.ravel()[found])
        return frame.groupby("query", sort=False).head(k).reset_index(drop=True)

    def within(self, records: Any, max_distance: float | None = None) -> pd.DataFrame:
        """Every record of the corpus within a distance of each query, nearest first, however many there are.

        Args:
            records: as for :meth:`nearest`.
            max_distance: in margin units; the calibrated one when None.
        """
        limit = Threshold(max_distance, verifier=False).decide(self.encoder.calibration).limit
        embeddings, texts, queries = self._encode(records)
        query, rows, distances = self.index.within(embeddings, limit * self.encoder.margin)
        order = np.lexsort((rows, distances, query))
        return self._frame(texts, queries, query[order], rows[order], distances[order])

    def score(self, left: Any, right: Any) -> pd.DataFrame:
        """What the model makes of given pairs, by its own default threshold; the corpus is not asked.

        Args:
            left, right: two dicts, or two equally long collections of records, paired in order; each as for :meth:`nearest`.

        Returns:
            distance, margin_distance, probability, is_match: a row a pair, in order. The first three are NaN and is_match False
            where a record has nothing to compare.

        Raises:
            DataError: the two are not equally long.
            SchemaError: a side has no column that the model knows.
        """
        sides = [self._table(records) for records in (left, right)]
        n = sides[0].num_rows
        if n != sides[1].num_rows:
            raise DataError(f"{n} records came to be scored with {sides[1].num_rows}: give as many on either side")
        pairs = Pairs(np.arange(n), np.arange(n, 2 * n), np.zeros(n, np.int8))
        return score_rows(self.encoder, self.judge, self.decision, pa.concat_tables(sides), pairs).frame()

    def explain(self, left: Any, right: Any, words: int = WORDS) -> pd.DataFrame:
        """Why two records are as far apart as they are, and how likely that makes a match: what each field, word and step adds.

        Args:
            left, right: ids of records of the corpus, or records as for :meth:`nearest`, one each.
            words: of a field that are listed; the others are summed.

        Returns:
            The rows of :func:`pipeline.explaining.frame`: contributions of part ``field`` sum to the squared distance.

        Raises:
            DataError: as :meth:`explanation`.
        """
        return frame(self.explanation(left, right, words=words, lessons=0))

    def explanation(self, left: Any, right: Any, *, words: int = WORDS, lessons: int = LESSONS) -> Explanation:
        """The same in full, with the ``lessons`` labelled pairs of either label that the model judges for the same reasons.

        Raises:
            DataError: an id is not in the corpus, a record has nothing to compare, or the index keeps no texts and an id was given.
        """
        sides = [self._one(each) for each in (left, right)]
        [found] = explain_pairs(
            self.encoder,
            pa.concat_tables(sides).combine_chunks(),
            np.array([0]),
            np.array([1]),
            words=words,
            lessons=lessons,
        )
        found = replace(found, left_id=_id_or_none(left), right_id=_id_or_none(right))

        def look_up(record_id: str) -> dict[str, str | None] | None:
            texts = self._of_id(record_id)
            return None if texts is None else texts.to_pylist()[0]

        return with_lessons(found, look_up)

    def _one(self, record: Any) -> pa.Table:
        """The texts of one record, given as it is or by its id."""
        if not isinstance(record, str):
            table = self._table(record)
            if table.num_rows != 1:
                raise DataError(f"{table.num_rows} records came as one side of a pair: give a record, or the id of one")
            return table
        if not self.corpus.contents.shards:
            raise DataError(
                "this index keeps no texts, as its model has no verifier: give records instead of their ids"
            )
        texts = self._of_id(record)
        if texts is None:
            raise DataError(
                f"the index has no record '{record}' with anything to compare: give the id of one, or a record"
            )
        return texts

    def _of_id(self, record_id: str) -> pa.Table | None:
        place = pc.index(self.corpus.ids, record_id).as_py()
        row = self.corpus.rows[place] if place >= 0 else -1
        return self.corpus.contents.take(np.array([row])) if row >= 0 and self.corpus.contents.shards else None

    def _table(self, records: Any) -> pa.Table:
        """Records as text columns in the schema's order; a field that is left out is missing."""
        table = as_table([records] if isinstance(records, Mapping) and not _is_columns(records) else records)
        missing = [name for name in self.encoder.schema.names if name not in table.column_names]
        if len(missing) == len(self.encoder.schema.names):
            table = self.encoder.schema.select(table)  # raises: nothing in the query is known to the model
        for name in missing:
            table = table.append_column(name, pa.nulls(table.num_rows, pa.large_string()))
        return self.encoder.schema.select(table)

    def _encode(self, records: Any) -> tuple[NDArray[np.float32], pa.Table, NDArray[np.int64]]:
        """Embeddings and texts of the queries that say anything, and their numbers."""
        table = self._table(records)
        embeddings = self.encoder.encode(table)
        said = np.flatnonzero(embeddings.any(axis=1))
        return embeddings[said], table.take(pa.array(said)), said

    def _frame(
        self,
        texts: pa.Table,
        queries: NDArray[np.int64],
        query: NDArray[np.int64],
        rows: NDArray[np.int64],
        distances: NDArray[np.float32],
    ) -> pd.DataFrame:
        records, offsets = self.corpus.members
        counts = np.diff(offsets)[rows]
        hit = np.repeat(np.arange(len(rows)), counts)
        member = records[offsets[rows[hit]] + np.arange(len(hit)) - np.repeat(np.cumsum(counts) - counts, counts)]
        margin_distances = self.encoder.margin_distance(distances)
        scores = self.judge.score_rows(margin_distances, Contents.of(texts), query, self.corpus.contents, rows)
        judgement = self.decision.judge(scores)
        return pd.DataFrame(
            {
                "query": queries[query[hit]],
                "record_id": self.corpus.ids.take(pa.array(member)).to_pandas(),
                "distance": distances[hit],
                "margin_distance": margin_distances[hit],
                "probability": judgement.probability[hit],
                "is_match": judgement.is_match[hit],
            }
        )


def _id_or_none(record: Any) -> str | None:
    return record if isinstance(record, str) else None


def _is_columns(records: Mapping[str, Any]) -> bool:
    """Whether a dict holds columns (lists of values) and not one record."""
    return bool(records) and all(isinstance(value, list | tuple | np.ndarray | pd.Series) for value in records.values())
