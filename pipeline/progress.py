"""Progress: a bar on a terminal, nothing in a pipe."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any


def track(tables: Iterable[Any], description: str, total: int | None = None) -> Iterator[Any]:
    """Yield tables and show how many of their rows have gone by, where standard error is a terminal."""
    if not sys.stderr.isatty():
        yield from tables
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total)
        for table in tables:
            yield table
            progress.advance(task, getattr(table, "num_rows", 1))
