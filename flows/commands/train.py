"""Command ``siamese train``."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import Also, Id, Json, Right
from flows.commands.running import answer, check_inputs, other_names, run_flow


def train(
    records: str,
    pairs: str,
    out: Annotated[str, typer.Option(help="Model folder to write, or its URL.")],
    right: Right = None,
    tower: Annotated[str | None, typer.Option(help="ngram, lstm or transformer.")] = None,
    epochs: Annotated[int | None, typer.Option(help="At most; early stopping ends sooner.")] = None,
    margin: Annotated[
        float | None, typer.Option(help="In units of the energy; chosen from the data unless given.")
    ] = None,
    energy: Annotated[str | None, typer.Option(help="euclidean, manhattan or cosine.")] = None,
    negatives: Annotated[
        str | None, typer.Option(help="given, or mined: draw imposites among near neighbours.")
    ] = None,
    verifier: Annotated[str | None, typer.Option(help="trees, or none: the distance alone decides.")] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML or JSON with the tables schema, tower and training, or some of them.")
    ] = None,
    strict: Annotated[bool, typer.Option(help="Refuse pairs labelled both ways.")] = False,
    id_column: Id = "record_id",
    also: Also = None,
    as_json: Json = False,
) -> None:
    """Train and calibrate a model on labelled pairs."""
    from flows import config as configs
    from flows import show

    job = configs.read(config)
    given = {
        "epochs": epochs,
        "margin": margin,
        "energy": energy,
        "negatives": negatives,
        "verifier": verifier,
        "seed": seed,
        "device": device,
    }
    settings = configs.training({**job.training, **{name: value for name, value in given.items() if value is not None}})
    tower_settings = dict(job.tower)
    configured = tower_settings.pop("name", "ngram")
    names, tables = other_names(also), [records, *([] if right is None else [right])]
    check_inputs(*tables, out=out, id_column=id_column, pairs=pairs, also=names)
    result = run_flow(
        "train",
        records,
        pairs,
        out,
        right=right,
        tower=tower or configured,
        tower_settings=tower_settings,
        kinds=job.columns,
        config=settings,
        id_column=id_column,
        strict=strict,
        also=names,
    )
    answer(result, as_json, show.trained)
