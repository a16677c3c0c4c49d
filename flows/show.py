"""What the commands print for people."""

from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.plain import NOTE, plain


def _console() -> Console:
    return Console(highlight=False)


def figures(title: str, rows: list[tuple[str, str]]) -> None:
    """A title in bold, if there is one, and what has which value: all as it is, whatever is in a path or a record."""
    heading = plain(title, "bold", NOTE) if title else None
    table = Table(title=heading, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in rows:
        table.add_row(plain(name), plain(value, most=NOTE))
    _console().print(table)


def trained(result: dict[str, Any]) -> None:
    precision, verifier = result["valid"]["average_precision"], result["verifier"]
    towers = len(result["training"]["best_epochs"])
    ordered = f"{precision['untrained']:.3f} before training, {precision['distance']:.3f} after"
    rows = [
        ("trained on", f"{result['learned']['pairs']:,} pairs, {result['learned']['matches']:,} of them genuine"),
        ("towers", f"{towers}, {len(result['training']['history']) - towers} epochs in all"),
        (
            "average precision on valid",
            ordered + (f", {precision['verifier']:.3f} with the verifier" if verifier else ""),
        ),
        ("margin", f"{result['margin']:.3f}"),
        (
            "max_distance",
            f"{result['calibration']['max_distance']:.3f} margins, from {result['calibration']['pairs']:,} held-out pairs",
        ),
    ]
    if verifier:
        rows.append(("verifier", f"looks at candidates up to {verifier['candidate_distance']:.3f} margins apart"))
    figures(f"Model {result['model']}", rows)


def _with_interval(reliability: dict[str, Any], name: str) -> str:
    low, high = reliability[f"{name}_interval"]
    return f"{reliability[name]:.3f} (95%: {low:.3f} to {high:.3f})"


def evaluated(result: dict[str, Any]) -> None:
    from pipeline.report import judge_said

    figures(
        f"{result['split']} pairs",
        [
            ("pairs", f"{result['pairs']:,}, {result['matches']:,} of them genuine"),
            ("decided by", f"the {judge_said(result)}, probability of at least {result['min_probability']:.2f}"),
            ("precision", f"{result['precision']:.3f}"),
            ("recall", f"{result['recall']:.3f}"),
            ("F1", f"{result['f1']:.3f}"),
            ("average precision", f"{result['average_precision']:.3f}"),
            ("calibration error", _with_interval(result["reliability"], "expected_calibration_error")),
            ("Brier score", _with_interval(result["reliability"], "brier")),
        ],
    )
    table = Table(title="probability against truth", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("probability", "pairs", "mean", "share of matches"):
        table.add_column(name, justify="right")
    for each in result["reliability"]["bins"]:
        span = f"{each['low']:.2f} to {each['high']:.2f}"
        table.add_row(span, f"{each['pairs']:,}", f"{each['probability']:.3f}", f"{each['matches']:.3f}")
    _console().print(table)


def scored(result: dict[str, Any]) -> None:
    if "scores" in result:
        return neighbours(pd.DataFrame(result["scores"]))
    figures(
        f"Scores in {result['out']}",
        [
            ("pairs", f"{result['pairs']:,}, {result['flagged']:,} of them flagged"),
            ("decided by", f"the {result['decided_by']}, probability of at least {result['min_probability']:.2f}"),
        ],
    )


def indexed(result: dict[str, Any]) -> None:
    embedded, facts = result["stages"]["embed"], result["index"]
    figures(
        f"Index {result['index_folder']}",
        [
            ("records", f"{embedded['records']:,}, {embedded['distinct_contents']:,} distinct"),
            (
                "kind",
                facts["kind"]
                + (f", {facts['probes']} probes, recall {facts['recall']:.4f} on a sample" if facts["probes"] else ""),
            ),
        ],
    )


def run(summary: dict[str, Any], records: str | None = None) -> None:
    from pipeline.report import drift_said, headline, judge_said

    calibrated = summary["calibrated"]
    asked = f", probability of at least {summary['min_probability']:.2f}" if calibrated else ""
    rows = [
        (
            "pairs",
            f"{summary['matches']:,} flagged by the {judge_said(summary)}{asked} ({summary['threshold_from']})",
        ),
        ("groups", f"{summary['clusters']:,}, the largest of {summary['largest_cluster']:,} records"),
    ]
    for promise in summary["promises"]:
        said = f"{promise['what']} of at least {promise['share']:g} with confidence {promise['confidence']:g}"
        rows.append(("promised", f"{said}, if the labelled pairs are like these (certificate.json)"))
    if not calibrated:
        rows.append(
            ("uncalibrated", "probabilities are guesses until pairs are labelled: siamese label RECORDS --pairs PAIRS")
        )
    if summary["review"]:
        rows.append(("to look at", f"{summary['review']:,} pairs whose probability is between 0.1 and 0.9"))
    if summary["empty_records"]:
        rows.append(("left alone", f"{summary['empty_records']:,} records with nothing to compare"))
    if summary["evaluation"]:
        pairs, clusters = summary["evaluation"]["pairs"], summary["evaluation"]["clusters"]["b_cubed"]
        rows.append(
            (
                "pairs against the truth",
                f"precision {pairs['precision']:.3f}, recall {pairs['recall']:.3f}, F1 {pairs['f1']:.3f}",
            )
        )
        rows.append(
            (
                "groups against the truth",
                f"B-cubed precision {clusters['precision']:.3f}, recall {clusters['recall']:.3f}, F1 {clusters['f1']:.3f}",
            )
        )
    rows.append(("drift", drift_said(summary["drift"])))
    folder = summary["out"].rstrip("/")
    rows.append(("report", f"{folder}/report.html"))
    figures(headline(summary), rows)
    if records:
        examples(Path(folder), records)


def verified(result: dict[str, Any]) -> None:
    evidence = result["evidence"]
    rows = [
        (
            f"{promise['what']} of at least {promise['share']:g}",
            f"with confidence {promise['confidence']:g}, shown by {promise['shown_by']}",
        )
        for promise in result["promises"]
    ] or [("nothing", "was promised")]
    rows.append(("evidence", f"{evidence['pairs']:,} held-out pairs, {evidence['matches']:,} of them genuine"))
    rows += [("if", sentence) for sentence in result["assumptions"] if result["promises"]]
    if result["audit"] and result["audit"]["precision"]:
        said = result["audit"]["precision"]
        rows.append(
            (
                "audited",
                f"precision {said['estimate']:.3f}, with confidence {result['audit']['confidence']:g} between {said['low']:.3f} and "
                f"{said['high']:.3f}, whatever the labels were like",
            )
        )
    told = (
        "the certificate follows from its files"
        if result["is_recomputed"]
        else "its files are whole; it is of a version that did not say how the threshold follows: make the run again to have it checked"
    )
    figures(f"{result['run']}: {told}", rows)


def examples(folder: Path, records: str) -> None:
    """A few pairs side by side: near ones, and those on either side of the threshold."""
    from pipeline.records import Records
    from pipeline.report import pick_examples
    from pipeline.stages import SUMMARY, fetch_records
    from siamese.folders import read_json

    chosen = pick_examples(folder, per_kind=2, least=read_json(folder / SUMMARY)["min_probability"])
    fields = fetch_records(Records.open(records), {name for pair in chosen for name in (pair.left_id, pair.right_id)})
    for pair in chosen:
        verdict = ("match", "green") if pair.is_match else ("no match", "yellow")
        said = f", distance {pair.margin_distance:.2f} margins, probability {pair.probability:.2f}"
        title = Text.assemble(verdict, said)
        table = Table(title=title, title_justify="left", show_header=True, box=None, padding=(0, 2, 0, 0))
        table.add_column("")
        table.add_column(plain(pair.left_id), overflow="fold")
        table.add_column(plain(pair.right_id), overflow="fold")
        left, right = fields[pair.left_id], fields[pair.right_id]
        for name in left:
            if left[name] or right[name]:
                table.add_row(*map(plain, (name, left[name] or "—", right[name] or "—")))
        _console().print(table)


def demo_made(folder: Path, records: int) -> None:
    _console().print(plain(f"{records:,} records made in {folder}", most=NOTE))


def audit_drawn(plan: dict[str, Any]) -> None:
    sure = f"{plan['confidence']:.4g}"
    kinds = [f"{plan[kind]:,} {name}" for kind, name in AUDITED.items() if plan[kind]]
    needed = ", ".join(f"{n} show {precision}" for precision, n in plan["needed"].items())
    rows = [("pairs", f"{plan['pairs']:,}: {', '.join(kinds)}")]
    if plan["if_no_error"] is not None:
        rows.append(
            (
                "with no error among the flagged",
                f"a precision of at least {plan['if_no_error']:.3f}, at {sure} confidence",
            )
        )
        rows.append(("flagged pairs without an error", f"{needed}, drawn plainly"))
    rows.append(("next", f"write 1 or 0 in the label column, then: siamese audit RUN --judged {plan['out']}"))
    figures(f"Pairs to judge in {plan['out']}", rows)


AUDITED = {"flagged": "flagged", "written": "written and not flagged", "beyond": "not written"}


def audited(result: dict[str, Any], run: str) -> None:
    sure = f"{result['confidence']:.4g}"

    def share(estimate: dict[str, float] | None, why: str) -> str:
        if estimate is None:
            return why
        return (
            f"{estimate['estimate']:.3f}, from {estimate['low']:.3f} to {estimate['high']:.3f}; "
            f"at least {estimate['at_least']:.3f}"
        )

    left_out = f", {result['not_judged']:,} are not judged yet and left out" if result["not_judged"] else ""
    no_recall = "unknown: pairs that the run flagged and others must both be judged, and a match seen"
    rows = [
        ("judged", f"{result['judged']:,} of {result['drawn']:,} pairs{left_out}"),
        ("precision", share(result["precision"], "unknown: no flagged pair is judged")),
        (f"recall, of {result['recall_is_of']}", share(result["recall"], no_recall)),
    ]
    if result["recall_is_of"] == "all pairs":
        rows.append(("recall, of the pairs written", share(result["recall_of_written"], no_recall)))
    rows.append(("kept in", f"{run.rstrip('/')}/audit.json"))
    figures(f"The run {run}, at {sure} confidence", rows)


def neighbours(found: Any) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in found.columns:
        table.add_column(plain(name), justify="left" if name.endswith("_id") else "right", overflow="fold")
    for row in found.itertuples(index=False):
        table.add_row(*(plain(f"{value:.4f}" if isinstance(value, float) else str(value)) for value in row))
    _console().print(table)
