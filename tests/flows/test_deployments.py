"""Deployments on a real Prefect server, with a worker that runs each job in a process of its own."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import yaml

from flows.serving import Job
from siamese.folders import check_manifest
from tests.flows.command import Made
from tests.flows.test_serving import wait_for

ROOT = Path(__file__).parents[2]
FILE = ROOT / "examples" / "prefect.yaml"
CLIENT = httpx.Client(timeout=60)  # a busy machine answers late


def test_every_deployment_names_a_flow_and_its_parameters() -> None:
    deployments = yaml.safe_load(FILE.read_text())["deployments"]
    assert {each["name"] for each in deployments} == {"train", "index", "dedupe", "link", "update"}
    for each in deployments:
        asked = each["parameters"]
        [schedule] = each["schedules"]
        job = Job(
            flow=asked["flow_name"],
            parameters=asked["parameters"],
            timeout_seconds=asked["timeout_seconds"],
            **schedule,
        )
        assert each["name"] == job.flow and job.flow in each["tags"]


@contextmanager
def started(log: Path, environment: dict[str, str], *command: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT, cwd=log.parent)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def hook() -> Iterator[tuple[str, list[bytes]]]:
    """A webhook on this machine, and what it was told."""
    told: list[bytes] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", told
        server.shutdown()


@pytest.mark.slow
def test_a_cron_fires_on_a_server_and_a_process_worker_does_the_job(
    made: Made, home: Path, tmp_path: Path, hook: tuple[str, list[bytes]]
) -> None:
    webhook, told_of = hook
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    data = tmp_path / "data"
    data.mkdir()
    (data / "model").symlink_to(made.model)
    (data / "records.parquet").symlink_to(made.records)
    environment = os.environ | {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": str(ROOT),
        "SIAMESE_DATA": str(data),
    }
    file = tmp_path / "prefect.yaml"
    file.write_text(FILE.read_text().replace('"0 1 * * *"', '"* * * * * */5"'))
    prefect = (sys.executable, "-m", "prefect")

    def call(*words: str) -> None:
        done = subprocess.run([*prefect, *words], env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    server = (*prefect, "server", "start", "--host", "127.0.0.1", "--port", str(port))
    with started(tmp_path / "server.log", environment, *server):
        wait_for(lambda: is_well(url))
        call("work-pool", "create", "siamese", "--type", "process")
        call("--no-prompt", "deploy", "--all", "--prefect-file", str(file))
        subprocess.run([sys.executable, ROOT / "examples" / "notify.py", webhook], env=environment, check=True)
        fail(url)
        told = json.loads(wait_for(lambda: told_of)[0])["text"]
        assert told == "siamese: nightly Failed\nthere is no 'partner.parquet'"
        pool = CLIENT.get(f"{url}/work_pools/siamese").json()
        assert pool["type"] == "process"
        deployed = CLIENT.post(f"{url}/deployments/filter", json={}).json()
        assert {each["name"] for each in deployed} == {"train", "index", "dedupe", "link", "update"}
        with started(tmp_path / "worker.log", environment, *prefect, "worker", "start", "--pool", "siamese"):
            completed = {
                "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}, "tags": {"all_": ["siamese", "index"]}}
            }
            runs = wait_for(lambda: CLIENT.post(f"{url}/flow_runs/filter", json=completed).json())
            assert runs[0]["auto_scheduled"] and runs[0]["work_pool_name"] == "siamese"
            assert runs[0]["parameters"]["flow_name"] == "index"
            check_manifest(data / "index", "index")
            [worker] = CLIENT.post(f"{url}/work_pools/siamese/workers/filter", json={}).json()
            assert worker["status"] == "ONLINE"


def fail(url: str) -> None:
    """A run with our tag that failed, as far as the server knows."""
    flow = CLIENT.post(f"{url}/flows/", json={"name": "scheduled"}).json()
    asked = {"flow_id": flow["id"], "name": "nightly", "tags": ["siamese"], "state": {"type": "PENDING"}}
    run = CLIENT.post(f"{url}/flow_runs/", json=asked).json()
    failed = {"type": "FAILED", "name": "Failed", "message": "there is no 'partner.parquet'"}
    CLIENT.post(f"{url}/flow_runs/{run['id']}/set_state", json={"state": failed, "force": True}).raise_for_status()


def is_well(url: str) -> bool:
    try:
        return CLIENT.get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False
