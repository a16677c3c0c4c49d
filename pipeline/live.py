"""Live: an index with what was added and removed since it was made, as if it had been made again.

Nothing of the index is changed, for FAISS removes from few kinds and renumbers in others: removed records are passed over, and added ones
are searched beside it by matrix products, which lose nothing. Each change makes another :class:`Live`, so that whoever searches in one
sees all of a change or nothing.

Records are numbered in the order that an index made again would have them in: those of the index as they were, and then those added.
Rows are numbered as in the embeddings of both: those of the index, and from the next whole shard on those added.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.contents import SHARD_ROWS, Contents
from pipeline.decision import Decision, Threshold
from pipeline.embedding import Corpus, Embeddings
from pipeline.index import NO_ROWS, NOTHING, Found, VectorIndex, among, joined
from pipeline.judging import Judge
from pipeline.opening import open_index
from pipeline.queries import as_texts
from pipeline.search import Scope, search_exactly
from siamese.distances import Energy
from siamese.encoder import SiameseEncoder
from siamese.folders import Place, read_json
from siamese.manifest import MANIFEST


@dataclass(frozen=True)
class Added:
    """m records that came after the index was made.

    Attributes:
        records: ``record_id`` and the columns that they came with, as text.
        texts: of the model's fields.
        embeddings: (m, dim) float32; all zeros: nothing to compare.
    """

    records: pa.Table
    texts: pa.Table
    embeddings: NDArray[np.float32]

    @classmethod
    def of(cls, records: pa.Table, encoder: SiameseEncoder) -> Self:
        """Embed records. Raises SchemaError: they have none of the model's fields."""
        texts = as_texts(records, encoder.schema)
        return cls(records, texts, encoder.encode(texts))

    @classmethod
    def none(cls, encoder: SiameseEncoder) -> Self:
        texts = pa.table({name: pa.array([], pa.large_string()) for name in encoder.schema.names})
        records = pa.table({"record_id": pa.array([], pa.large_string())})
        return cls(records, texts, np.empty((0, encoder.dim), np.float32))

    def __len__(self) -> int:
        return self.records.num_rows

    @property
    def ids(self) -> pa.ChunkedArray:
        return self.records["record_id"]

    def and_then(self, other: Self) -> Self:
        records = pa.concat_tables([self.records, other.records], promote_options="default").combine_chunks()
        texts = pa.concat_tables([self.texts, other.texts]).combine_chunks()
        return type(self)(records, texts, np.concatenate([self.embeddings, other.embeddings]))

    def without(self, places: NDArray[np.int64]) -> Self:
        """Less those at some places."""
        if len(places) == 0:
            return self
        kept = np.delete(np.arange(len(self)), places)
        return type(self)(self.records.take(kept), self.texts.take(kept), self.embeddings[kept])


@dataclass(frozen=True)
class Live:
    """What queries are answered from.

    Attributes:
        corpus, index: as they were made.
        origin: fingerprint and inputs of the index, as its manifest has them.
        judge, decision: of the model's own threshold.
        added: records since.
        gone: numbers of records of the index that were removed, ascending.
        dead: rows of the index all of whose records are gone, ascending.
    """

    encoder: SiameseEncoder
    corpus: Corpus
    index: VectorIndex
    origin: dict[str, Any]
    judge: Judge
    decision: Decision
    added: Added
    gone: NDArray[np.int64]
    dead: NDArray[np.int64]

    @classmethod
    def open(cls, place: Place, model: Place | None = None) -> Self:
        """An index folder. Raises ArtifactError: something is damaged, or the index was built by another model."""
        encoder, corpus, index = open_index(place, model)
        manifest = read_json(corpus.folder / MANIFEST)
        return cls.of(encoder, corpus, index, {name: manifest.get(name) for name in ("fingerprint", "inputs")})

    @classmethod
    def of(cls, encoder: SiameseEncoder, corpus: Corpus, index: VectorIndex, origin: dict[str, Any]) -> Self:
        """An index as it is. Its ids are read now: its folder may not be there any more when they are asked for."""
        _ = corpus.ids, corpus.members
        return cls(encoder, corpus, index, origin, *Threshold().settle(encoder), Added.none(encoder), NOTHING, NOTHING)

    def __len__(self) -> int:
        """Records, those that say nothing too."""
        return len(self.corpus.ids) - len(self.gone) + len(self.added)

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Of all records, ascending."""
        n = len(self.corpus.ids)
        return np.concatenate([np.setdiff1d(np.arange(n), self.gone), n + np.arange(len(self.added))])

    @property
    def first(self) -> int:
        """The first row of those added."""
        return len(self.corpus.embeddings.shards) * SHARD_ROWS

    @cached_property
    def contents(self) -> Contents:
        """Of all rows; none where the index keeps none."""
        kept = self.corpus.contents.shards
        return Contents((*kept, *Contents.of(self.added.texts).shards)) if kept else self.corpus.contents

    @cached_property
    def _fresh(self) -> Embeddings:
        """Of those added."""
        vectors = self.added.embeddings
        shards = tuple(vectors[start : start + SHARD_ROWS] for start in range(0, len(vectors), SHARD_ROWS))
        return Embeddings(shards, self.encoder.dim)

    @cached_property
    def _silent(self) -> NDArray[np.int64]:
        return np.flatnonzero(~self.added.embeddings.any(axis=1))

    @cached_property
    def embeddings(self) -> Embeddings:
        """Of all rows."""
        return Embeddings((*self.corpus.embeddings.shards, *self._fresh.shards), self.encoder.dim)

    def nearest(self, queries: NDArray[np.float32], k: int) -> Found:
        """At least the k nearest rows of each query, and those of the index that are as far as the last of these."""
        farthest = 2 * self.encoder.dim**0.5 if self.encoder.energy is Energy.MANHATTAN else 2.0
        found = self._among_added(queries, Scope(0.0, farthest, k + len(self._silent)))
        return joined([self.index.nearest(queries, k, self.dead), found])

    def within(self, queries: NDArray[np.float32], radius: float) -> Found:
        """Every row within a distance of each query."""
        return joined([self.index.within(queries, radius, self.dead), self._among_added(queries, Scope(radius))])

    def _among_added(self, queries: NDArray[np.float32], scope: Scope) -> Found:
        if len(self.added) == 0:
            return NO_ROWS
        asking = Embeddings((queries,), self.encoder.dim)
        near = search_exactly(self._fresh, asking, np.arange(len(queries)), self.encoder.energy, scope)
        says = ~among(near.right, self._silent)
        return near.left[says], near.right[says] + self.first, near.distances[says]

    def records_of(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(which of the rows, number of the record): every record that has the content of one."""
        records, offsets = self.corpus.members
        old = rows < self.first
        start = np.where(old, offsets[np.where(old, rows, 0)], 0)
        counts = np.where(old, offsets[np.where(old, rows + 1, 0)] - start, 1)
        place = np.repeat(np.arange(len(rows)), counts)
        nth = np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts, counts)
        number = len(self.corpus.ids) + rows[place] - self.first
        number[old[place]] = records[(start[place] + nth)[old[place]]]
        there = ~among(number, self.gone)
        return place[there], number[there]

    def ids_of(self, numbers: NDArray[np.int64]) -> pa.Array:
        """Ids of records."""
        n = len(self.corpus.ids)
        old = numbers < n
        ids = [self.corpus.ids.take(pa.array(numbers[old])), *self.added.ids.take(pa.array(numbers[~old] - n)).chunks]
        where = np.empty(len(numbers), np.int64)
        where[np.concatenate([np.flatnonzero(old), np.flatnonzero(~old)])] = np.arange(len(numbers))
        return pa.concat_arrays(ids).take(pa.array(where))

    def numbers_of(self, ids: pa.Array) -> NDArray[np.int64]:
        """Numbers, ascending, of those ids that are there."""
        old, new = (_places(has, ids) for has in (self.corpus.ids, self.added.ids))
        return np.concatenate([np.setdiff1d(old, self.gone), len(self.corpus.ids) + new])

    def rows_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each record; -1 where it says nothing."""
        n = len(self.corpus.ids)
        old, place = numbers < n, numbers - n
        row = np.where(among(place, self._silent), -1, self.first + place)
        row[old] = self.corpus.rows[numbers[old]]
        return row

    def less(self, numbers: NDArray[np.int64]) -> Self:
        """Without some records, by number."""
        n = len(self.corpus.ids)
        old = numbers[numbers < n]
        fewer = replace(self, gone=np.union1d(self.gone, old), added=self.added.without(numbers[numbers >= n] - n))
        rows = np.unique(self.corpus.rows[old])
        rows = rows[rows >= 0]
        left = np.unique(fewer.records_of(rows)[0])
        return replace(fewer, dead=np.union1d(self.dead, np.delete(rows, left)))

    def more(self, records: pa.Table) -> Self:
        """With records of ids that are not there. Raises SchemaError: they have none of the model's fields."""
        return replace(self, added=self.added.and_then(Added.of(records, self.encoder)))

    def laid_over(self, other: Self) -> Self:
        """Another index with the same changes: what was added here stands, and what was removed is not there."""
        changed = pa.concat_arrays([self.ids_of(self.gone), *self.added.ids.chunks])
        laid = other.less(other.numbers_of(changed)) if len(changed) else other
        return laid.more(self.added.records) if len(self.added) else laid


def _places(ids: pa.Array | pa.ChunkedArray, some: pa.Array) -> NDArray[np.int64]:
    return np.flatnonzero(pc.is_in(ids, value_set=some).to_numpy(zero_copy_only=False))
