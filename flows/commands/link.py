"""Command ``siamese link``."""

from typing import Annotated

import typer

from flows.commands.options import (
    AcceptDrift,
    Address,
    Also,
    Confidence,
    DriftConfig,
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


def link(
    inputs: Annotated[list[str], typer.Argument(metavar="[MODEL] LEFT RIGHT", show_default=False)],
    out: Annotated[str, typer.Option(help="Run folder to write, or its URL.")],
    one_to_one: Annotated[bool, typer.Option(help="Match each record at most once.")] = False,
    min_precision: MinPrecision = None,
    min_recall: MinRecall = None,
    confidence: Confidence = 0.95,
    max_distance: MaxDistance = None,
    verifier: Verifier = None,
    truth: Truth = None,
    exact: Exact = False,
    config: DriftConfig = None,
    runner: Runner = "threads",
    workers: Workers = None,
    address: Address = None,
    id_column: Id = "record_id",
    also: Also = None,
    accept_drift: AcceptDrift = False,
    as_json: Json = False,
) -> None:
    """Find the records of one corpus in another; without a model, a first guess that needs no label."""
    from flows import config as configs
    from flows import show

    model, (left, right) = model_of(inputs, 2, "left and right")
    names, where = other_names(also, model), runner_options(runner, workers, address, out)
    check_inputs(left, right, out=out, id_column=id_column, model=model, also=names)
    result = run_flow(
        "link",
        model,
        left,
        right,
        out,
        runner=where,
        one_to_one=one_to_one,
        max_distance=max_distance,
        min_precision=min_precision,
        min_recall=min_recall,
        confidence=confidence,
        verifier=wants_verifier(verifier),
        truth=truth,
        exact=exact,
        id_column=id_column,
        drift=configs.read(config).drift,
        accept_drift=accept_drift,
        also=names,
    )
    answer(result, as_json, show.run)
