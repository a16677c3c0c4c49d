"""The company of labelled pairs: who is in it, and that nobody else is read."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline import company
from pipeline.company import Tables
from pipeline.training_set import TrainingSet
from siamese.pairs import Pairs
from siamese.schema import Schema
from siamese.towers import build_tower

N = 40  # records of either table
WARES = ("radio", "camera", "lens", "phone", "laptop", "printer", "router")


def made(sides: np.ndarray | None, mark: str | None = None, n_pairs: int = 12) -> TrainingSet:
    """Two tables end to end, of which n_pairs records of either are named; ``mark``: a column that tells them apart."""
    columns = {
        "record_id": [str(row) for row in range(2 * N)],
        "title": [f"{WARES[row % 7]} model {row % N // 2}" for row in range(2 * N)],
    }
    if mark:
        columns[mark] = ["a"] * N + ["b"] * N
    some = np.arange(n_pairs)
    pairs = Pairs(some, some + N, (some % 2).astype(np.int8))
    split, nothing = np.repeat("train", n_pairs), np.zeros(n_pairs, bool)
    return TrainingSet(pa.table(columns), pairs, split, None, nothing, nothing, sides)


SIDES = np.repeat([0, 1], N).astype(np.int8)


def tables(data: TrainingSet, readable: np.ndarray | None = None) -> Tables | None:
    tower = build_tower("ngram", Schema.infer(data.records.select(["title"])), None, 0)
    readable = np.arange(2 * N) if readable is None else readable
    sides = data.sides_of(data.pairs)
    return None if sides is None else Tables.of(data, sides, data.pairs, readable, data.pairs.rows(), tower)


@pytest.mark.parametrize("data", [made(SIDES), made(None, mark="shop")], ids=["two files", "a column"])
def test_both_tables_are_the_company(data: TrainingSet) -> None:
    found = tables(data)
    assert found is not None and found.texts.num_rows == 2 * N
    np.testing.assert_array_equal(found.company.sides, SIDES)
    titles = data.records["title"].to_numpy()
    same = titles[:, None] == titles
    np.testing.assert_array_equal(found.contents[:, None] == found.contents, same)
    left, right = found.asked(data.pairs.renumber(data.pairs.rows()))
    np.testing.assert_array_equal(left, found.contents[data.pairs.left])
    np.testing.assert_array_equal(right, found.contents[data.pairs.right])


def test_one_table_has_none() -> None:
    assert tables(made(None)) is None


def test_a_column_that_tells_a_few_pairs_apart_may_do_so_by_chance() -> None:
    assert tables(made(None, mark="shop", n_pairs=9)) is None
    assert tables(made(SIDES, n_pairs=9)) is not None


def test_only_what_may_be_read_is_in_it() -> None:
    data = made(SIDES)
    readable = np.concatenate([np.arange(20), np.arange(N, N + 20)])
    found = tables(data, readable)
    assert found is not None and found.texts["title"].to_pylist() == data.records["title"].take(readable).to_pylist()


def test_of_those_that_no_pair_names_some_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(company, "OTHERS", 5)
    data = made(SIDES)
    found = tables(data)
    assert found is not None
    assert np.bincount(found.company.sides).tolist() == [12 + 5, 12 + 5]
    left, right = found.asked(data.pairs.renumber(data.pairs.rows()))
    assert len(left) == len(right) == 12
