"""Fields: what some records of a corpus say, and how much of each field is missing in all of them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.records import Records
from siamese.schema import as_text

Fields = dict[str, str | None]  # of one record, as text


@dataclass(frozen=True)
class Survey:
    """What one reading of a corpus gives.

    Attributes:
        records: how many there are.
        missing: field -> records in which it is null or blank, in the order of the columns.
        found: the fields of the records that were asked for.
    """

    records: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    found: dict[str, Fields] = field(default_factory=dict)


def survey_fields(records: Records, ids: Iterable[str]) -> Survey:
    """Read a corpus once, for the fields of a few records and for what is missing in all.

    Raises:
        DataError: the corpus cannot be read.
    """
    wanted = pa.array(sorted(set(ids)), pa.large_string())
    total, missing, found = 0, Counter[str](), dict[str, Fields]()
    for batch in records.batches():
        total += batch.num_rows
        found |= fields_of(batch, records.id_column, wanted)
        missing.update({name: _missing(batch[name]) for name in batch.column_names if name != records.id_column})
    return Survey(total, {name: missing[name] for name in records.columns if name != records.id_column}, found)


def fields_of(batch: pa.Table, id_column: str, wanted: pa.Array) -> dict[str, Fields]:
    """The fields, as text, of those records of a batch whose id is wanted."""
    chosen = batch.filter(pc.is_in(batch[id_column], value_set=wanted))
    texts = pa.table({name: as_text(chosen[name]) for name in chosen.column_names})
    return {row.pop(id_column): row for row in texts.to_pylist()}


def _missing(column: pa.ChunkedArray) -> int:
    empty = pc.is_null(column, nan_is_null=True)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        empty = pc.or_(empty, pc.fill_null(pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(column)), 0), False))
    return int(pc.sum(empty).as_py() or 0)
