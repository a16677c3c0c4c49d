"""Scores of given pairs, from the command line and from Python."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("prefect")

from pipeline.decision import Threshold
from pipeline.matcher import Matcher
from siamese.encoder import SiameseEncoder
from siamese.errors import DataError
from siamese.schema import as_table
from tests.flows.command import Made, Run, assert_refused

SCORES = ["distance", "margin_distance", "probability", "is_match"]


def oracle(made: Made, pairs: pd.DataFrame, verifier: bool) -> pd.DataFrame:
    """Each pair on its own, straight from the model."""
    model, records = SiameseEncoder.load(made.model), pd.read_parquet(made.records).set_index("record_id")
    judge, rows = Threshold(verifier=verifier).judge(model), []
    decision = Threshold(verifier=verifier).decide(judge.calibration)
    for left_id, right_id in pairs[["left_id", "right_id"]].itertuples(index=False):
        both = as_table(records.loc[[left_id, right_id]].reset_index())
        apart = float(np.linalg.norm(np.subtract(*model.encode(both).astype(np.float64))))
        texts = model.schema.select(both)
        found = decision.judge(judge.score(np.array([apart / model.margin]), texts, np.array([0]), np.array([1])))
        rows.append((apart, apart / model.margin, float(found.probability[0]), bool(found.is_match[0])))
    return pd.DataFrame(rows, columns=SCORES)


@pytest.mark.parametrize("verifier", [True, False])
def test_scores_are_the_models(run: Run, made: Made, tmp_path: Path, verifier: bool) -> None:
    pairs = pd.read_parquet(made.pairs).sample(40, random_state=0)[["left_id", "right_id"]].reset_index(drop=True)
    pairs["note"] = [f"kept {number}" for number in range(40)]
    pairs["count"] = pd.array([None, *range(39)], "Int64")
    pairs["label"] = pd.array([None, 1, 0, *[None] * 37], "Int8")
    pairs.to_parquet(tmp_path / "asked.parquet")
    out = tmp_path / "scores.parquet"
    options = [] if verifier else ["--verifier", "none"]
    answer = run("score", made.model, made.records, tmp_path / "asked.parquet", "--out", out, "--json", *options)
    assert answer.code == 0, answer.err
    found, expected = pd.read_parquet(out), oracle(made, pairs, verifier)
    assert list(found.columns) == ["left_id", "right_id", "note", "count", "label", *SCORES]
    assert found["left_id"].tolist() == pairs["left_id"].tolist() and found["note"].tolist() == pairs["note"].tolist()
    assert found["label"].isna().sum() == 38 and found["count"].sum() == sum(range(39))
    np.testing.assert_allclose(found[SCORES[:2]], expected[SCORES[:2]], atol=1e-6)
    np.testing.assert_allclose(found["probability"], expected["probability"], atol=2e-4)
    assert (found["is_match"] == expected["is_match"]).all() and found["is_match"].nunique() == 2
    said = json.loads(answer.out)
    assert said["pairs"] == 40 and said["flagged"] == found["is_match"].sum() and "scores" not in said
    assert said["decided_by"] == ("verifier" if verifier else "distance")


def test_without_out_the_scores_are_printed(run: Run, made: Made, tmp_path: Path) -> None:
    pd.read_parquet(made.pairs).head(3)[["left_id", "right_id"]].to_csv(tmp_path / "asked.csv", index=False)
    args = ("score", made.model, made.records, tmp_path / "asked.csv")
    scores = json.loads(run(*args, "--json").out)["scores"]
    shown = run(*args).out
    assert len(scores) == 3 and all(row["left_id"] in shown for row in scores)


def test_a_record_with_nothing_to_compare_has_no_distance(run: Run, made: Made, tmp_path: Path) -> None:
    records = pd.read_parquet(made.records)
    records.loc[records.index[:2], records.columns.drop("record_id")] = None
    records.to_parquet(tmp_path / "records.parquet")
    ids = records["record_id"]
    pd.DataFrame({"left_id": [ids[0], ids[2], ids[3]], "right_id": [ids[1], ids[0], ids[4]]}).to_parquet(
        tmp_path / "asked.parquet"
    )
    answer = run("score", made.model, tmp_path / "records.parquet", tmp_path / "asked.parquet", "--json")
    scores = json.loads(answer.out)["scores"]
    assert [row["probability"] is None for row in scores] == [True, True, False]
    assert [row["is_match"] for row in scores][:2] == [False, False]


def test_matcher_scores_as_the_command_does(run: Run, made: Made, tmp_path: Path) -> None:
    matcher = Matcher.load(made.index)
    pairs = pd.read_parquet(made.pairs).head(30)
    records = pd.read_parquet(made.records).set_index("record_id")
    found = matcher.score(records.loc[pairs["left_id"]], records.loc[pairs["right_id"]])
    assert list(found.columns) == SCORES and len(found) == 30
    pairs.to_parquet(tmp_path / "asked.parquet")
    answer = run("score", made.model, made.records, tmp_path / "asked.parquet", "--json")
    told = pd.DataFrame(json.loads(answer.out)["scores"])
    np.testing.assert_allclose(found[SCORES[:3]], told[SCORES[:3]], rtol=1e-4, atol=1e-6)
    one, other = (records.loc[pairs[side].iloc[0]].dropna().to_dict() for side in ("left_id", "right_id"))
    single = matcher.score(one, other)
    np.testing.assert_allclose(single[SCORES[:3]], found[SCORES[:3]].head(1), rtol=1e-4, atol=1e-6)
    name = matcher.encoder.schema.names[0]
    assert matcher.score({name: ""}, one)["distance"].isna().all()
    with pytest.raises(DataError, match="1 records came to be scored with 2"):
        matcher.score(one, [one, other])


def test_bad_input_of_score(run: Run, made: Made, tmp_path: Path) -> None:
    pairs = pd.read_parquet(made.pairs).head(5)
    bad = tmp_path / "bad.csv"
    pairs.rename(columns={"left_id": "a"}).to_csv(bad, index=False)
    assert_refused(run("score", made.model, made.records, bad), f"'{bad}'", "no column 'left_id'", "'a'")
    pairs.assign(right_id="nobody").to_csv(bad, index=False)
    assert_refused(run("score", made.model, made.records, bad), "5 of 5 pairs", "right_id", "'nobody'")
    out = tmp_path / "nowhere" / "scores.parquet"
    assert_refused(run("score", made.model, made.records, made.pairs, "--out", out), str(out), "there is no folder")
    out = tmp_path / "scores.xlsx"
    assert_refused(run("score", made.model, made.records, made.pairs, "--out", out), str(out), ".parquet or .csv")
    assert_refused(run("score", made.model, made.records, made.pairs, "--verifier", "x"), "no verifier 'x'")
    assert {path.name for path in tmp_path.iterdir()} == {"bad.csv"}
