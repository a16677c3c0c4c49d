"""Command ``siamese runs``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.options import Json
from flows.commands.running import answer


def runs(
    folder: Annotated[str, typer.Argument(help="Folder that holds runs.")],
    publish: Annotated[str | None, typer.Option(metavar="NAME", help="Let 'latest' be this run.")] = None,
    accept_drift: Annotated[bool, typer.Option(help="With --publish: also a run that is held.")] = False,
    keep: Annotated[int | None, typer.Option(help="Remove all but so many: the newest, and 'latest'.")] = None,
    as_json: Json = False,
) -> None:
    """List the runs of a folder; switch 'latest'; remove old ones."""
    from flows import listed
    from pipeline.holding import SUFFIX, accept, held_place
    from pipeline.registry import list_runs, prune_runs, publish_run

    if publish is not None:
        name = publish.removesuffix(SUFFIX)
        if accept_drift and (held := Path(held_place(Path(folder) / name))).is_dir():
            publish = accept(held).name
        publish_run(folder, publish)
    removed = prune_runs(folder, keep) if keep is not None else []
    result: dict[str, Any] = {
        "folder": folder,
        "runs": [entry.to_dict() for entry in list_runs(folder)],
        "removed": removed,
    }
    answer(result, as_json, listed.show)
