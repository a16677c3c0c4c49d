"""What ``siamese runs`` prints for people."""

from typing import Any

from rich.table import Table
from rich.text import Text

from flows.plain import NOTE, plain
from flows.show import _console, figures

COLUMNS = ("run", "made", "records", "pairs", "groups", "prec.", "recall", "model", "from")


def show(result: dict[str, Any]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in COLUMNS:
        folds = name in ("run", "from")
        table.add_column(name, justify="right" if name in COLUMNS[2:5] else "left", overflow="fold", no_wrap=not folds)
    names = {run["origin"].get("fingerprint"): run["name"] for run in result["runs"]}
    for run in result["runs"]:
        name = f"{run['name']} *" if run["latest"] else run["name"]
        if run["fault"] is None:
            table.add_row(plain(name), *_row(run, names))
        else:
            table.add_row(plain(name), "[yellow]cannot be read[/yellow]")
    _console().print(table)
    _console().print("*: latest. prec., recall: against the truth; a: as people judged; e: as probabilities expect")
    for run in result["runs"]:
        if run["fault"] is not None:
            _console().print(plain(run["fault"], most=NOTE))
        if run["held"] is not None:
            _console().print(plain(f"{run['name']}: {run['held']}", most=NOTE))
    if result["removed"]:
        figures("", [("removed", ", ".join(result["removed"]))])


def _row(run: dict[str, Any], names: dict[str, str]) -> tuple[str | Text, ...]:
    counts, origin = run["counts"], run["origin"]
    before = origin["updates"] or origin["previous"]
    return (
        run["created_at"][2:16].replace("T", " "),
        *(f"{counts[name]:,}" for name in ("records", "matches", "clusters")),
        _share(run["quality"], "precision"),
        _share(run["quality"], "recall"),
        origin["model"][:8],
        plain("" if before is None else names.get(before["fingerprint"], before["fingerprint"][:8])),
    )


def _share(quality: dict[str, float], name: str) -> str:
    """The best that is known: against the truth, as people judged (a), or as the probabilities expect (e)."""
    for source, sign in (("true", ""), ("audited", "a"), ("expected", "e")):
        if f"{source}_{name}" in quality:
            return f"{quality[f'{source}_{name}']:.3f}{sign}"
    return "-"
