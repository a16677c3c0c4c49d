"""The training set: records and labelled pairs, read, checked and split, and what is known of the entities among them."""

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.index import index_neighbours
from pipeline.pairs import LabelledPairs, contradicted, entities_of, read_named, split_by_entity
from pipeline.records import Records, check_ids, stacked
from siamese.errors import DataError
from siamese.pairs import Pairs
from siamese.schema import Kind, Schema
from siamese.text import as_text, normalise
from siamese.training import Entities

CORPUS_SAMPLE = (
    100_000  # records in no pair, drawn at random, that say what words are rare; more change nothing that shows
)
MARKED_MATCHES = 10  # genuine pairs, at least, before a column is left out for what they show
BETWEEN = "train and valid"  # the split of an imposite pair of a train and a valid record

log = logging.getLogger("siamese")


@dataclass(frozen=True)
class TrainingSet:
    """Records and pairs, checked and split.

    Attributes:
        records: those that pairs name, and a random sample of the others, in file order; of two tables, those of the left one first.
        pairs: rows of ``records``.
        split: (n pairs,) "train", "valid", "test", BETWEEN, or "" for a pair of a test record with another part's (it is used nowhere).
        part: (n records,) part of each record, where the split was made here by entity; else None.
        conflict: (n pairs,) labelled both ways.
        is_chosen: (n pairs,) drawn to be judged.
        sides: (n records,) 0 for those of the left table, 1 for those of the right one; None where there is one table.
    """

    records: pa.Table
    pairs: Pairs
    split: NDArray[np.str_]
    part: NDArray[np.str_] | None
    conflict: NDArray[np.bool_]
    is_chosen: NDArray[np.bool_]
    sides: NDArray[np.int8] | None = None

    def of(self, split: str, *, clean: bool = True) -> Pairs:
        """The pairs of a split; ``clean`` leaves out those labelled both ways."""
        return self.pairs.take(self._places(split, clean))

    def is_chosen_of(self, *splits: str) -> NDArray[np.bool_]:
        """Of the clean pairs of splits, which were drawn to be judged: no sample of what a run proposes."""
        return np.concatenate([self.is_chosen[self._places(split, True)] for split in splits])

    @property
    def known(self) -> NDArray[np.int64]:
        """Rows of the records, less those that only pairs of the test split name."""
        named = Pairs.concat([self.of(split) for split in ("train", "valid", BETWEEN)]).rows()
        unseen = np.setdiff1d(self.of("test", clean=False).rows(), named)
        return np.setdiff1d(np.arange(self.records.num_rows), unseen)

    def sides_of(self, pairs: Pairs) -> NDArray[np.int8] | None:
        """(n records,) 0 or 1 where these pairs tie two tables, by the records alone: no label is looked at."""
        if self.sides is not None or len(pairs) < MARKED_MATCHES:
            return self.sides
        return _sides(self.records, pairs)

    def without(self, some: NDArray[np.bool_], which: str) -> Self:
        """The set less some of its n pairs, which is said: they ``which``, in words."""
        if not some.any():
            return self
        log.warning("%d of %d pairs %s and are left out", int(some.sum()), len(some), which)
        rest = {name: getattr(self, name)[~some] for name in ("split", "conflict", "is_chosen")}
        return replace(self, pairs=self.pairs.take(~some), **rest)

    def saying(self, schema: Schema) -> Self:
        """The set less pairs of a record that holds nothing in any field: no search proposes such a record, and all of them are alike."""
        rows = self.pairs.rows()
        texts = schema.select(self.records.take(pa.array(rows)))
        silent = np.logical_and.reduce([texts[name].is_null().to_numpy() for name in schema.names])
        some = self.pairs.renumber(rows)
        return self.without(silent[some.left] | silent[some.right], "name a record that has nothing to compare")

    def _places(self, split: str, clean: bool) -> NDArray[np.bool_]:
        return (self.split == split) & ~(self.conflict & clean)


def read_training_set(
    records: Records,
    labelled: LabelledPairs,
    *,
    right: Records | None = None,
    seed: int,
    hold_out: bool = True,
    strict: bool = False,
) -> TrainingSet:
    """Read what training and evaluation need.

    Args:
        right: the table that each right_id names a record of; that of each left_id unless given.
        seed: of the split by entity, where the pairs have none of their own.
        hold_out: whether it has a test part; else that part is of train.

    Raises:
        DataError: ids repeat, a pair names an unknown record, or (strict) a pair is labelled both ways.
    """
    table, one, other, first = read_named(labelled.frame, labelled.path, records, right, _read)
    pairs = Pairs(one, other, labelled.frame["label"].to_numpy())
    sides = None if right is None else (np.arange(table.num_rows) >= first).astype(np.int8)
    conflict = contradicted(pairs)
    if conflict.any():
        sentence = f"{int(conflict.sum())} rows of '{labelled.path}' label the same pair both ways"
        if strict:
            raise DataError(f"{sentence}: settle them, or leave out --strict")
        log.warning("%s: left out of training, kept in evaluation as they stand", sentence)
    part = None
    if labelled.has_split:
        split = labelled.frame["split"].to_numpy(dtype=str)
    else:
        part = split_by_entity(pairs, table.num_rows, seed)
        if not hold_out:
            part = np.where(part == "test", "train", part)
        left_part, right_part = part[pairs.left], part[pairs.right]
        between = np.where((left_part != "test") & (right_part != "test"), BETWEEN, "")
        split = np.where(left_part == right_part, left_part, between)
        cut = int((split == "").sum())
        if cut:
            log.warning("%d of %d pairs tie a record of the test part to another and are left out", cut, len(pairs))
    is_chosen = labelled.frame["is_chosen"].to_numpy(dtype=bool)
    found = TrainingSet(table, pairs, split, part, conflict, is_chosen, sides)
    return found.without(pairs.left == pairs.right, "name one record twice")


def _read(records: Records, named: Iterable[str]) -> pa.Table:
    """The records of these ids that are there, and a random sample of the others, in file order."""
    names, random = pa.array(named, pa.large_string()), np.random.default_rng(0)
    ids: list[pa.Array] = []
    kept: list[pa.Table] = []
    places: list[
        NDArray[np.float64]
    ] = []  # of each kept record in a random order, -1 for the named ones; the first are the sample
    last = 1.0
    for batch in records.batches():
        id_column = batch[records.id_column]
        ids.extend(id_column.chunks)
        place = np.where(pc.is_in(id_column, value_set=names).to_numpy(), -1.0, random.random(batch.num_rows))
        kept.append(batch.filter(pa.array(place <= last)))
        places.append(place[place <= last])
        others = np.concatenate(places)
        if (others >= 0).sum() > CORPUS_SAMPLE:
            last = float(np.sort(others[others >= 0])[CORPUS_SAMPLE - 1])
            kept = [stacked(kept).filter(pa.array(others <= last))]
            places = [others[others <= last]]
    check_ids(pa.chunked_array(ids, pa.large_string()).combine_chunks(), records)
    return stacked(kept)


def entities_to_mine(data: TrainingSet, train: Pairs, valid: Pairs) -> tuple[Entities, NDArray[np.int64]]:
    """What mining knows, and the rows of the valid part to mine among."""
    n = data.records.num_rows
    known = train + valid
    matches = known.take(known.is_match == 1)
    if data.part is not None:
        train_rows, valid_rows = np.flatnonzero(data.part == "train"), np.flatnonzero(data.part == "valid")
    else:
        train_rows, valid_rows = train.rows(), valid.rows()
    sides = _sides(data.records, matches) if data.sides is None else data.sides
    return Entities(entities_of(matches, n), train_rows, sides, index_neighbours), valid_rows


def _sides(records: pa.Table, tied: Pairs) -> NDArray[np.int8] | None:
    """0 or 1 for each record where a column of two values tells two tables apart that these pairs always tie, in one direction."""
    if len(np.intersect1d(tied.left, tied.right)):
        return None
    for name in records.column_names:
        codes, values = pd.factorize(records[name].to_pandas())
        if len(values) == 2 and (codes >= 0).all():
            on_left, on_right = np.unique(codes[tied.left]), np.unique(codes[tied.right])
            if len(on_left) == len(on_right) == 1 and on_left[0] != on_right[0]:
                return (codes == on_right[0]).astype(np.int8)
    return None


def side_marks(records: pa.Table, schema: Schema, train: Pairs, kinds: Mapping[str, str]) -> dict[str, str]:
    """Categories in which no genuine pair shares a word (which table a record is from): they say nothing of sameness."""
    matches = train.take(train.is_match == 1)
    marks = {}
    for field in schema.fields:
        if field.kind is Kind.CATEGORY and field.name not in kinds and len(matches) >= MARKED_MATCHES:
            codes, values = pd.factorize(normalise(as_text(records[field.name])).to_pandas(), use_na_sentinel=False)
            words = [set() if pd.isna(value) else set(re.findall(r"\w+", value)) for value in values]
            tied = np.unique(np.stack([codes[matches.left], codes[matches.right]], axis=1), axis=0)
            if not any(words[left] & words[right] for left, right in tied):
                marks[field.name] = "no genuine pair shares a word in it"
    return marks
