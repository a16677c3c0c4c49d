"""Waterfall: an explanation on the terminal, each contribution as a bar that starts where the one before it ends."""

from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from flows.plain import NOTE, plain

BAR = 24  # characters
APART, NEARER = "red", "green"


def show(explained: dict[str, Any], console: Console | None = None) -> None:
    """Print an explanation.

    Args:
        explained: of :meth:`siamese.explanation.Explanation.to_dict`.
    """
    console = console or Console(highlight=False)
    console.print(_headline(explained))
    console.print(_fields(explained))
    missing = [field["name"] for field in explained["fields"] if field["missing"] == "both"]
    if missing:
        console.print(Text("missing on both sides: ", style="dim") + Text(", ").join(map(plain, missing)))
    console.print(_steps(explained))
    for lesson in explained["lessons"]:
        console.print(_lesson(lesson, {explained["left_id"], explained["right_id"]}))
    for note in explained["notes"]:
        console.print(plain(note, "dim", most=NOTE))


def _headline(explained: dict[str, Any]) -> Text:
    verdict = ("match", NEARER) if explained["is_match"] else ("no match", "yellow")
    said = f", by the {explained['decided_by']}: distance {explained['margin_distance']:.3f} margins, probability "
    return Text.assemble(verdict, said, f"{explained['probability']:.3f}")


def _fields(explained: dict[str, Any]) -> Table:
    exactly = "adds" if explained["is_exact"] else "adds, about,"
    table = _table(f"what each field {exactly} to the {explained['adds_up_to']} of {explained['total']:.4f}")
    for name in ("", "left", "right"):
        table.add_column(name if name == "" else plain(explained[f"{name}_id"] or name), overflow="fold")
    table.add_column("adds", justify="right")
    table.add_column("", width=BAR, no_wrap=True)
    span = _span(explained["fields"])
    for field in explained["fields"]:
        if field["missing"] == "both":
            continue
        sides = [
            Text(f"missing on the {side}", style="dim") if field[side] is None else plain(field[side])
            for side in ("left", "right")
        ]
        size = Text(f"{field['share']:+.4f}")
        table.add_row(plain(field["name"]), *sides, size, _bar(field, span, APART, NEARER))
        for word in field["words"]:
            on = [plain(word["word"], "dim") if word["side"] in (side, "both") else "" for side in ("left", "right")]
            table.add_row("", *on, Text(f"{word['share']:+.4f}", style="dim"), "")
        if field["other_words"]:
            many = "1 more word" if field["other_words"] == 1 else f"{field['other_words']} more words"
            table.add_row("", Text(many, style="dim"), "", Text(f"{field['other_share']:+.4f}", style="dim"), "")
    return table


def _steps(explained: dict[str, Any]) -> Table:
    table = _table(f"log-odds of a match, {explained['needed']:+.3f} needed")
    table.add_column("", overflow="fold")
    table.add_column("adds", justify="right")
    table.add_column("", width=BAR, no_wrap=True)
    table.add_column("in all", justify="right")
    span = _span(explained["steps"])
    for step in explained["steps"]:
        size, end = f"{step['log_odds']:+.3f}", f"{step['end']:+.3f}"
        table.add_row(plain(step["name"]), size, _bar(step, span, NEARER, APART), end)
    return table


def _lesson(lesson: dict[str, Any], explained: set[str | None]) -> Group:
    origin = "drawn in training as" if lesson["is_mined"] else "labelled"
    is_itself = {lesson["left_id"], lesson["right_id"]} == explained
    near = "this very pair" if is_itself else f"judged for like reasons ({lesson['apart']:.2f} from this pair)"
    table = _table(f"{origin} {'genuine' if lesson['is_match'] else 'imposite'}: {near}")
    table.add_column("")
    table.add_column(plain(lesson["left_id"]), overflow="fold")
    table.add_column(plain(lesson["right_id"]), overflow="fold")
    left, right = lesson["left"] or {}, lesson["right"] or {}
    for name in dict.fromkeys([*left, *right]):
        if left.get(name) or right.get(name):
            table.add_row(plain(name), plain(left.get(name) or "—"), plain(right.get(name) or "—"))
    absent = Text("what these records say is not in the corpus that was given", style="dim")
    return Group(table) if left or right else Group(table, absent)


def _table(title: str) -> Table:
    return Table(title=Text(title, style="bold"), title_justify="left", box=None, padding=(0, 2, 0, 0))


def _span(parts: list[dict[str, Any]]) -> tuple[float, float]:
    ends = [0.0, *(each["end"] for each in parts)]
    return min(ends), max(ends)


def _bar(part: dict[str, Any], span: tuple[float, float], more: str, less: str) -> Text:
    """From where the part starts to where it ends, on a scale of BAR characters."""
    low, high = span
    scale = BAR / (high - low) if high > low else 0.0
    first, last = sorted(round((each - low) * scale) for each in (part["start"], part["end"]))
    first = min(first, BAR - 1)
    style = more if part["end"] >= part["start"] else less
    return Text(" " * first + ("█" * (last - first) or "▏"), style=style)
