"""Command ``siamese label``."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import Also, Id
from flows.commands.running import other_names


def label(
    records: str,
    pairs: Annotated[Path, typer.Option(help="Parquet file of the labels: made, or gone on with.")],
    right: Annotated[str | None, typer.Option(help="A second corpus, to label links between the two.")] = None,
    model: Annotated[str | None, typer.Option(help="Model that proposes; the untrained tower unless given.")] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(help="Column that makes a match where two records agree in it; several at once: name+birth_date."),
    ] = None,
    shared_id: Annotated[
        list[str] | None, typer.Option(help="Column with another system's id: equal ones, letter by letter, match.")
    ] = None,
    terminal: Annotated[bool, typer.Option("--terminal", help="Ask here, not on a page in the browser.")] = False,
    by: Annotated[str, typer.Option(help="Who answers.")] = "",
    port: Annotated[int, typer.Option(help="Of the page; any free one unless given.", min=0)] = 0,
    open_browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    id_column: Id = "record_id",
    also: Also = None,
) -> None:
    """Label the pairs that teach most; no model is needed to begin with."""
    from pipeline.labelling import LabelSession
    from pipeline.labelling.rules import apply_rules
    from pipeline.records import Records
    from siamese.encoder import SiameseEncoder

    names, encoder = other_names(also, model), None if model is None else SiameseEncoder.load(model)
    names = names if encoder is None else encoder.schema.also
    sources = [Records.open(path, id_column, names) for path in (records, right) if path is not None]
    left, other = (*sources, None)[:2]
    with LabelSession(left, pairs, right=other, model=encoder, id_column=id_column, seed=seed) as session:
        if rule or shared_id:
            weak = apply_rules(sources, rule or (), shared_id or (), seed=seed)
            session.add(weak)
            typer.echo(f"{len(weak):,} pairs called matches by rule")
        if terminal:
            from flows.label_terminal import ask

            ask(session, by)
        else:
            from flows.label_page import serve

            serve(session, port=port, open_browser=open_browser, by=by or None)
    asked = [
        records,
        str(pairs),
        *(["--right", right] if right else []),
        *(["--id", id_column] if id_column != "record_id" else []),
        *(argument for each in also or () for argument in ("--also", each)),
    ]
    typer.echo(f"labels in {pairs}; next: siamese train {shlex.join(asked)} --out MODEL")
