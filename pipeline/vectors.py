"""Vectors: the embeddings of an index for other stores of vectors."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contents import SHARD_ROWS
from pipeline.live import Live
from pipeline.tables import check_table
from siamese.errors import OutputError
from siamese.publishing import staged_file


def write_vectors(live: Live, path: Path) -> int:
    """Write ``record_id`` (text) and ``embedding`` (fixed-size list of float32, of length 1) to a Parquet file, a shard at a time.

    Returns:
        Records written: those that say anything.

    Raises:
        SettingsError: the path does not end in .parquet; OutputError: it cannot be written there.
    """
    check_table(path, ".parquet")
    schema = pa.schema([("record_id", pa.large_string()), ("embedding", pa.list_(pa.float32(), live.encoder.dim))])
    count = 0
    try:
        with staged_file(path) as staging, pq.ParquetWriter(staging, schema) as writer:
            numbers = live.numbers
            for start in range(0, len(numbers), SHARD_ROWS):
                some = numbers[start : start + SHARD_ROWS]
                rows = live.rows_of(some)
                columns: list[Any] = [live.ids_of(some[rows >= 0]), _lists(live.embeddings.take(rows[rows >= 0]))]
                writer.write_table(pa.table(columns, schema=schema))
                count += len(columns[0])
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror or error}") from error
    return count


def _lists(vectors: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
