"""An audit of a small real run, from the command line: drawn, judged by the truth, read back; and bad input."""

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("prefect")


from pipeline.pairs import LabelledPairs
from siamese.folders import check_manifest, read_json, write_manifest
from siamese.manifest import SEAL, seal
from tests.flows.command import Answer, Made, Run, assert_refused, call


@pytest.fixture(scope="module")
def finished(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    assert call("dedupe", made.model, made.records, "--out", folder / "run") == 0
    own = pd.read_parquet(folder / "run" / "beyond.parquet")
    pairs = pd.read_parquet(folder / "run" / "pairs.parquet")
    assert (own["weight"] >= 1).all() and not own["is_match"].any()
    assert pd.concat([own, pairs]).duplicated(["left_id", "right_id"]).sum() == 0
    (folder / "run" / "beyond.parquet").unlink()  # most tests are of the pairs written
    sign(folder / "run")
    return folder / "run"


def sign(run: Path) -> None:
    """Make the manifest fit the run's files again."""
    manifest = read_json(run / "manifest.json")
    write_manifest(run, "run", {k: manifest[k] for k in ("model", "settings", "inputs", "outputs", "stages")})


@pytest.fixture
def finished_run(finished: Path, tmp_path: Path) -> Path:
    """A copy to audit."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def sheet(run: Run, finished_run: Path, tmp_path: Path) -> Path:
    answer = run("audit", finished_run, "--sample", 60, "--out", tmp_path / "audit.csv")
    assert answer.code == 0, answer.err
    return tmp_path / "audit.csv"


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def true_pairs(made: Made) -> set[tuple[str, str]]:
    pairs = pd.read_parquet(made.records.parent / "true_pairs.parquet")[["left_id", "right_id"]]
    return set(map(tuple, np.sort(pairs.to_numpy(dtype=str), axis=1).tolist()))


def judge(sheet: Path, made: Made) -> pd.DataFrame:
    true, frame = true_pairs(made), read(sheet)
    frame["label"] = [str(int(pair in true)) for pair in zip(frame["left_id"], frame["right_id"], strict=True)]
    frame.to_csv(sheet, index=False)
    return frame


def said(answer: Answer) -> dict:
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def test_the_sheet_shows_the_records_and_not_what_the_run_made_of_them(sheet: Path, finished_run: Path, made: Made):
    frame, pairs = read(sheet), pd.read_parquet(finished_run / "pairs.parquet")
    records = pd.read_parquet(made.records).set_index("record_id")
    sides = [f"{side}_{name}" for name in records.columns for side in ("left", "right")]
    assert frame.columns.tolist() == ["left_id", "right_id", *sides, "run", "stratum", "weight", "label"]
    assert len(frame) == min(60, len(pairs)) and not frame.duplicated(["left_id", "right_id"]).any()
    assert frame["weight"].astype(float).sum() == pytest.approx(len(pairs))
    assert (frame["label"] == "").all()
    one = frame.iloc[7]
    for side in ("left", "right"):
        record = records.loc[one[f"{side}_id"]].astype(object).fillna("")
        assert [one[f"{side}_{name}"].removeprefix("'") for name in records.columns] == record.astype(str).tolist()
    drawn = frame.merge(pairs, on=["left_id", "right_id"])
    assert len(drawn) == len(frame) and drawn["is_match"].nunique() == 2
    assert not drawn["is_match"].is_monotonic_decreasing and not drawn["probability"].is_monotonic_decreasing
    assert (drawn.groupby("stratum")["is_match"].nunique() == 1).all()


def test_drawn_again_it_is_the_same_and_with_another_seed_another(
    run: Run, sheet: Path, finished_run: Path, tmp_path: Path
):
    for seed, same in ((0, True), (1, False)):
        again = tmp_path / f"again{seed}.csv"
        assert run("audit", finished_run, "--sample", 60, "--seed", seed, "--out", again).code == 0
        assert (again.read_bytes() == sheet.read_bytes()) == same


def test_what_the_sample_can_show_is_said_before_anybody_judges(run: Run, finished_run: Path, tmp_path: Path):
    plan = said(run("audit", finished_run, "--sample", 60, "--out", tmp_path / "a.parquet", "--json"))
    assert plan["needed"] == {"0.90": 29, "0.95": 59, "0.99": 299}
    assert plan["pairs"] == plan["flagged"] + plan["written"] == 60 and plan["beyond"] == 0
    assert 0.5 < plan["if_no_error"] <= 1
    shown = " ".join(run("audit", finished_run, "--sample", 60, "--out", tmp_path / "b.csv").out.split())
    assert "59 show 0.95" in shown and f"at least {plan['if_no_error']:.3f}" in shown
    sheets = pd.read_parquet(tmp_path / "a.parquet"), read(tmp_path / "b.csv")
    assert sheets[0]["left_id"].tolist() == sheets[1]["left_id"].tolist() and sheets[0]["label"].isna().all()


def test_judged_by_the_truth_the_audit_holds_it(run: Run, sheet: Path, finished_run: Path, made: Made, tmp_path: Path):
    before = check_manifest(finished_run, "run")
    frame, labels = judge(sheet, made), tmp_path / "labels.parquet"
    result = said(run("audit", finished_run, "--judged", sheet, "--labels", labels, "--json"))
    true, pairs = true_pairs(made), pd.read_parquet(finished_run / "pairs.parquet")
    right = np.array([pair in true for pair in zip(pairs["left_id"], pairs["right_id"], strict=True)])
    flagged = pairs["is_match"].to_numpy()
    precision, recall = right[flagged].mean(), right[flagged].sum() / right.sum()
    assert result["precision"]["low"] <= precision <= result["precision"]["high"]
    assert (
        result["recall"]["low"] <= recall <= result["recall"]["high"]
        and result["recall"] == result["recall_of_written"]
    )
    assert result["recall_is_of"] == "the pairs written" and result["judged"] == 60 and result["not_judged"] == 0
    weight = frame["weight"].astype(float)
    is_flagged = frame.merge(pairs, on=["left_id", "right_id"], how="left")["is_match"].to_numpy()
    by_hand = weight[is_flagged & (frame["label"] == "1")].sum() / weight[is_flagged].sum()
    assert result["precision"]["estimate"] == pytest.approx(by_hand)
    assert json.loads((finished_run / "audit.json").read_text()) == result
    assert check_manifest(finished_run, "run") == before
    assert run("report", finished_run).code == 0  # which signs the run's files again
    assert said(run("audit", finished_run, "--judged", sheet, "--json")) == result
    check_manifest(finished_run, "run")

    # The judged pairs train beside others, and stay in train where those have a split.
    told = pd.read_parquet(labels)
    assert told.columns.tolist() == ["left_id", "right_id", "label", "weight"]
    assert told["label"].tolist() == frame["label"].astype(int).tolist() and np.allclose(told["weight"], weight)
    both = tmp_path / "both"
    both.mkdir()
    shutil.copy(labels, both / "labels.parquet")
    shutil.copy(made.pairs, both / "pairs.parquet")
    beside = LabelledPairs.read(str(both)).frame
    assert len(beside) == 60 + len(pd.read_parquet(made.pairs)) and (beside["split"].head(60) == "train").all()


def test_rows_without_a_label_are_left_out_and_said_so(
    run: Run, sheet: Path, finished_run: Path, made: Made, tmp_path: Path
):
    frame = judge(sheet, made)
    frame.loc[frame.index[::4], "label"] = [""] * 14 + [" "]
    frame.to_csv(sheet, index=False)
    labels = tmp_path / "labels.csv"
    result = said(run("audit", finished_run, "--judged", sheet, "--labels", labels, "--json"))
    assert result["judged"] == 45 and result["not_judged"] == 15
    shown = " ".join(run("audit", finished_run, "--judged", sheet).out.split())
    assert "45 of 60 pairs, 15 are not judged yet and left out" in shown
    told = read(labels)
    assert len(told) == 45
    assert told["weight"].astype(float).sum() == pytest.approx(len(pd.read_parquet(finished_run / "pairs.parquet")))


def test_pairs_that_the_run_did_not_write_count_in_the_recall(run: Run, finished_run: Path, made: Made, tmp_path: Path):
    ids, pairs = (
        pd.read_parquet(made.records)["record_id"].sort_values(),
        pd.read_parquet(finished_run / "pairs.parquet"),
    )
    known = set(zip(pairs["left_id"], pairs["right_id"], strict=True))
    near = [pair for pair in pairwise(ids) if pair not in known]
    beyond = pd.DataFrame(near, columns=["left_id", "right_id"]).assign(
        distance=np.float32(1), margin_distance=0.8, probability=0.001, is_match=False, weight=12.5
    )
    beyond.to_parquet(finished_run / "beyond.parquet")
    sign(finished_run)
    sheet = tmp_path / "audit.csv"
    plan = said(run("audit", finished_run, "--sample", 80, "--out", sheet, "--json"))
    assert plan["beyond"] >= 10
    frame = judge(sheet, made)
    assert frame["weight"].astype(float).sum() == pytest.approx(len(pairs) + 12.5 * len(near))
    result = said(run("audit", finished_run, "--judged", sheet, "--json"))
    assert result["recall_is_of"] == "all pairs"
    widths = [result[name]["high"] - result[name]["low"] for name in ("recall", "recall_of_written")]
    assert widths[0] > widths[1]
    shown = run("audit", finished_run, "--judged", sheet).out
    assert "recall, of all pairs" in shown and "recall, of the pairs written" in shown


def test_a_link_is_audited_with_records_of_both_sides(run: Run, made: Made, tmp_path: Path):
    records = pd.read_parquet(made.records)
    name = records.columns.drop("record_id")[0]
    records["record_id"] = "=" + records["record_id"]  # formulas, to a spreadsheet
    right = records.assign(**{name: "@right", "id": "-7"})
    records.to_parquet(tmp_path / "left.parquet")
    right.to_parquet(tmp_path / "right.parquet")
    linked, sheet = tmp_path / "linked", tmp_path / "audit.csv"
    answer = run("link", made.model, tmp_path / "left.parquet", tmp_path / "right.parquet", "--out", linked)
    assert answer.code == 0, answer.err
    assert run("audit", linked, "--sample", 40, "--out", sheet).code == 0
    frame = read(sheet)
    assert (frame[f"right_{name}"] == "'@right").all() and (frame[f"left_{name}"] != "'@right").all()
    assert (frame["right_id_"] == "'-7").all() and "left_id_" not in frame
    armed = frame.drop(columns="weight").map(lambda cell: bool(re.match(r"[=+\-@]", cell)))
    assert not armed.any(axis=None)
    frame.assign(label=(frame["left_id"] == frame["right_id"]).astype(int)).to_csv(sheet, index=False)
    labels = tmp_path / "labels.parquet"
    assert said(run("audit", linked, "--judged", sheet, "--labels", labels, "--json"))["judged"] == 40
    assert pd.read_parquet(labels)["left_id"].str.startswith("=").all()


def test_bad_sheets(run: Run, sheet: Path, finished_run: Path, made: Made, tmp_path: Path):
    good, bad = judge(sheet, made), tmp_path / "bad.csv"

    def refused(frame: pd.DataFrame, *says: str) -> None:
        frame.to_csv(bad, index=False)
        assert_refused(run("audit", finished_run, "--judged", bad), f"'{bad}'", *says)

    def with_cell(column: str, value: str) -> pd.DataFrame:
        frame = good.copy()
        frame.loc[4, column] = value
        return frame

    for label in ("2", "yes", "0.5"):
        refused(with_cell("label", label), "row 5", "label", f"'{label}'", "1 (the same), 0 (not the same)")
    refused(with_cell("right_id", "nobody"), "row 5", "'nobody'", "a pair of the run", "read them as text")
    refused(with_cell("run", "0123456789ab"), "row 5", "'0123456789ab'", "drawn from another one")
    refused(with_cell("stratum", "s77"), "row 5", "'s77'", "leave all columns but label")
    refused(pd.concat([good, good.iloc[[2]]]), "row 61", "each pair once")
    refused(good.assign(label=""), "no row", "is judged")
    refused(good.drop(columns="label"), "no column 'label'", "siamese audit")
    refused(good.drop(columns="run"), "no column 'run'", "siamese audit")
    assert not (finished_run / "audit.json").exists()


def test_a_sheet_of_another_run(run: Run, sheet: Path, made: Made, tmp_path: Path):
    judge(sheet, made)
    assert run("dedupe", made.model, made.records, "--out", tmp_path / "other", "--verifier", "none").code == 0
    assert_refused(run("audit", tmp_path / "other", "--judged", sheet), f"'{sheet}'", "drawn from another one")


def test_bad_places_and_settings(run: Run, finished_run: Path, sheet: Path, made: Made, tmp_path: Path):
    new = tmp_path / "new.csv"
    assert_refused(run("audit", finished_run), "--out FILE", "--judged FILE")
    assert_refused(run("audit", finished_run, "--out", new, "--judged", sheet), "one of them")
    assert_refused(run("audit", finished_run, "--out", new, "--labels", new), "--judged FILE")
    assert_refused(run("audit", finished_run, "--out", sheet), f"'{sheet}' is there already", "another name")
    assert_refused(run("audit", finished_run, "--out", tmp_path / "new.xlsx"), "new.xlsx", ".csv or .parquet")
    assert_refused(run("audit", finished_run, "--out", tmp_path / "no" / "new.csv"), "there is no folder")
    assert_refused(run("audit", finished_run, "--out", new, "--sample", 3), "sample of 3 is too small", "--sample")
    assert_refused(run("audit", finished_run, "--out", new, "--confidence", 1), "confidence is 1", "0.95")
    assert_refused(run("audit", made.model, "--out", new), "holds a model, expected a run")
    manifest = json.loads((finished_run / "manifest.json").read_text())
    manifest["inputs"][0]["path"] = str(tmp_path / "gone.parquet")
    (finished_run / "manifest.json").write_text(json.dumps({**manifest, SEAL: seal(manifest)}))
    assert_refused(run("audit", finished_run, "--out", new), "gone.parquet", "Put them back")
    records = pd.read_parquet(made.records)
    records.assign(record_id=records["record_id"] + "x").to_parquet(tmp_path / "gone.parquet")
    assert_refused(run("audit", finished_run, "--out", new), "gone.parquet", "has no record", "put its records back")
    assert not new.exists() and not list(tmp_path.glob(".*"))
