"""Command ``siamese evaluate``."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import Id, Json, Right, Verifier
from flows.commands.running import answer, wants_verifier


def evaluate(
    model: str,
    records: str,
    pairs: str,
    right: Right = None,
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    verifier: Verifier = None,
    plot: Annotated[Path | None, typer.Option(help="SVG of probability against truth to write.")] = None,
    id_column: Id = "record_id",
    as_json: Json = False,
) -> None:
    """Precision, recall, F1 and calibration of a model on a split of labelled pairs."""
    from flows import show
    from pipeline.evaluation import evaluate_encoder
    from pipeline.pairs import LabelledPairs
    from pipeline.records import Records
    from siamese.encoder import SiameseEncoder

    encoder = SiameseEncoder.load(model)
    also = encoder.schema.also
    result = evaluate_encoder(
        encoder,
        Records.open(records, id_column, also),
        LabelledPairs.read(pairs),
        split,
        right=None if right is None else Records.open(right, id_column, also),
        verifier=wants_verifier(verifier),
    )
    if plot is not None:
        from pipeline.plots import draw_reliability
        from siamese.folders import write_text

        write_text(plot, draw_reliability(result["reliability"]))
    answer(result, as_json, show.evaluated)
