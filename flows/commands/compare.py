"""Command ``siamese compare``."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import Json
from flows.commands.running import answer


def compare(
    old: Annotated[str, typer.Argument(metavar="RUN1", help="Run folder, or its URL.")],
    new: Annotated[str, typer.Argument(metavar="RUN2", help="Another over the same records.")],
    out: Annotated[Path | None, typer.Option(help="Write it as a page with examples too: an .html file.")] = None,
    as_json: Json = False,
) -> None:
    """What changed from one run to another: pairs, groups, settings."""
    from flows import compared
    from pipeline.comparing import compare_runs
    from pipeline.tables import check_table

    if out is not None:
        check_table(out, ".html")
    found = compare_runs(old, new)
    result = found.to_dict()
    if out is not None:
        from pipeline.comparison_page import write_comparison

        write_comparison(found, out)
        result |= {"out": str(out)}
    answer(result, as_json, compared.show)
