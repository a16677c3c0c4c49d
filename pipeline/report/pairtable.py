"""Pair table: the pairs that a reader can search, as data for the page's script."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.special import logit

from pipeline.fields import Fields
from pipeline.matching import PAIRS
from pipeline.runfiles import batches
from pipeline.unseen import seen

DOUBTFUL, SUREST = 1500, 500  # pairs nearest to the threshold, and of the greatest probability
CLIPPED = 160  # characters of a value that the table holds
MOST_BYTES = 3_000_000  # of text: a report can be mailed
NOT_FLAGGED, FLAGGED, EQUAL, LET_GO = range(4)  # equal contents are flagged at any threshold, what was let go at none


@dataclass(frozen=True)
class Row:
    """A pair of the table; ``verdict`` is one of the four above."""

    left_id: str
    right_id: str
    margin_distance: float
    probability: float
    verdict: int


def pick_rows(run: Path, least: float, doubtful: int = DOUBTFUL, surest: int = SUREST) -> list[Row]:
    """The pairs nearest to the threshold by log-odds, then the surest of the others.

    Args:
        least: probability of the threshold.

    Raises:
        ArtifactError: the pairs are missing or damaged.
    """
    columns = ["left_id", "right_id", "margin_distance", "probability", "is_match", "score"]
    ids = [("left_id", "ascending"), ("right_id", "ascending")]
    near = sure = None
    for batch in batches(run / PAIRS, columns):
        names = ["left_id", "right_id"]
        batch = batch.set_column(0, names[0], batch[names[0]].cast(pa.large_string()))
        batch = batch.set_column(1, names[1], batch[names[1]].cast(pa.large_string()))
        batch = batch.append_column("doubt", pa.array(_log_odds_apart(batch["probability"].to_numpy(), least)))
        near = _best(near, batch, doubtful, [("doubt", "ascending"), *ids])
        sure = _best(sure, batch, doubtful + surest, [("probability", "descending"), *ids])
    if near is None or sure is None:
        return []
    rows = list(dict.fromkeys([*_rows(near, least), *_rows(sure, least)]))
    return rows[: doubtful + surest]


def table_data(
    rows: list[Row], left: Mapping[str, Fields], right: Mapping[str, Fields], of_pairs: int
) -> dict[str, Any]:
    """What the script reads: every text once, cut and with unseen characters made visible; fewer pairs where they would take too much.

    Returns:
        ``fields``: names. ``records``: [id, value or null, ...] each. ``pairs``: [left record, right record, probability, distance,
        verdict] each, records by place. ``of``: all pairs of the run. ``clipped``: characters of a value, at most.
    """
    names = list(dict.fromkeys(name for fields in (left, right) for record in fields.values() for name in record))
    records: list[list[str | None]] = []
    place: dict[tuple[bool, str], int] = {}
    pairs, size, one_side = [], 0, left is right
    for row in rows:
        for side, fields, name in ((True, left, row.left_id), (one_side, right, row.right_id)):
            if (side, name) not in place:
                place[side, name] = len(records)
                values = fields.get(name, {})
                records.append([_cut(name), *(_cut(values.get(each)) for each in names)])
                size += sum(len((each or "").encode()) + 4 for each in records[-1])
        if size > MOST_BYTES:
            break
        places = (place[True, row.left_id], place[one_side, row.right_id])
        pairs.append([*places, round(row.probability, 6), round(row.margin_distance, 4), row.verdict])
    return {
        "fields": [_cut(name) for name in names],
        "records": records,
        "pairs": pairs,
        "of": of_pairs,
        "clipped": CLIPPED,
    }


def _cut(text: str | None) -> str | None:
    if text is None:
        return None
    return seen(text if len(text) <= CLIPPED else text[:CLIPPED] + "…")


def _log_odds_apart(probability: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    return np.abs(logit(np.clip(probability, 1e-9, 1 - 1e-9)) - logit(np.clip(least, 1e-9, 1 - 1e-9)))


def _best(kept: pa.Table | None, batch: pa.Table, k: int, order: list[tuple[str, str]]) -> pa.Table:
    rows = batch if kept is None else pa.concat_tables([kept, batch])
    return rows.take(pc.select_k_unstable(rows, k, order))


def _rows(table: pa.Table, least: float) -> Iterator[Row]:
    for row in table.to_pylist():
        if row["is_match"]:
            verdict = EQUAL if row["score"] is None else FLAGGED
        else:
            verdict = LET_GO if row["probability"] >= least else NOT_FLAGGED
        yield Row(row["left_id"], row["right_id"], row["margin_distance"], row["probability"], verdict)
