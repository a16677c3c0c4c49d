"""Command ``siamese query``."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from siamese.errors import DataError, OutputError, SettingsError, reason


def query(
    index: str,
    k: Annotated[int, typer.Option(help="Neighbours of each query.")] = 5,
    record: Annotated[str | None, typer.Option("--json", help='A record: {"title": "..."}')] = None,
    file: Annotated[str | None, typer.Option(help="Queries in Parquet, CSV or JSON lines.")] = None,
    max_distance: Annotated[
        float | None, typer.Option(help="All neighbours up to here (margin units) instead of k.")
    ] = None,
    format: Annotated[str, typer.Option(help="table, json or parquet (with --out).")] = "table",
    out: Annotated[Path | None, typer.Option(help="Parquet file to write.")] = None,
    model: Annotated[str | None, typer.Option(help="Model to query with; the index's own unless given.")] = None,
) -> None:
    """The nearest records of an index."""
    if (record is None) == (file is None):
        raise SettingsError('a query is needed: give --json \'{"title": "..."}\' or --file QUERIES, one of them')
    if format not in ("table", "json", "parquet"):
        raise SettingsError(f"format is '{format}': expected table, json or parquet")
    if (format == "parquet") != (out is not None):
        raise SettingsError("--format parquet and --out FILE go together")
    queries: Any
    if record is not None:
        queries = parsed(record)
    import pyarrow as pa

    from flows import show
    from pipeline.matcher import Matcher
    from pipeline.records import read_table
    from pipeline.tables import write_table

    if out is not None and not out.parent.is_dir():
        raise OutputError(f"cannot write '{out}': there is no folder '{out.parent}'")
    if file is not None:
        queries = read_table(file)
    matcher = Matcher.load(index, model)
    found = matcher.nearest(queries, k) if max_distance is None else matcher.within(queries, max_distance)
    if format == "json":
        print(found.to_json(orient="records", force_ascii=False))
    elif out is not None:
        write_table(pa.Table.from_pandas(found, preserve_index=False), out)
    else:
        show.neighbours(found)


def parsed(said: str) -> dict[str, Any] | list[dict[str, Any]]:
    """The record, or records, of ``--json``.

    Raises:
        DataError: it holds none.
    """
    try:
        queries = json.loads(said)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f'--json is not JSON ({reason(error)}): expected a record such as \'{{"title": "..."}}\''
        ) from error
    if queries in ({}, []):
        raise DataError(f'--json holds {said}, which asks nothing: expected a record such as \'{{"title": "..."}}\'')
    if isinstance(queries, dict) or (isinstance(queries, list) and all(isinstance(one, dict) for one in queries)):
        return queries
    raise DataError(
        f"--json holds a {type(queries).__name__}: expected an object with the record's fields, or a list of them"
    )
