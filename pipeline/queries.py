"""Queries: records in whatever form they come, as a table that a model can read."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.records import read_table
from siamese.errors import DataError
from siamese.schema import Schema, as_table, listed, renamed
from siamese.text import as_text


def as_records(records: Any) -> pa.Table:
    """Records as an Arrow table.

    Args:
        records: a DataFrame, an Arrow table, a list of dicts, a dict of columns; one dict or Series, which is a record; or the path or
            URL of a Parquet, CSV or JSON lines file.

    Raises:
        DataError: it is none of these, or the file cannot be read.
    """
    if isinstance(records, str | os.PathLike):
        return read_table(os.fspath(records))
    if isinstance(records, pd.Series):
        records = records.to_dict()
    if isinstance(records, Mapping) and not _is_columns(records):
        records = [records]
    return as_table(records)


def as_texts(records: pa.Table, schema: Schema) -> pa.Table:
    """The text columns of a schema, in its order; a field that the records leave out is missing.

    Raises:
        SchemaError: they have none of its fields.
    """
    if records.num_rows == 0:  # no record lacks anything
        records = pa.table({name: pa.nulls(0, pa.large_string()) for name in schema.names})
    records = renamed(records, schema.also)
    missing = [name for name in schema.names if name not in records.column_names]
    if len(missing) == len(schema.names):
        return schema.select(records)  # raises
    for name in missing:
        records = records.append_column(name, pa.nulls(records.num_rows, pa.large_string()))
    return schema.select(records)


def with_ids(records: pa.Table, id_column: str) -> pa.Table:
    """Records to be kept: ``record_id``, unique and never empty, and all else as text.

    Raises:
        DataError: the id column is missing, an id is empty, or one occurs twice.
    """
    if records.num_columns == 0:
        return pa.table({"record_id": pa.array([], pa.large_string())})
    have = listed(records.column_names)
    if id_column not in records.column_names:
        raise DataError(
            f"the records have no column '{id_column}', they have {have}: name the one that names a record with id_column"
        )
    ids = as_text(records[id_column])
    if ids.null_count:
        row = pc.index(ids.is_null(), True).as_py() + 1
        raise DataError(f"record {row} of those to add has an empty '{id_column}': every record needs one")
    counts = pc.value_counts(ids)
    twice = counts.filter(pc.greater(pc.struct_field(counts, "counts"), 1))
    if len(twice):
        raise DataError(
            f"'{id_column}' must be unique, but '{twice[0]['values']}' occurs {twice[0]['counts']} times among the records to add"
        )
    fields = {name: as_text(records[name]) for name in records.column_names if name not in (id_column, "record_id")}
    return pa.table({"record_id": ids, **fields})


def _is_columns(records: Mapping[str, Any]) -> bool:
    """Whether a dict holds columns (lists of values) and not one record."""
    return bool(records) and all(isinstance(value, list | tuple | np.ndarray | pd.Series) for value in records.values())
