"""Partitions: the clusters of two runs side by side, record by record."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from siamese.errors import ArtifactError

CLUSTERS = "clusters.parquet"
ABSENT = -1


@dataclass(frozen=True)
class Overlaps:
    """The contingency table of two partitions, less its zeros.

    Attributes:
        old, new: (m,) int64 clusters that share records, each pair once, by old and then new. ABSENT where the records are in one
            of the two only.
        records: (m,) int64, how many they share.
    """

    old: NDArray[np.int64]
    new: NDArray[np.int64]
    records: NDArray[np.int64]


@dataclass(frozen=True)
class Partitions:
    """Two partitions of n records, of which each holds some.

    Attributes:
        ids: (n,) names of the records: those of the old partition in its order, then what only the new one has.
        old, new: (n,) int64 cluster of each record, ABSENT where it is not among them.
    """

    ids: pa.Array
    old: NDArray[np.int64]
    new: NDArray[np.int64]

    @classmethod
    def of(cls, old_ids: pa.Array, old: NDArray[np.int64], new_ids: pa.Array, new: NDArray[np.int64]) -> Self:
        """Partitions of two lists of records, each without duplicates."""
        place = places(new_ids, old_ids)
        known = place >= 0
        ids = pa.concat_arrays([old_ids, new_ids.filter(pa.array(~known))])
        olds, news = np.full(len(ids), ABSENT, np.int64), np.full(len(ids), ABSENT, np.int64)
        olds[: len(old)] = old
        news[place[known]] = new[known]
        news[len(old) :] = new[~known]
        return cls(ids, olds, news)

    @classmethod
    def of_runs(cls, old: Path, new: Path) -> Self:
        """The clusters of two run folders; a record of a link is named by its side too.

        Raises:
            ArtifactError: one of them cannot be read.
        """
        return cls.of(*read_clusters(old), *read_clusters(new))

    def overlaps(self) -> Overlaps:
        order = np.lexsort((self.new, self.old))
        old, new = self.old[order], self.new[order]
        starts = np.flatnonzero(np.append(True, (old[1:] != old[:-1]) | (new[1:] != new[:-1]))[: len(old)])
        return Overlaps(old[starts], new[starts], np.diff(np.append(starts, len(old))))


def places(ids: pa.Array, among: pa.Array) -> NDArray[np.int64]:
    """(n,) where each id is among others, -1 for those that are not."""
    return pc.fill_null(pc.index_in(ids, value_set=among), -1).to_numpy(zero_copy_only=False).astype(np.int64)


def record_names(ids: pa.Array, side: pa.Array | str | None) -> pa.Array:
    """Ids that are unique in a run: those of a link with the side that they are on."""
    text = ids.cast(pa.large_string())
    if side is None:
        return text
    return pc.binary_join_element_wise(
        *(pa.scalar(one, pa.large_string()) if isinstance(one, str) else one for one in (side, text, ":"))
    )


def read_clusters(run: Path) -> tuple[pa.Array, NDArray[np.int64]]:
    """(n,) names of the records of a run, and the cluster of each."""
    try:
        table = pq.read_table(run / CLUSTERS).combine_chunks()
        side = table["side"].combine_chunks().cast(pa.large_string()) if "side" in table.column_names else None
        names = record_names(table["record_id"].combine_chunks(), side)
        return names, table["cluster_id"].to_numpy()
    except (pa.ArrowException, OSError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"'{run / CLUSTERS}' cannot be read ({reason}): make the run again") from error
