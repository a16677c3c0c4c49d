"""Two tables that teach: the same model as of one table that holds both, whatever their ids and types."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pytest

from pipeline.decision import Threshold
from pipeline.embedding import read_corpus
from pipeline.evaluation import evaluate_encoder
from pipeline.explaining import explain_ids
from pipeline.fitting import fit_encoder
from pipeline.pairs import LabelledPairs
from pipeline.records import Records, stacked
from pipeline.scoring import score_pairs
from pipeline.synthetic import make_corpus
from siamese.encoder import SiameseEncoder
from siamese.errors import DataError, SchemaError
from siamese.settings import TrainingConfig

N = 60  # pairs of either label
FIELDS = ("name", "street", "phone")


class Tables(NamedTuple):
    """The same records as one table with ids of its own, and as two whose ids are the same."""

    one: Records
    left: Records
    right: Records
    of_one: str
    of_two: str


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return make(tmp_path)


def make(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame] = lambda right: right) -> Tables:
    made = make_corpus(600, seed=1)
    texts = made.records.set_index("record_id")[list(FIELDS)]
    genuine, other = (made.pairs[made.pairs["label"] == label][:N] for label in (1, 0))
    pairs = pd.concat([genuine, other]).drop_duplicates("left_id").drop_duplicates("right_id")
    pairs = pairs[~pairs["right_id"].isin(pairs["left_id"])].reset_index(drop=True)
    left, right = (texts.loc[pairs[side]].reset_index(drop=True) for side in ("left_id", "right_id"))
    right = right[::-1].reset_index(drop=True)  # its row is not the left one's
    places = pd.Series(range(len(pairs)))
    files = {
        "left": left.assign(record_id=places.astype(str)),
        "right": change(right).assign(record_id=places.astype(str)),
        "one": pd.concat(
            [
                side.assign(record_id=mark + places.astype(str), table=mark)  # what tells two tables apart in one
                for side, mark in ((left, "a"), (right, "b"))
            ]
        ),
    }
    for name, table in files.items():
        table.to_parquet(folder / f"{name}.parquet")
    named = pd.DataFrame({"left_id": places, "right_id": places[::-1].to_numpy(), "label": pairs["label"]}).astype(str)
    named.to_csv(folder / "two.csv", index=False)
    named.assign(left_id="a" + named["left_id"], right_id="b" + named["right_id"]).to_csv(
        folder / "of-one.csv", index=False
    )
    sources = [Records.open(str(folder / f"{name}.parquet")) for name in ("one", "left", "right")]
    return Tables(*sources, str(folder / "of-one.csv"), str(folder / "two.csv"))


def fit(tables: Tables, *, two: bool = True) -> SiameseEncoder:
    records, pairs, right = (tables.left, tables.of_two, tables.right) if two else (tables.one, tables.of_one, None)
    return fit_encoder(records, LabelledPairs.read(pairs), right=right, config=TrainingConfig(epochs=2))


def test_two_tables_teach_what_one_does_that_holds_both(tables: Tables, tmp_path: Path) -> None:
    of_two, of_one = fit(tables), fit(tables, two=False)
    of_two.save(tmp_path / "two"), of_one.save(tmp_path / "one")
    assert of_two.verifier.rivalry is not None
    for path in (
        "weights.safetensors",
        "verifier/words.safetensors",
        "verifier/trees.txt",
        "verifier/verifier.json",
        "portrait.json",
    ):
        assert (tmp_path / "two" / path).read_bytes() == (tmp_path / "one" / path).read_bytes(), path
    assert SiameseEncoder.load(tmp_path / "two").portraits == of_two.portraits
    assert of_two.portraits.keys() == {"all", "left", "right"} and of_one.portraits == of_two.portraits
    assert len({portrait.model_dump_json() for portrait in of_two.portraits.values()}) == 3
    both = [
        evaluate_encoder(of_two, tables.left, LabelledPairs.read(tables.of_two), "test", right=tables.right),
        evaluate_encoder(of_one, tables.one, LabelledPairs.read(tables.of_one), "test"),
    ]
    assert both[0] == both[1] and both[0]["pairs"] > 0
    scores = [
        score_pairs(of_two, Threshold(), tables.left, tables.of_two, tables.right),
        score_pairs(of_one, Threshold(), tables.one, tables.of_one),
    ]
    assert scores[0].drop_columns(["left_id", "right_id"]).equals(scores[1].drop_columns(["left_id", "right_id"]))


def test_the_records_of_a_lesson_are_those_of_its_own_sides(tables: Tables) -> None:
    model = fit(tables)
    left, right = (
        {row["record_id"]: row["name"] for row in records.take(records.ids().to_pylist()).to_pylist()}
        for records in (tables.left, tables.right)
    )
    one, other = (next(number for number, name in table.items() if name) for table in (left, right))
    explained = explain_ids(model, tables.left, one, other, right_records=tables.right)
    assert len(explained.lessons) == 4
    for lesson in explained.lessons:
        assert (lesson.left["name"], lesson.right["name"]) == (left[lesson.left_id], right[lesson.right_id])


def test_columns_that_one_table_lacks_are_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tables = make(tmp_path, lambda right: right.rename(columns={"phone": "telephone"}))
    with caplog.at_level(logging.WARNING):
        model = fit(tables)
    assert "'phone', 'telephone'" in caplog.text
    assert model.schema.names == ["name", "street"]


def test_tables_without_a_common_column_are_refused(tmp_path: Path) -> None:
    tables = make(tmp_path, lambda right: right.rename(columns={name: f"other {name}" for name in FIELDS}))
    with pytest.raises(
        SchemaError, match=r"no column is in all tables: '.*' has .*'name'.* and '.*' has .*'other name'"
    ):
        fit(tables)


def test_a_table_that_lacks_a_column_of_the_model_is_named(tables: Tables, tmp_path: Path) -> None:
    """Beside one that has it, it would read as missing."""
    (tmp_path / "other").mkdir()
    other = make(tmp_path / "other", lambda right: right.rename(columns={"phone": "telephone"})).right
    model, labelled = fit(tables), LabelledPairs.read(tables.of_two)
    says = rf"'{other.path}' lacks 'phone': the model reads .*'phone'.*, and it has .*'telephone'"
    for ask in (
        lambda: evaluate_encoder(model, tables.left, labelled, "valid", right=other),
        lambda: score_pairs(model, Threshold(), tables.left, tables.of_two, other),
        lambda: explain_ids(model, tables.left, "0", "0", right_records=other),
        lambda: read_corpus(model.schema, other, tmp_path / "read"),
    ):
        with pytest.raises(SchemaError, match=says):
            ask()


def test_an_id_must_be_of_its_own_table(tables: Tables) -> None:
    with pytest.raises(DataError, match="name a right_id that is not among the records, first 'b"):
        fit_encoder(tables.one, LabelledPairs.read(tables.of_one), right=tables.left)


def test_a_column_of_numbers_in_one_table_and_text_in_the_other_is_text() -> None:
    tables = [pa.table({"size": [7, None], "only": ["x", "y"]}), pa.table({"size": ["7 cl", ""]})]
    assert stacked(tables).to_pydict() == {"size": ["7", None, "7 cl", None], "only": ["x", "y", None, None]}
    assert stacked([pa.table({"size": [7]}), pa.table({"size": [1.5]})]).to_pydict() == {"size": [7.0, 1.5]}
