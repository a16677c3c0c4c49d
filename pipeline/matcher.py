"""The matcher: nearest-neighbour queries against an index, from Python, by any number of threads."""

import logging
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.contents import Contents
from pipeline.decision import Decision, Threshold
from pipeline.embedding import Corpus
from pipeline.explaining import frame, with_lessons
from pipeline.index import Found, VectorIndex
from pipeline.judging import Judge
from pipeline.live import Live
from pipeline.queries import as_records, as_texts, with_ids
from pipeline.saving import save_index
from pipeline.scoring import score_rows
from pipeline.vectors import write_vectors
from siamese.encoder import SiameseEncoder
from siamese.errors import DataError, SettingsError, SiameseError
from siamese.explaining import LESSONS, WORDS, explain_pairs
from siamese.explanation import Explanation
from siamese.folders import Place
from siamese.manifest import MANIFEST
from siamese.pairs import Pairs
from siamese.remote import is_url
from siamese.schema import renamed

Mark = tuple[int, ...] | None  # of what a place holds: another one, another mark


class Matcher:
    """Encoder, corpus and index that belong together, with what is added and removed meanwhile.

    Records come in any form: a dict, a list of dicts, a DataFrame, a Series, an Arrow table, a dict of columns, or the path or URL of a
    Parquet, CSV or JSON lines file. Threads may share a matcher: each call is answered from one whole state, that before a change or
    that after it.

    Example:
        >>> matcher = Matcher.load("index")                                                 # doctest: +SKIP
        >>> matcher.nearest({"title": "sony turntable pslx350h"}, k=5)                      # doctest: +SKIP
        >>> matcher.within("queries.csv", max_distance=0.4)                                 # doctest: +SKIP
        >>> matcher.score({"title": "sony pslx350h"}, {"title": "Sony turntable PS-LX350H"})  # doctest: +SKIP
        >>> matcher.explain("a17", {"title": "sony turntable pslx350h"})                    # doctest: +SKIP
        >>> matcher.add({"record_id": "a18", "title": "sony turntable ps-lx250h"})          # doctest: +SKIP
        >>> matcher.remove(["a17"])                                                         # doctest: +SKIP
        >>> matcher.save("index")                                                           # doctest: +SKIP
    """

    def __init__(self, live: Live, place: Place | None = None, model: Place | None = None, mark: Mark = None) -> None:
        """See :meth:`load`.

        Args:
            live: what to answer from.
            place, model: where it was opened; looked at again before each call where there is a mark.
            mark: of what was there then.
        """
        self._live, self._place, self._model, self._mark = live, place, model, mark
        self._changing = threading.Lock()

    @classmethod
    def load(cls, folder: Place, model: Place | None = None, *, follow: bool = True) -> "Matcher":
        """Open an index folder; its embeddings and vectors are mapped into memory, and read where a query looks.

        Args:
            folder: path, or a URL that fsspec knows. A link (``indices/latest``) is followed.
            model: the model to query with; the index's own copy when None.
            follow: whether the folder is looked at before each call (one stat), and what it holds now is taken when the link was
                switched or the folder was made again. Calls that have begun end with the old one. One that cannot be taken is
                warned of, and the old one goes on. What was added and removed is laid over the new one. A URL is not looked at.

        Raises:
            ArtifactError: something is damaged, or the index was built by another model.
        """
        mark = _mark(folder)
        return cls(Live.open(_resolved(folder), model), folder, model, mark if follow else None)

    @property
    def live(self) -> Live:
        """The state now; it stays as it is, whatever is changed later."""
        if self._mark is not None:
            mark = _mark(self._place)
            if mark not in (None, self._mark) and self._changing.acquire(blocking=False):  # else: the next call sees it
                try:
                    self._follow(mark)
                finally:
                    self._changing.release()
        return self._live

    def _follow(self, mark: Mark) -> None:
        """Take what the place holds now."""
        if mark == self._mark:  # another thread was faster
            return
        assert self._place is not None
        try:
            other = Live.open(_resolved(self._place), self._model)
            self._live = self._live.laid_over(other)
        except (SiameseError, OSError) as error:
            logging.getLogger("siamese").warning("still answering from the old index: %s", error)
        self._mark = mark

    @property
    def encoder(self) -> SiameseEncoder:
        return self._live.encoder

    @property
    def corpus(self) -> Corpus:
        """Of the index, as it was made."""
        return self._live.corpus

    @property
    def index(self) -> VectorIndex:
        return self._live.index

    @property
    def judge(self) -> Judge:
        return self._live.judge

    @property
    def decision(self) -> Decision:
        return self._live.decision

    def __len__(self) -> int:
        """Records."""
        return len(self.live)

    def add(self, records: Any, *, id_column: str = "record_id", replace: bool = False) -> None:
        """Add records, all or none; queries that begin later find them as if the index had been made again with them at its end.

        They are held in memory until :meth:`save`. Each call copies what was added before: add many at once.

        Args:
            records: as for :meth:`nearest`, with an id each.
            id_column: which.
            replace: whether a record may take the place of the one that has its id.

        Raises:
            DataError: an id is empty or occurs twice, or is there already and is not to be replaced.
            SchemaError: the records have no column that the model knows.
        """
        table = with_ids(renamed(as_records(records), self.live.encoder.schema.also), id_column)
        with self._changing:
            there = self._live.numbers_of(table["record_id"].combine_chunks())
            if len(there) and not replace:
                first = self._live.ids_of(there[:1])[0]
                raise DataError(
                    f"{len(there)} of {table.num_rows} records to add are in the index by their ids, the first of them '{first}': "
                    "give replace=True for these to take their place, or other ids"
                )
            self._live = self._live.less(there).more(table)

    def remove(self, ids: Iterable[str] | str) -> None:
        """Remove records by their ids, all or none; queries that begin later find what an index made without them would.

        Raises:
            DataError: an id is not there.
        """
        asked = [ids] if isinstance(ids, str) else list(ids)
        wrong = next((each for each in asked if not isinstance(each, str)), None)
        if wrong is not None:
            raise DataError(f"{wrong!r} is no id: expected text, as it is in record_id")
        with self._changing:
            there = self._live.numbers_of(pa.array(asked, pa.large_string()))
            if len(there) < len(set(asked)):
                known = set(self._live.ids_of(there).to_pylist())
                first = next(each for each in asked if each not in known)
                raise DataError(
                    f"{len(set(asked)) - len(there)} of {len(set(asked))} ids to remove are not in the index, the first of them '{first}': "
                    "nothing was removed"
                )
            self._live = self._live.less(there)

    def save(self, out: Place) -> None:
        """Write an index folder of all that is there now, whole or not at all; it gives the same results as this matcher.

        The kind of the index stays. Saved where this matcher was opened, it goes on from there and holds no changes any more.

        Args:
            out: path, or a URL that fsspec knows.

        Raises:
            DataError: no record that says anything is left.
            OutputError: it cannot be written, or ``out`` is a link.
        """
        with self._changing:
            save_index(self._live, out)
            if self._mark is not None and not is_url(out) and Path(out).resolve() == _resolved(self._place):
                mark = _mark(out)
                self._live, self._mark = Live.open(out, self._model), mark

    def export(self, path: str | Path) -> int:
        """Write ``record_id`` and ``embedding`` of all records that say anything to a Parquet file, for other stores of vectors.

        Args:
            path: ends in .parquet.

        Returns:
            How many there are.

        Raises:
            SettingsError, OutputError: it cannot be written there.
        """
        return write_vectors(self.live, Path(path))

    def nearest(self, records: Any, k: int = 5) -> pd.DataFrame:
        """The k nearest records of the corpus for each query, nearest first; of those equally far, the first in the corpus.

        Args:
            records: in any form; a field that is left out counts as missing.
            k: 1 or more. Fewer rows come only where the corpus has fewer records.

        Returns:
            query (number of the record), record_id, distance, margin_distance, probability, is_match. A query with nothing to
            compare has no rows.

        Raises:
            SettingsError: k is below 1.
            DataError: the records cannot be read; SchemaError: they have no column that the model knows.
        """
        if k < 1:
            raise SettingsError(f"k is {k}: expected 1 or more")
        live = self.live
        embeddings, texts, queries = _encode(live, records)
        return _frame(live, texts, queries, live.nearest(embeddings, k), k)

    def within(self, records: Any, max_distance: float | None = None) -> pd.DataFrame:
        """Every record of the corpus within a distance of each query, nearest first, however many there are.

        Args:
            records: as for :meth:`nearest`.
            max_distance: in margin units; the calibrated one when None.
        """
        live = self.live
        limit = Threshold(max_distance, verifier=False).decide(live.encoder.calibration).limit
        embeddings, texts, queries = _encode(live, records)
        return _frame(live, texts, queries, live.within(embeddings, limit * live.encoder.margin))

    def score(self, left: Any, right: Any) -> pd.DataFrame:
        """What the model makes of given pairs, by its own default threshold; the corpus is not asked.

        Args:
            left, right: equally many records, paired in order; each as for :meth:`nearest`.

        Returns:
            distance, margin_distance, probability, is_match: a row a pair, in order. The first three are NaN and is_match False
            where a record has nothing to compare.

        Raises:
            DataError: the two are not equally many.
            SchemaError: a side has no column that the model knows.
        """
        live = self.live
        sides = [as_texts(as_records(records), live.encoder.schema) for records in (left, right)]
        n = sides[0].num_rows
        if n != sides[1].num_rows:
            raise DataError(f"{n} records came to be scored with {sides[1].num_rows}: give as many on either side")
        pairs = Pairs(np.arange(n), np.arange(n, 2 * n), np.zeros(n, np.int8))
        return score_rows(live.encoder, live.judge, live.decision, pa.concat_tables(sides), pairs).frame()

    def explain(self, left: Any, right: Any, words: int = WORDS) -> pd.DataFrame:
        """Why two records are as far apart as they are, and how likely that makes a match: what each field, word and step adds.

        Args:
            left, right: ids of records of the corpus, or records as for :meth:`nearest`, one each; a file by its ``Path``, as text
                is an id.
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
        live = self.live
        sides = [_one(live, each) for each in (left, right)]
        [found] = explain_pairs(
            live.encoder,
            pa.concat_tables(sides).combine_chunks(),
            np.array([0]),
            np.array([1]),
            words=words,
            lessons=lessons,
        )
        found = replace(found, left_id=_id_or_none(left), right_id=_id_or_none(right))

        def look_up(record_id: str) -> dict[str, str | None] | None:
            texts = _of_id(live, record_id)
            return None if texts is None else texts.to_pylist()[0]

        return with_lessons(found, look_up)


def _one(live: Live, record: Any) -> pa.Table:
    """The texts of one record, given as it is or by its id."""
    if not isinstance(record, str):
        table = as_texts(as_records(record), live.encoder.schema)
        if table.num_rows != 1:
            raise DataError(f"{table.num_rows} records came as one side of a pair: give a record, or the id of one")
        return table
    if not live.contents.shards:
        raise DataError("this index keeps no texts, as its model has no verifier: give records instead of their ids")
    texts = _of_id(live, record)
    if texts is None:
        raise DataError(f"the index has no record '{record}' with anything to compare: give the id of one, or a record")
    return texts


def _of_id(live: Live, record_id: str) -> pa.Table | None:
    numbers = live.numbers_of(pa.array([record_id], pa.large_string()))
    rows = live.rows_of(numbers)
    return live.contents.take(rows) if len(rows) and rows[0] >= 0 and live.contents.shards else None


def _encode(live: Live, records: Any) -> tuple[NDArray[np.float32], pa.Table, NDArray[np.int64]]:
    """Embeddings and texts of the queries that say anything, and their numbers."""
    table = as_texts(as_records(records), live.encoder.schema)
    embeddings = live.encoder.encode(table)
    said = np.flatnonzero(embeddings.any(axis=1))
    return embeddings[said], table.take(pa.array(said)), said


def _frame(live: Live, texts: pa.Table, queries: NDArray[np.int64], found: Found, k: int | None = None) -> pd.DataFrame:
    """The records of the rows that were found, nearest first; the k nearest of each query."""
    query, row, distance = found
    place, number = live.records_of(row)
    order = np.lexsort((number, distance[place], query[place]))
    place, number = place[order], number[order]
    if k is not None:
        asked = query[place]
        first = np.arange(len(place)) - np.searchsorted(asked, asked) < k
        place, number = place[first], number[first]
    query, row, distance = query[place], row[place], distance[place]
    margin_distance = live.encoder.margin_distance(distance)
    scores = live.judge.score_rows(margin_distance, Contents.of(texts), query, live.contents, row)
    judgement = live.decision.judge(scores)
    return pd.DataFrame(
        {
            "query": queries[query],
            "record_id": live.ids_of(number).to_pandas(),
            "distance": distance,
            "margin_distance": margin_distance,
            "probability": judgement.probability,
            "is_match": judgement.is_match,
        }
    )


def _id_or_none(record: Any) -> str | None:
    return record if isinstance(record, str) else None


def _resolved(place: Place | None) -> Place:
    """Where a link leads: what is opened there stays one folder, whatever the link says meanwhile."""
    assert place is not None
    return place if is_url(place) else Path(place).resolve()


def _mark(place: Place | None) -> Mark:
    """Of what a path holds; None for a URL, and where nothing is there (a folder is just taking another's place)."""
    if place is None or is_url(place):
        return None
    try:
        found = Path(place, MANIFEST).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns
