"""Examples: the pairs of a run that a reader should see first."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.matching import PAIRS
from pipeline.runfiles import batches

ZERO = 1e-6  # margin units: a pair nearer than this is of equal contents


@dataclass(frozen=True)
class Example:
    """A pair to look at; ``fields`` are (name, left value, right value).

    Attributes:
        score: that decided; None of equal contents, which nothing had to score.
        explanation: what a waterfall of the pair shows, where one was made (``explanation.html.jinja`` draws it).
    """

    left_id: str
    right_id: str
    margin_distance: float
    probability: float
    is_match: bool
    kind: Literal["certain", "inside", "beyond"]
    score: float | None = None
    fields: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    explanation: Any = None


def pick_examples(run: Path, per_kind: int = 5, least: float = math.inf) -> list[Example]:
    """The pairs to show, without their fields: the surest matches, those just inside the threshold, those just beyond.

    Matches of equal contents are taken only where there are no others. No pair is taken twice, and the order of the
    rows in the file does not matter.

    Args:
        per_kind: how many of each, at most.
        least: probability of the threshold: what groups or a better partner part above it does not lie beyond it.

    Raises:
        ArtifactError: the pairs are missing or damaged.
    """
    columns = ["left_id", "right_id", "margin_distance", "probability", "is_match", "score"]
    ids = [("left_id", "ascending"), ("right_id", "ascending")]
    surest = [("probability", "descending"), ("margin_distance", "ascending"), *ids]
    least_sure = [("probability", "ascending"), ("margin_distance", "descending"), *ids]
    distance, match = pc.field("margin_distance"), pc.field("is_match")
    finite = pc.is_finite(distance)
    wanted = {  # each as a filter, an order and a number
        "equal": (match & finite & (distance <= ZERO), surest, per_kind),
        "near": (match & finite & (distance > ZERO), surest, 2 * per_kind),
        "inside": (match & finite & (distance > ZERO), least_sure, per_kind),
        "beyond": (~match & finite & (pc.field("probability") < least), surest, per_kind),
    }
    best: dict[str, pa.Table] = {}
    for batch in batches(run / PAIRS, columns):
        for name in ("left_id", "right_id"):  # one type of text, which the selection can sort
            batch = batch.set_column(batch.column_names.index(name), name, batch[name].cast(pa.large_string()))
        for kind, (chosen, order, k) in wanted.items():
            rows = pa.concat_tables([*([best[kind]] if kind in best else []), batch.filter(chosen)])
            best[kind] = rows.take(pc.select_k_unstable(rows, k, order))
    found = {kind: best[kind].to_pylist() if kind in best else [] for kind in wanted}
    inside = found["inside"][: min(per_kind, len(found["near"]) // 2)]
    certain = (found["near"][: len(found["near"]) - len(inside)] or found["equal"])[:per_kind]
    return [
        *(Example(**row, kind="inside") for row in inside),
        *(Example(**row, kind="beyond") for row in found["beyond"]),
        *(Example(**row, kind="certain") for row in certain),
    ]
