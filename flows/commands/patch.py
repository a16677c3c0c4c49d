"""Command ``siamese patch``."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import Id, Json
from flows.commands.running import answer
from siamese.errors import SettingsError


def patch(
    records: Annotated[str, typer.Argument(help="All records as they were.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write: all records as they are now.")],
    changed: Annotated[
        str | None, typer.Option(help="Records that are new, and those that were edited, whole.")
    ] = None,
    deleted: Annotated[str | None, typer.Option(help="Ids of records that are gone.")] = None,
    id_column: Id = "record_id",
    as_json: Json = False,
) -> None:
    """Apply what was added, edited and deleted to a file of records, for siamese update."""
    if changed is None and deleted is None:
        raise SettingsError("nothing is to be changed: give --changed FILE, --deleted FILE or both")
    from flows.show import figures
    from pipeline.patching import patch_records
    from pipeline.records import Records

    delta, gone = (None if path is None else Records.open(path, id_column) for path in (changed, deleted))
    result = {**patch_records(Records.open(records, id_column), delta, gone, out).to_dict(), "out": str(out)}
    rows = [(name.replace("_", " "), f"{value:,}") for name, value in result.items() if isinstance(value, int)]
    answer(result, as_json, lambda _: figures(f"Records in {out}", rows))
