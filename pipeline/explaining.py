"""Explaining: pairs of a corpus by their ids, with what the labelled pairs beside them say, and explanations as tables."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.records import Records, check_fields
from siamese.encoder import SiameseEncoder
from siamese.errors import DataError
from siamese.explaining import LESSONS, WORDS, explain_pairs
from siamese.explanation import Explanation
from siamese.schema import Schema

COLUMNS = ("part", "name", "word", "left", "right", "missing", "contribution", "adds_up_to")

Texts = dict[str, str | None]  # of a record


def explain_ids(
    encoder: SiameseEncoder,
    records: Records,
    left_id: str,
    right_id: str,
    *,
    right_records: Records | None = None,
    verifier: bool = True,
    words: int = WORDS,
    lessons: int = LESSONS,
) -> Explanation:
    """Explain a pair of records; each corpus is read once.

    Args:
        right_records: where the second record is; the first one's corpus unless given.
        verifier, words, lessons: as for :func:`explain_pairs`.

    Raises:
        DataError: an id is not there, or its record has nothing to compare.
        SchemaError: the records lack a column of the model's.
    """
    kept = encoder.lessons
    ids = {left_id, right_id} | ({*kept.left_ids, *kept.right_ids} if kept and lessons else set())
    sources = [records] if right_records is None else [records, right_records]
    found = [_texts_of(encoder.schema, source, ids) for source in sources]
    sides = [_of_id(found[side], sources[side], one) for side, one in ((0, left_id), (-1, right_id))]
    [explained] = explain_pairs(
        encoder,
        pa.concat_tables(sides).combine_chunks(),
        np.array([0]),
        np.array([1]),
        verifier=verifier,
        words=words,
        lessons=lessons,
    )

    return with_lessons(explained.named(left_id, right_id), *(partial(_row, *each) for each in found))


def with_lessons(explained: Explanation, *look_ups: Callable[[str], Texts | None]) -> Explanation:
    """The same, with what the records of its labelled pairs say.

    Args:
        look_ups: find a record by its id in each corpus, the left one first: on either side its own is asked before the other.
    """

    def said(one: str, order: Iterable[Callable[[str], Texts | None]]) -> Texts | None:
        return next((texts for look_up in order if (texts := look_up(one)) is not None), None)

    lessons = [
        replace(lesson, left=said(lesson.left_id, look_ups), right=said(lesson.right_id, reversed(look_ups)))
        for lesson in explained.lessons
    ]
    return replace(explained, lessons=tuple(lessons))


def frame(explained: Explanation) -> pd.DataFrame:
    """An explanation as a table.

    Returns:
        A row a contribution, with the columns

        - part: ``field``, ``word`` (of the field), ``other words`` (of the field, summed), ``step`` (of the log-odds);
        - name: of the field or step; word: of a field, else None;
        - left, right: what a field says on either side, or the word where the side has it; None where it has not;
        - missing: left, right or both, of a field that is missing there; else None;
        - contribution: float64, and adds_up_to: what the contributions of its part sum to: ``squared distance`` (or ``distance``,
          where the energy is not euclidean) of fields, the field of words, ``log-odds`` of steps.
    """
    rows: list[tuple[object, ...]] = []
    for field in explained.fields:
        rows.append(
            ("field", field.name, None, field.left, field.right, field.missing, field.share, explained.adds_up_to)
        )
        for word in field.words:
            left, right = (word.word if word.side in (side, "both") else None for side in ("left", "right"))
            rows.append(("word", field.name, word.word, left, right, None, word.share, field.name))
        if field.other_words:
            rows.append(("other words", field.name, None, None, None, None, field.other_share, field.name))
    rows += [("step", step.name, None, None, None, None, step.log_odds, "log-odds") for step in explained.steps]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"contribution": "float64"})


def _texts_of(schema: Schema, source: Records, ids: Iterable[str]) -> tuple[dict[str, int], pa.Table]:
    """Places by id, and the texts, of those records of these ids that are there."""
    check_fields(schema, source)
    table = source.take(sorted(ids))
    return {one: row for row, one in enumerate(table[source.id_column].to_pylist())}, schema.select(table)


def _of_id(found: tuple[dict[str, int], pa.Table], source: Records, one: str) -> pa.Table:
    places, texts = found
    if one not in places:
        raise DataError(f"'{source.path}' has no record '{one}': expected a value of its column '{source.id_column}'")
    return texts.slice(places[one], 1)


def _row(places: dict[str, int], texts: pa.Table, one: str) -> Texts | None:
    if one not in places:
        return None
    values: Texts = texts.slice(places[one], 1).to_pylist()[0]
    return values
