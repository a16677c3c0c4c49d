"""Command ``siamese audit``."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import Json
from flows.commands.running import answer
from siamese.errors import SettingsError


def audit(
    run: str,
    out: Annotated[Path | None, typer.Option(help="Draw pairs to judge into this CSV or Parquet file.")] = None,
    sample: Annotated[int, typer.Option(help="How many pairs to draw.", min=1)] = 200,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    judged: Annotated[str | None, typer.Option(help="That file, with 1 or 0 in its label column.")] = None,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    labels: Annotated[Path | None, typer.Option(help="Write the judged pairs here, to train with.")] = None,
    as_json: Json = False,
) -> None:
    """Precision and recall of a whole run, from a few pairs that you judge."""
    if (out is None) == (judged is None):
        raise SettingsError("give --out FILE to draw pairs, or --judged FILE to read the judged ones back, one of them")
    if labels is not None and judged is None:
        raise SettingsError("--labels writes judged pairs: it goes with --judged FILE")
    from dataclasses import asdict

    from flows import show
    from pipeline.audit import draw_audit, read_audit

    if out is not None:
        plan = draw_audit(run, out, sample=sample, seed=seed, confidence=confidence)
        answer(asdict(plan), as_json, show.audit_drawn)
    else:
        assert judged is not None
        result = read_audit(run, judged, confidence=confidence, labels=labels)
        answer(result.to_dict(), as_json, lambda figures: show.audited(figures, run))
