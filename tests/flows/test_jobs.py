"""The whole job through real Prefect flows, real FAISS and real files."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from flows.embedded import embedded_server
from pipeline.certificate import Certificate
from pipeline.matcher import Matcher
from pipeline.synthetic import make_corpus
from siamese.encoder import SiameseEncoder
from siamese.errors import ArtifactError, SettingsError
from siamese.folders import check_manifest
from siamese.schema import as_table
from siamese.settings import TrainingConfig
from tests.flows.command import Made, Run, assert_refused

RECORDS = 800
CONFIG = TrainingConfig(epochs=3)


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Path:
    """A folder with a corpus, a model, an index and a run."""
    folder = tmp_path_factory.mktemp("job")
    make_corpus(RECORDS, seed=3, n_pairs=1_000).save(folder)
    with embedded_server():
        from flows.dedupe import dedupe
        from flows.index import index
        from flows.train import train

        train(str(folder / "records.parquet"), str(folder / "pairs.parquet"), str(folder / "model"), config=CONFIG)
        index(str(folder / "model"), str(folder / "records.parquet"), str(folder / "index"))
        truth = str(folder / "true_pairs.parquet")
        dedupe(
            str(folder / "model"), str(folder / "records.parquet"), str(folder / "run"), min_precision=0.5, truth=truth
        )
    return folder


def test_training_beats_the_untrained_tower(job):
    history = SiameseEncoder.load(job / "model").metrics["training"]["history"]
    assert max(epoch["valid_average_precision"] for epoch in history[1:]) > history[0]["valid_average_precision"]


def test_folders_hold_what_the_contract_says(job):
    assert {path.name for path in (job / "model").iterdir()} == {
        "encoder.json", "weights.safetensors", "calibration.json", "metrics.json", "manifest.json", "verifier",
        "lessons.json", "lessons.safetensors", "portrait.json",
    }  # fmt: skip
    assert {path.name for path in (job / "model" / "verifier").iterdir()} == {
        "words.safetensors", "trees.txt", "random-trees.txt", "verifier.json",
    }  # fmt: skip
    assert {"index.faiss", "ids.parquet", "manifest.json"} <= {path.name for path in (job / "index").iterdir()}
    names = {"pairs.parquet", "clusters.parquet", "unique.parquet", "report.html", "summary.json", "manifest.json"}
    names |= {
        "certificate.json",
        "beyond.parquet",
        "dropped.parquet",
        "parted.parquet",
        "golden.parquet",
        "lineage.parquet",
        "thresholds.parquet",
        "drift.json",
    }
    assert {path.name for path in (job / "run").iterdir()} == names
    assert not [path for path in job.rglob("*") if "partial" in path.name or path.suffix in (".pkl", ".pt", ".npz")]
    first = ["left_id", "right_id", "distance", "margin_distance", "probability", "is_match"]
    assert pq.read_schema(job / "run" / "pairs.parquet").names[:6] == first
    assert pq.read_schema(job / "run" / "clusters.parquet").names[:5] == [
        "record_id", "cluster_id", "cluster_size", "is_representative", "distance_to_representative",
    ]  # fmt: skip


def test_manifest_accounts_for_inputs_outputs_and_cost(job):
    manifest = check_manifest(job / "run", "run")
    assert manifest["model"] == SiameseEncoder.load(job / "model").fingerprint
    assert manifest["outputs"]["clusters.parquet"] == RECORDS
    assert set(manifest["stages"]) == {
        "embed",
        "prepare",
        "propose",
        "search",
        "gather",
        "glance",
        "score",
        "match",
        "cluster",
        "golden",
        "drift",
        "report",
    }
    assert all(stage["seconds"] >= 0 and stage["peak_mb"] > 0 for stage in manifest["stages"].values())
    assert len(next(iter(manifest["inputs"][0]["files"].values()))) == 64


def test_summary_agrees_with_the_files(job):
    summary = json.loads((job / "run" / "summary.json").read_text())
    pairs, clusters = pd.read_parquet(job / "run" / "pairs.parquet"), pd.read_parquet(job / "run" / "clusters.parquet")
    truth = pd.read_parquet(job / "true_pairs.parquet")
    flagged = set(pairs[pairs["is_match"]][["left_id", "right_id"]].itertuples(index=False, name=None))
    true = set(truth[["left_id", "right_id"]].itertuples(index=False, name=None))
    scores = summary["evaluation"]["pairs"]
    assert summary["matches"] == len(flagged) and summary["pairs"] == len(pairs)
    assert scores["precision"] == pytest.approx(len(flagged & true) / len(flagged))
    assert scores["recall"] == pytest.approx(len(flagged & true) / len(true))
    assert (
        summary["duplicates"]
        == (~clusters["is_representative"]).sum()
        == RECORDS - pq.read_metadata(job / "run" / "unique.parquet").num_rows
    )
    assert f"{summary['duplicates']:,}" in (job / "run" / "report.html").read_text()


def test_same_seed_same_bytes(job, tmp_path):
    """Of records, too, of which those that only test pairs name are others: training does not read them."""
    frame, pairs = pd.read_parquet(job / "records.parquet"), pd.read_parquet(job / "pairs.parquet")
    named = {
        part: set(some["left_id"]) | set(some["right_id"]) for part, some in pairs.groupby(pairs["split"] == "test")
    }
    hidden = frame["record_id"].isin(named[True] - named[False])
    assert hidden.any()
    frame.loc[hidden, ["title", "description"] if "description" in frame else ["title"]] = "nothing like it 1234"
    frame.to_parquet(tmp_path / "records.parquet")
    with embedded_server():
        from flows.dedupe import dedupe
        from flows.train import train

        train(str(tmp_path / "records.parquet"), str(job / "pairs.parquet"), str(tmp_path / "model"), config=CONFIG)
        dedupe(str(tmp_path / "model"), str(job / "records.parquet"), str(tmp_path / "run"), min_precision=0.5)
    assert SiameseEncoder.load(tmp_path / "model").fingerprint == SiameseEncoder.load(job / "model").fingerprint
    for name in ("model/weights.safetensors", "run/pairs.parquet"):
        assert (tmp_path / name).read_bytes() == (job / name).read_bytes()


@pytest.mark.parametrize("kind", ["flat", "ivf", "ivfpq"])
def test_matcher_agrees_with_brute_force(job, tmp_path, kind):
    with embedded_server():
        from flows.index import index

        index(str(job / "model"), str(job / "records.parquet"), str(tmp_path / "index"), kind=kind)
    matcher, records = Matcher.load(tmp_path / "index"), pd.read_parquet(job / "records.parquet")
    assert matcher.index.kind == kind
    encoder = SiameseEncoder.load(job / "model")
    vectors = encoder.encode(records).astype(np.float64)
    limit = encoder.calibration.max_distance
    queries = records.iloc[:60]
    apart = np.linalg.norm(vectors[:60, None] - vectors, axis=2) / encoder.margin
    true = {(int(q), records["record_id"][r]) for q, r in zip(*np.nonzero(apart <= limit), strict=True)}
    frame = matcher.within(queries)
    found = set(zip(frame["query"], frame["record_id"], strict=True))
    assert list(frame.columns) == ["query", "record_id", "distance", "margin_distance", "probability", "is_match"]
    assert frame.groupby("query")["distance"].apply(lambda d: d.is_monotonic_increasing).all()
    assert (
        frame["is_match"] == (frame["probability"] >= matcher.decision.describe(matcher.judge)["min_probability"])
    ).all()
    if kind == "flat":
        assert found == true
        nearest = matcher.nearest(queries, k=3)
        assert (nearest.groupby("query").size() == 3).all()
        assert np.allclose(
            nearest["margin_distance"].to_numpy().reshape(-1, 3), np.sort(apart, axis=1)[:, :3], atol=1e-5
        )
    assert found <= true and len(found) >= 0.995 * len(true)


def test_matcher_takes_a_dict_with_fields_left_out(job):
    matcher = Matcher.load(job / "index")
    title = pd.read_parquet(job / "records.parquet")["title"].dropna().iloc[0]
    found = matcher.nearest({"title": title}, k=5)
    assert len(found) == 5 and (found["query"] == 0).all()
    assert len(matcher.nearest({"title": ""}, k=5)) == 0
    with pytest.raises(SettingsError, match="k is 0"):
        matcher.nearest({"title": title}, k=0)


def test_matcher_refuses_another_model(job, tmp_path):
    encoder = SiameseEncoder.load(job / "model")
    encoder.margin *= 1.5
    encoder.save(tmp_path / "other")
    with pytest.raises(ArtifactError, match="another model"):
        Matcher.load(job / "index", tmp_path / "other")


def test_the_command_line_prints_one_json_object(job, tmp_path):
    command = [sys.executable, "-m", "flows.cli", "evaluate", "model", "records.parquet", "pairs.parquet", "--json"]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        command, cwd=job, capture_output=True, text=True, env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"}
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    pairs = pd.read_parquet(job / "pairs.parquet")
    assert result["split"] == "test" and result["pairs"] == (pairs["split"] == "test").sum()


def test_without_the_verifier_the_distance_decides(job, run: Run, tmp_path):
    asked = "evaluate", job / "model", job / "records.parquet", job / "pairs.parquet", "--json", "--verifier"
    result = json.loads(run(*asked, "none").out)
    model = SiameseEncoder.load(job / "model")
    assert result["decided_by"] == "distance" and result["max_distance"] == model.calibration.max_distance
    assert_refused(run(*asked, "nosuch"), "there is no verifier 'nosuch'")
    with embedded_server():
        from flows.dedupe import dedupe
        from flows.train import train

        config = TrainingConfig(epochs=2, verifier="none")
        train(str(job / "records.parquet"), str(job / "pairs.parquet"), str(tmp_path / "plain"), config=config)
        summary = dedupe(str(job / "model"), str(job / "records.parquet"), str(tmp_path / "run"), verifier=False)
    assert not (tmp_path / "plain" / "verifier").exists()
    assert SiameseEncoder.load(tmp_path / "plain").verifier is None
    pairs = pd.read_parquet(tmp_path / "run" / "pairs.parquet")
    assert summary["decided_by"] == "distance"
    near = pairs["margin_distance"] <= summary["max_distance"]
    assert near[pairs["is_match"]].all() and pairs["is_match"].sum() > 0.9 * near.sum()  # linkage parts some


def test_a_run_says_what_the_verifier_says(job):
    """The run's probabilities are those of the model's verifier, asked pair by pair."""
    model, records = SiameseEncoder.load(job / "model"), pd.read_parquet(job / "records.parquet")
    pairs = pd.read_parquet(job / "run" / "pairs.parquet")
    pairs = pairs[pairs["distance"] > 0].sample(80, random_state=0)
    rows = pd.Series(np.arange(len(records)), records["record_id"])
    left, right = rows.loc[pairs["left_id"]].to_numpy(), rows.loc[pairs["right_id"]].to_numpy()
    texts = model.schema.select(as_table(records))
    assert model.verifier is not None
    doubts = model.verifier.doubt(model.verifier.profile(texts), left, right, pairs["margin_distance"].to_numpy())
    certificate = Certificate.read(job / "run")
    weight = certificate.prior["imposite_weight"]
    np.testing.assert_allclose(pairs["score"], doubts, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        pairs["probability"], model.verifier.calibration.probability(doubts, weight), rtol=1e-3, atol=1e-5
    )
    near = doubts <= certificate.limit
    assert near[pairs["is_match"]].all() and pairs["is_match"].sum() > 0.9 * near.sum()  # linkage parts some


def test_evaluate_sees_only_the_split_it_is_asked_for(job, tmp_path):
    """Labels of the other splits turned round change nothing; those of the test split change no trained model."""
    from pipeline.evaluation import evaluate_encoder
    from pipeline.fitting import fit_encoder
    from pipeline.pairs import LabelledPairs
    from pipeline.records import Records

    records, pairs = Records.open(str(job / "records.parquet")), pd.read_parquet(job / "pairs.parquet")
    is_test = pairs["split"] == "test"
    pairs.assign(label=pairs["label"].where(is_test, 1 - pairs["label"])).to_parquet(tmp_path / "others.parquet")
    pairs.assign(label=pairs["label"].where(~is_test, 1 - pairs["label"])).to_parquet(tmp_path / "test.parquet")
    encoder = SiameseEncoder.load(job / "model")
    read = LabelledPairs.read
    plain = evaluate_encoder(encoder, records, read(str(job / "pairs.parquet")), "test")
    assert plain == evaluate_encoder(encoder, records, read(str(tmp_path / "others.parquet")), "test")
    assert plain["f1"] != evaluate_encoder(encoder, records, read(str(tmp_path / "test.parquet")), "test")["f1"]
    peeked = fit_encoder(records, read(str(tmp_path / "test.parquet")), config=CONFIG)
    assert peeked.calibration == encoder.calibration and peeked.margin == encoder.margin
    assert peeked.metrics["training"] == encoder.metrics["training"]
    assert peeked.verifier is not None and encoder.verifier is not None
    assert peeked.verifier.calibration == encoder.verifier.calibration
    assert peeked.verifier.trees == encoder.verifier.trees
    assert peeked.verifier.candidate_distance == encoder.verifier.candidate_distance


def test_the_run_s_certificate_and_the_model_s_reliability_from_the_command_line(job, run: Run, tmp_path):
    verified = run("verify", job / "run", "--json")
    assert verified.code == 0, verified.err
    said = json.loads(verified.out)
    assert said["kind"] == "conditional" and said["audit"] is None
    (promised,) = said["promises"]
    assert promised.pop("shown_by") in ("held-out pairs", "held-out imposites")
    assert promised == {"what": "precision", "share": 0.5, "confidence": 0.95}
    summary = json.loads((job / "run" / "summary.json").read_text())
    (promise,) = summary["evaluation"]["promises"]
    assert promise["achieved"] == summary["evaluation"]["pairs"]["scored_precision"] and promise["kept"]
    lost = summary["evaluation"]["recall_lost"]
    pairs = summary["evaluation"]["pairs"]
    assert sum(each["pairs"] for each in lost.values()) == round((1 - pairs["recall"]) * pairs["true_pairs"])

    plot = tmp_path / "reliability.svg"
    asked = "evaluate", job / "model", job / "records.parquet", job / "pairs.parquet", "--plot"
    evaluated = run(*asked, plot, "--json")
    assert evaluated.code == 0, evaluated.err
    bins = json.loads(evaluated.out)["reliability"]["bins"]
    drawn = ElementTree.parse(plot).getroot()
    assert len(drawn.findall("{http://www.w3.org/2000/svg}circle")) == len(bins)
    assert_refused(run(*asked, tmp_path / "gone" / "a.svg"), "cannot write")


def test_two_tables_whose_ids_are_the_same_are_learned_from_and_linked(run: Run, made: Made, tmp_path: Path) -> None:
    records, pairs = pd.read_parquet(made.records), pd.read_parquet(made.pairs)
    sides = {}
    for side in ("left", "right"):
        chosen = records[records["record_id"].isin(pairs[f"{side}_id"])].reset_index(drop=True)
        number = pd.Series(chosen.index.astype(str), index=chosen["record_id"])
        pairs[f"{side}_id"] = pairs[f"{side}_id"].map(number)
        sides[side] = tmp_path / f"{side}.csv"
        chosen.assign(record_id=number.to_numpy()).to_csv(sides[side], index=False)
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    tables = sides["left"], tmp_path / "pairs.csv", "--right", sides["right"]
    model, out = tmp_path / "model", tmp_path / "run"
    assert run("train", *tables, "--out", model, "--epochs", 2, "--json").code == 0
    evaluated = json.loads(run("evaluate", model, *tables, "--json").out)
    assert evaluated["f1"] > 0.8
    assert json.loads(run("score", model, *tables, "--json").out)["pairs"] == len(pairs)
    linked = json.loads(
        run("link", model, sides["left"], sides["right"], "--out", out, "--truth", tmp_path / "pairs.csv", "--json").out
    )
    assert linked["matches"] > 0 and linked["drift"]["verdict"] == "quiet"
