"""Why: the examples of a report, each with the explanation of its pair."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.explaining import with_lessons
from pipeline.fields import Fields
from pipeline.report.examples import Example
from siamese.encoder import SiameseEncoder
from siamese.explaining import explain_pairs

LESSONS = 1  # labelled pairs of either label beside each


def explain_examples(
    examples: list[Example],
    encoder: SiameseEncoder,
    summary: Mapping[str, Any],
    left: Mapping[str, Fields],
    right: Mapping[str, Fields],
) -> list[Example]:
    """The same examples, those with records to compare explained as the run decided.

    Args:
        summary: of the run, whose threshold and share of matches they are judged by.
        left, right: fields of the records by id; those of labelled pairs are shown too where they are there.
    """
    known = [example for example in examples if example.left_id in left and example.right_id in right]
    records = [left[each.left_id] for each in known] + [right[each.right_id] for each in known]
    names = encoder.schema.names
    texts = pa.table({name: pa.array([each.get(name) for each in records], pa.large_string()) for name in names})
    said = np.asarray(encoder.encode(texts).any(axis=1))
    pairs = np.flatnonzero(said[: len(known)] & said[len(known) :])
    explained = explain_pairs(
        encoder,
        texts,
        pairs,
        pairs + len(known),
        verifier=summary["decided_by"] == "verifier",
        limit=summary["max_score"],
        imposite_weight=summary["prior"]["imposite_weight"] if summary["prior"] else 1.0,
        scores=_scores(known, pairs) if summary.get("among_rivals") else None,
        lessons=LESSONS,
    )
    found = {
        id(known[pair]): with_lessons(each, left.get, right.get).to_dict()
        for pair, each in zip(pairs, explained, strict=True)
    }
    return [replace(example, explanation=found.get(id(example))) for example in examples]


def _scores(examples: list[Example], pairs: np.ndarray) -> np.ndarray:
    return np.array([examples[pair].score for pair in pairs], np.float64)


def lesson_ids(encoder: SiameseEncoder | None) -> set[str]:
    """Records of the labelled pairs that the model keeps."""
    kept = encoder.lessons if encoder else None
    return {*kept.left_ids, *kept.right_ids} if kept else set()
