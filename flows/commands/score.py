"""Command ``siamese score``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import Id, Json, Right, Verifier
from flows.commands.running import answer, wants_verifier


def score(
    model: str,
    records: str,
    pairs: str,
    right: Right = None,
    out: Annotated[Path | None, typer.Option(help="Parquet or CSV file to write.")] = None,
    verifier: Verifier = None,
    id_column: Id = "record_id",
    as_json: Json = False,
) -> None:
    """Distance and probability of given pairs."""
    from flows import show
    from pipeline.decision import Threshold
    from pipeline.records import Records
    from pipeline.scoring import score_pairs
    from pipeline.tables import check_table, write_table
    from siamese.encoder import SiameseEncoder

    asked = wants_verifier(verifier)
    if out is not None:
        check_table(out, ".parquet", ".csv")
    encoder = SiameseEncoder.load(model)
    threshold, also = Threshold(verifier=asked), encoder.schema.also
    other = None if right is None else Records.open(right, id_column, also)
    scored = score_pairs(encoder, threshold, Records.open(records, id_column, also), pairs, other)
    flagged = int(scored["is_match"].to_numpy().sum())
    judge, decision = threshold.settle(encoder)
    result = {"pairs": scored.num_rows, "flagged": flagged, **decision.describe(judge)}
    if out is not None:
        write_table(scored, out)
    rows = (
        {"out": str(out)} if out is not None else {"scores": json.loads(scored.to_pandas().to_json(orient="records"))}
    )
    answer(result | rows, as_json, show.scored)
