"""Embedding: a corpus brought to embeddings on disk, each distinct content once, shard by shard."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.contents import SHARD_ROWS, Contents, content_keys, number_contents, write_contents
from pipeline.progress import track
from pipeline.records import Records, check_ids
from siamese.calibration import Calibration
from siamese.distances import Energy
from siamese.errors import ArtifactError
from siamese.schema import Schema
from siamese.verifier import Verifier

IDS = "ids.parquet"


class Encoder(Protocol):
    """All that the pipeline knows of a model."""

    energy: Energy
    margin: float
    calibration: Calibration
    fingerprint: str
    verifier: Verifier | None

    @property
    def schema(self) -> Schema: ...
    @property
    def dim(self) -> int: ...
    def encode(self, records: Any) -> NDArray[np.float32]: ...
    def energies(self, left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]: ...
    def margin_distance(self, distances: Any) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Embeddings:
    """(rows, dim) float32 on disk, as shards of 65,536 rows that are mapped into memory when read."""

    shards: tuple[NDArray[np.float32], ...]
    dim: int

    @classmethod
    def open(cls, folder: Path, dim: int) -> "Embeddings":
        shards = tuple(np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy")))
        if any(shard.shape[1] != dim for shard in shards):
            raise ArtifactError(
                f"the embeddings in '{folder}' have {shards[0].shape[1]} dimensions, the model {dim}: make the index again"
            )
        return cls(shards, dim)

    def __len__(self) -> int:
        return sum(len(shard) for shard in self.shards)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(r, dim) of any rows."""
        if len(self.shards) == 1:
            return np.take(self.shards[0], rows, axis=0)
        taken = np.empty((len(rows), self.dim), np.float32)
        shard_of = rows // SHARD_ROWS
        for number in np.flatnonzero(np.bincount(shard_of)):
            here = np.flatnonzero(shard_of == number)
            taken[here] = np.take(self.shards[number], rows[here] % SHARD_ROWS, axis=0)
        return taken

    def blocks(self, size: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """(first row, rows) of at most ``size`` rows, in order."""
        for number, shard in enumerate(self.shards):
            for start in range(0, len(shard), size):
                yield number * SHARD_ROWS + start, np.ascontiguousarray(shard[start : start + size])


@dataclass(frozen=True)
class Corpus:
    """An embedded corpus.

    Attributes:
        ids: (n,) record ids, in file order.
        rows: (n,) int64 row in ``embeddings`` of each record's content; -1 for a record with nothing to compare.
        embeddings: of the distinct contents.
        contents: the same in words, kept where a verifier reads them; else no shards.
    """

    ids: pa.Array
    rows: NDArray[np.int64]
    embeddings: Embeddings
    contents: Contents

    @classmethod
    def open(cls, folder: Path, dim: int) -> "Corpus":
        table = pq.read_table(folder / IDS)
        ids, rows = table["record_id"].combine_chunks(), table["row"].to_numpy()
        return cls(ids, rows, Embeddings.open(folder / "embeddings", dim), Contents.open(folder / "contents"))

    @cached_property
    def members(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Records by row: ragged (records, offsets); row r is the content of records[offsets[r] : offsets[r + 1]]."""
        order = np.argsort(self.rows, kind="stable")
        order = order[np.searchsorted(self.rows[order], 0) :]
        return order, np.searchsorted(self.rows[order], np.arange(len(self.embeddings) + 1))


def embed_corpus(encoder: Encoder, records: Records, folder: Path, *, contents: bool = False) -> dict[str, int]:
    """Write ``ids.parquet``, ``embeddings/*.npy`` and, with ``contents`` (a verifier reads them), ``contents/*.arrow``.

    The corpus is read twice: to find equal contents, and to embed one of each.

    Returns:
        Counts: records, distinct_contents, empty_records.

    Raises:
        DataError: the records do not do; SchemaError: they lack a column of the model's.
    """
    schema = encoder.schema
    keys, ids, empty = [], [], []
    for batch in track(records.batches(schema.names), "reading"):
        ids.extend(batch[records.id_column].chunks)
        texts = schema.select(batch.select([name for name in batch.column_names if name in records.columns]))
        keys.append(content_keys(texts))
        empty.append(np.logical_and.reduce([texts[name].is_null().to_numpy() for name in schema.names]))
    all_ids = pa.chunked_array(ids, pa.large_string()).combine_chunks()
    check_ids(all_ids, records)
    is_empty = np.concatenate(empty)
    rows, is_first = number_contents(np.concatenate(keys), is_empty)

    (folder / "embeddings").mkdir()
    start, number, pending = 0, 0, []
    for batch in track(records.batches(schema.names), "embedding", total=len(all_ids)):
        pending.append(batch.filter(pa.array(is_first[start : start + batch.num_rows])))
        start += batch.num_rows
        while sum(table.num_rows for table in pending) >= SHARD_ROWS:
            whole = pa.concat_tables(pending, promote_options="permissive")
            _write_shard(encoder, whole.slice(0, SHARD_ROWS), folder, number, contents)
            pending, number = [whole.slice(SHARD_ROWS)], number + 1
    rest = pa.concat_tables(pending, promote_options="permissive")
    if rest.num_rows or number == 0:
        _write_shard(encoder, rest, folder, number, contents)
    pq.write_table(pa.table({"record_id": all_ids, "row": rows}), folder / IDS)
    return {"records": len(all_ids), "distinct_contents": int(is_first.sum()), "empty_records": int(is_empty.sum())}


def _write_shard(encoder: Encoder, records: pa.Table, folder: Path, number: int, contents: bool) -> None:
    path = folder / "embeddings" / f"{number:06d}.npy"
    beside = path.with_suffix(".partial")
    with beside.open("wb") as file:
        np.save(file, encoder.encode(records))
    os.replace(beside, path)
    if contents:
        (folder / "contents").mkdir(exist_ok=True)
        write_contents(encoder.schema.select(records), folder / "contents", number)
