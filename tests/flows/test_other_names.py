"""Other names of columns on the command line: said once, to train; the model's commands know them."""

import json
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("prefect")

from flows.commands.running import other_names
from pipeline.cold_start import first_model
from pipeline.records import Records
from pipeline.synthetic import make_corpus
from tests.flows.command import Run, assert_refused

ALSO = ("--also", "record_id=sku", "--also", "name=title", "--also", "phone=telephone")
FIELDS = ["record_id", "name", "street", "phone"]


@pytest.fixture
def left(tmp_path: Path) -> Path:
    made = make_corpus(400, seed=2)
    made.records[FIELDS].to_parquet(tmp_path / "left.parquet")
    theirs = {"record_id": "sku", "name": "title", "phone": "telephone"}
    made.records[FIELDS].rename(columns=theirs).to_csv(tmp_path / "right.csv", index=False)
    made.pairs.to_parquet(tmp_path / "pairs.parquet")
    return tmp_path / "left.parquet"


def test_a_model_that_was_told_is_told_once(left: Path, run: Run, tmp_path: Path) -> None:
    right, model, out, sheet = (tmp_path / name for name in ("right.csv", "model", "run", "sheet.csv"))
    sources = [Records.open(str(path), also=other_names([*ALSO[1::2]])) for path in (left, right)]
    first_model(sources, tmp_path / "work").save(model)
    assert run("link", model, left, right, "--out", out).code == 0
    pairs = pd.read_parquet(out / "pairs.parquet")
    assert (pairs["left_id"] == pairs["right_id"]).sum() > 100
    page = (out / "report.html").read_text()
    assert _names_of(page) == set(FIELDS) - {"record_id"}
    assert run("audit", out, "--sample", 20, "--out", sheet).code == 0
    assert {"left_name", "right_name", "left_phone", "right_phone"} <= set(pd.read_csv(sheet).columns)
    assert run("score", model, left, out / "pairs.parquet", "--right", right).code == 0
    one, other = pairs.loc[0, ["left_id", "right_id"]]
    assert "street" in run("explain", model, left, one, other, "--right", right).out
    says = "the model knows other names of columns from its training: leave --also out"
    assert_refused(run("link", model, left, right, *ALSO, "--out", out), says)


def test_training_hears_them(left: Path, run: Run, tmp_path: Path) -> None:
    two = (left, tmp_path / "pairs.parquet", "--right", tmp_path / "right.csv")
    says = "right.csv' has no column 'name', nor 'titel', which were said to be the same"
    also = [each.replace("title", "titel") for each in ALSO]
    assert_refused(run("train", *two, *also, "--out", tmp_path / "model"), says)


def test_a_first_guess_may_be_told(left: Path, run: Run, tmp_path: Path) -> None:
    both = tmp_path / "both"
    both.mkdir()
    left.rename(both / "1.parquet"), (tmp_path / "right.csv").rename(both / "2.csv")
    table = pd.read_csv(both / "2.csv", dtype=str)
    table.assign(sku="b" + table["sku"]).to_csv(both / "2.csv", index=False)
    done = run("dedupe", both, *ALSO, "--out", tmp_path / "run", "--json")
    assert done.code == 0 and json.loads(done.out)["records"] == 2 * len(table)
    assert pd.read_parquet(tmp_path / "run" / "unique.parquet").columns.tolist()[: len(FIELDS)] == FIELDS


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (("name",), "--also is 'name': expected NAME=OTHER"),
        (("=x",), "--also is '=x': expected NAME=OTHER"),
        (("name=title", "street=title"), "'title' cannot be another name of 'street': it stands for 'name' already"),
        (("name=name",), "'name' cannot be another name of 'name': it stands for itself already"),
    ],
)
def test_names_that_say_nothing_clear_are_refused(
    said: tuple[str, ...], says: str, left: Path, run: Run, tmp_path: Path
) -> None:
    also = [argument for each in said for argument in ("--also", each)]
    assert_refused(run("dedupe", left, *also, "--out", tmp_path / "run"), says)


def _names_of(page: str) -> set[str]:
    """Columns that the page's table of pairs has."""
    return set(json.loads(page.split('"fields":', 1)[1].split("]", 1)[0] + "]"))
