"""Command ``siamese update``."""

from typing import Annotated

import typer

from flows.commands.options import Address, Json, Runner, Truth, Workers
from flows.commands.running import answer, run_flow, runner_options


def update(
    run: Annotated[str, typer.Argument(help="Run folder made with --keep-state, or its URL.")],
    records: Annotated[str, typer.Argument(help="All records as they are now.")],
    out: Annotated[str, typer.Option(help="Run folder to write, or its URL.")],
    model: Annotated[str | None, typer.Option(help="The run's model, where it has moved.")] = None,
    truth: Truth = None,
    runner: Runner = "threads",
    workers: Workers = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Go on from a run whose records have changed: only what is new is embedded and compared."""
    from flows import show

    where = runner_options(runner, workers, address, out)
    result = run_flow("update", run, records, out, runner=where, model=model, truth=truth)
    answer(result, as_json, lambda summary: show.run(summary, out))
