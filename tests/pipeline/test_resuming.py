"""The folder that a job works in: kept for the same job when the process is killed, else removed."""

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.resuming import LOCK, asked_of, job_folder, job_key, once
from siamese.errors import OutputError, PromiseError

KEY, OTHER = "0123456789abcdef", "fedcba9876543210"
KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline.resuming import job_folder, once
with job_folder(sys.argv[1], sys.argv[2]) as (run, work):
    once(work, "first", dict)
    (run / "half").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_in(out: Path, key: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, out, key], cwd=Path(__file__).parents[2])
    assert done.returncode == -9


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_outputs_alone_take_their_place(tmp_path: Path) -> None:
    with job_folder(tmp_path / "run", KEY) as (run, work):
        (run / "a").write_text("x")
        (work / "b").write_text("y")
        assert not (tmp_path / "run").exists()
    assert names(tmp_path) == {"run"} and names(tmp_path / "run") == {"a"}


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    for error, stays in ((RuntimeError, True), (PromiseError, False)):
        with pytest.raises(error), job_folder(tmp_path / "run", KEY, stays):
            raise error
        assert not names(tmp_path)


def test_a_refused_promise_leaves_its_work_if_it_is_to_stay(tmp_path: Path) -> None:
    folder = tmp_path / f".run.{KEY}.partial"
    with pytest.raises(PromiseError, match=f"too much .the work so far stays in '{folder}'"):  # noqa: SIM117
        with job_folder(tmp_path / "run", KEY, stays=True) as (_, work):
            asked_of(work, [0.9], ["decide"])
            once(work, "work", dict)
            once(work, "decide", dict)
            raise PromiseError("too much")
    assert names(tmp_path) == {folder.name}
    with job_folder(tmp_path / "run", KEY) as (_, work):
        asked_of(work, [0.9], ["decide"])
        assert once(work, "decide", dict, [("asked", "again")]) == {}
        asked_of(work, [0.8], ["decide"])
        assert once(work, "work", dict, [("asked", "again")]) == {}
        assert once(work, "decide", dict, [("asked", "again")]) == {"asked": "again"}
    assert names(tmp_path) == {"run"}


def test_the_same_job_goes_on(tmp_path: Path) -> None:
    kill_in(tmp_path / "run", KEY)
    assert names(tmp_path) == {f".run.{KEY}.partial"}
    with job_folder(tmp_path / "run", KEY) as (run, work):
        assert once(work, "first", dict, [("done", "again")]) == {}
        assert once(work, "second", dict, [("done", "now")]) == {"done": "now"}
        assert names(run) == {"half"}
    assert names(tmp_path) == {"run"}


def test_another_job_removes_what_is_stale_and_nothing_else(tmp_path: Path) -> None:
    kill_in(tmp_path / "run", KEY)
    others = {f".other.{KEY}.partial", ".run.1234567.partial", "run.txt"}
    for name in (*others, ".run.12345678.partial"):  # the last as a killed command leaves it
        (tmp_path / name).mkdir()
    with job_folder(tmp_path / "run", OTHER) as (run, _):
        assert not names(run)
        assert names(tmp_path) == others | {f".run.{OTHER}.partial"}
    assert names(tmp_path) == others | {"run"}


@pytest.mark.parametrize("key", [KEY, OTHER])
def test_one_process_at_a_time(tmp_path: Path, key: str) -> None:
    with (
        job_folder(tmp_path / "run", KEY),
        pytest.raises(OutputError, match=r"process \d+ on .*, since 2.* is making '.*/run'"),
        job_folder(tmp_path / "run", key),
    ):
        pass
    assert names(tmp_path) == {"run"}


def test_a_lock_that_says_nothing_yet(tmp_path: Path) -> None:
    with job_folder(tmp_path / "run", KEY) as (run, _):
        (run.parent / LOCK).write_text("")
        with pytest.raises(OutputError, match="another process is making"), job_folder(tmp_path / "run", KEY):
            pass


def test_the_key_follows_from_all_that_is_asked() -> None:
    assert job_key({"a": 1, "b": 2}) == job_key({"b": 2, "a": 1}) != job_key({"a": 1, "b": 3})


def test_a_full_disk_is_told_in_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    for fault in (OSError(errno.ENOSPC, "full"), shutil.Error([("a", "b", "[Errno 28] No space left on device")])):
        said = pytest.raises(OutputError, match=r"cannot write '.*/run' \(.*No space left.*\): make room")
        with said, job_folder(tmp_path / "run", KEY):
            raise fault
        assert not names(tmp_path)


def test_a_lock_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("pipeline.resuming.json.dumps", full)
    with pytest.raises(OutputError, match="No space left"), job_folder(tmp_path / "run", KEY):
        pass
    assert not names(tmp_path)


def test_a_job_killed_while_it_takes_the_place_of_an_earlier_output(tmp_path: Path) -> None:
    """It is not gone on in: what lies there may be the earlier output."""
    (tmp_path / "run").mkdir()
    killed = KILLED.replace(
        "os.kill(", "publishing.shutil.rmtree = resuming.shutil.rmtree = lambda *_, **__: os.kill("
    ).replace("import os, signal", "from siamese import publishing\nfrom pipeline import resuming\nimport os, signal")
    done = subprocess.run([sys.executable, "-c", killed, tmp_path / "run", KEY], cwd=Path(__file__).parents[2])
    assert done.returncode == -9
    assert names(tmp_path / "run") == {"half"}
    (tmp_path / "run" / "half").unlink()  # no job ends without a manifest, by which its output is known
    with job_folder(tmp_path / "run", KEY) as (run, work):
        assert not names(run) and once(work, "first", dict, [("done", "anew")]) == {"done": "anew"}
        (run / "whole").write_text("x")
    assert names(tmp_path) == {"run"} and names(tmp_path / "run") == {"whole"}
