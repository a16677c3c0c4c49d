"""The embedded server: real Prefect, each run in a process and a PREFECT_HOME of its own."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

pytest.importorskip("prefect")

ROOT = Path(__file__).parents[2]
TIMEOUT = 120  # a guard against hanging, not a measure

PRELUDE = """
import os, sys
OUTSIDE = []
def watch(event, args):
    if event == "socket.getaddrinfo":
        OUTSIDE.append(args[0])
    elif event == "socket.connect" and isinstance(args[1], tuple):
        OUTSIDE.append(args[1][0])
sys.addaudithook(watch)

from flows.embedded import embedded_server, quiet_defaults
assert "prefect" not in sys.modules
quiet_defaults()
from prefect import flow, task
"""

# Everything a run does, after a start that fails; its arguments are scripts for other processes.
EVERYTHING = """
import asyncio, gc, subprocess, threading
from prefect.artifacts import (
    create_markdown_artifact, create_progress_artifact, create_table_artifact,
    update_progress_artifact,
)
from prefect.settings import get_current_settings, temporary_settings
from sqlalchemy.exc import OperationalError

tries = []

@task(retries=2)
def third_time():
    tries.append(1)
    if len(tries) < 3:
        raise ValueError("not yet")
    return len(tries)

@task
def report():
    create_table_artifact([{"a": 1}], key="table")
    create_markdown_artifact("# done", key="markdown")
    progress = create_progress_artifact(0.0, key="progress")
    update_progress_artifact(progress, 50.0)

@task
def double(x):
    return 2 * x

@flow
def working():
    report()
    return third_time()

@flow
def failing():
    raise KeyError("boom")

@flow
def mapping(n):
    return double.map(range(n)).result()

@flow
async def asynchronous():
    return 7

with temporary_settings({"server.database.connection_url": "sqlite+aiosqlite:////missing/db"}):
    try:
        with embedded_server():
            raise AssertionError
    except OperationalError as error:
        assert "unable to open database file" in str(error)

with temporary_settings({"flows.default_retries": 3}), embedded_server() as first:
    assert get_current_settings().flows.default_retries == 3

with embedded_server() as url, embedded_server() as nested:
    assert first == url == nested
    assert get_current_settings().flows.default_retries == 0
    assert working() == 3
    try:
        failing()
    except KeyError as error:
        assert error.args == ("boom",)
    else:
        raise AssertionError

async def notebook():
    with embedded_server() as again:
        assert again == url
        assert mapping(30) == [2 * x for x in range(30)]
        assert await asynchronous() == 7

asyncio.run(notebook())

with embedded_server():
    for script in sys.argv[1:]:
        subprocess.run(
            [sys.executable, "-c", script, url, "run"],
            env=os.environ | {"PREFECT_API_URL": url, "PREFECT_LOGGING_LEVEL": "CRITICAL"},
            check=True,
        )

assert gc.isenabled()
assert sum(t.name == "prefect-server" for t in threading.enumerate()) == 1
assert set(OUTSIDE) <= {"127.0.0.1", None}, OUTSIDE
"""

SLEEPING = """
import time

@task
def sleep():
    print("running", flush=True)
    time.sleep(600)

@flow
def sleeping():
    sleep()

with embedded_server():
    sleeping()
"""

# A process that has imported everything forks as many as it is given pairs of files to say things to; prints their pids, then their codes.
FORKING = """
import prefect.server.api.server, uvicorn

files = [int(number) for number in sys.argv[1:]]
pids = []
for out, err in zip(files[::2], files[1::2]):
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.dup2(out, 1)
        os.dup2(err, 2)
        break
    pids.append(pid)
    print(pid, flush=True)
for file in files:
    os.close(file)
if pid == 0:
    exec(SLEEPING)
for pid in pids:
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
""".replace("SLEEPING", repr(SLEEPING))

REMOTE = """
@flow
def remote():
    return 1

with embedded_server() as url:
    assert url == sys.argv[1], url
    if sys.argv[2:] == ["run"]:
        assert remote() == 1
assert "prefect.server.api.server" not in sys.modules
assert os.environ["DO_NOT_TRACK"] == "1"
"""


class Finished(NamedTuple):
    code: int
    out: str
    err: str


def start(home: Path, script: str, *args: str, files: Sequence[int] = (), **env: str) -> subprocess.Popen[str]:
    """Start a script in a session of its own, with no Prefect setting but its home; it may write to ``files``."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    clean.pop("DO_NOT_TRACK", None)
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script, *args],
        env=clean | {"PREFECT_HOME": str(home), "PYTHONPATH": str(ROOT)} | env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        pass_fds=files,
    )


def finish(process: subprocess.Popen[str]) -> Finished:
    try:
        out, err = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
    return Finished(process.returncode, out, err)


def left_in_session(session: int) -> list[str]:
    """List the live processes of a session, as "pid (name) state"."""
    left = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue  # ended meanwhile
        state, _parent, _group, of = text.rpartition(")")[2].split()[:4]
        if int(of) == session and state != "Z":
            left.append(text[:40])
    return left


def rows(home: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(home / "prefect.db") as database:
        return database.execute(query).fetchall()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture(scope="module")
def twins(home: Path) -> tuple[Finished, Finished]:
    """Two runs at once, both the first on their home; the second's user wants Prefect's log."""
    quiet = start(home, EVERYTHING, PRELUDE + REMOTE)
    verbose = start(home, EVERYTHING, PREFECT_LOGGING_LEVEL="INFO")
    return finish(quiet), finish(verbose)


@pytest.fixture
def migrated(home: Path, twins: tuple[Finished, Finished]) -> Path:
    return home


def test_runs_print_nothing(twins: tuple[Finished, Finished]) -> None:
    assert twins[0] == Finished(0, "", "")


def test_a_log_level_of_the_user_wins(twins: tuple[Finished, Finished]) -> None:
    code, out, err = twins[1]
    assert (code, out) == (0, "")
    assert "Beginning flow run" in err
    assert "KeyError: 'boom'" in err


def test_the_history_is_complete(migrated: Path) -> None:
    assert rows(migrated, "SELECT state_type, count(*) FROM flow_run GROUP BY 1 ORDER BY 1") == [
        ("COMPLETED", 2 * 3 + 1),
        ("FAILED", 2),
    ]
    assert rows(migrated, "SELECT state_type, count(*) FROM task_run GROUP BY 1") == [("COMPLETED", 2 * (1 + 1 + 30))]
    assert rows(migrated, "SELECT key, count(*) FROM artifact WHERE key NOT NULL GROUP BY 1 ORDER BY 1") == [
        ("markdown", 2),
        ("progress", 2),
        ("table", 2),
    ]
    assert rows(migrated, "SELECT data FROM artifact WHERE key = 'progress'") == [(50,)] * 2


def test_a_later_server_still_registers_its_blocks(migrated: Path) -> None:
    assert not (migrated / "memo_store.toml").exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_nothing_outlives_a_stopped_run(migrated: Path) -> None:
    signals = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
    pipes = [os.pipe() for _ in range(2 * len(signals))]
    ends = [end for _, end in pipes]
    forking = start(migrated, FORKING, *map(str, ends), files=ends)
    for end in ends:
        os.close(end)
    said = [os.fdopen(beginning) for beginning, _ in pipes]
    assert forking.stdout is not None
    pids = [int(forking.stdout.readline()) for _ in signals]
    try:
        for out in said[::2]:
            assert out.readline() == "running\n"
        for pid, number in zip(pids, signals, strict=True):
            assert len(left_in_session(pid)) == 1
            os.kill(pid, number)
        texts = [file.read() for file in said]  # returns once nobody can write there
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        ended = finish(forking)
    for file in said:
        file.close()
    assert ended == Finished(0, "".join(f"{-number}\n" for number in signals), "")
    assert texts[:5] == [""] * 5
    assert texts[5].rstrip().endswith("KeyboardInterrupt")
    assert [left_in_session(pid) for pid in pids] == [[], [], []]


def test_a_configured_server_gets_the_runs(migrated: Path) -> None:
    query = "SELECT state_type FROM flow_run JOIN flow ON flow.id = flow_id WHERE flow.name = "
    assert rows(migrated, query + "'remote'") == [("COMPLETED",)]


def test_a_server_in_the_active_profile_counts(tmp_path: Path) -> None:
    url = "http://prefect.invalid/api"
    (tmp_path / "profiles.toml").write_text(f'active = "real"\n[profiles.real]\nPREFECT_API_URL = "{url}"\n')
    assert finish(start(tmp_path, REMOTE, url)) == Finished(0, "", "")


def test_a_flow_called_from_python_needs_no_server_and_prints_nothing(migrated: Path, tmp_path: Path) -> None:
    """Prefect would start one beside the process, and say so."""
    (tmp_path / "records.csv").write_text("record_id,name\n1,anna\n2,bert\n")
    script = f"""
from flows.dedupe import dedupe
from siamese.errors import DataError
folder = {str(tmp_path)!r}
assert dedupe(None, folder + "/records.csv", folder + "/run")["records"] == 2
try:
    dedupe(None, folder + "/nothing.csv", folder + "/other")
except DataError:
    print("refused")
"""
    assert finish(start(migrated, script)) == Finished(0, "refused\n", "")
