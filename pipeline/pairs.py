"""Pairs: labelled pairs of record ids, read, checked, and split so that no entity is on two sides."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.records import Records, as_ids, read_table, stacked
from siamese.components import components, walked
from siamese.errors import DataError
from siamese.pairs import Pairs
from siamese.schema import listed

SPLITS = ("train", "valid", "test")
DEALS = 100  # ways to deal entities to the parts that are compared
SHARES = {"train": 0.6, "valid": 0.2, "test": 0.2}  # of the entities, where the file has no split of its own

log = logging.getLogger("siamese")


@dataclass(frozen=True)
class LabelledPairs:
    """The rows of a pairs file.

    Attributes:
        path: where it was read.
        frame: left_id, right_id, label (int8), is_chosen (it has a ``weight``: it was drawn to be judged, as an audit does) and, where
            ``has_split``, split; rows in file order.
        has_split: whether the file has a split column.
        has_labels: whether it has a label column; without one, every pair is a known match.
    """

    path: str
    frame: pd.DataFrame
    has_split: bool
    has_labels: bool

    @classmethod
    def read(cls, path: str) -> "LabelledPairs":
        """Read ``left_id, right_id, label`` (optional: ``split``, ``weight``, ``unsure``); without ``label`` every row is a match, a row
        without a split goes to train where others have one, and a pair that somebody was ``unsure`` of is left out.

        Raises:
            DataError: a column is missing, an id is empty, or a label or split is not one; the sentence gives the row.
        """
        frame = read_id_pairs(path).to_pandas()
        has_labels, has_split = "label" in frame.columns, "split" in frame.columns
        columns = {name: frame[name] for name in ("left_id", "right_id")}
        label = frame["label"] if has_labels else pd.Series(1, index=frame.index)
        known = pd.Series([label_of(each) for each in label], index=label.index, dtype=float)
        sure = known.notna() | True
        if "unsure" in frame.columns:
            unsure = frame["unsure"].map(label_of).where(frame["unsure"].notna(), 0.0)
            refuse_rows(unsure.isna(), path, "unsure", frame["unsure"], "true, false or nothing")
            sure = unsure == 0
        refuse_rows(known.isna() & sure, path, "label", label, "1 (the same) or 0 (not the same)")
        columns["label"] = known
        columns["is_chosen"] = frame["weight"].notna() if "weight" in frame.columns else False
        if has_split:
            split = (
                frame["split"]
                .astype("string")
                .str.strip()
                .str.lower()
                .replace({"validation": "valid", "val": "valid", "dev": "valid"})
            )
            bare = split.isna()
            if bare.any():  # of a file without splits, read beside one that has them
                log.warning("%d of %d pairs have no split and go to train", int(bare.sum()), len(frame))
                split = split.fillna("train")
            refuse_rows(
                ~split.isin(SPLITS).fillna(False).astype(bool), path, "split", frame["split"], "train, valid or test"
            )
            columns["split"] = split.astype(str)
        rows = pd.DataFrame(columns)[sure].reset_index(drop=True).astype({"label": "int8"})
        return cls(path, rows, has_split, has_labels)

    def rows(self, ids: pd.Index, right_ids: pd.Index | None = None) -> Pairs:
        """The pairs as row numbers of a table with these ids.

        Args:
            right_ids: of a second table, where right_id names its records; its rows are numbered on from the first's.

        Raises:
            DataError: a pair names a record that is not there.
        """
        left, right = rows_of(self.frame, self.path, ids, right_ids)
        return Pairs(left, right + (0 if right_ids is None else len(ids)), self.frame["label"].to_numpy())


def labelled_frame(path: str, rows: Sequence[tuple[str, str, int, float | None, str]]) -> LabelledPairs:
    """Pairs that no file was read for: (left_id, right_id, label, weight, split) each; without a split they go to train."""
    frame = pd.DataFrame(rows, columns=["left_id", "right_id", "label", "weight", "split"]).astype({"label": "int8"})
    columns = {
        **{name: frame[name] for name in ("left_id", "right_id", "label")},
        "is_chosen": frame["weight"].notna(),
        "split": frame["split"].replace("", "train"),
    }
    return LabelledPairs(path, pd.DataFrame(columns), True, True)


def read_id_pairs(path: str) -> pa.Table:
    """A file of pairs with all its columns as they are, but ``left_id`` and ``right_id`` as text (large_string).

    Raises:
        DataError: one of the two is missing, or has an empty row.
    """
    table = read_table(path)
    missing = [name for name in ("left_id", "right_id") if name not in table.column_names]
    if missing:
        have = listed(table.column_names)
        raise DataError(f"'{path}' has no column '{missing[0]}', it has {have}: pairs need left_id, right_id and label")
    for name in ("left_id", "right_id"):
        ids = as_ids(table[name], path, name)
        values = ids.to_pandas()
        refuse_rows(values.isna() | (values == ""), path, name, values, "the id of a record")
        table = table.set_column(table.column_names.index(name), name, ids)
    return table


def rows_of(
    frame: pd.DataFrame, path: str, ids: pd.Index, right_ids: pd.Index | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(m,) places of left_id among ``ids`` and of right_id among ``right_ids`` (the same ids when None).

    Raises:
        DataError: a pair names a record that is not there.
    """
    found = {
        "left_id": ids.get_indexer(frame["left_id"]),
        "right_id": (ids if right_ids is None else right_ids).get_indexer(frame["right_id"]),
    }
    for name, rows in found.items():
        unknown = rows < 0
        if unknown.any():
            first = int(unknown.argmax())
            raise DataError(
                f"{int(unknown.sum())} of {len(rows)} pairs of '{path}' name a {name} that is not among the records, "
                f"first '{frame[name].iloc[first]}' in row {first + 1}: give the records that the pairs were made from"
            )
    return found["left_id"].astype(np.int64), found["right_id"].astype(np.int64)


def read_named(
    frame: pd.DataFrame,
    path: str,
    records: Records,
    right: Records | None,
    read: Callable[[Records, Iterable[str]], pa.Table],
) -> tuple[pa.Table, NDArray[np.int64], NDArray[np.int64], int]:
    """The records that pairs name, of one table or of two end to end.

    Args:
        right: the table of the right_ids; that of the left_ids when None.
        read: gives the records of some ids that a table has.

    Returns:
        The records; (m,) rows of the left and of the right ones; how many are of the first table.

    Raises:
        DataError: a pair names a record that is not there.
    """
    ids = [frame["left_id"], frame["right_id"]]
    sources = [(records, pd.concat(ids))] if right is None else [(records, ids[0]), (right, ids[1])]
    tables = [read(source, pd.unique(named)) for source, named in sources]
    indices = [
        pd.Index(table[source.id_column].to_pandas()) for table, (source, _) in zip(tables, sources, strict=True)
    ]
    one, other = rows_of(frame, path, *indices)
    first = tables[0].num_rows
    return stacked(tables), one, other if right is None else other + first, first


def contradicted(pairs: Pairs) -> NDArray[np.bool_]:
    """(n,) pairs that are labelled both ways somewhere in the list, in either order of their ids."""
    keys = pd.MultiIndex.from_arrays([np.minimum(pairs.left, pairs.right), np.maximum(pairs.left, pairs.right)])
    groups = pd.Series(pairs.is_match).groupby(keys.factorize()[0])
    return (groups.transform("min") != groups.transform("max")).to_numpy()


def entities_of(matches: Pairs, n_records: int) -> NDArray[np.int64]:
    """(n_records,) entity of each record: records tied by genuine pairs are one, every other record is its own."""
    chosen = matches.take(matches.is_match == 1)
    return components(chosen.left, chosen.right, n_records)


def split_by_entity(pairs: Pairs, n_records: int, seed: int) -> NDArray[np.str_]:
    """The part of each record, whole entities in one part, so that nothing of a valid or test entity is seen in training.

    Pairs of a test record with another part's have to be dropped. Entities are therefore ordered so that those tied by imposite pairs
    lie near each other (reverse Cuthill-McKee on the graph of entities), and the order is cut into runs, each given to a part at random.

    Returns:
        (n_records,) of "train", "valid" and "test".
    """
    entities = entities_of(pairs, n_records)
    n_entities = int(entities.max(initial=-1)) + 1
    random = np.random.default_rng(seed)
    shuffle = random.permutation(n_entities)
    left, right = shuffle[entities[pairs.left]], shuffle[entities[pairs.right]]
    place = walked(left, right, n_entities)
    # Cut so that each run has its share of the pairs and of the matches, not of the records: most records may be in no pair.
    matched = left[pairs.is_match == 1]
    weight = np.bincount(np.r_[place[left], place[right]], minlength=n_entities) / max(2 * len(pairs), 1)
    weight = weight + np.bincount(place[matched], minlength=n_entities) / max(len(matched), 1) + 1e-9
    runs = 20
    run = np.minimum((np.cumsum(weight) / weight.sum() * runs).astype(int), runs - 1)
    run_of = run[place[shuffle[entities]]]  # of each record
    inside = run_of[pairs.left] == run_of[pairs.right]
    share = [
        np.bincount(run_of[pairs.left[chosen]], minlength=runs) / max(int(chosen.sum()), 1)
        for chosen in (inside, inside & (pairs.is_match == 1))
    ]
    # Large entities make runs unequal: of some ways to deal them, the one that comes nearest to the shares.
    parts = np.repeat(np.arange(len(SHARES)), [round(runs * share) for share in SHARES.values()])
    target = np.array(list(SHARES.values()))

    def misfit(dealt: NDArray[np.int64]) -> float:
        return max(float(np.abs(np.bincount(dealt, each) / target - 1).max()) for each in share)

    dealt = min((random.permutation(parts) for _ in range(DEALS)), key=misfit)
    return np.array(list(SHARES))[dealt[run_of]]


def label_of(value: object) -> float:
    """1 or 0 of what a label column holds, NaN where that is neither."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float({"true": 1, "false": 0}.get(str(value).strip().lower(), "nan"))
    return number if number in (0, 1) else float("nan")


def refuse_rows(bad: pd.Series, path: str, column: str, values: pd.Series, expected: str) -> None:
    """Raise a DataError that names the first bad row, if there is one."""
    if bad.any():
        first = int(np.argmax(bad.to_numpy()))
        raise DataError(f"row {first + 1} of '{path}' has {column} '{values.iloc[first]}': expected {expected}")
