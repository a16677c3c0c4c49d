"""What ``siamese compare`` prints for people."""

from typing import Any

from rich.table import Table

from flows.plain import NOTE, plain
from flows.show import _console, figures

SAID = {  # of a fate: what it is called, and in a few words what it means
    "unchanged": ("unchanged", ""),
    "grown": ("grown", "one group, more records"),
    "shrunk": ("shrunk", "one group, fewer records"),
    "exchanged": ("exchanged", "one group, some records for others"),
    "merged": ("merged", "several groups into one"),
    "split": ("split", "one group into several"),
    "regrouped": ("regrouped", "several groups into several"),
    "new": ("new", "no records of an old group"),
    "gone": ("gone", "no records of a new group"),
}


def show(result: dict[str, Any]) -> None:
    _console().print(plain(f"From {result['old']['run']} to {result['new']['run']}", "bold", NOTE), soft_wrap=True)
    _console().print(_figures_of(result))
    figures("", _pairs(result))
    table = Table(title="groups", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("", "changes", "old groups", "new groups", "records"):
        table.add_column(name, justify="right" if name else "left")
    for fate, counts in result["clusters"].items():
        if counts["changes"]:
            name, meaning = SAID[fate]
            numbers = (counts[key] for key in ("changes", "old_groups", "new_groups", "records"))
            table.add_row(f"{name}: {meaning}" if meaning else name, *(f"{number:,}" for number in numbers))
    _console().print(table)
    if "out" in result:
        figures("", [("page", result["out"])])


def _figures_of(result: dict[str, Any]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("", "old", "new"):
        table.add_column(name, overflow="fold")
    origins = [result[side] for side in ("old", "new")]
    table.add_row("made", *(each["created_at"] for each in origins))
    table.add_row("model", *(each["model"][:12] for each in origins))
    for name, pair in result["figures"].items():
        if pair["old"] is not None or pair["new"] is not None:
            table.add_row(name.replace("_", " "), plain(_value(pair["old"])), plain(_value(pair["new"])))
    for name, pair in result["settings"].items():
        table.add_row(f"asked: {name}", plain(_value(pair["old"])), plain(_value(pair["new"])))
    return table


def _pairs(result: dict[str, Any]) -> list[tuple[str, str]]:
    records, pairs = result["records"], result["pairs"]
    rows = [("records of both", f"{records['both']:,}")]
    rows += [
        (f"records of the {side} run only", f"{records[key]:,}")
        for side, key in (("old", "old_only"), ("new", "new_only"))
        if records[key]
    ]
    rows.append(("flagged pairs of both", f"{pairs['kept']:,}"))
    for name, other in (("gained", "old"), ("lost", "new")):
        counts = pairs[name]
        why = {
            f"the {other} run lacks a record": counts["record_not_there"],
            f"the {other} run wrote and did not flag": counts["written_not_flagged"],
            f"the {other} run did not write": counts["not_written"],
        }
        parts = [f"{number:,} {reason}" for reason, number in why.items() if number]
        rows.append((f"pairs {name}", f"{counts['pairs']:,}" + (f": {'; '.join(parts)}" if parts else "")))
    return rows


def _value(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
