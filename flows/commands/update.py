"""Command ``siamese update``."""

from typing import Annotated

import typer

from flows.commands.options import AcceptDrift, Address, DriftConfig, Json, Runner, Truth, Workers
from flows.commands.running import answer, run_flow, runner_options


def update(
    run: Annotated[str, typer.Argument(help="Run folder made with --keep-state, or its URL.")],
    records: Annotated[str, typer.Argument(help="All records as they are now.")],
    out: Annotated[str, typer.Option(help="Run folder to write, or its URL; FOLDER/next: see docs/scheduling.md.")],
    model: Annotated[str | None, typer.Option(help="The run's model, where it has moved.")] = None,
    truth: Truth = None,
    runner: Runner = "threads",
    workers: Workers = None,
    address: Address = None,
    config: DriftConfig = None,
    accept_drift: AcceptDrift = False,
    as_json: Json = False,
) -> None:
    """Go on from a run whose records have changed: only what is new is embedded and compared."""
    from flows import config as configs
    from flows import show

    where, drift = runner_options(runner, workers, address, out), configs.read(config).drift
    settings = {"model": model, "truth": truth, "drift": drift, "accept_drift": accept_drift}
    answer(run_flow("update", run, records, out, runner=where, **settings), as_json, show.run)
