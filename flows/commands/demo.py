"""Command ``siamese demo``."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.evaluate import evaluate
from flows.commands.running import run_flow
from siamese.errors import OutputError


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("demo"),
    records: Annotated[int, typer.Option(help="How many to make.", min=200)] = 5000,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """The whole job on data made here from a seed: make, train, dedupe, evaluate."""
    from flows import show
    from pipeline.synthetic import make_corpus

    try:
        make_corpus(records, seed=seed).save(out)
    except OSError as error:
        raise OutputError(
            f"cannot write to '{out}' ({error.strerror}): give --out a folder that you may write"
        ) from error
    corpus, pairs, model, run = (str(out / name) for name in ("records.parquet", "pairs.parquet", "model", "run"))
    show.demo_made(out, records)
    show.trained(run_flow("train", corpus, pairs, model))
    evaluate(model, corpus, pairs)
    truth = str(out / "true_pairs.parquet")
    show.run(run_flow("dedupe", model, corpus, run, truth=truth), corpus)
