"""Options that several commands share, each said once."""

from pathlib import Path
from typing import Annotated

import typer

Id = Annotated[str, typer.Option("--id", help="Column that names a record.")]
Also = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=OTHER", help="Column NAME is called OTHER in a table that lacks it; several times."),
]
Right = Annotated[str | None, typer.Option(help="Records that right_id names, where they are a second table's.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
MaxDistance = Annotated[float | None, typer.Option(help="Flag pairs up to this distance, in margin units.")]
MinPrecision = Annotated[float | None, typer.Option(help="Flag as far as this precision can be promised.")]
MinRecall = Annotated[float | None, typer.Option(help="Flag as far as this recall asks for, if it can be promised.")]
Confidence = Annotated[float, typer.Option(help="Of the promise.")]
Truth = Annotated[str | None, typer.Option(help="File of all true pairs, to measure the run against.")]
Verifier = Annotated[str | None, typer.Option(help="none: the distance alone decides. Else the model's verifier does.")]
IndexKind = Annotated[str, typer.Option(help="auto, flat, ivf or ivfpq.")]
Runner = Annotated[str, typer.Option(help="threads, or dask (extra dask): where searching and scoring is done.")]
Workers = Annotated[int | None, typer.Option(help="Threads, or processes of a Dask cluster made for the run.")]
Address = Annotated[str | None, typer.Option(help="Scheduler of a Dask cluster that is there: tcp://HOST:PORT.")]
AcceptDrift = Annotated[bool, typer.Option(help="Publish the run, however much it differs from the one before.")]
DriftConfig = Annotated[
    Path | None, typer.Option("--config", help="TOML or JSON: table drift, how much a run may differ.")
]
Exact = Annotated[bool, typer.Option(help="Compare every record with every other: slow, loses nothing.")]
