"""Command ``siamese link``."""

from typing import Annotated

import typer

from flows.commands.options import (
    Address,
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
from flows.commands.running import answer, run_flow, runner_options, wants_verifier


def link(
    model: str,
    left: str,
    right: str,
    out: Annotated[str, typer.Option(help="Run folder to write, or its URL.")],
    one_to_one: Annotated[bool, typer.Option(help="Match each record at most once.")] = False,
    min_precision: MinPrecision = None,
    min_recall: MinRecall = None,
    confidence: Confidence = 0.95,
    max_distance: MaxDistance = None,
    verifier: Verifier = None,
    truth: Truth = None,
    exact: Exact = False,
    runner: Runner = "threads",
    workers: Workers = None,
    address: Address = None,
    id_column: Id = "record_id",
    as_json: Json = False,
) -> None:
    """Find the records of one corpus in another."""
    from flows import show

    result = run_flow(
        "link",
        model,
        left,
        right,
        out,
        runner=runner_options(runner, workers, address, out),
        one_to_one=one_to_one,
        max_distance=max_distance,
        min_precision=min_precision,
        min_recall=min_recall,
        confidence=confidence,
        verifier=wants_verifier(verifier),
        truth=truth,
        exact=exact,
        id_column=id_column,
    )
    answer(result, as_json, lambda summary: show.run(summary, out))
