"""Runs on a Dask cluster: processes of their own that share nothing but the files."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import proposing, updating
from tests.flows.command import Made, Run, assert_refused, call
from tests.flows.test_update import changed

WITHIN_SECONDS = 60.0
BLOCKS = {"QUERIES": 32, "SCORED_PAIRS": 128}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed", reason="the extra [dask] is not installed")
    pytest.importorskip("prefect_dask", reason="the extra [dask] is not installed")
    import dask

    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        import_once()
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", memory_limit=0
        ) as cluster:
            yield cluster


def import_once() -> None:
    """What every worker would import by itself, for seconds."""
    from distributed.utils import get_mp_context

    get_mp_context().set_forkserver_preload(["distributed", "prefect_dask", "flows.stage_tasks", "siamese.verifier"])


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks: the workers learn of their size from the files."""
    for name, size in BLOCKS.items():
        monkeypatch.setattr(proposing, name, size)


@pytest.fixture(scope="module")
def local(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of threads."""
    out = tmp_path_factory.mktemp("dask") / "local"
    assert call("dedupe", made.model, made.records, "--out", out) == 0
    return out


def processes(cluster: Any) -> set[int]:
    with cluster.get_client() as client:
        return set(client.run(os.getpid).values())


def assert_same(out: Path, other: Path) -> None:
    for name in ("pairs.parquet", "clusters.parquet"):
        assert (out / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.usefixtures("blocks")
def test_the_same_bytes_as_on_threads(cluster: Any, run: Run, made: Made, local: Path, tmp_path: Path) -> None:
    out, address = tmp_path / "spread", cluster.scheduler_address
    answer = run("dedupe", made.model, made.records, "--out", out, "--runner", "dask", "--address", address)
    assert (answer.code, answer.err) == (0, "")
    assert_same(out, local)


@pytest.mark.slow
@pytest.mark.usefixtures("blocks")
def test_an_update_too(cluster: Any, run: Run, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updating, "_searches_on", lambda *_: False)  # as where much is new: candidates in blocks
    base, records = tmp_path / "base", changed(made.records, tmp_path / "now.parquet")
    assert run("dedupe", made.model, made.records, "--out", base, "--keep-state").code == 0
    for out, options in (("local", ()), ("spread", ("--runner", "dask", "--address", cluster.scheduler_address))):
        answer = run("update", base, records, "--out", tmp_path / out, *options)
        assert (answer.code, answer.err) == (0, "")
    assert_same(tmp_path / "spread", tmp_path / "local")


@pytest.mark.usefixtures("blocks")
def test_nothing_is_lost_with_a_killed_worker(cluster: Any, run: Run, made: Made, local: Path, tmp_path: Path) -> None:
    out, before = tmp_path / "spread", processes(cluster)

    def kill_one() -> None:
        until = time.monotonic() + WITHIN_SECONDS
        while not list(tmp_path.glob(".spread.*/work/done/search-*.json")) and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(min(before), signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    answer = run(
        "dedupe", made.model, made.records, "--out", out, "--runner", "dask", "--address", cluster.scheduler_address
    )
    killer.join()
    assert answer.code == 0, answer.err
    assert min(before) not in processes(cluster)
    assert_same(out, local)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--runner", "ray"), "there is no runner 'ray': expected threads or dask"),
        (("--workers", 0), "workers is 0: expected 1 or more"),
        (("--address", "tcp://127.0.0.1:1"), "give it with runner dask alone"),
    ],
)
def test_a_runner_that_cannot_be(run: Run, made: Made, tmp_path: Path, options: tuple[object, ...], says: str) -> None:
    assert_refused(run("dedupe", made.model, made.records, "--out", tmp_path / "run", *options), says)


def test_no_workers_far_away_for_an_output_at_a_url(run: Run, made: Made) -> None:
    options = ("--runner", "dask", "--address", "tcp://127.0.0.1:1")
    answer = run("dedupe", made.model, made.records, "--out", "s3://bucket/run", *options)
    assert_refused(answer, "give --out a folder that they share")


def test_without_the_extra(run: Run, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prefect_dask", None)
    monkeypatch.delitem(sys.modules, "flows.dask_runner", raising=False)
    answer = run("dedupe", made.model, made.records, "--out", tmp_path / "run", "--runner", "dask")
    assert_refused(answer, "runner dask takes the extra", "siamese-dedupe[dask]")


def test_no_scheduler_at_the_address(run: Run, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("prefect_dask", reason="the extra [dask] is not installed")
    monkeypatch.setattr("flows.runners.REACH_SECONDS", 0.5)
    address = ("--runner", "dask", "--address", "tcp://127.0.0.1:1")
    answer = run("dedupe", made.model, made.records, "--out", tmp_path / "run", *address)
    assert_refused(answer, "no Dask scheduler answers at 'tcp://127.0.0.1:1'")


def test_workers_that_do_not_reach_the_api(
    cluster: Any, run: Run, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import dask_runner

    monkeypatch.setattr(dask_runner, "can_connect", lambda *_: False)
    address = ("--runner", "dask", "--address", cluster.scheduler_address)
    answer = run("dedupe", made.model, made.records, "--out", tmp_path / "run", *address)
    assert_refused(answer, "do not reach Prefect's API", "set PREFECT_API_URL")


def test_workers_without_this_package(
    cluster: Any, run: Run, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import dask_runner

    def lacking(*_: object) -> bool:
        raise ModuleNotFoundError("No module named 'flows'")

    monkeypatch.setattr(dask_runner, "can_connect", lacking)
    address = ("--runner", "dask", "--address", cluster.scheduler_address)
    answer = run("dedupe", made.model, made.records, "--out", tmp_path / "run", *address)
    assert_refused(answer, "cannot do our blocks: No module named 'flows'")
