"""Embedding: a corpus brought to embeddings on disk, each distinct content once, shard by shard."""

import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, Protocol
from weakref import WeakValueDictionary

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from pipeline.contents import SHARD_ROWS, ContentNumbers, Contents, content_keys, write_contents
from pipeline.products import farthest, products_of_pairs, slack
from pipeline.progress import track
from pipeline.records import Records, check_fields, check_ids
from siamese.calibration import Calibration
from siamese.distances import Energy, distance
from siamese.errors import ArtifactError
from siamese.folders import written
from siamese.portrait import Portrait
from siamese.schema import Schema
from siamese.threads import side_by_side
from siamese.towers.base import BATCH
from siamese.verifier import Verifier

IDS, CONTENTS, DIGESTS, EMBEDDINGS = "ids.parquet", "contents", "digests.npy", "embeddings"
PLACES = "places.npy"  # beside shards whose rows are in another order; missing: they lie in order
MEASURED_PAIRS = 512  # at once: two blocks of embeddings that stay in a core's cache
TILE_ROWS = 2**15  # that are met in no order: a tile of them stays in a processor's cache
_MAPPED: WeakValueDictionary[tuple[int, int, int], NDArray[np.float32]] = WeakValueDictionary()
_MAPPING = Lock()
Side = tuple[NDArray[np.float32], NDArray[np.int64]]  # a shard, and rows in it


class Encoder(Protocol):
    """All that the pipeline knows of a model."""

    energy: Energy
    margin: float
    calibration: Calibration
    fingerprint: str
    verifier: Verifier | None
    portraits: dict[str, Portrait]

    @property
    def schema(self) -> Schema: ...
    @property
    def dim(self) -> int: ...
    def encode(self, records: Any) -> NDArray[np.float32]: ...
    def energies(self, left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]: ...
    def margin_distance(self, distances: Any) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Embeddings:
    """(rows, dim) float32 on disk, as shards of at most 65,536 rows that are mapped into memory when read.

    Attributes:
        places: (rows,) int64 where each row lies: 65,536 times the number of its shard, and its row there. None: in order.
    """

    shards: tuple[NDArray[np.float32], ...]
    dim: int
    places: NDArray[np.int64] | None = None

    @classmethod
    def open(cls, folder: Path, dim: int) -> "Embeddings":
        shards = tuple(_mapped(path) for path in shard_paths(folder))
        if any(shard.shape[1] != dim for shard in shards):
            raise ArtifactError(
                f"the embeddings in '{folder}' have {shards[0].shape[1]} dimensions, the model {dim}: make the index again"
            )
        places = folder / PLACES
        return cls(shards, dim, np.load(places) if places.is_file() else None)

    def __len__(self) -> int:
        return sum(self.sizes) if self.places is None else len(self.places)

    @property
    def sizes(self) -> list[int]:
        """Rows of each shard."""
        return [len(shard) for shard in self.shards]

    def at(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """(r,) place of any rows."""
        return rows if self.places is None else self.places[rows]

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(r, dim) of any rows."""
        places = self.at(rows)
        if len(self.shards) == 1:
            return np.take(self.shards[0], places, axis=0)
        taken = np.empty((len(rows), self.dim), np.float32)
        for number, here, row in by_shard(places):
            taken[here] = np.take(self.shards[number], row, axis=0)
        return taken

    def blocks(self, size: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """(first row, rows) of at most ``size`` rows, in order."""
        if self.places is not None:
            for start in range(0, len(self), size):
                yield start, self.take(np.arange(start, min(start + size, len(self))))
            return
        for number, shard in enumerate(self.shards):
            for start in range(0, len(shard), size):
                yield number * SHARD_ROWS + start, np.ascontiguousarray(shard[start : start + size])

    def parts(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Each shard as it lies, and which rows it holds, -1 where it holds none of these."""
        rows = np.arange(len(self.shards) * SHARD_ROWS)
        if self.places is not None:
            rows[:] = -1
            rows[self.places] = np.arange(len(self.places))
        for number, shard in enumerate(self.shards):
            yield rows[number * SHARD_ROWS :][: len(shard)], shard


def by_shard(places: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """Each shard that some places lie in: its number, which of the places those are, and their rows in it."""
    shard, row = np.divmod(places, SHARD_ROWS)
    for number in np.flatnonzero(np.bincount(shard)):
        here = np.flatnonzero(shard == number)
        yield int(number), here, row[here]


def shard_path(folder: Path, number: int) -> Path:
    """File of one shard of embeddings."""
    return folder / f"{number:06d}.npy"


def shard_paths(folder: Path) -> list[Path]:
    """Files of embeddings, in order."""
    return sorted(folder.glob("[0-9]*.npy"))


def _mapped(path: Path) -> NDArray[np.float32]:
    """A shard; mapped once for all that use it at a time, by whichever of its names: every map of a file counts anew as memory."""
    status = path.stat()
    key = status.st_dev, status.st_ino, status.st_mtime_ns
    with _MAPPING:  # blocks that begin together would map it twice
        shard = _MAPPED.get(key)
        if shard is None:
            shard = _MAPPED[key] = np.load(path, mmap_mode="c")
        return shard


def measure(
    left: Embeddings, left_rows: NDArray[np.int64], right: Embeddings, right_rows: NDArray[np.int64], energy: Energy
) -> NDArray[np.float32]:
    """(m,) exact distances between m rows of two embedded corpora."""
    apart = np.empty(len(left_rows), np.float32)

    def measure_part(part: tuple[NDArray[np.int64], Side, Side]) -> None:
        here, *sides = part
        for start in range(0, len(here), MEASURED_PAIRS):
            some = slice(start, start + MEASURED_PAIRS)
            one, other = (torch.from_numpy(np.take(shard, rows[some], axis=0)) for shard, rows in sides)
            apart[here[some]] = distance(one, other, energy).numpy()

    for _ in side_by_side(measure_part, list(_by_shard(left, left_rows, right, right_rows))):
        pass
    return apart


def near(
    left: Embeddings,
    left_rows: NDArray[np.int64],
    right: Embeddings,
    right_rows: NDArray[np.int64],
    energy: Energy,
    most: float,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Which of m pairs, ascending by left row, are no farther apart than ``most``, or hardly, ascending; and how far at most.

    The bounds are too great by :func:`slack` at most, and take a fraction of the time that it takes to measure them.
    """
    if energy is Energy.MANHATTAN:
        apart = measure(left, left_rows, right, right_rows, energy)
    else:
        alike = np.empty(len(left_rows), np.float32)
        for here, (one, rows), (other, others) in _by_shard(left, left_rows, right, right_rows):
            alike[here] = products_of_pairs(one, rows, other, others)
        apart = farthest(alike, energy, left.dim)
    chosen = np.flatnonzero(apart <= most + slack(energy, left.dim))
    return chosen, apart[chosen]


def _by_shard(
    left: Embeddings, left_rows: NDArray[np.int64], right: Embeddings, right_rows: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], Side, Side]]:
    """Pairs whose rows lie in the same two shards, the left ones ascending, the right ones near each other: which they are, and each shard
    with the rows in it."""
    left_rows, right_rows = left.at(left_rows), right.at(right_rows)
    of_shard = -(-SHARD_ROWS // TILE_ROWS)
    tiles = of_shard * len(right.shards)
    tile = right_rows // SHARD_ROWS * of_shard + right_rows % SHARD_ROWS // TILE_ROWS
    number = left_rows // SHARD_ROWS * tiles + tile
    number = number.astype(np.min_scalar_type(len(left.shards) * tiles))
    # In order they ascend already, as those that are given.
    order = np.argsort(number, kind="stable") if left.places is None else np.lexsort((left_rows, number))
    for here in np.split(order, np.cumsum(np.bincount(number))):
        if len(here):
            one, other = divmod(int(number[here[0]]) // of_shard, len(right.shards))
            yield (
                here,
                (left.shards[one], left_rows[here] % SHARD_ROWS),
                (right.shards[other], right_rows[here] % SHARD_ROWS),
            )


@dataclass(frozen=True)
class Corpus:
    """An embedded corpus; its ids and rows are read when they are asked for.

    Attributes:
        ids: (n,) record ids, in file order.
        rows: (n,) int64 row in ``embeddings`` of each record's content; -1 for a record with nothing to compare.
        embeddings: of the distinct contents.
        contents: the same in words; an index keeps them only where a verifier reads them.
    """

    folder: Path
    embeddings: Embeddings
    contents: Contents

    @classmethod
    def open(cls, folder: Path, dim: int) -> "Corpus":
        return cls(folder, Embeddings.open(folder / EMBEDDINGS, dim), Contents.open(folder / CONTENTS))

    @cached_property
    def ids(self) -> pa.Array:
        return pq.read_table(self.folder / IDS, columns=["record_id"])["record_id"].combine_chunks()

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        return pq.read_table(self.folder / IDS, columns=["row"])["row"].to_numpy()

    @cached_property
    def members(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Records by row: ragged (records, offsets); row r is the content of records[offsets[r] : offsets[r + 1]]."""
        order = np.argsort(self.rows, kind="stable")
        order = order[np.searchsorted(self.rows[order], 0) :]
        return order, np.searchsorted(self.rows[order], np.arange(len(self.embeddings) + 1))


def read_corpus(schema: Schema, records: Records, folder: Path) -> dict[str, int]:
    """Read a corpus once: ``ids.parquet``, and ``contents/*.arrow`` with each distinct content once; the digests of these beside them.

    Returns:
        Counts: records, distinct_contents, empty_records, and the blocks that there are to embed.

    Raises:
        DataError: the records do not do; SchemaError: they lack a column of the schema's.
    """
    check_fields(schema, records)
    (folder / CONTENTS).mkdir(parents=True, exist_ok=True)
    numbers, ids, rows, digests = ContentNumbers(), [], [], [np.empty((0, 2), np.uint64)]
    blocks, pending = 0, [schema.select(pa.table({name: pa.nulls(0, pa.large_string()) for name in schema.names}))]
    for batch in track(records.batches(schema.names), "reading"):
        ids.extend(batch[records.id_column].chunks)
        texts = schema.select(batch.select([name for name in batch.column_names if name in records.columns]))
        is_empty = np.logical_and.reduce([texts[name].is_null().to_numpy() for name in schema.names])
        keys = content_keys(texts)
        row, fresh = numbers.number(keys, is_empty)
        rows.append(row)
        digests.append(keys[fresh])
        pending.append(texts.take(pa.array(fresh)))
        while sum(table.num_rows for table in pending) >= SHARD_ROWS:
            whole = pa.concat_tables(pending)
            write_contents(whole.slice(0, SHARD_ROWS), folder / CONTENTS, blocks)
            pending, blocks = [whole.slice(SHARD_ROWS)], blocks + 1
    rest = pa.concat_tables(pending)
    if rest.num_rows or blocks == 0:
        write_contents(rest, folder / CONTENTS, blocks)
        blocks += 1
    all_ids = pa.chunked_array(ids, pa.large_string()).combine_chunks()
    check_ids(all_ids, records)
    row = np.concatenate(rows)
    pq.write_table(pa.table({"record_id": all_ids, "row": row}), folder / IDS, use_dictionary=False)
    save_array(folder / DIGESTS, np.concatenate(digests))
    counts = {"records": len(row), "distinct_contents": numbers.count, "empty_records": int((row < 0).sum())}
    return {**counts, "blocks": blocks}


def embed_block(encoder: Encoder, folder: Path, number: int) -> dict[str, int]:
    """One shard of contents to ``embeddings/*.npy``, whole or not at all."""
    texts = Contents.open(folder / CONTENTS).shards[number]
    blocks = (encoder.encode(texts.slice(start, BATCH)) for start in range(0, texts.num_rows, BATCH))
    save_blocks(shard_path(folder / EMBEDDINGS, number), (texts.num_rows, encoder.dim), blocks)
    return {"contents": texts.num_rows}


def save_array(path: Path, array: NDArray) -> None:
    """An array as a file, whole or not at all; a worker that was given up for lost may still be writing the same one.

    Raises:
        OutputError: it cannot be written.
    """
    with _array_file(path) as file:
        np.save(file, array)


def save_blocks(path: Path, shape: tuple[int, int], blocks: Iterable[NDArray[np.float32]]) -> None:
    """The same of a float32 array that comes block by block: a whole one takes longer to lay out in memory than to write."""
    with _array_file(path) as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            block.tofile(file)


@contextmanager
def _array_file(path: Path) -> Iterator[BinaryIO]:
    path.parent.mkdir(exist_ok=True)
    beside = path.with_suffix(f".{uuid.uuid4().hex[:8]}.partial")
    with written(path):
        with beside.open("wb") as file:
            yield file
        os.replace(beside, path)
