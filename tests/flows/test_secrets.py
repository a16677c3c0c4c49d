"""Passwords, signatures and tokens stand in no sentence, log, report or file."""

import json
import logging
from pathlib import Path

import fsspec
import pandas as pd
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from flows.serving import ServeConfig
from siamese.errors import DataError, SettingsError
from siamese.secrets import redacted
from tests.flows.command import Made, Run, assert_refused, call

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"'sftp://ann:{SECRET}@host/a.csv'", "'sftp://***@host/a.csv'"),
        (f"https://ann:p@{SECRET}@host:80/a and s3://b/c", "https://***@host:80/a and s3://b/c"),
        (f"(https://host/a?X-Amz-Signature={SECRET}&b=1)", "(https://host/a?***)"),
        (f"http://127.0.0.1:8000/?token={SECRET}\nnext", "http://127.0.0.1:8000/?***\nnext"),
        ("s3://bucket/part-?.csv, and ann@example.org", "s3://bucket/part-?.csv, and ann@example.org"),
        ("/data/a?b=c.csv", "/data/a?b=c.csv"),
    ],
)
def test_what_is_hidden_and_what_is_not(text: str, shown: str) -> None:
    assert redacted(text) == shown
    assert str(DataError(text)) == shown


class Signed(MemoryFileSystem):
    """A storage whose URLs hold a password and a signature."""

    protocol = "signed"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol("memory://" + path.split("@")[-1].split("?")[0])


@pytest.fixture
def signed() -> str:
    fsspec.register_implementation("signed", Signed, clobber=True)
    MemoryFileSystem.store.clear()
    return f"signed://ann:{SECRET}@host/%s?signature={SECRET}"


def test_a_run_of_signed_urls_says_nothing_of_them(
    made: Made, signed: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    records = signed % "records.parquet"
    with fsspec.open(records, "wb") as file:
        file.write(made.records.read_bytes())
    out = tmp_path / "run"
    assert call("dedupe", made.model, records, "--out", out) == 0
    for path in out.rglob("*"):
        assert SECRET not in path.read_bytes().decode("latin-1"), path
    said = json.loads((out / "manifest.json").read_text())["inputs"][0]
    assert said["path"] == "signed://***@host/records.parquet?***"
    assert call("evaluate", made.model, signed % "nowhere.parquet", made.pairs) == 2
    assert call("evaluate", signed % "model", made.records, made.pairs) == 2
    assert call("report", out) == 0  # this storage asks for no password; where one does, it comes from the environment
    assert SECRET not in caplog.text and SECRET not in "".join(capsys.readouterr())


def test_keys_of_the_environment_are_not_told(
    run: Run, made: Made, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("s3fs")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")  # nobody answers
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with caplog.at_level(logging.DEBUG, "siamese"):
        answer = run("evaluate", "s3://bucket/model", made.records, made.pairs)
    assert_refused(answer, "s3://bucket/model")
    assert SECRET not in answer.err + caplog.text and "AKIAEXAMPLE" not in answer.err


def test_a_config_that_does_not_do_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = tmp_path / "jobs.toml"
    config.write_text(
        f'[jobs.a]\nflow = "dedupe"\ncron = "0 2 * * *"\nparameters = {{model = "m", out = 1, records = "s3://a:{SECRET}@b/c"}}\n'
    )
    with pytest.raises(SettingsError) as refusal:
        ServeConfig.read(config)
    assert SECRET not in str(refusal.value) + caplog.text
    (tmp_path / "own.toml").write_text('_secrets_dir = "/"\n')
    with pytest.raises(SettingsError, match="there is no setting '_secrets_dir'"):
        ServeConfig.read(tmp_path / "own.toml")


@pytest.mark.filterwarnings("ignore")
def test_prefect_keeps_no_result_whatever_its_profile_says(made: Made, tmp_path: Path) -> None:
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, PREFECT_RESULTS_PERSIST_BY_DEFAULT, temporary_settings

    storage = tmp_path / "storage"
    updates = {PREFECT_RESULTS_PERSIST_BY_DEFAULT: True, PREFECT_LOCAL_STORAGE_PATH: storage}
    with temporary_settings(updates):
        assert call("index", made.model, made.records, "--out", tmp_path / "index", "--json") == 0
    assert not [path for path in storage.rglob("*") if path.is_file()]


def test_nothing_is_pickled(made: Made, tmp_path: Path) -> None:
    """No file of ours starts as a pickle does, and none can be one: numpy's loader refuses objects."""
    assert call("dedupe", made.model, made.records, "--out", tmp_path / "run", "--keep-state", "--json") == 0
    for folder in (made.model, made.index, tmp_path / "run"):
        for path in folder.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                assert not content.startswith(b"\x80") or content[1] not in range(2, 6), path
                assert not (path.suffix == ".npy" and b"'descr': '|O'" in content[:128]), path


def test_the_reader_of_pairs_takes_a_written_false_for_false(tmp_path: Path) -> None:
    from pipeline.pairs import LabelledPairs

    path = tmp_path / "pairs.csv"
    rows = {"left_id": list("abc"), "right_id": list("xyz"), "label": [1, 0, None], "unsure": ["false", None, "true"]}
    pd.DataFrame(rows).to_csv(path, index=False)
    assert LabelledPairs.read(str(path)).frame["left_id"].tolist() == ["a", "b"]
    path.write_text("left_id,right_id,label,unsure\na,x,1,maybe\n")
    with pytest.raises(DataError, match="unsure 'maybe': expected true, false or nothing"):
        LabelledPairs.read(str(path))
