"""Command ``siamese report``."""

import typer


def report(run: str) -> None:
    """Write the report of a run again."""
    from pipeline.stages import rewrite_report

    rewrite_report(run)
    typer.echo(f"{run.rstrip('/')}/report.html")
