"""Jobs on a schedule: a real Prefect server, a real cron, and what a config must not say."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows.serving import ServeConfig
from siamese.errors import SettingsError
from siamese.folders import check_manifest
from tests.flows.command import Made

JOB = """
port = 0
[jobs.nightly]
flow = "{flow}"
cron = "{cron}"
[jobs.nightly.parameters]
{parameters}
"""


def config(path: Path, flow: str = "index", cron: str = "0 2 * * *", **parameters: object) -> Path:
    path.write_text(
        JOB.format(flow=flow, cron=cron, parameters="\n".join(f"{k} = '{v}'" for k, v in parameters.items()))
    )
    return path


def wait_for(what: Callable[[], Any], seconds: float = 120.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.2)
    raise AssertionError("it did not happen in time")


def test_a_cron_fires_on_the_server_that_serve_starts(made: Made, home: Path, tmp_path: Path) -> None:
    job = config(
        tmp_path / "jobs.toml", cron="* * * * * */10", model=made.model, records=made.records, out=tmp_path / "index"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    serving = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "serve", str(job)],
        env=environment | {"PREFECT_HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "log").open("w"),
        text=True,
    )
    try:
        assert serving.stdout is not None
        url = serving.stdout.readline().split(": ")[0]
        completed = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}, "tags": {"all_": ["siamese", "index"]}}}
        runs = wait_for(lambda: httpx.post(f"{url}/flow_runs/filter", json=completed).json())
        assert runs[0]["auto_scheduled"]
        assert runs[0]["parameters"]["flow_name"] == "index"
        check_manifest(tmp_path / "index", "index")
        serving.send_signal(signal.SIGINT)
        assert serving.wait(60) == 0, (tmp_path / "log").read_text()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/health")
    finally:
        serving.kill()
        serving.wait()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"cron": "at two"}, "at two"),
        ({"flow": "dedup"}, "'dedup'"),
        ({"flow": "dedupe", "model": "m", "records": "r"}, "'out'"),
        ({"flow": "index", "model": "m", "records": "r", "out": "o", "recrods": "r"}, "'recrods'"),
    ],
    ids=["cron", "flow", "parameter that lacks", "parameter that there is not"],
)
def test_a_job_that_cannot_run_is_refused_before_the_night(tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        ServeConfig.read(config(tmp_path / "jobs.toml", **settings))
    assert says in str(refused.value)
    assert "jobs.nightly" in str(refused.value)


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = config(tmp_path / "jobs.toml", model="m", records="r", out="o")
    monkeypatch.setenv("SIAMESE_SERVE_PORT", "4321")
    monkeypatch.setenv("SIAMESE_SERVE_JOBS__NIGHTLY__CRON", "0 3 * * *")
    read = ServeConfig.read(job)
    assert (read.port, read.jobs["nightly"].cron, read.jobs["nightly"].parameters["out"]) == (4321, "0 3 * * *", "o")


def test_a_config_without_jobs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("port = 0\n")
    with pytest.raises(SettingsError, match="'jobs'"):
        ServeConfig.read(tmp_path / "empty.toml")
