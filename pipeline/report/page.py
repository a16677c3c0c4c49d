"""Page: everything that the report says of a run, gathered once and rendered."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipeline.fields import Fields, Survey, survey_fields
from pipeline.pages import render
from pipeline.plots import draw_reliability
from pipeline.records import Records
from pipeline.report.charts import distance_chart, quality_chart
from pipeline.report.examples import Example, pick_examples
from pipeline.report.groups import Group, Groups, read_groups, size_bands
from pipeline.report.histogram import Histogram, read_histogram
from pipeline.report.pairtable import Row, pick_rows, table_data
from pipeline.report.trust import read_reliability
from pipeline.report.why import explain_examples, lesson_ids
from pipeline.report.words import assurance, drift_said, headline
from pipeline.thresholds import read_thresholds
from siamese.encoder import SiameseEncoder
from siamese.folders import AUDIT, read_json, write_text


def write_report(run: Path, left: Records, right: Records | None = None, encoder: SiameseEncoder | None = None) -> None:
    """Write ``report.html`` into a run folder.

    Args:
        run: holds pairs.parquet, clusters.parquet, thresholds.parquet and summary.json.
        left, right: the corpora that were compared, read once each; ``right`` for a link.
        encoder: of the run: it explains the examples. None: they are shown without.

    Raises:
        ArtifactError: a file of the run is missing or damaged.
        DataError: a corpus cannot be read.
        OutputError: the report cannot be written.
    """
    summary = read_json(run / "summary.json")
    least = summary["min_probability"]
    examples, groups, rows = pick_examples(run, least=least), read_groups(run), pick_rows(run, least)
    members = [member for group in (*groups.largest, *groups.least_certain) for member in group.members]
    ids = {
        side: {getattr(pair, f"{side}_id") for pair in (*examples, *rows)}
        | {name for member_side, name in members if member_side == side}
        for side in ("left", "right")
    }
    lessons = lesson_ids(encoder)
    if right is None:
        surveys = [survey_fields(left, ids["left"] | ids["right"] | lessons)]
    else:
        surveys = [survey_fields(left, ids["left"] | lessons), survey_fields(right, ids["right"] | lessons)]
    if encoder is not None:
        examples = explain_examples(examples, encoder, summary, surveys[0].found, surveys[-1].found)
    page = render_report(
        summary,
        thresholds=read_thresholds(run),
        histogram=read_histogram(run, summary["max_distance"]),
        examples=examples,
        groups=groups,
        rows=rows,
        surveys=surveys,
        reliability=read_reliability(run),
        audit=read_json(run / AUDIT) if (run / AUDIT).is_file() else None,
    )
    write_text(run / "report.html", page)


def render_report(
    summary: dict[str, Any],
    *,
    thresholds: list[dict[str, Any]],
    histogram: Histogram,
    examples: list[Example],
    groups: Groups,
    rows: list[Row],
    surveys: list[Survey],
    reliability: dict[str, Any] | None = None,
    audit: dict[str, Any] | None = None,
) -> str:
    """The page. Nothing in it comes from elsewhere, and whatever the data hold is shown as text.

    Args:
        surveys: of the corpus, or of both in order.
    """
    sides = dict(zip(("left", "right"), (surveys[0].found, surveys[-1].found), strict=True))
    return render(
        "report.html.jinja",
        script="report.js",
        summary=summary,
        headline=headline(summary),
        assurance=assurance(summary),
        drift_said=drift_said(summary["drift"]) if summary.get("drift") else None,
        thresholds=thresholds,
        chosen=next((row for row in thresholds if row["is_chosen"]), None),
        slider=_columns(thresholds, summary),
        histogram=histogram,
        distances=distance_chart(histogram, summary.get("candidate_distance")),
        quality=quality_chart(thresholds),
        reliability=reliability,
        reliability_plot=Markup(draw_reliability(reliability, titled=False)) if reliability else None,
        examples=[_filled(example, sides) for example in examples],
        sizes=size_bands(groups.sizes),
        alone=dict(groups.sizes).get(1),
        largest=[_with_fields(group, sides) for group in groups.largest],
        least_certain=[_with_fields(group, sides) for group in groups.least_certain],
        table=table_data(rows, sides["left"], sides["right"], summary.get("pairs", len(rows))),
        surveys=surveys,
        audit=audit,
    )


def _filled(example: Example, sides: Mapping[str, Mapping[str, Fields]]) -> Example:
    left, right = sides["left"].get(example.left_id, {}), sides["right"].get(example.right_id, {})
    return replace(example, fields=[(name, left.get(name), right.get(name)) for name in dict.fromkeys([*left, *right])])


def _with_fields(group: Group, sides: Mapping[str, Mapping[str, Fields]]) -> Group:
    return replace(group, fields=[sides[side].get(name, {}) for side, name in group.members])


def _columns(thresholds: list[dict[str, Any]], summary: dict[str, Any]) -> dict[str, Any]:
    """What the slider reads: a list for each figure; at the run's own threshold the groups are the run's, not only those tied by pairs."""
    columns = {name: [row[name] for row in thresholds] for name in (thresholds[0] if thresholds else {})}
    for name in ("duplicates", "clusters"):
        if thresholds:
            columns[name] = [
                summary.get(name, each) if chosen else each
                for each, chosen in zip(columns[name], columns["is_chosen"], strict=True)
            ]
    return columns
