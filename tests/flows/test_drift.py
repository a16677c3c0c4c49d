"""Runs that are not like those before them, by the command line and as a schedule runs them: held, and published when accepted."""

import io
import json
import shutil
from contextlib import redirect_stderr
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from flows.embedded import embedded_server
from pipeline.limits import DriftLimits
from pipeline.registry import latest_run, list_runs
from pipeline.report import drift_said
from pipeline.synthetic import make_corpus
from siamese.encoder import SiameseEncoder
from siamese.folders import check_manifest, put_manifest, read_json
from tests.flows.command import Answer, Made, Run, assert_refused, call


class Registry(NamedTuple):
    """Runs of three nights: the first, a quiet one, and a drifted one, which is held."""

    folder: Path
    bad: Path
    refusal: Answer

    def update(self, *more: object) -> tuple:
        return ("update", self.folder / "latest", self.bad, "--out", self.folder / "next", *more)

    @property
    def held(self) -> Path:
        return self.folder / "run-0003.held"


def batch(records: Path, seed: int, drifted: bool) -> Path:
    """The corpus with sixty records more."""
    frame, new = pd.read_parquet(records), make_corpus(60, seed=seed).records
    new["record_id"] = f"{seed}-" + new["record_id"]
    if drifted:
        new["city"] = None
    out = records.with_name(f"records-{seed}.parquet")
    pd.concat([frame, new], ignore_index=True).to_parquet(out)
    return out


@pytest.fixture(scope="module")
def nights(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    folder = tmp_path_factory.mktemp("nights")
    first = Path(shutil.copy(made.records, folder / "records.parquet"))
    second = batch(first, 11, False)
    third = batch(second, 12, True)
    runs = folder / "runs"
    assert call("dedupe", made.model, first, "--out", runs / "next", "--keep-state") == 0
    assert latest_run(runs) == "run-0001"
    assert call("update", runs / "latest", second, "--out", runs / "next") == 0
    said = io.StringIO()
    with redirect_stderr(said):
        code = call("update", runs / "latest", third, "--out", runs / "next")
    return Registry(runs, third, Answer(code, "", said.getvalue()))


@pytest.fixture
def registry(nights: Registry, tmp_path: Path) -> Registry:
    """One to change."""
    return nights._replace(folder=shutil.copytree(nights.folder, tmp_path / "runs", symlinks=True))


def test_a_quiet_update_is_published_and_remembered(nights: Registry) -> None:
    second = nights.folder / "run-0002"
    summary = read_json(second / "summary.json")
    assert summary["drift"]["verdict"] == "quiet" and summary["drift"]["runs"] == 1 and summary["drift"]["has_training"]
    assert "Drift: none against the last run" in (second / "report.html").read_text()
    assert any(key.startswith("new/") for key in read_json(second / "drift.json")["figures"])
    assert len(read_json(nights.held / "drift.json")["history"]) == 1


def test_a_drifted_update_is_held(nights: Registry, run: Run) -> None:
    says = ("missing 'city' 100% of the new records, last runs", f"look at '{nights.held}', and pass --accept-drift")
    assert_refused(nights.refusal, *says)
    assert {path.name for path in nights.folder.iterdir()} == {"run-0001", "run-0002", "run-0003.held", "latest"}
    assert latest_run(nights.folder) == "run-0002"
    assert check_manifest(nights.held, "run")["held"].startswith("missing 'city'")
    assert read_json(nights.held / "drift.json")["verdict"] == "stop"
    assert "What is not as it was" in (nights.held / "report.html").read_text()
    entry = list_runs(nights.folder)[0]
    assert entry.name == nights.held.name and entry.held and entry.fault is None
    assert "run-0003.held: missing 'city'" in " ".join(run("runs", nights.folder).out.split())


def test_a_held_run_is_published_from_the_list(run: Run, registry: Registry) -> None:
    assert_refused(run("runs", registry.folder, "--publish", registry.held.name), "is held", "--accept-drift")
    assert run("runs", registry.folder, "--publish", "run-0003", "--accept-drift").code == 0
    assert latest_run(registry.folder) == "run-0003" and not registry.held.exists()
    assert list_runs(registry.folder)[0].held is None
    refused = run("runs", registry.folder, "--publish", "run-0009", "--accept-drift")
    assert_refused(refused, "there is no run folder")


def test_the_same_command_with_accept_drift_publishes_what_is_there(run: Run, registry: Registry) -> None:
    assert run(*registry.update()).code == 2  # held under the same number: it is the same job... of another folder
    held = registry.folder / "run-0004.held"
    before = {path.name: path.stat().st_mtime_ns for path in held.glob("*.parquet")}
    assert before and latest_run(registry.folder) == "run-0002"
    answer = run(*registry.update("--accept-drift", "--json"))
    assert answer.code == 0, answer.err
    accepted = registry.folder / "run-0004"
    assert json.loads(answer.out)["out"] == str(accepted) and latest_run(registry.folder) == accepted.name
    assert {path.name: path.stat().st_mtime_ns for path in accepted.glob("*.parquet")} == before
    assert "held" not in check_manifest(accepted, "run") and not held.exists()


def test_a_flow_of_a_schedule_fails_with_the_sentence_and_takes_limits(registry: Registry) -> None:
    asked = {
        "run": str(registry.folder / "latest"),
        "records": str(registry.bad),
        "out": str(registry.folder / "next"),
    }
    with embedded_server():
        from flows.scheduled import scheduled

        for number in (4, 4):  # the same job is held in the same place
            state = scheduled("update", asked, return_state=True)
            assert state.is_failed() and "pass --accept-drift to publish it" in state.message
            assert (registry.folder / f"run-{number:04d}.held").is_dir()
            assert latest_run(registry.folder) == "run-0002"
        lenient = {name: {"warn": 4, "stop": 4} for name in DriftLimits.model_fields if name not in OTHERS}
        scheduled("update", asked | {"drift": lenient})
    assert latest_run(registry.folder) == "run-0004"


OTHERS = ("significance", "few", "runs", "training")


def test_limits_come_from_the_config(run: Run, registry: Registry, tmp_path: Path) -> None:
    config = tmp_path / "job.toml"
    config.write_text("[drift]\nmissing = { warn = 0.5, stop = 0.1 }\n")
    answer = run(*registry.update("--config", config))
    assert_refused(answer, "drift.missing", "expected stop to be the greater")


def test_a_run_does_not_take_the_place_of_one_that_it_is_not_like(run: Run, made: Made, tmp_path: Path) -> None:
    records, out = tmp_path / "records.parquet", tmp_path / "out"
    shutil.copy(made.records, records)
    assert run("dedupe", made.model, records, "--out", out).code == 0
    before = (out / "manifest.json").read_bytes()
    frame = pd.read_parquet(records)
    flood = pd.concat([frame, *[frame.assign(record_id=frame["record_id"] + f"-{n}") for n in (1, 2)]])
    flood.to_parquet(records)
    assert_refused(run("dedupe", made.model, records, "--out", out), "flagged share 100%, last run ", f"'{out}.held'")
    assert (out / "manifest.json").read_bytes() == before
    answer = run("dedupe", made.model, records, "--out", out, "--max-distance", 0.4)  # asked something else
    assert answer.code == 0, answer.err
    (out / "drift.json").write_text("{")  # a damaged one keeps no other from its place
    assert run("dedupe", made.model, records, "--out", out, "--max-distance", 0.4).code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"records.parquet", "out", "out.held"}


def test_a_link_is_held_too(run: Run, made: Made, tmp_path: Path) -> None:
    frame = pd.read_parquet(made.records)
    left, right, runs = tmp_path / "left.parquet", tmp_path / "right.parquet", tmp_path / "runs"
    frame.iloc[:150].to_parquet(left)
    frame.iloc[150:].to_parquet(right)
    link = ("link", made.model, left, right, "--out", runs / "next")
    assert run(*link).code == 0 and latest_run(runs) == "run-0001"
    frame.iloc[150:].assign(name=None).to_parquet(right)
    assert_refused(run(*link), "missing 'name' 100% on the right side, last run", f"'{runs / 'run-0002.held'}'")
    assert run(*link, "--accept-drift").code == 0 and latest_run(runs) == "run-0002"


def test_a_model_made_before_says_that_there_is_no_reference(made: Made, tmp_path: Path) -> None:
    old = Path(shutil.copytree(made.model, tmp_path / "old"))
    (old / "portrait.json").unlink()
    manifest = read_json(old / "manifest.json")
    del manifest["files"]["portrait.json"]
    put_manifest(old, manifest)
    encoder = SiameseEncoder.load(old)
    assert encoder.portraits == {} and encoder.fingerprint == SiameseEncoder.load(made.model).fingerprint
    with embedded_server():
        from flows.dedupe import dedupe

        summary = dedupe(str(old), str(made.records), str(tmp_path / "run"))
    assert drift_said(summary["drift"]).endswith("a model without a portrait of its training records")
