"""Command ``siamese dedupe``."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import (
    AcceptDrift,
    Address,
    Also,
    Confidence,
    Exact,
    Id,
    Json,
    MaxDistance,
    MinPrecision,
    MinRecall,
    Runner,
    Truth,
    Verifier,
    Workers,
)
from flows.commands.running import answer, check_inputs, model_of, other_names, run_flow, runner_options, wants_verifier


def dedupe(
    inputs: Annotated[list[str], typer.Argument(metavar="[MODEL] RECORDS", show_default=False)],
    out: Annotated[str, typer.Option(help="Run folder to write, or its URL; FOLDER/next: see docs/scheduling.md.")],
    min_precision: MinPrecision = None,
    min_recall: MinRecall = None,
    confidence: Confidence = 0.95,
    max_distance: MaxDistance = None,
    verifier: Verifier = None,
    truth: Truth = None,
    exact: Exact = False,
    config: Annotated[
        Path | None, typer.Option(help="TOML or JSON: table golden, rules of golden records; table drift, limits.")
    ] = None,
    runner: Runner = "threads",
    workers: Workers = None,
    address: Address = None,
    id_column: Id = "record_id",
    also: Also = None,
    previous: Annotated[str | None, typer.Option(help="Run whose cluster ids go on.")] = None,
    keep_state: Annotated[bool, typer.Option(help="Keep what siamese update goes on from: 1.7 kB a record.")] = False,
    accept_drift: AcceptDrift = False,
    as_json: Json = False,
) -> None:
    """Find every duplicate in a corpus; without a model, a first guess that needs no label."""
    from flows import config as configs
    from flows import show

    settings = configs.read(config)
    model, (records,) = model_of(inputs, 1, "records")
    names, where = other_names(also, model), runner_options(runner, workers, address, out)
    check_inputs(records, out=out, id_column=id_column, model=model, also=names)
    result = run_flow(
        "dedupe",
        model,
        records,
        out,
        runner=where,
        max_distance=max_distance,
        min_precision=min_precision,
        min_recall=min_recall,
        confidence=confidence,
        verifier=wants_verifier(verifier),
        truth=truth,
        exact=exact,
        id_column=id_column,
        previous=previous,
        keep_state=keep_state,
        golden=settings.golden,
        drift=settings.drift,
        accept_drift=accept_drift,
        also=names,
    )
    answer(result, as_json, show.run)
