"""Thresholds: what each least probability would flag, as ``thresholds.parquet`` and as points of curves.

The rows are expectations: a pair of probability p is p right pairs. Where all true pairs are known, what is true stands beside them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.candidates import BEYOND
from pipeline.forest import Forest
from pipeline.matching import PAIRS
from pipeline.runfiles import Nodes, batches

THRESHOLDS = "thresholds.parquet"
STEPS = (0.001, 0.002, 0.005, *(step / 100 for step in range(1, 100)), 0.995, 0.998, 0.999, 0.9995, 0.9999)
SCHEMA = pa.schema(
    [
        ("min_probability", pa.float64()),
        ("is_chosen", pa.bool_()),  # the run's own, once
        ("flagged", pa.int64()),
        ("margin_distance", pa.float64()),  # the greatest of them
        ("expected_precision", pa.float64()),  # null where nothing is flagged
        ("expected_recall", pa.float64()),  # of all matches expected among the pairs that were looked at
        ("precision", pa.float64()),  # null without the truth, and where nothing is flagged
        ("recall", pa.float64()),
        ("duplicates", pa.int64()),  # records less groups, where all that is flagged hangs together
        ("clusters", pa.int64()),  # of two or more
    ]
)


class Truth(NamedTuple):
    """Which of the written pairs are true, in the order of the file, and how many true pairs there are."""

    is_true: NDArray[np.bool_]
    pairs: int


def write_thresholds(run: Path, least: float, one_to_one: bool, truth: Truth | None = None) -> None:
    """Write ``thresholds.parquet`` into a run folder.

    Pairs above the run's threshold that it let go all the same, for they are in different groups or lost to a better pair, are flagged
    at no threshold. Pairs of equal contents are flagged at each.

    Args:
        run: holds the pairs, flagged or not, the sample of those beyond, and the clusters.
        least: the run's own threshold, a probability.
        one_to_one: whether a record is in one flagged pair at most.

    Raises:
        ArtifactError: a file of the run is missing or damaged, or names a record that is in no cluster.
    """
    steps = np.unique([*STEPS, least])
    n, nodes = len(steps), Nodes(run)
    forest, taken = Forest(len(nodes)), _taken(run, nodes) if one_to_one else None
    flagged, right, true, matches, farthest, row = np.zeros(n), np.zeros(n), np.zeros(n), 0.0, np.zeros(n), 0
    columns = ["left_id", "right_id", "margin_distance", "probability", "is_match", "score"]
    for pairs in batches(run / PAIRS, columns):
        left, other = nodes.of(pairs)
        p, is_match = pairs["probability"].to_numpy(), pairs["is_match"].to_numpy().astype(bool)
        equal = is_match & pc.is_null(pairs["score"], nan_is_null=True).to_numpy()
        level = np.where(equal, 1.0, np.where(is_match, np.maximum(p, least), p))
        lost = _lost(taken, left, other) & ~is_match
        let_go = lost | (~is_match & (p >= least))
        place = np.searchsorted(steps, level, side="right") - 1
        here = np.flatnonzero(~let_go & (place >= 0))
        flagged += np.bincount(place[here], minlength=n)
        right += np.bincount(place[here], p[here], minlength=n)
        np.maximum.at(farthest, place[here], pairs["margin_distance"].to_numpy()[here])
        if truth is not None:
            true += np.bincount(place[here], truth.is_true[row : row + len(p)][here], minlength=n)
        matches += float(p[~lost].sum())
        row += len(p)
        forest.add(left[here], other[here], level[here])
    matches += sum(
        float((weight * p)[~_lost(taken, left, other)].sum()) for left, other, p, weight in _beyond(run, nodes)
    )
    flagged, right, true = (each[::-1].cumsum()[::-1] for each in (flagged, right, true))
    ties = np.histogram(forest.strength, [*steps, np.inf])[0][::-1].cumsum()[::-1]
    tied = np.histogram(forest.strongest(), [*steps, np.inf])[0][::-1].cumsum()[::-1]
    known = truth is not None and truth.pairs > 0
    table = {
        "min_probability": steps,
        "is_chosen": steps == least,
        "flagged": flagged.astype(np.int64),
        "margin_distance": np.maximum.accumulate(farthest[::-1])[::-1],
        "expected_precision": _shares(right, flagged),
        "expected_recall": _shares(right, np.full(n, matches)),
        "precision": _shares(true, flagged) if known else pa.nulls(n, pa.float64()),
        "recall": _shares(true, np.full(n, truth.pairs)) if truth and known else pa.nulls(n, pa.float64()),
        "duplicates": ties,
        "clusters": tied - ties,
    }
    pq.write_table(pa.table(table, schema=SCHEMA), run / THRESHOLDS, compression="zstd")


def read_thresholds(run: Path) -> list[dict[str, Any]]:
    """The rows of ``thresholds.parquet``, ascending by probability.

    Raises:
        ArtifactError: it is missing or damaged.
    """
    return [row for batch in batches(run / THRESHOLDS, SCHEMA.names) for row in batch.to_pylist()]


def _taken(run: Path, nodes: Nodes) -> NDArray[np.bool_]:
    """(n,) whether each record is in a flagged pair."""
    taken = np.zeros(len(nodes), bool)
    for pairs in batches(run / PAIRS, ["left_id", "right_id", "is_match"]):
        for side in nodes.of(pairs.filter(pairs["is_match"])):
            taken[side] = True
    return taken


def _lost(taken: NDArray[np.bool_] | None, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pairs cannot be right, one of their records being in a better one."""
    return np.zeros(len(left), bool) if taken is None else taken[left] | taken[right]


def _beyond(run: Path, nodes: Nodes) -> Iterator[tuple[NDArray, NDArray, NDArray, NDArray]]:
    """Left, right, probability and weight of the sample of pairs that were looked at and not written."""
    for pairs in batches(run / BEYOND, ["left_id", "right_id", "probability", "weight"]):
        yield *nodes.of(pairs), pairs["probability"].to_numpy(), pairs["weight"].to_numpy()


def _shares(part: NDArray[np.float64], whole: NDArray[np.float64]) -> pa.Array:
    return pa.array(part / np.where(whole > 0, whole, np.nan), from_pandas=True)
