"""Report: one self-contained HTML page about a run, with the distances, the groups and the pairs to look at."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.pages import render
from siamese.errors import ArtifactError
from siamese.folders import read_json, write_text

BATCH_ROWS = 131_072
ZERO = 1e-6  # margin units: a pair nearer than this is of equal contents


@dataclass(frozen=True)
class Histogram:
    """Counts of the written pairs by margin_distance; bin i holds (edges[i], edges[i + 1]], the first one 0 too."""

    edges: list[float]
    matches: list[int]
    others: list[int]
    threshold: float | None = None


@dataclass(frozen=True)
class Example:
    """A pair to look at; ``fields`` are (name, left value, right value)."""

    left_id: str
    right_id: str
    margin_distance: float
    probability: float
    is_match: bool
    kind: Literal["certain", "inside", "beyond"]
    fields: list[tuple[str, str | None, str | None]] = field(default_factory=list)


def pick_examples(run: Path, per_kind: int = 8, least: float = math.inf) -> list[Example]:
    """The pairs to show, without their fields: the surest matches, those just inside the threshold, those just beyond.

    Matches of equal contents are taken only where there are no others. No pair is taken twice, and the order of the
    rows in the file does not matter.

    Args:
        per_kind: how many of each, at most.
        least: probability of the threshold: what groups or a better partner part above it does not lie beyond it.
    """
    columns = ["left_id", "right_id", "margin_distance", "probability", "is_match"]
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
    for batch in _batches(run / "pairs.parquet", columns):
        for name in ("left_id", "right_id"):  # one type of text, which the selection can sort
            batch = batch.set_column(batch.column_names.index(name), name, batch[name].cast(pa.large_string()))
        for kind, (chosen, order, k) in wanted.items():
            rows = pa.concat_tables([*([best[kind]] if kind in best else []), batch.filter(chosen)])
            best[kind] = rows.take(pc.select_k_unstable(rows, k, order))
    found = {kind: best[kind].to_pylist() if kind in best else [] for kind in wanted}
    inside = found["inside"][: min(per_kind, len(found["near"]) // 2)]
    certain = (found["near"][: len(found["near"]) - len(inside)] or found["equal"])[:per_kind]
    return [
        *(Example(**row, kind="certain") for row in certain),
        *(Example(**row, kind="inside") for row in inside),
        *(Example(**row, kind="beyond") for row in found["beyond"]),
    ]


def write_report(
    run: Path,
    examples: list[Example],
    records: Mapping[str, Mapping[str, str | None]],
    right_records: Mapping[str, Mapping[str, str | None]] | None = None,
) -> None:
    """Write ``report.html`` into a run folder.

    Args:
        run: holds pairs.parquet, clusters.parquet and summary.json.
        examples: of ``pick_examples``; their fields are filled in here.
        records: the fields of the records that the examples name; those of the left side in a link run.
        right_records: those of the right side, where ids may mean other records; the same as ``records`` when None.

    Raises:
        ArtifactError: a file of the run is missing or damaged.
        OutputError: the report cannot be written.
    """
    summary = read_json(run / "summary.json")
    others = records if right_records is None else right_records
    filled = []
    for example in examples:
        left, right = records.get(example.left_id, {}), others.get(example.right_id, {})
        names = dict.fromkeys([*left, *right])
        filled.append(replace(example, fields=[(name, left.get(name), right.get(name)) for name in names]))
    page = render_report(summary, read_histogram(run, summary.get("max_distance")), filled, group_sizes(run))
    write_text(run / "report.html", page)


def read_histogram(run: Path, threshold: float | None, bins: int = 40) -> Histogram:
    """The distances of the written pairs, in about ``bins`` bins of which one ends at the threshold."""
    top = threshold or 0.0
    for values, _ in _distances(run):
        top = max(top, float(values.max(initial=0)))
    width = top / bins or 1 / bins
    if threshold and threshold > width:
        width = threshold / round(threshold / width)
    n = max(1, math.ceil(top / width - 1e-9)) if top else bins
    edges = np.arange(n + 1) * width
    counts = np.zeros((2, n), np.int64)
    for values, is_match in _distances(run):
        place = np.clip(np.searchsorted(edges * (1 + 1e-9), values) - 1, 0, n - 1)
        for row, chosen in enumerate((is_match, ~is_match)):
            counts[row] += np.bincount(place[chosen], minlength=n)
    return Histogram(edges.tolist(), counts[0].tolist(), counts[1].tolist(), threshold)


def group_sizes(run: Path) -> list[tuple[int, int]]:
    """(records in a group, number of such groups), ascending; records that stand alone are groups of 1."""
    rows: Counter[int] = Counter()
    for batch in _batches(run / "clusters.parquet", ["cluster_size"]):
        rows.update({row["values"]: row["counts"] for row in pc.value_counts(batch["cluster_size"]).to_pylist()})
    return [(size, n // size) for size, n in sorted(rows.items())]


def render_report(
    summary: dict[str, Any], histogram: Histogram, examples: list[Example], clusters: list[tuple[int, int]]
) -> str:
    """The page. Nothing in it comes from elsewhere, and whatever the data hold is shown as text."""
    stacks = [sum(pair) for pair in zip(histogram.matches, histogram.others, strict=True)]
    groups = [(size, size, count) for size, count in clusters if size > 1]
    if len(groups) > 10:  # by powers of two: 2 to 3, 4 to 7, 8 to 15 and so on
        powers: Counter[int] = Counter()
        for size, _, count in groups:
            powers[1 << size.bit_length() - 1] += count
        groups = [(low, 2 * low - 1, count) for low, count in powers.items()]
    return render(
        "report.html.jinja",
        summary=summary,
        histogram=histogram,
        stacks=stacks,
        x_ticks=_ticks(histogram.edges[-1]),
        y_ticks=_ticks(max(stacks, default=0), whole=True),
        examples=examples,
        groups=groups,
        alone=dict(clusters).get(1),
    )


def _batches(path: Path, columns: list[str]) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                yield pa.Table.from_batches([batch]).select(columns)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ArtifactError(f"'{path}' cannot be read ({str(error).splitlines()[0]}): make the run again") from error


def _distances(run: Path) -> Iterator[tuple[Any, Any]]:
    for batch in _batches(run / "pairs.parquet", ["margin_distance", "is_match"]):
        values, is_match = batch["margin_distance"].to_numpy(), batch["is_match"].to_numpy().astype(bool)
        known = np.isfinite(values)
        yield values[known], is_match[known]


def _ticks(top: float, whole: bool = False) -> list[float]:
    """Round values from 0, about five; for counts they are whole and reach ``top``."""
    if top <= 0:
        return [0]
    size = 10 ** math.floor(math.log10(top / 4))
    step = next(size * k for k in (1, 2, 5, 10) if size * k * 5 >= top)
    step = max(1, round(step)) if whole else step
    return [step * k for k in range((math.ceil(top / step) if whole else math.floor(top / step + 1e-9)) + 1)]
