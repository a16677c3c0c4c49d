"""Words: a run in a sentence, and in a page of Markdown; every number is the summary's."""

from typing import Any

from pipeline.drift import what_drifted


def judge_said(described: dict[str, Any]) -> str:
    """Who decided, of what a decision says, for people; a run of before says nothing of rivals."""
    return f"{described['decided_by']}{', among rivals' if described.get('among_rivals') else ''}"


def headline(summary: dict[str, Any]) -> str:
    """A run in one sentence."""
    if summary.get("kind") == "link":
        sizes, n = summary["records"], summary["matches"]
        return f"{_many(n, 'match', 'matches')} between {sizes['left']:,} and {sizes['right']:,} records"
    records, duplicates = summary["records"], summary["duplicates"]
    if duplicates == 0:
        return f"None of {_many(records, 'record')} is a duplicate"
    verb = "is a duplicate" if duplicates == 1 else "are duplicates"
    return f"{duplicates:,} of {_many(records, 'record')} {verb}, in {_many(summary['clusters'], 'group')}"


def assurance(summary: dict[str, Any]) -> str | None:
    """How right the flagged pairs are expected to be; None where nothing is flagged."""
    if not summary.get("matches"):
        return None
    for promise in summary.get("promises") or ():
        if promise["what"] == "precision":
            share, sure = _percent(promise["share"]), _percent(promise["confidence"])
            return f"at least {share} of the flagged pairs are expected right, with a confidence of {sure}"
    expected = summary.get("expected_precision")
    if expected is None:
        return None
    return f"about {min(expected, 0.999):.1%} of the flagged pairs are expected right, by their probabilities"


def markdown(summary: dict[str, Any]) -> str:
    """The run on a page: headline, promise, quality against the truth where it is known, and what to look at."""
    lines = [f"# {headline(summary)}", ""]
    rows = [
        ("Pairs flagged", f"{summary['matches']:,} of {summary['pairs']:,} written"),
        ("Groups of two or more", f"{summary['clusters']:,}, the largest of {summary['largest_cluster']:,} records"),
        ("Flagged from", f"a probability of {summary['min_probability']:.3g} ({summary['threshold_from']})"),
        ("Decided by", judge_said(summary)),
        ("For a person to look at", f"{_many(summary['review'], 'pair')} of a probability between 0.1 and 0.9"),
    ]
    if summary.get("evaluation"):
        pairs, groups = summary["evaluation"]["pairs"], summary["evaluation"]["clusters"]["b_cubed"]
        rows.append(("Pairs against the truth", _scores(pairs)))
        rows.append(("Groups against the truth, B-cubed", _scores(groups)))
    if summary.get("drift"):
        rows.append(("Drift", drift_said(summary["drift"])))
    rows += [("Records", summary["records_path"]), ("Model", summary["model"])]
    said = assurance(summary)
    if said:
        lines += [said[0].upper() + said[1:] + ".", ""]
    lines += ["| | |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in rows), ""]
    return "\n".join(lines)


def drift_said(drift: dict[str, Any]) -> str:
    """Whether a run is like those before it, in a sentence without its end."""
    with_what = ["the training records"] * drift["has_training"]
    if drift["runs"]:
        with_what.insert(0, "the last run" if drift["runs"] == 1 else f"the last {drift['runs']} runs")
    if not drift["compared"]:
        return "nothing to compare with: " + (
            "no run before"
            if drift["has_training"]
            else "no run before, and a model without a portrait of its training records"
        )
    if not drift["told"]:
        return f"none against {' and '.join(with_what)}"
    return f"{drift['verdict']}: {what_drifted(drift)}"


def _scores(scores: dict[str, float]) -> str:
    return f"precision {scores['precision']:.3f}, recall {scores['recall']:.3f}, F1 {scores['f1']:.3f}"


def _many(count: int, one: str, more: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def _percent(share: float) -> str:
    return f"{100 * share:.4g}%"


def _cell(text: Any) -> str:
    """Text that ends neither the cell nor the line, and is no markup."""
    flat = " ".join(str(text).split())
    return "".join(f"\\{one}" if one in "\\|`*_<>[]#" else one for one in flat)
