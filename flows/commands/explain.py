"""Command ``siamese explain``."""

from typing import Annotated

import typer

from flows.commands.options import Id, Json, Verifier
from flows.commands.running import wants_verifier


def explain(
    model: str,
    records: str,
    id1: str,
    id2: str,
    right: Annotated[str | None, typer.Option(help="Records of the second id; the same ones unless given.")] = None,
    words: Annotated[int, typer.Option(help="Words of a field that are listed.", min=0)] = 6,
    lessons: Annotated[int, typer.Option(help="Labelled pairs of either label to show beside it.", min=0)] = 2,
    verifier: Verifier = None,
    id_column: Id = "record_id",
    as_json: Json = False,
) -> None:
    """Why two records are as far apart as they are, and what taught the model so."""
    import json

    from flows import waterfall
    from pipeline.explaining import explain_ids
    from pipeline.records import Records
    from siamese.encoder import SiameseEncoder

    asked = wants_verifier(verifier)
    encoder = SiameseEncoder.load(model)
    found = explain_ids(
        encoder,
        Records.open(records, id_column, encoder.schema.also),
        id1,
        id2,
        right_records=None if right is None else Records.open(right, id_column, encoder.schema.also),
        verifier=asked,
        words=words,
        lessons=lessons,
    )
    if as_json:
        print(json.dumps(found.to_dict(), ensure_ascii=False))
    else:
        waterfall.show(found.to_dict())
