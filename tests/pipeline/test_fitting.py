"""Fitting a model: which labelled pairs it has to have, and which of them teach."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation import evaluate_encoder
from pipeline.fitting import fit_encoder
from pipeline.pairs import LabelledPairs
from pipeline.records import Records
from pipeline.synthetic import make_corpus
from pipeline.training_set import BETWEEN, _read, read_training_set
from siamese.errors import DataError
from siamese.settings import TrainingConfig


@pytest.fixture
def labels(tmp_path: Path) -> pd.DataFrame:
    """Pairs of a small corpus, all genuine ones in valid, as a labelling session leaves them that drew most pairs at random."""
    made = make_corpus(300, seed=0)
    made.save(tmp_path)
    pairs = made.pairs.groupby("label").head(40)
    return pairs.assign(
        split=["valid" if label or number % 2 else "train" for number, label in enumerate(pairs["label"])]
    )


def read(folder: Path, labels: pd.DataFrame) -> tuple[Records, LabelledPairs]:
    labels.to_parquet(folder / "labels.parquet")
    return Records.open(str(folder / "records.parquet")), LabelledPairs.read(str(folder / "labels.parquet"))


def fit(folder: Path, labels: pd.DataFrame, tower: str = "ngram", **settings):
    return fit_encoder(*read(folder, labels), tower=tower, config=TrainingConfig(epochs=2, **settings))


def test_pairs_of_valid_teach_too_where_folds_hold_them_out_in_turn(labels: pd.DataFrame, tmp_path: Path) -> None:
    model = fit(tmp_path, labels)
    assert model.metrics["train"]["matches"] == 0
    assert model.metrics["learned"] == {"pairs": len(labels), "matches": 40}


def test_all_pairs_teach_where_no_entity_is_held_out(labels: pd.DataFrame, tmp_path: Path) -> None:
    genuine = labels[labels["label"] == 1].drop(columns="split")
    settings = {"negatives": "mined", "verifier": "none", "lessons": 0}
    some, every = (fit(tmp_path, genuine, hold_out=hold_out, **settings) for hold_out in (True, False))
    assert some.metrics["learned"]["matches"] < every.metrics["learned"]["matches"] == len(genuine)
    assert evaluate_encoder(some, *read(tmp_path, genuine), "test")["pairs"] > 0
    with pytest.raises(DataError, match="no pairs in split 'test'"):  # which it has learned from
        evaluate_encoder(every, *read(tmp_path, genuine), "test")


@pytest.mark.parametrize("tower", ["ngram", "lstm"])
def test_pairs_between_parts_teach_the_tower_whose_folds_hold_all_of_them_out(
    tower: str, labels: pd.DataFrame, tmp_path: Path
) -> None:
    plain = labels.drop(columns="split")
    ids, genuine = plain["left_id"].to_numpy(), plain["label"].to_numpy() == 1
    far = [pd.DataFrame({"left_id": ids[genuine], "right_id": np.roll(ids[genuine], by), "label": 0}) for by in (7, 11)]
    dense = pd.concat([plain, *far])
    read_set = read_training_set(*read(tmp_path, dense), seed=0)
    counts = {split: len(read_set.of(split)) for split in ("train", "valid", BETWEEN, "")}
    assert counts[BETWEEN] > 5 and counts[""] > 5
    of_test = read_set.part == "test"
    assert not of_test[read_set.of(BETWEEN).rows()].any() and read_set.of(BETWEEN).n_matches == 0
    taught = counts["train"] + (counts["valid"] + counts[BETWEEN] if tower == "ngram" else 0)
    assert fit(tmp_path, dense, tower).metrics["learned"]["pairs"] == taught


def test_pairs_of_records_that_say_nothing_and_of_one_record_teach_nothing(
    labels: pd.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = fit(tmp_path, labels)
    empty = pd.DataFrame({"record_id": [f"empty{number}" for number in range(6)]})
    pd.concat([pd.read_parquet(tmp_path / "records.parquet"), empty]).to_parquet(tmp_path / "records.parquet")
    pairs = [(f"empty{one}", f"empty{other}", 0) for one in range(6) for other in range(one)]
    pairs += [(labels["left_id"].iloc[0], labels["left_id"].iloc[0], 1)]
    more = pd.DataFrame(pairs, columns=["left_id", "right_id", "label"]).assign(split="train")
    with caplog.at_level(logging.WARNING):
        model = fit(tmp_path, pd.concat([labels, more]))
    assert "15 of" in caplog.text and "name a record that has nothing to compare and are left out" in caplog.text
    assert "1 of" in caplog.text and "name one record twice and are left out" in caplog.text
    assert len(model.calibration.evidence) == len(plain.calibration.evidence)


def test_a_sample_of_the_others_is_drawn_from_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("pipeline.training_set.CORPUS_SAMPLE", 100)
    monkeypatch.setattr("pipeline.records.BATCH_RECORDS", 128)
    frame = pd.DataFrame({"record_id": [f"r{number}" for number in range(2000)], "name": "x"})
    frame.to_parquet(tmp_path / "all.parquet")
    named = ["r5", "r1500", "r1999"]
    found = _read(Records.open(str(tmp_path / "all.parquet")), named)["record_id"].to_pylist()
    rows = [int(each[1:]) for each in found]
    assert rows == sorted(rows) and set(named) <= set(found) and len(found) in (102, 103)
    assert 25 < sum(row >= 1000 for row in rows) < 75


def test_a_class_that_is_missing_is_named(labels: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the valid part of .* has no pair of label 1"):
        fit(tmp_path, labels[labels["label"] == 0])
    with pytest.raises(DataError, match=r"the train part of .* has no pair of label 1"):
        fit(tmp_path, labels, tower="lstm")  # whose folds' weights have no mean: it learns from train alone
    with pytest.raises(DataError, match=r"the valid part of .* has only pairs of label 1"):
        fit(tmp_path, labels[(labels["label"] == 1) | (labels["split"] == "train")])


def test_numbers_alone_are_judged_by_the_verifier_too(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    sizes = random.normal(100, 30, (200, 4)).round(2)
    again = (sizes + random.normal(0, 0.05, sizes.shape)).round(2)
    table = pd.DataFrame(np.vstack([sizes, again]), columns=list("abcd"))
    table.assign(record_id=[str(row) for row in range(len(table))]).to_parquet(tmp_path / "records.parquet")
    rows = np.arange(200)
    pairs = [(rows, rows + 200, 1), *((rows, np.roll(rows, by) + 200, 0) for by in (3, 5))]
    labels = pd.concat([pd.DataFrame({"left_id": a, "right_id": b, "label": label}) for a, b, label in pairs])
    model = fit(tmp_path, labels.astype({"left_id": str, "right_id": str}))
    assert model.verifier is not None
    assert evaluate_encoder(model, *read(tmp_path, labels), "test")["f1"] == 1
