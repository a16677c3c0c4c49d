"""From nothing to a trained model by the command line: a first run without labels, labels, a model of them."""

import io
import json
import shlex

import pandas as pd
import pytest

from pipeline.synthetic import make_corpus
from siamese.folders import read_json
from tests.flows.command import assert_refused


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cold")
    make_corpus(300, seed=4).save(folder)
    return folder


def test_dedupe_without_a_model_is_called_uncalibrated(run, corpus, tmp_path):
    out = tmp_path / "run"
    answer = run("dedupe", corpus / "records.parquet", "--out", out, "--truth", corpus / "true_pairs.parquet", "--json")
    assert answer.code == 0, answer.err
    summary = json.loads(answer.out)
    assert not summary["calibrated"] and "uncalibrated" in summary["threshold_from"]
    assert summary["evaluation"]["pairs"]["f1"] > 0.5
    assert "no labelled pairs" in read_json(out / "certificate.json")["assumptions"][0]
    assert "uncalibrated" in (out / "report.html").read_text()
    assert run("verify", out).code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    said = run("dedupe", corpus / "records.parquet", "--out", tmp_path / "again").out
    assert "probabilities are guesses" in " ".join(said.split())


def test_dedupe_says_what_it_takes(run, corpus, tmp_path):
    assert_refused(run("dedupe", "a", "b", "c", "--out", tmp_path / "run"), "a model and records, or records alone")
    assert_refused(run("link", "a", "--out", tmp_path / "run"), "a model and left and right, or left and right alone")
    answer = run("dedupe", corpus / "records.parquet", "--out", tmp_path / "run", "--min-precision", 0.9)
    assert_refused(answer, "without labelled pairs", "siamese label")
    assert not list(tmp_path.iterdir())


def test_labels_from_a_terminal_train(run, corpus, tmp_path, monkeypatch):
    labels = tmp_path / "labels.parquet"
    monkeypatch.setattr("sys.stdin", io.StringIO("n\nu\nb\nn\nq\n"))
    answer = run("label", corpus / "records.parquet", "--pairs", labels, "--terminal", "--by", "ann", "--rule", "email")
    assert answer.code == 0, answer.err
    frame = pd.read_parquet(labels)
    assert frame["by"].value_counts()["ann"] == 2
    assert (frame.loc[frame["by"] == "rule", "label"] == 1).all() and (frame["by"] == "rule").sum() > 3
    assert "siamese train" in answer.out


def test_labels_of_two_tables_say_how_to_train_on_them(run, corpus, tmp_path, monkeypatch):
    """Their rows numbered alike, under a column of another name."""
    records = pd.read_parquet(corpus / "records.parquet").drop(columns="record_id")
    left, right = (tmp_path / f"{name} table.parquet" for name in ("left", "right"))
    for place, path in enumerate((left, right)):
        records.iloc[place::2].assign(row=[str(row) for row in range(len(records) // 2)]).to_parquet(path)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\nn\nq\n"))
    labels = tmp_path / "labels.parquet"
    answer = run("label", left, "--right", right, "--pairs", labels, "--id", "row", "--terminal", "--rule", "email")
    assert answer.code == 0, answer.err
    assert len(pd.read_parquet(labels).query("by != 'rule'")) == 2
    command = shlex.split(answer.out.rpartition("siamese train ")[2])
    assert command == [str(left), str(labels), "--right", str(right), "--id", "row", "--out", "MODEL"]


def test_bad_input_of_label(run, corpus, tmp_path):
    records = corpus / "records.parquet"
    assert_refused(run("label", records, "--pairs", tmp_path / "labels.txt", "--terminal"), "suffix", ".parquet")
    answer = run("label", records, "--pairs", tmp_path / "l.parquet", "--terminal", "--rule", "fax")
    assert_refused(answer, "column 'fax'")
