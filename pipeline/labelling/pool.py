"""The pool: candidates of a corpus over the whole range of distances, from which pairs are put to a person.

What a search brings for a sample of records, parted by distance into strata: the nearest few, as many again, twice as many again, and so
on. Of each stratum the pool holds all, or a random part of known size, and in a random order: the first m pairs of that order are a simple
random sample of the stratum, whatever else is labelled beside them, so that what they say holds for all candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.cells import Cells
from pipeline.cold_start import embed_corpus
from pipeline.embedding import Corpus, measure
from pipeline.pairs import rows_of
from pipeline.records import Records, stacked
from pipeline.rowpairs import RowPairs
from pipeline.search import Queries, Scope, search
from siamese.encoder import SiameseEncoder
from siamese.errors import DataError
from siamese.text import as_text

QUERIES = 16_384  # records whose nearest are candidates
NEIGHBOURS = 10  # of each
CROWD = 50  # of those, as many more as are nearer than the middle one of all candidates: large groups of equals
PROBES = 16  # cells looked into
PAIRS = 16_000  # that the pool holds
LEAST_STRATUM, MOST_STRATA = 40, 8


@dataclass(frozen=True)
class Pool:
    """m candidates, in h strata of distance, those of a stratum in random order.

    Attributes:
        left_ids, right_ids: (m,) of records; in one corpus left_id < right_id.
        of_two: they are of two corpora; an id that is in both names two records.
        left, right: (m,) int64 rows of ``texts``.
        texts: the records' fields, as the schema reads them.
        embeddings: (rows of texts, dim) float32.
        distances: (m,) float32, in units of the energy.
        stratum: (m,) int64, ascending; 0 is the nearest.
        sizes: (h,) int64 candidates that the search brought in each; the pool may hold fewer.
    """

    left_ids: NDArray[np.object_]
    right_ids: NDArray[np.object_]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    texts: pa.Table
    embeddings: NDArray[np.float32]
    distances: NDArray[np.float32]
    stratum: NDArray[np.int64]
    sizes: NDArray[np.int64]
    of_two: bool = False

    def __len__(self) -> int:
        return len(self.left)

    @classmethod
    def draw(
        cls,
        encoder: SiameseEncoder,
        sources: Sequence[Records],
        folder: Path,
        seed: int = 0,
        given: pd.DataFrame | None = None,
    ) -> "Pool":
        """Embed one corpus, or two to link, and draw a pool.

        Args:
            folder: for what is embedded.
            given: left_id, right_id of the candidates; those of a search unless given.

        Raises:
            DataError: the records do not do, or hold no two with anything to compare.
        """
        random = np.random.default_rng(seed)
        corpora = [embed_corpus(encoder, source, folder / str(number)) for number, source in enumerate(sources)]
        left, right = corpora[0], corpora[-1]
        pairs = (
            _searched(encoder, left, right, folder / "cells", random)
            if given is None
            else _given(encoder, left, right, given)
        )
        if len(pairs) == 0:
            raise DataError(f"'{sources[0].path}' holds no two records to compare: give records with text in them")
        order = np.lexsort((random.permutation(len(pairs)), pairs.distances))
        sizes = _halves(len(pairs))
        starts = np.cumsum(sizes) - sizes
        held = _share_out(sizes, PAIRS)
        parts = [
            order[start + random.permutation(size)[:kept]]
            for start, size, kept in zip(starts, sizes, held, strict=True)
        ]
        chosen = np.concatenate(parts)
        return cls._of(left, right, pairs.take(chosen), np.repeat(np.arange(len(sizes)), held), sizes)

    @classmethod
    def _of(
        cls, left: Corpus, right: Corpus, pairs: RowPairs, stratum: NDArray[np.int64], sizes: NDArray[np.int64]
    ) -> "Pool":
        """The pool of some pairs of contents, each by the first records that hold them."""
        if left is right:
            rows, places = np.unique(np.concatenate([pairs.left, pairs.right]), return_inverse=True)
            texts, embeddings, ids = left.contents.take(rows), left.embeddings.take(rows), _ids(left, rows)
            one, other = np.split(places, 2)
            turned = ids[one] > ids[other]
            one, other = np.where(turned, other, one), np.where(turned, one, other)
            return cls(ids[one], ids[other], one, other, texts, embeddings, pairs.distances, stratum, sizes)
        lefts, one = np.unique(pairs.left, return_inverse=True)
        rights, other = np.unique(pairs.right, return_inverse=True)
        texts = pa.concat_tables([left.contents.take(lefts), right.contents.take(rights)]).combine_chunks()
        embeddings = np.concatenate([left.embeddings.take(lefts), right.embeddings.take(rights)])
        left_ids, right_ids = _ids(left, lefts)[one], _ids(right, rights)[other]
        other = other + len(lefts)
        return cls(left_ids, right_ids, one, other, texts, embeddings, pairs.distances, stratum, sizes, of_two=True)

    @cached_property
    def places(self) -> dict[tuple[str, str], int]:
        """Where each pair is."""
        return {pair: place for place, pair in enumerate(zip(self.left_ids, self.right_ids, strict=True))}

    def place(self, one: str, other: str) -> int | None:
        """Where a pair is; in one corpus either way round."""
        return self.places.get((one, other), None if self.of_two else self.places.get((other, one)))

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """(m,) candidates that each pair stands for."""
        return (self.sizes / np.bincount(self.stratum, minlength=len(self.sizes)))[self.stratum]


class Shown:
    """The records of a pool, with all their columns, for people to read."""

    def __init__(self, sources: Sequence[Records], sides: Sequence[NDArray[np.object_]]) -> None:
        """Read records.

        Args:
            sides: ids of records of each corpus.
        """
        self._sources, self._tables = sources, []
        for source, ids in zip(sources, sides, strict=True):
            wanted = pa.array(np.unique(ids.astype(str)), pa.large_string())
            parts = [batch.filter(pc.is_in(batch[source.id_column], value_set=wanted)) for batch in source.batches()]
            table = stacked(parts)
            places = {name: place for place, name in enumerate(table[source.id_column].to_pylist())}
            texts = {
                name: as_text(table[name]) for name in table.column_names if name != source.id_column
            }  # beside the id, which is shown anyway
            self._tables.append((places, pa.table(texts)))

    def record(self, name: str, side: int) -> dict[str, str | None]:
        """The fields of a record; none where it is not there."""
        places, table = self._tables[min(side, len(self._tables) - 1)]
        if name not in places:
            from pipeline.stages import fetch_records

            return fetch_records(self._sources[min(side, len(self._sources) - 1)], {name}).get(name, {})
        row: dict[str, str | None] = table.slice(places[name], 1).to_pylist()[0]
        return row


def _searched(
    encoder: SiameseEncoder, left: Corpus, right: Corpus, folder: Path, random: np.random.Generator
) -> RowPairs:
    cells = Cells.build(right.embeddings, encoder.energy, folder)
    rows = np.sort(random.permutation(len(left.embeddings))[:QUERIES])
    queries = Queries.of_rows(cells, left.embeddings, rows)
    scope = Scope(0.0, np.inf, CROWD)
    pairs = search(cells, right.embeddings, queries, left.embeddings, scope, PROBES if len(cells) > PROBES else None)
    pairs = pairs.take(np.lexsort((pairs.right, pairs.distances, pairs.left)))
    rank = np.arange(len(pairs)) - np.searchsorted(pairs.left, pairs.left)
    near = rank < NEIGHBOURS
    if near.any():
        near |= pairs.distances <= np.median(pairs.distances[near])
    pairs = pairs.take(near)
    return pairs.once() if left is right else pairs


def _given(encoder: SiameseEncoder, left: Corpus, right: Corpus, given: pd.DataFrame) -> RowPairs:
    """Given pairs as distinct pairs of contents; those of equal or empty ones ask nothing."""
    indices = [pd.Index(corpus.ids.to_pandas()) for corpus in (left, right)]
    one, other = rows_of(given, "candidates", indices[0], None if left is right else indices[1])
    one, other = left.rows[one], right.rows[other]
    known = (one >= 0) & (other >= 0) & ((left is not right) | (one != other))
    one, other = one[known], other[known]
    apart = measure(left.embeddings, one, right.embeddings, other, encoder.energy)
    pairs = RowPairs(one, other, apart)
    if left is right:
        return pairs.once()
    kept = np.unique(np.stack([one, other], axis=1), axis=0, return_index=True)[1]
    return pairs.take(np.sort(kept))


def _halves(n: int) -> NDArray[np.int64]:
    """Sizes of strata of n pairs: the last holds half of them, the one before it half of the rest, and so on."""
    sizes: list[int] = []
    while n >= 2 * LEAST_STRATUM and len(sizes) < MOST_STRATA - 1:
        sizes.append(n - n // 2)
        n //= 2
    return np.array([n, *reversed(sizes)], np.int64)


def _share_out(sizes: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """How many of each stratum are held: all of the small ones, and as many of each of the others."""
    held, left = np.zeros(len(sizes), np.int64), total
    for done, stratum in enumerate(np.argsort(sizes, kind="stable")):
        held[stratum] = min(int(sizes[stratum]), left // (len(sizes) - done))
        left -= int(held[stratum])
    return held


def _ids(corpus: Corpus, rows: NDArray[np.int64]) -> NDArray[np.object_]:
    """The first record of each content."""
    records, offsets = corpus.members
    return np.array(corpus.ids.take(pa.array(records[offsets[rows]])).to_pylist(), object)
