"""Command ``siamese index``."""

from typing import Annotated

import typer

from flows.commands.options import Id, IndexKind, Json
from flows.commands.running import answer, check_inputs, run_flow


def index(
    model: str,
    records: str,
    out: Annotated[str, typer.Option(help="Index folder to write, or its URL.")],
    kind: IndexKind = "auto",
    id_column: Id = "record_id",
    as_json: Json = False,
) -> None:
    """Embed and index a corpus, for queries."""
    from flows import show

    check_inputs(records, out=out, id_column=id_column, model=model)
    answer(run_flow("index", model, records, out, kind=kind, id_column=id_column), as_json, show.indexed)
