"""Other names of columns: a table whose columns go by them is the same table."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline.decision import Threshold
from pipeline.evaluation import evaluate_encoder
from pipeline.explaining import explain_ids
from pipeline.fitting import fit_encoder
from pipeline.labelling import LabelSession
from pipeline.matcher import Matcher
from pipeline.pairs import LabelledPairs
from pipeline.records import Records
from pipeline.scoring import score_pairs
from siamese.encoder import SiameseEncoder
from siamese.errors import DataError, SchemaError
from siamese.settings import TrainingConfig
from tests.pipeline.fakes import FakeEncoder
from tests.pipeline.test_matcher import live_of
from tests.pipeline.test_two_tables import Tables, make

ALSO = {"record_id": ["sku"], "name": ["label", "title"], "phone": ["telephone"]}
THEIRS = {"record_id": "sku", "name": "title", "phone": "telephone"}


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return make(tmp_path)


def with_their_names(tables: Tables) -> Tables:
    """The right table's columns by other names and in another order, as another format; the left one's by their own."""
    table = pd.read_parquet(tables.right.path).rename(columns=THEIRS)
    path = Path(tables.right.path).with_name("theirs.jsonl")
    table[sorted(table)].to_json(path, orient="records", lines=True)
    return tables._replace(
        left=Records.open(tables.left.path, also=ALSO), right=Records.open(str(path), "record_id", ALSO)
    )


def fit(tables: Tables) -> SiameseEncoder:
    labelled = LabelledPairs.read(tables.of_two)
    return fit_encoder(tables.left, labelled, right=tables.right, config=TrainingConfig(epochs=1))


def test_a_model_of_other_names_is_the_same_and_knows_them(tables: Tables, tmp_path: Path) -> None:
    theirs = with_their_names(tables)
    ours, model = fit(tables), fit(theirs)
    for name, one in (("ours", ours), ("theirs", model)):
        one.save(tmp_path / name)
    for path in ("weights.safetensors", "verifier/trees.txt", "portrait.json"):
        assert (tmp_path / "ours" / path).read_bytes() == (tmp_path / "theirs" / path).read_bytes(), path
    assert '"also"' not in (tmp_path / "ours" / "encoder.json").read_text()  # versions of before can read it
    model = SiameseEncoder.load(tmp_path / "theirs")
    assert model.schema.also == {name: tuple(others) for name, others in ALSO.items()}
    assert model.schema.names == ours.schema.names

    labelled = LabelledPairs.read(tables.of_two)
    assert evaluate_encoder(model, theirs.left, labelled, "test", right=theirs.right) == evaluate_encoder(
        ours, tables.left, labelled, "test", right=tables.right
    )
    scored = [
        score_pairs(encoder, Threshold(), each.left, tables.of_two, each.right)
        for encoder, each in ((model, theirs), (ours, tables))
    ]
    assert scored[0].equals(scored[1])
    ids = [str(pd.read_parquet(each.path).dropna()["record_id"].iloc[0]) for each in (tables.left, tables.right)]
    explained = [
        explain_ids(encoder, each.left, *ids, right_records=each.right).fields
        for encoder, each in ((model, theirs), (ours, tables))
    ]
    assert explained[0] == explained[1]
    records = pd.read_parquet(tables.right.path)
    assert (model.encode(records.rename(columns=THEIRS)) == ours.encode(records)).all()


def test_files_of_one_corpus_may_each_have_names_of_their_own(tmp_path: Path) -> None:
    table = pd.DataFrame({"record_id": list("abcd"), "name": ["x", "y", "z", None], "size": ["1", "2", "3", "4"]})
    table[:1].to_parquet(tmp_path / "1.parquet")
    table[1:2].rename(columns={"name": "title", "record_id": "sku"}).to_csv(tmp_path / "2.csv", index=False)
    table[2:].rename(columns={"name": "label"}).to_json(tmp_path / "3.jsonl", orient="records", lines=True)
    records = Records.open(str(tmp_path), also=ALSO)
    assert records.columns == ("record_id", "name", "size")
    read = pd.concat([batch.to_pandas() for batch in records.batches()], ignore_index=True)
    read = read.astype(object).where(read.notna(), None)
    assert read.to_dict("list") == {"record_id": list("abcd"), "name": ["x", "y", "z", None], "size": list("1234")}
    assert [batch["name"].to_pylist() for batch in records.batches(["name"])] == [["x"], ["y"], ["z", None]]
    with pytest.raises(DataError, match=r"2\.csv' has no column 'record_id', it has 'sku', 'title', 'size'"):
        Records.open(str(tmp_path / "2.csv"))


def test_a_table_that_has_a_column_by_two_other_names_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"record_id": ["1"], "title": ["x"], "label": ["y"]}).to_csv(tmp_path / "two.csv", index=False)
    with pytest.raises(SchemaError, match="'label', 'title' are all other names of 'name'"):
        Records.open(str(tmp_path / "two.csv"), also=ALSO)


def test_its_own_name_comes_first_and_others_are_columns_of_their_own(tmp_path: Path) -> None:
    pd.DataFrame({"record_id": ["1"], "title": ["x"], "name": ["y"]}).to_csv(tmp_path / "both.csv", index=False)
    assert Records.open(str(tmp_path / "both.csv"), also=ALSO).columns == ("record_id", "title", "name")


def test_a_table_that_lacks_a_column_by_all_its_names_is_refused(tables: Tables) -> None:
    also = {**ALSO, "name": ["titel"]}  # a slip: else the column would be left out, with a warning
    left, right = (Records.open(each.path, also=also) for each in (tables.left, with_their_names(tables).right))
    with pytest.raises(SchemaError, match=r"theirs\.jsonl' has no column 'name', nor 'titel', which were said to be"):
        fit(tables._replace(left=left, right=right))


def test_queries_and_records_to_add_may_go_by_other_names() -> None:
    encoder = FakeEncoder()
    encoder.schema = encoder.schema.model_copy(update={"also": {"name": ("title",), "record_id": ("sku",)}})
    matcher = Matcher(live_of({"r0": "a", "r1": "b"}, encoder))
    matcher.add([{"sku": "r2", "title": "a~0.1"}])
    assert matcher.nearest({"title": "a"}, 3)["record_id"].tolist() == ["r0", "r2", "r1"]
    assert matcher.score({"title": "a"}, {"name": "a~0.1"}).equals(matcher.score({"name": "a"}, {"name": "a~0.1"}))


def test_labels_of_two_tables_teach_by_other_names_too(tables: Tables) -> None:
    theirs = with_their_names(tables)
    sides = [(each.left, each.right) for each in (tables, theirs)]
    shown = []
    for left, right in sides:
        with LabelSession(left, right=right, background=False) as session:
            shown.append([(each.left, each.right) for each in session.propose(3)])
    assert shown[0] == shown[1]
