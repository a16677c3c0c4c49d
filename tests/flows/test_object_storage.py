"""Whole jobs on object storage: records, models, indices and runs by URL, on an S3-compatible server over HTTP."""

import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.matcher import Matcher
from pipeline.records import Records, read_table
from siamese.encoder import SiameseEncoder
from siamese.errors import ArtifactError, OutputError
from siamese.folders import check_manifest, local_folder
from siamese.remote import RemoteFolder
from tests.flows.command import Made, Run, assert_refused, call

pytest.importorskip("prefect")
s3fs = pytest.importorskip("s3fs")

Filesystem = Any
BUCKET = "s3://bucket"


class Job(NamedTuple):
    """The same job twice: by URLs, and in a folder of this machine."""

    store: Filesystem
    local: Path

    def at(self, name: str) -> bytes:
        return bytes(self.store.cat_file(f"bucket/{name}"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filesystem]:
    """A bucket of a server of our own; where it is, and who we are, stands in the environment as it would for a user."""
    moto_server = pytest.importorskip("moto.server")  # here: one of the processes that collect the tests imports it
    with pytest.MonkeyPatch.context() as patch:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
        server.start()
        host, port = server.get_host_and_port()
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "siamese")
        patch.setenv("SIAMESE_CACHE", str(tmp_path_factory.mktemp("cache")))
        s3fs.S3FileSystem.clear_instance_cache()
        filesystem = s3fs.S3FileSystem()
        filesystem.mkdir("bucket")
        yield filesystem
        server.stop()
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def job(store: Filesystem, made: Made, tmp_path_factory: pytest.TempPathFactory) -> Job:
    local = tmp_path_factory.mktemp("local")
    shutil.copytree(made.model, local / "model")
    for path in (made.records, made.pairs):
        store.put_file(str(path), f"bucket/{path.name}")
    assert call("dedupe", made.model, made.records, "--truth", made.pairs, "--out", local / "run") == 0
    records, pairs = f"{BUCKET}/records.parquet", f"{BUCKET}/pairs.parquet"
    assert call("train", records, pairs, "--out", f"{BUCKET}/model", "--epochs", 2) == 0
    assert call("dedupe", f"{BUCKET}/model", records, "--truth", pairs, "--out", f"{BUCKET}/run") == 0
    assert call("index", f"{BUCKET}/model", records, "--out", f"{BUCKET}/index") == 0
    return Job(store, local)


def names(store: Filesystem, folder: str) -> set[str]:
    store.invalidate_cache()
    return {name.removeprefix(f"bucket/{folder}/") for name in store.find(f"bucket/{folder}")}


def contents(store: Filesystem) -> dict[str, bytes]:
    store.invalidate_cache()
    return {name: bytes(content) for name, content in store.cat(store.find("bucket")).items()}


# The whole job


@pytest.mark.parametrize(
    ("folder", "same"),
    [
        ("model", ("encoder.json", "weights.safetensors", "calibration.json", "verifier/trees.txt")),
        ("run", ("pairs.parquet", "clusters.parquet", "unique.parquet", "beyond.parquet", "certificate.json")),
    ],
)
def test_the_same_bytes_by_url_and_by_path(job: Job, folder: str, same: tuple[str, ...]) -> None:
    manifest = json.loads(job.at(f"{folder}/manifest.json"))
    assert names(job.store, folder) == {*manifest["files"], "manifest.json"}
    for name in same:
        assert job.at(f"{folder}/{name}") == (job.local / folder / name).read_bytes(), name
    assert manifest["fingerprint"] and manifest["format"] == folder


def test_a_run_says_by_which_urls_it_was_made(job: Job) -> None:
    manifest, summary = (json.loads(job.at(f"run/{name}.json")) for name in ("manifest", "summary"))
    assert summary["model"] == f"{BUCKET}/model" and summary["records_path"] == f"{BUCKET}/records.parquet"
    assert [each["path"] for each in manifest["inputs"]] == [f"{BUCKET}/records.parquet"]
    local = json.loads((job.local / "run" / "summary.json").read_text())
    assert summary["evaluation"] == local["evaluation"] and summary["matches"] == local["matches"] > 0


def test_evaluate_by_url(run: Run, job: Job, made: Made) -> None:
    by_url = run("evaluate", f"{BUCKET}/model", f"{BUCKET}/records.parquet", f"{BUCKET}/pairs.parquet", "--json")
    by_path = run("evaluate", made.model, made.records, made.pairs, "--json")
    assert by_url.code == 0 and json.loads(by_url.out) == json.loads(by_path.out)


def test_query_by_url(run: Run, job: Job, made: Made, tmp_path: Path) -> None:
    job.store.pipe_file("bucket/queries.csv", pd.read_parquet(made.records).head(3).to_csv(index=False).encode())
    asked = ("--file", f"{BUCKET}/queries.csv", "--format", "json")
    by_url = run("query", f"{BUCKET}/index", "--model", f"{BUCKET}/model", *asked)
    by_path = run("query", made.index, *asked)
    assert by_url.code == 0 and json.loads(by_url.out) == json.loads(by_path.out)
    queries = pd.read_parquet(made.records).tail(3)
    pd.testing.assert_frame_equal(
        Matcher.load(f"{BUCKET}/index").nearest(queries), Matcher.load(made.index).nearest(queries)
    )


def test_report_and_verify_by_url(run: Run, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    before, report = json.loads(job.at("run/manifest.json")), job.at("run/report.html")
    sent = []
    put_file = s3fs.S3FileSystem._put_file
    monkeypatch.setattr(
        s3fs.S3FileSystem, "_put_file", lambda self, path, to, **how: sent.append(to) or put_file(self, path, to, **how)
    )
    job.store.pipe_file("bucket/run/report.html", b"lost")
    assert_refused(run("verify", f"{BUCKET}/run"), "'s3://bucket/run/report.html'", "manifest", "sha256")
    job.store.pipe_file("bucket/run/report.html", report)
    answer = run("report", f"{BUCKET}/run")
    assert answer.code == 0 and answer.out == "s3://bucket/run/report.html\n"
    assert job.at("run/report.html") == report
    assert sent == ["bucket/run/manifest.partial", "bucket/run/manifest.json"]  # the page came out the same
    after = json.loads(job.at("run/manifest.json"))
    assert after["files"] == before["files"] and after["outputs"] == before["outputs"]
    answer = run("verify", f"{BUCKET}/run", "--json")
    assert answer.code == 0 and json.loads(answer.out)["run"] == "s3://bucket/run"


def test_audit_by_url(run: Run, job: Job, tmp_path: Path) -> None:
    url, sheet = f"{BUCKET}/run", tmp_path / "sheet.csv"
    assert run("audit", url, "--sample", 20, "--out", sheet).code == 0
    pd.read_csv(sheet).assign(label=1).to_csv(sheet, index=False)
    assert run("audit", url, "--judged", sheet, "--json").code == 0
    assert json.loads(job.at("run/audit.json"))["judged"] == 20
    assert json.loads(run("verify", url, "--json").out)["audit"]["judged"] == 20


def test_a_model_is_fetched_once(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    SiameseEncoder.load(f"{BUCKET}/model")
    monkeypatch.setattr(RemoteFolder, "_download", lambda *_: pytest.fail("fetched again"))
    again = SiameseEncoder.load(f"{BUCKET}/model/")
    assert again.fingerprint == SiameseEncoder.load(job.local / "model").fingerprint


# Records


def test_records_in_a_folder_and_by_glob(job: Job, made: Made) -> None:
    frame = pd.read_parquet(made.records)
    frame.iloc[:100].to_parquet(f"{BUCKET}/parts/0.parquet")
    frame.iloc[100:200].to_csv(f"{BUCKET}/parts/1.csv.gz", index=False)
    frame.iloc[200:].to_json(f"{BUCKET}/parts/2.jsonl", orient="records", lines=True)
    job.store.call_s3("put_object", Bucket="bucket", Key="parts/", Body=b"")  # as a console makes a folder
    for place in ("parts", "parts/", "parts/*"):
        if place == "parts/*":
            job.store.rm_file("bucket/parts/")
        records = Records.open(f"{BUCKET}/{place}")
        assert records.ids().to_pylist() == frame["record_id"].tolist()
        assert len(records.digests()) == 3
    assert read_table(f"{BUCKET}/parts/*.csv.gz").num_rows == 100
    job.store.cp_file("bucket/parts/0.parquet", "bucket/parts/3.parquet")
    assert len(Records.open(f"{BUCKET}/parts").files) == 4  # new files are seen, however long the process lives


def test_of_parquet_only_the_columns_asked_for_are_fetched(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = [f"{n:0200}" + "".join(chr(33 + (n * k) % 90) for k in range(1000)) for n in range(1000)]
    table = pa.table({"record_id": [str(n) for n in range(1000)], "wide": wide, "narrow": ["x"] * 1000})
    with job.store.open("bucket/wide.parquet", "wb") as file:
        pq.write_table(table, file, compression="none", use_dictionary=False)
    fetched = []
    fetch = s3fs.core.S3File._fetch_range

    def counting(self: Any, start: int, end: int) -> bytes:
        found = fetch(self, start, end)
        fetched.append(len(found))
        return found

    monkeypatch.setattr(s3fs.core.S3File, "_fetch_range", counting)
    records = Records.open(f"{BUCKET}/wide.parquet")
    [batch] = records.batches(["narrow"])
    size = job.store.size("bucket/wide.parquet")
    assert batch.column_names == ["record_id", "narrow"] and batch.num_rows == 1000
    assert size > 1_000_000 and sum(fetched) < size / 5
    [batch] = records.batches()
    assert batch.select(["wide", "narrow"]).equals(table.select(["wide", "narrow"]))


# Refusals


def test_places_that_cannot_be_written_are_refused_before_any_work(run: Run, job: Job, made: Made) -> None:
    job.store.pipe_file("bucket/theirs/thesis.tex", b"years of work")
    before = contents(job.store)
    nowhere = ("cannot write to 's3://nowhere/run'", "bucket does not exist", "--out")
    unread = "nothing is read"
    for command in (
        ("train", made.records, unread),
        ("index", unread, made.records),
        ("dedupe", unread, made.records),
        ("link", unread, made.records, made.records),
    ):
        assert_refused(run(*command, "--out", "s3://nowhere/run"), *nowhere)
    answer = run("dedupe", unread, made.records, "--out", f"{BUCKET}/theirs")
    assert_refused(answer, "'s3://bucket/theirs' holds files that siamese did not write", "'thesis.tex'", "--out")
    answer = run("dedupe", unread, made.records, "--out", f"{BUCKET}/records.parquet")
    assert_refused(answer, "'s3://bucket/records.parquet': it is a file", "expected a folder")
    assert contents(job.store) == before


def test_refused_for_its_records_nothing_is_left(run: Run, job: Job, made: Made) -> None:
    before = contents(job.store)
    nowhere = f"{BUCKET}/nowhere.parquet"
    answer = run("dedupe", made.model, nowhere, "--out", f"{BUCKET}/new")
    assert_refused(answer, f"there is no file at '{nowhere}'")
    answer = run("dedupe", f"{BUCKET}/run", made.records, "--out", f"{BUCKET}/new")
    assert_refused(answer, "'s3://bucket/run' holds a run, expected a model")
    assert contents(job.store) == before


def test_without_credentials(run: Run, job: Job, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    s3fs.S3FileSystem.clear_instance_cache()
    missing = "Unable to locate credentials"
    answer = run("dedupe", made.model, made.records, "--out", f"{BUCKET}/new")
    assert_refused(answer, "cannot write to 's3://bucket/new'", missing, "--out")
    answer = run("evaluate", f"{BUCKET}/model", made.records, made.pairs)
    assert_refused(answer, "cannot read the model at 's3://bucket/model'", missing)
    answer = run("evaluate", made.model, f"{BUCKET}/records.parquet", made.pairs)
    assert_refused(answer, "cannot open 's3://bucket/records.parquet'", missing)
    s3fs.S3FileSystem.clear_instance_cache()


def test_an_interrupted_upload_is_no_folder(
    run: Run, job: Job, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, url = SiameseEncoder.load(made.model), f"{BUCKET}/again"
    encoder.save(url)
    put_file = s3fs.S3FileSystem._put_file

    async def failing(self: Filesystem, path: str, to: str, **how: Any) -> None:
        if to.endswith("weights.safetensors"):
            raise ConnectionError("the line went dead")
        await put_file(self, path, to, **how)

    with monkeypatch.context() as patch:
        patch.setattr(s3fs.S3FileSystem, "_put_file", failing)
        patch.setattr(tempfile, "tempdir", str(tmp_path))
        with pytest.raises(OutputError, match=f"cannot write to '{url}'.*went dead.*what was to go there is in"):
            encoder.save(url)
    [kept] = tmp_path.glob("siamese-*")
    check_manifest(kept, "model")
    assert_refused(run("evaluate", url, made.records, made.pairs), f"'{url}' is not whole", "make the model again")
    encoder.save(url)  # the place is known for ours
    assert SiameseEncoder.load(url).fingerprint == encoder.fingerprint
    assert "manifest.partial" not in names(job.store, "again")


def test_files_of_two_models_do_not_pass_for_one(job: Job, made: Made) -> None:
    url = f"{BUCKET}/mixed"
    SiameseEncoder.load(made.model).save(url)
    local_folder(url, "model")
    SiameseEncoder.load(made.other).save(url)
    job.store.cp_file("bucket/model/encoder.json", "bucket/mixed/encoder.json")
    with pytest.raises(ArtifactError, match=r"'s3://bucket/mixed/encoder.json' is not what the manifest says"):
        SiameseEncoder.load(url)
