"""The labels file: whole after every answer, shared, and read by training as it is."""

import multiprocessing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from pipeline.labelling.answers import Answer, AnswerFile
from pipeline.pairs import LabelledPairs
from siamese.errors import DataError, SettingsError

ANN = Answer("a", "b", 1, 12.5, "valid", "drawn at random", "ann", datetime(2026, 1, 2, tzinfo=UTC), "s1")


def test_an_answer_comes_back_from_the_file_as_it_was(tmp_path):
    path = tmp_path / "labels.parquet"
    AnswerFile(path).add([ANN, replace(ANN, left_id="c", label=None, weight=None)])
    assert AnswerFile(path).answers == [ANN, replace(ANN, left_id="c", label=None, weight=None)]


def test_a_person_changes_their_mind_and_two_people_do_not(tmp_path):
    file = AnswerFile(tmp_path / "labels.parquet")
    file.add([ANN])
    file.add([replace(ANN, left_id="b", right_id="a", label=0)])  # the other way round
    file.add([replace(ANN, by="ben")])
    assert [(each.label, each.by) for each in file.answers] == [(0, "ann"), (1, "ben")]


def test_between_two_tables_a_pair_the_other_way_round_is_another(tmp_path):
    file = AnswerFile(tmp_path / "labels.parquet", of_two=True)
    file.add([ANN])
    file.add([replace(ANN, left_id="b", right_id="a", label=0)])
    assert [each.label for each in file.answers] == [1, 0]


def test_the_last_answer_of_a_person_is_taken_back(tmp_path):
    file = AnswerFile(tmp_path / "labels.parquet")
    later = replace(ANN, left_id="c", at=datetime(2026, 1, 3, tzinfo=UTC), session="s2")
    file.add([later, ANN, replace(ANN, by="ben")])
    assert file.take_back("ann", "s1") == ANN
    assert file.take_back("ann", "s1") is None
    assert file.take_back("ann", None) == later
    assert [each.by for each in AnswerFile(file.path).answers] == ["ben"]


def test_training_reads_the_file_and_leaves_out_the_unsure(tmp_path):
    path = tmp_path / "labels.parquet"
    AnswerFile(path).add([ANN, replace(ANN, left_id="c", label=None), replace(ANN, left_id="d", label=0)])
    frame = LabelledPairs.read(str(path)).frame
    assert frame["left_id"].tolist() == ["a", "d"]
    assert frame["label"].tolist() == [1, 0]
    assert frame["is_chosen"].all()
    assert (frame["split"] == "valid").all()


def test_a_file_of_others_is_gone_on_with_and_keeps_its_columns(tmp_path):
    path = tmp_path / "labels.parquet"
    pd.DataFrame({"left_id": [1, 2], "right_id": [3, 4], "label": ["1", "0"], "note": ["x", None]}).to_parquet(path)
    file = AnswerFile(path)
    assert [(each.pair, each.label) for each in file.answers] == [(("1", "3"), 1), (("2", "4"), 0)]
    file.add([ANN])
    frame = pd.read_parquet(path)
    assert frame["note"].tolist()[:1] == ["x"]
    assert frame["weight"].isna().tolist() == [True, True, False]
    assert LabelledPairs.read(str(path)).frame["is_chosen"].tolist() == [False, False, True]


def test_what_is_no_labels_file_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="suffix"):
        AnswerFile(tmp_path / "labels.csv")
    pd.DataFrame({"left_id": ["a"], "right_id": ["b"]}).to_parquet(tmp_path / "none.parquet")
    with pytest.raises(DataError, match="'label'"):
        AnswerFile(tmp_path / "none.parquet")
    pd.DataFrame({"left_id": ["a"], "right_id": ["b"], "label": [7]}).to_parquet(tmp_path / "seven.parquet")
    with pytest.raises(DataError, match=r"row 1 .* label '7'"):
        AnswerFile(tmp_path / "seven.parquet")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(DataError, match="not a whole"):
        AnswerFile(tmp_path / "torn.parquet")


def test_two_processes_lose_no_answer(tmp_path):
    path = tmp_path / "labels.parquet"
    # Forked from a process that runs nothing else: one forked from here has locks that other tests' threads held.
    fork = multiprocessing.get_context("forkserver")
    fork.set_forkserver_preload([__name__])
    both = [fork.Process(target=_label, args=(path, name)) for name in ("ann", "ben")]
    for each in both:
        each.start()
    while any(each.is_alive() for each in both):  # who reads meanwhile finds a whole file
        AnswerFile(path)
    for each in both:
        each.join(60)
    assert [each.exitcode for each in both] == [0, 0]
    answers = AnswerFile(path).answers
    assert {each.pair for each in answers} == {(f"{name}{i}", "x") for name in ("ann", "ben") for i in range(30)}
    assert len(answers) == 60
    assert [each.name for each in tmp_path.iterdir()] == ["labels.parquet"]  # neither a lock nor a half is left


def _label(path: Path, name: str) -> None:
    file = AnswerFile(path)
    for number in range(30):
        file.add([replace(ANN, left_id=f"{name}{number}", right_id="x", by=name)])
        assert f"{name}{number}" in {each.left_id for each in file.answers}


def test_what_another_wrote_is_seen(tmp_path):
    one, other = AnswerFile(tmp_path / "labels.parquet"), AnswerFile(tmp_path / "labels.parquet")
    one.add([ANN])
    assert other.refresh()
    assert other.answers == [ANN]
    assert not other.refresh()
