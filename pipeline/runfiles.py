"""Run files: the pairs and clusters of a finished run, read batch by batch."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from siamese.errors import ArtifactError

CLUSTERS = "clusters.parquet"
BATCH_ROWS = 2**20


def batches(path: Path, columns: list[str], rows: int = BATCH_ROWS) -> Iterator[pa.Table]:
    """The rows of one file of a run, in these columns.

    Raises:
        ArtifactError: it is missing or damaged.
    """
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(rows, columns=columns):
                yield pa.Table.from_batches([batch]).select(columns)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ArtifactError(f"'{path}' cannot be read ({str(error).splitlines()[0]}): make the run again") from error


class Nodes:
    """The records of a run by number: their place in ``clusters.parquet``, which holds both sides of a link end to end.

    Attributes:
        ids: (n,) large_string.
        right_from: place of the first record of the right side; 0 where there is one corpus.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / CLUSTERS
        has_sides = "side" in _schema(self.path).names
        table = pa.concat_tables(batches(self.path, ["record_id", *["side"] * has_sides]))
        self.ids = pc.cast(table["record_id"], pa.large_string()).combine_chunks()
        self.right_from = pc.sum(pc.equal(table["side"], "left")).as_py() or 0 if has_sides else 0

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, pairs: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers of the left and the right records of some pairs.

        Raises:
            ArtifactError: a record is in no cluster.
        """
        if not self.right_from:  # looked up together: to lay out all ids takes longer than to look some up
            chunks = [each.cast(pa.large_string()) for name in ("left_id", "right_id") for each in pairs[name].chunks]
            both = self._places(pa.chunked_array(chunks, pa.large_string()), self.ids)
            return both[: pairs.num_rows], both[pairs.num_rows :]
        left = self._places(pairs["left_id"], self.ids.slice(0, self.right_from))
        return left, self._places(pairs["right_id"], self.ids.slice(self.right_from)) + self.right_from

    def _places(self, wanted: pa.ChunkedArray, ids: pa.Array) -> NDArray[np.int64]:
        coded = pc.cast(wanted, pa.large_string()).combine_chunks().dictionary_encode()
        found = pc.index_in(ids, value_set=coded.dictionary)  # not the other way: pairs name few of the records
        places = np.full(len(coded.dictionary), -1)
        places[found.drop_null().to_numpy()] = np.flatnonzero(found.is_valid())
        if len(lost := np.flatnonzero(places < 0)):
            name = coded.dictionary[int(lost[0])].as_py()
            raise ArtifactError(f"'{self.path}' lacks the record '{name}', which a pair names: make the run again")
        return places[coded.indices.to_numpy()]


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise ArtifactError(f"'{path}' cannot be read ({str(error).splitlines()[0]}): make the run again") from error
