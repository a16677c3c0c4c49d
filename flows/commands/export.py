"""Command ``siamese export``."""

from typing import Annotated

import typer

from flows.commands.options import Json
from flows.commands.running import answer


def export(
    run: str,
    out: Annotated[str, typer.Option(help="Folder to write, or its URL.")],
    format: Annotated[
        str, typer.Option(help="csv or xlsx (extra xlsx; it keeps codes such as 0012 as they are).")
    ] = "csv",
    table: Annotated[
        list[str] | None, typer.Option(help="pairs, clusters, golden or dropped, once for each; all unless given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """The pairs, clusters and records of a run for a spreadsheet; no cell is taken for a formula."""
    from flows.show_export import exported
    from pipeline.export import export_run

    answer(export_run(run, out, format, tuple(table or ())), as_json, lambda written: exported(written, out))
