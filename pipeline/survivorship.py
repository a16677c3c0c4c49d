"""Survivorship: one merged record a cluster, field by field, and where each cell comes from.

``golden.parquet`` has the rows, the order, the columns and the types of ``unique.parquet``; the id is the representative's.
``lineage.parquet`` beside it has a row for each cell of a cluster of two or more::

    select g.record_id, g.price, coalesce(l.source_record_id, g.record_id) as price_from
    from golden g left join lineage l on l.record_id = g.record_id and l.field = 'price'

A long table of its own, and no struct in each cell: so ``golden.parquet`` stays a drop-in for ``unique.parquet``, any SQL engine joins
it and filters it by field, rule or dispute, and it is bounded by the duplicates, not by the corpus. The cells of a record without
duplicates are its own.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.moments import LEAST, Moments
from pipeline.records import BATCH_RECORDS, Records, conformed
from pipeline.rules import GoldenRules, Rule
from pipeline.tables import DISTINCT
from siamese.errors import DataError
from siamese.schema import as_text

GOLDEN, LINEAGE = "golden.parquet", "lineage.parquet"
LINEAGE_SCHEMA = pa.schema(
    [
        ("record_id", pa.large_string()),  # of the golden record
        ("cluster_id", pa.int64()),
        ("field", pa.string()),
        ("source_record_id", pa.large_string()),  # whose cell it is
        ("rule", pa.string()),
        (
            "values",
            pa.int64(),
        ),  # different ones in the cluster; 0: nobody has one, and the cell is the representative's
        ("tied", pa.bool_()),  # whether another value did as well by the rule
    ]
)


@dataclass(frozen=True)
class Members:
    """The records of clusters of two or more. Those of a cluster lie side by side, in the order in which ties are broken: the
    representative, then the nearest to it, then the first in the file.

    Attributes:
        records: (m,) all their columns.
        starts: (c,) where each cluster begins.
        cluster_id: (c,) of each cluster.
    """

    records: pa.Table
    starts: NDArray[np.int64]
    cluster_id: NDArray[np.int64]

    @classmethod
    def read(cls, records: Records, clusters: pa.Table, schema: pa.Schema) -> "Members":
        """One pass over the records, of which only the members of clusters of two or more are kept.

        Args:
            clusters: ``clusters.parquet``, one row a record.
            schema: of the records; the files of a corpus may spell a column in different types.
        """
        several = clusters["cluster_size"].to_numpy() > 1
        kept, start = [], 0
        for batch in records.batches():
            kept.append(conformed(batch.filter(pa.array(several[start : start + batch.num_rows])), schema))
            start += batch.num_rows
        chosen = clusters.filter(pa.array(several))
        cluster_id, apart = chosen["cluster_id"].to_numpy(), chosen["distance_to_representative"].to_numpy()
        stands = chosen["is_representative"].to_numpy()
        order = np.lexsort((np.arange(len(cluster_id)), apart, ~stands, cluster_id))
        cluster_id = cluster_id[order]
        starts = np.flatnonzero(np.append(True, np.diff(cluster_id) != 0)[: len(cluster_id)])
        table = pa.concat_tables(kept).take(pa.array(order))
        return cls(table.combine_chunks(), starts, cluster_id[starts])

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def cluster(self) -> NDArray[np.int64]:
        """(m,) place of each member's cluster among the clusters."""
        return np.repeat(np.arange(len(self.starts)), np.diff(np.append(self.starts, self.records.num_rows)))


@dataclass(frozen=True)
class Choice:
    """One field of the golden records of c clusters, all (c,).

    Attributes:
        member: whose cell it is.
        values: how many different values the cluster has.
        tied: whether another value did as well by the rule.
    """

    member: NDArray[np.int64]
    values: NDArray[np.int64]
    tied: NDArray[np.bool_]


class Chooser:
    """Chooses a member for each field of each cluster."""

    def __init__(self, members: Members, rules: GoldenRules, id_column: str) -> None:
        self.members, self.rules = members, rules
        self.cluster = members.cluster
        self.fields = [name for name in members.records.column_names if name != id_column]
        used = {rules.of(name) for name in self.fields}
        self.worth: dict[Rule, NDArray] = {}  # (m,) of each record, the more the better
        if Rule.MOST_COMPLETE in used:
            filled = np.zeros(members.records.num_rows, np.int64)
            for name in self.fields:
                filled += as_text(members.records[name]).is_valid().to_numpy(False)
            self.worth[Rule.MOST_COMPLETE] = filled
        if Rule.NEWEST in used:
            assert rules.newest_by is not None
            self.worth[Rule.NEWEST] = Moments.of(members.records[rules.newest_by]).order
        if Rule.SOURCE_PRIORITY in used:
            place = pc.index_in(
                as_text(members.records[rules.source]), pa.array(rules.source_priority, pa.large_string())
            )
            self.worth[Rule.SOURCE_PRIORITY] = (
                -pc.fill_null(place, len(rules.source_priority)).to_numpy(False).astype(np.int64)
            )

    def choose(self, field: str) -> Choice:
        starts, cluster = self.members.starts, self.cluster
        texts = as_text(self.members.records[field])
        has = texts.is_valid().to_numpy(False)
        code = pc.fill_null(texts.dictionary_encode().indices, -1).to_numpy(False).astype(np.int64)
        key = cluster * (code.max(initial=0) + 1) + code
        distinct, inverse, count = np.unique(key[has], return_inverse=True, return_counts=True)
        values = np.bincount(distinct // (code.max(initial=0) + 1), minlength=len(starts))
        rule = self.rules.of(field)
        if rule is Rule.REPRESENTATIVE:
            return Choice(starts, values, np.zeros(len(starts), bool))
        if rule is Rule.MOST_FREQUENT:
            worth = np.zeros(len(code), np.int64)
            worth[has] = count[inverse]
        elif rule is Rule.LONGEST:
            worth = pc.fill_null(pc.utf8_length(texts), 0).to_numpy(False)
        else:
            worth = self.worth[rule]
        nobody = (values == 0)[cluster]  # has one: all cells are as good
        eligible, worth = has | nobody, np.where(nobody, 0, worth)
        best = np.maximum.reduceat(np.where(eligible, worth, LEAST), starts)
        ahead = eligible & (worth == best[cluster])
        member = np.minimum.reduceat(np.where(ahead, np.arange(len(code)), len(code)), starts)
        rivals = ahead & (code != code[member][cluster])
        return Choice(member, values, np.logical_or.reduceat(rivals, starts))


def check_rules(records: Records, rules: GoldenRules) -> None:
    """Refuse rules that a corpus cannot answer to, before any work is done for it.

    Raises:
        SettingsError: a column that is named is not there.
        DataError: a date that a rule needs cannot be read; the sentence names the record.
    """
    rules.check(records.columns, records.id_column)
    if Rule.NEWEST not in {rules.default, *rules.fields.values()}:
        return
    assert rules.newest_by is not None
    whole, wrong = True, None
    for batch in records.batches([rules.newest_by]):
        moments = Moments.of(batch[rules.newest_by])
        whole &= moments.whole is not None
        rows = np.flatnonzero(moments.wrong)
        if wrong is None and len(rows):
            wrong = batch[records.id_column][rows[0]], batch[rules.newest_by][rows[0]]
        if wrong is not None and not whole:
            raise DataError(
                f"'{rules.newest_by}' of record '{wrong[0]}' is '{wrong[1]}', and golden.newest_by names this column: expected dates "
                "such as 2024-05-31 or 2024-05-31T12:00:00Z (ISO 8601), or whole numbers; mend the value or name another column"
            )


def write_golden(run: Path, records: Records, rules: GoldenRules) -> dict[str, Any]:
    """Write ``golden.parquet`` and ``lineage.parquet`` beside the ``clusters.parquet`` and ``unique.parquet`` of a run.

    Args:
        rules: those that :func:`check_rules` lets pass.

    Returns:
        Figures for the summary: cells of clusters of two or more, how many were disputed (different values), decided by a tie, and are not
        the representative's own.
    """
    read = ["cluster_id", "cluster_size", "is_representative", "distance_to_representative"]
    clusters = pq.read_table(run / "clusters.parquet", columns=read)
    members = Members.read(records, clusters, pq.read_schema(run / "unique.parquet"))
    chooser = Chooser(members, rules, records.id_column)
    ids = members.records[records.id_column].combine_chunks().cast(pa.large_string())
    merged = {records.id_column: ids.take(pa.array(members.starts))}
    cells = disputed = tied = taken = 0
    with pq.ParquetWriter(run / LINEAGE, LINEAGE_SCHEMA, compression="zstd") as writer:
        for field in chooser.fields:
            choice = chooser.choose(field)
            merged[field] = members.records[field].take(pa.array(choice.member))
            n = len(members)
            columns = [
                merged[records.id_column],
                members.cluster_id,
                pa.repeat(field, n),
                ids.take(pa.array(choice.member)),
                pa.repeat(rules.of(field).value, n),
                choice.values,
                choice.tied,
            ]
            writer.write_table(pa.table(columns, schema=LINEAGE_SCHEMA))
            cells, disputed = cells + n, disputed + int((choice.values > 1).sum())
            tied, taken = tied + int(choice.tied.sum()), taken + int((choice.member != members.starts).sum())
    kept = clusters.filter(clusters["is_representative"])
    several = np.flatnonzero(kept["cluster_size"].to_numpy() > 1)
    place = np.searchsorted(members.cluster_id, kept["cluster_id"].to_numpy()[several])
    _write_merged(run, pa.table(merged).take(pa.array(place)), several)
    return {"golden": {"merged_cells": cells, "disputed": disputed, "tied": tied, "taken_from_others": taken}}


def _write_merged(run: Path, merged: pa.Table, rows: NDArray[np.int64]) -> None:
    """``unique.parquet`` with merged records in the place of these ascending rows, batch by batch."""
    with (
        pq.ParquetFile(run / "unique.parquet") as unique,
        pq.ParquetWriter(run / GOLDEN, unique.schema_arrow, **DISTINCT) as writer,
    ):
        merged, start = merged.select(unique.schema_arrow.names).cast(unique.schema_arrow), 0
        for some in unique.iter_batches(BATCH_RECORDS):
            batch = pa.Table.from_batches([some])
            first, end = np.searchsorted(rows, (start, start + batch.num_rows))
            # The rows of the batch, and behind them those that take the place of some.
            place = np.arange(batch.num_rows)
            place[rows[first:end] - start] = batch.num_rows + np.arange(end - first)
            both = pa.concat_tables([batch, merged.slice(first, end - first)])
            writer.write_table(both.take(pa.array(place)))
            start += batch.num_rows
