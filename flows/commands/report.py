"""Command ``siamese report``."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: str,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write the report of a run again."""
    from pipeline.stages import rewrite_report
    from siamese.folders import local_folder

    rewrite_report(run)
    typer.echo(f"{run.rstrip('/')}/report.html")
    if open_:
        import webbrowser

        page = Path(local_folder(run, "run"), "report.html").absolute()
        if not webbrowser.open(page.as_uri()):
            typer.echo(f"siamese: no browser could be started here: open {page} yourself", err=True)
