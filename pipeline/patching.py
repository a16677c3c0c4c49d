"""Patching: a corpus as it is now, from the corpus as it was and what was added, edited and deleted since."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.partitions import places
from pipeline.records import Records, check_ids, stacked
from pipeline.tables import check_table
from siamese.errors import DataError, OutputError, reason
from siamese.publishing import staged_file


@dataclass(frozen=True)
class Patched:
    """Counts of records: in the new corpus, and by what was done."""

    records: int
    added: int
    edited: int
    deleted: int
    not_there: int  # named to be deleted

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


def patch_records(records: Records, delta: Records | None, deleted: Records | None, out: Path) -> Patched:
    """Write a corpus anew as Parquet: edited records where they stood, added ones at the end.

    Args:
        records: as they were; read in batches.
        delta: records that are new, and whole records in place of those of the same id.
        deleted: ids of records that are gone; other columns are not looked at.
        out: Parquet file to write, whole or not at all; it may be the file that is read.

    Raises:
        DataError: an id occurs twice, is edited and deleted both, or a column has types that do not go together.
        OutputError: it cannot be written there.
    """
    check_table(out, ".parquet")
    changed, gone = (
        _table(delta, records.id_column),
        _table(deleted, records.id_column, [])[records.id_column].combine_chunks(),
    )
    both = np.flatnonzero(places(gone, changed[records.id_column].combine_chunks()) >= 0)
    if len(both):
        raise DataError(f"'{gone[int(both[0])].as_py()}' is to be deleted, and is among the changed records too")
    patch = _Patch(records, changed, gone)
    try:
        with staged_file(out) as staging, pq.ParquetWriter(staging, patch.schema, compression="zstd") as writer:
            for table in patch.tables():
                writer.write_table(table)
    except OSError as error:
        raise OutputError(f"cannot write '{out}': {error.strerror or error}") from error
    return patch.counts


class _Patch:
    def __init__(self, records: Records, changed: pa.Table, gone: pa.Array) -> None:
        self.records, self.changed, self.gone = records, changed, gone
        first = next(records.batches(), None)
        if first is not None:
            changed = self.changed = _typed(changed, first.schema)
        schemas = [table.schema for table in (first, changed) if table is not None]
        try:
            self.schema = pa.unify_schemas(schemas, promote_options="permissive")
        except pa.ArrowException as error:
            raise DataError(
                f"the records of '{records.path}' and their changes do not go together ({reason(error)}): "
                "give a column the same type in both"
            ) from error

    def tables(self) -> Iterator[pa.Table]:
        """The new corpus; ``counts`` is there when all was taken."""
        name, changed = self.records.id_column, self.changed
        ids, new_ids = [], changed[name].combine_chunks()
        edited = np.zeros(len(new_ids), bool)
        total = deleted = 0
        for batch in self.records.batches():
            column = batch[name].combine_chunks()
            ids.append(column)
            stays = places(column, self.gone) < 0
            deleted += int((~stays).sum())
            place = places(column, new_ids)[stays]
            edited[place[place >= 0]] = True
            # Edited rows are those behind the batch's own.
            both = pa.concat_tables([self._cast(batch), self._cast(changed)])
            rows = np.where(place >= 0, batch.num_rows + place, np.flatnonzero(stays))
            total += len(rows)
            yield both.take(pa.array(rows))
        check_ids(pa.concat_arrays(ids) if ids else pa.array([], pa.large_string()), self.records)
        added = np.flatnonzero(~edited)
        yield self._cast(changed.take(pa.array(added)))
        missing = len(self.gone) - deleted
        self.counts = Patched(total + len(added), len(added), int(edited.sum()), deleted, missing)

    def _cast(self, table: pa.Table) -> pa.Table:
        try:
            columns = [
                table[field.name].cast(field.type)
                if field.name in table.column_names
                else pa.nulls(table.num_rows, field.type)
                for field in self.schema
            ]
        except pa.ArrowException as error:
            raise DataError(f"a column of '{self.records.path}' changes its type ({reason(error)})") from error
        return pa.table(columns, schema=self.schema)


def _typed(changed: pa.Table, schema: pa.Schema) -> pa.Table:
    """Text of columns that are something else in the corpus as that, where it is: CSV has no types."""
    for number, field in enumerate(changed.schema):
        if field.name in schema.names and field.type == pa.large_string():
            with suppress(pa.ArrowException):
                typed = changed[number].cast(schema.field(field.name).type)
                changed = changed.set_column(number, field.name, typed)
    return changed


def _table(records: Records | None, id_column: str, columns: list[str] | None = None) -> pa.Table:
    """All of it, which may be nothing: what changes is a small part of a corpus."""
    tables = [] if records is None else [batch for batch in records.batches(columns) if batch.num_rows]
    if records is None or not tables:
        return pa.table({id_column: pa.array([], pa.large_string())})
    table = stacked(tables)
    check_ids(table[id_column].combine_chunks(), records)
    return table
