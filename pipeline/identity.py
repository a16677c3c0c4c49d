"""Identity: a cluster keeps its id from run to run while its records do.

Of the clusters that share records the pair that shares most keeps the old id, then the pair that shares most of what is left, and so on;
of equals the lesser old id, and then the cluster whose first record comes first. What is left gets ids that no run before has used.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.partitions import ABSENT, Overlaps, Partitions, read_clusters, record_names
from siamese.folders import read_json

CHANGES = "changes.parquet"
NEXT_ID = "next_cluster_id"  # in a run's summary: the least id that neither it nor a run before it has used
CHANGE_SCHEMA = pa.schema(
    [("old_id", pa.int64()), ("new_id", pa.int64()), ("records", pa.int64()), ("why", pa.string())]
)


@dataclass(frozen=True)
class Identities:
    """Ids of k clusters.

    Attributes:
        ids: (k,) int64.
        next_id: the least that was never used.
    """

    ids: NDArray[np.int64]
    next_id: int

    @classmethod
    def of(cls, overlaps: Overlaps, clusters: int, next_id: int) -> Self:
        """Ids of the new clusters, which are numbered 0 to ``clusters``.

        Args:
            overlaps: with the old ones, by their ids.
            next_id: greater than any id that was ever used.
        """
        shared = (overlaps.old != ABSENT) & (overlaps.new != ABSENT)
        old, new, records = (each[shared] for each in (overlaps.old, overlaps.new, overlaps.records))
        ids = np.full(clusters, ABSENT, np.int64)
        contested = _repeated(old) | _repeated(new)
        ids[new[~contested]] = old[~contested]
        rest = np.flatnonzero(contested)
        taken: set[int] = set()
        for place in rest[np.lexsort((new[rest], old[rest], -records[rest]))]:
            if ids[new[place]] == ABSENT and int(old[place]) not in taken:
                ids[new[place]] = old[place]
                taken.add(int(old[place]))
        fresh = ids == ABSENT
        ids[fresh] = next_id + np.arange(fresh.sum())
        return cls(ids, next_id + int(fresh.sum()))


def id_changes(overlaps: Overlaps, ids: NDArray[np.int64]) -> pa.Table:
    """Every change of id, as a row for each pair of an old and a new cluster that share records and not their id.

    Returns:
        old_id: null where the new cluster holds no record that was there before (``why`` is "new").
        new_id: null where no record of the old cluster is there any more ("deleted").
        records: how many the two share, or how many there are.
        why: else "merged", where the new cluster holds records of several old ones; "split", where records of the old one are in several;
            "moved", where both.
    """
    old, records = overlaps.old, overlaps.records
    new = np.where(overlaps.new == ABSENT, ABSENT, ids[overlaps.new])
    shared = (old != ABSENT) & (new != ABSENT)
    split, merged = (np.zeros(len(old), bool) for _ in range(2))
    split[shared], merged[shared] = _repeated(old[shared]), _repeated(new[shared])
    deleted = (new == ABSENT) & ~np.isin(old, old[shared])
    added = (old == ABSENT) & ~np.isin(new, new[shared])
    rows = np.flatnonzero((shared & (old != new)) | deleted | added)
    rows = rows[np.lexsort((new[rows], old[rows]))]
    why = np.select(
        [each[rows] for each in (deleted, added, split & merged, split)], ["deleted", "new", "moved", "split"], "merged"
    )
    columns = [
        pa.array(old[rows], mask=old[rows] == ABSENT),
        pa.array(new[rows], mask=new[rows] == ABSENT),
        records[rows],
        why,
    ]
    return pa.table([pa.array(column) for column in columns], schema=CHANGE_SCHEMA)


def carry_ids(clusters: pa.Table, previous: Path, run: Path) -> tuple[pa.Table, dict[str, Any]]:
    """The clusters of a run with the ids that they had in a previous one; ``changes.parquet`` says what became of the others.

    Args:
        clusters: as in ``clusters.parquet``, numbered from 0.
        previous: run folder.
        run: folder to write into.

    Returns:
        The clusters, and counts: next_cluster_id, and of changed ids by why.

    Raises:
        ArtifactError: the previous run cannot be read.
    """
    old_names, old = read_clusters(previous)
    side = clusters["side"].combine_chunks().cast(pa.large_string()) if "side" in clusters.column_names else None
    names, new = record_names(clusters["record_id"].combine_chunks(), side), clusters["cluster_id"].to_numpy()
    next_id = int(read_json(previous / "summary.json").get(NEXT_ID, int(old.max(initial=-1)) + 1))
    overlaps = Partitions.of(old_names, old, names, new).overlaps()
    identities = Identities.of(overlaps, int(new.max(initial=-1)) + 1, next_id)
    changes = id_changes(overlaps, identities.ids)
    pq.write_table(changes, run / CHANGES, compression="zstd")
    place = clusters.column_names.index("cluster_id")
    why, count = np.unique(changes["why"].to_numpy(zero_copy_only=False).astype(str), return_counts=True)
    counts = {NEXT_ID: identities.next_id, "id_changes": dict(zip(why.tolist(), count.tolist(), strict=True))}
    return clusters.set_column(place, "cluster_id", pa.array(identities.ids[new])), counts


def _repeated(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(m,) whether each value occurs more than once."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    repeated: NDArray[np.bool_] = counts[inverse] > 1
    return repeated
