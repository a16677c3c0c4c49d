"""Explanations from the command line and from Python."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

pytest.importorskip("prefect")

from flows import waterfall
from pipeline.contents import Contents
from pipeline.explaining import COLUMNS
from pipeline.matcher import Matcher
from siamese.encoder import SiameseEncoder
from siamese.errors import DataError
from tests.flows.command import Made, Run, assert_refused
from tests.pipeline.test_explanation_page import HOSTILE, explanation


@pytest.fixture(scope="module")
def matcher(made: Made) -> Matcher:
    return Matcher.load(made.index)


def ids_of(made: Made, row: int = 0) -> tuple[str, str]:
    pair = pd.read_parquet(made.pairs).iloc[row]
    return pair["left_id"], pair["right_id"]


def test_the_command_says_what_the_model_does(run: Run, made: Made, tmp_path: Path) -> None:
    left, right = ids_of(made)
    answer = run("explain", made.model, made.records, left, right, "--json")
    assert answer.code == 0, answer.err
    said = json.loads(answer.out)
    pd.DataFrame({"left_id": [left], "right_id": [right]}).to_parquet(tmp_path / "asked.parquet")
    [score] = json.loads(run("score", made.model, made.records, tmp_path / "asked.parquet", "--json").out)["scores"]
    for name in ("distance", "margin_distance", "probability"):
        assert said[name] == pytest.approx(score[name], abs=1e-5)
    assert said["is_match"] == score["is_match"]
    assert sum(field["share"] for field in said["fields"]) == pytest.approx(said["distance"] ** 2, abs=1e-5)
    assert sum(step["log_odds"] for step in said["steps"]) == pytest.approx(said["log_odds"], abs=1e-6)
    records = pd.read_parquet(made.records).set_index("record_id")
    for field in said["fields"]:
        value = records.loc[left, field["name"]]
        assert (field["left"] is None) == pd.isna(value)
    assert [lesson["is_match"] for lesson in said["lessons"]] == [True, True, False, False]
    for lesson in said["lessons"]:
        for side in ("left", "right"):
            known = {name: value for name, value in lesson[side].items() if value is not None}
            told = records.loc[lesson[f"{side}_id"], list(known)]
            assert known and all(str(told[name]) == value for name, value in known.items())


def test_a_person_reads_it(run: Run, made: Made) -> None:
    left, right = ids_of(made)
    answer = run("explain", made.model, made.records, left, right, "--lessons", 1, "--words", 1)
    assert answer.code == 0, answer.err
    for part in (
        "squared distance",
        "log-odds of a match",
        "the distance alone",
        "genuine",
        "imposite",
        "█",
        "missing on",
    ):
        assert part in answer.out
    bare = run("explain", made.model, made.records, left, right, "--lessons", 0, "--words", 0, "--verifier", "none").out
    assert "by the distance" in bare and "genuine" not in bare and "more word" not in bare


def test_pairs_of_two_corpora_and_lessons_that_are_in_neither(run: Run, made: Made, tmp_path: Path) -> None:
    left, right = ids_of(made)
    records = pd.read_parquet(made.records).set_index("record_id", drop=False)
    for name, one in (("left", left), ("right", right)):
        records.loc[[one]].to_csv(tmp_path / f"{name}.csv", index=False)
    args = (made.model, tmp_path / "left.csv", left, right, "--right", tmp_path / "right.csv")
    said = json.loads(run("explain", *args, "--json").out)
    assert [said["left_id"], said["right_id"]] == [left, right]
    others = [lesson for lesson in said["lessons"] if lesson["left_id"] != left]
    assert others and all(lesson["left"] is None for lesson in others)
    assert "not in the corpus" in run("explain", *args).out
    assert_refused(run("explain", made.model, tmp_path / "left.csv", left, right), "left.csv", f"no record '{right}'")


def test_ids_that_are_not_there_are_refused(run: Run, made: Made) -> None:
    left, right = ids_of(made)
    assert_refused(
        run("explain", made.model, made.records, "nobody", right), str(made.records), "'nobody'", "'record_id'"
    )
    assert_refused(run("explain", made.model, made.records, left, "nobody"), "no record 'nobody'")
    assert_refused(run("explain", made.model, made.records, left, right, "--verifier", "x"), "no verifier 'x'")


def test_a_record_without_words_is_refused(run: Run, made: Made, tmp_path: Path) -> None:
    records = pd.read_parquet(made.records)
    records.loc[records.index[:1], records.columns.drop("record_id")] = None
    records.to_parquet(tmp_path / "records.parquet")
    ids = records["record_id"]
    assert_refused(
        run("explain", made.model, tmp_path / "records.parquet", ids[0], ids[1]), "left record", "nothing to compare"
    )


def test_a_model_that_keeps_no_lessons_says_so(run: Run, made: Made, tmp_path: Path) -> None:
    config = tmp_path / "job.toml"
    config.write_text("[training]\nlessons = 0\nepochs = 1\nverifier = 'none'\n")
    assert run("train", made.records, made.pairs, "--out", tmp_path / "bare", "--config", config).code == 0
    assert not (tmp_path / "bare" / "lessons.json").exists()
    answer = run("explain", tmp_path / "bare", made.records, *ids_of(made), "--json")
    said = json.loads(answer.out)
    assert said["lessons"] == [] and "keeps no labelled pairs" in said["notes"][-1] and said["decided_by"] == "distance"


def test_lessons_are_labelled_pairs(made: Made) -> None:
    lessons, pairs = SiameseEncoder.load(made.model).lessons, pd.read_parquet(made.pairs)
    assert lessons is not None and len(lessons) > 50 and not lessons.is_mined.any()
    known = {(pair.left_id, pair.right_id): pair.label for pair in pairs[pairs["split"] != "test"].itertuples()}
    for left, right, label in zip(lessons.left_ids, lessons.right_ids, lessons.is_match, strict=True):
        assert known[left, right] == label


def test_matcher_explains_ids_and_records_alike(made: Made, matcher: Matcher) -> None:
    left, right = ids_of(made)
    found = matcher.explain(left, right)
    assert tuple(found.columns) == COLUMNS and found["contribution"].dtype == float
    fields = found[found["part"] == "field"]
    records = pd.read_parquet(made.records).set_index("record_id")
    score = matcher.score(*(records.loc[[one]] for one in (left, right))).iloc[0]
    assert fields["contribution"].sum() == pytest.approx(score["distance"] ** 2, abs=1e-5)
    assert fields["name"].tolist() == matcher.encoder.schema.names
    of_words = found[found["part"].isin(["word", "other words"])].groupby("adds_up_to")["contribution"].sum()
    for name, total in of_words.items():
        assert total == pytest.approx(fields.set_index("name").loc[name, "contribution"], abs=1e-5)
    steps = found[found["part"] == "step"]["contribution"].sum()
    assert 1 / (1 + np.exp(-steps)) == pytest.approx(score["probability"], abs=1e-5)
    record = records.loc[right].dropna().to_dict()
    pd.testing.assert_frame_equal(matcher.explain(left, record), found, check_exact=False, atol=1e-6)
    full = matcher.explanation(left, record, lessons=1)
    assert (full.left_id, full.right_id, len(full.lessons)) == (left, None, 2)
    assert all(lesson.left and lesson.right for lesson in full.lessons)


def test_what_matcher_cannot_explain(made: Made, matcher: Matcher) -> None:
    left, _ = ids_of(made)
    with pytest.raises(DataError, match="no record 'nobody'"):
        matcher.explain(left, "nobody")
    name = matcher.encoder.schema.names[0]
    with pytest.raises(DataError, match="2 records came as one side"):
        matcher.explain(left, [{name: "a"}, {name: "b"}])
    with pytest.raises(DataError, match="nothing to compare"):
        matcher.explain(left, {name: None})
    textless = Matcher(replace(matcher.live, corpus=replace(matcher.corpus, contents=Contents(()))))
    with pytest.raises(DataError, match="keeps no texts"):
        textless.explain(left, left)


@pytest.mark.parametrize(
    "text", [*HOSTILE, "[bold]x[/nosuch]", "a\x1b[31mred\x07\u202e", "a\nb"], ids=lambda text: repr(text[:12])
)
def test_nothing_in_the_data_can_act_on_the_terminal(text: str) -> None:
    out = io.StringIO()
    waterfall.show(explanation(text).to_dict(), Console(file=out, width=400, highlight=False, color_system=None))
    shown = out.getvalue()
    assert not set(shown) & set("\x1b\x07\u202e\0")
    assert len(shown) < 100_000
    if text.isprintable():
        assert text[:40] in shown
