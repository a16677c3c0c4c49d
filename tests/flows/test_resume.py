"""A run that was killed, and the same command again."""

import random
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.resuming import job_folder
from siamese.prior import estimate_prior
from tests.flows.command import Made, Run, assert_refused
from tests.flows.forks import Forks, forks
from tests.flows.test_update import changed
from tests.processes import of_session

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for stray processes in /proc")
WITHIN_SECONDS = 60.0
MOMENTS = 5


class Undisturbed(NamedTuple):
    """A run that nothing happened to."""

    forks: Forks
    made: Made
    seconds: float
    files: dict[str, bytes]

    def dedupe(self, out: Path) -> int:
        return self.forks.start("dedupe", self.made.model, self.made.records, "--out", out, "--json")

    def assert_same(self, out: Path) -> None:
        """The same bytes, and nothing beside them."""
        assert results(out) == self.files
        assert [path.name for path in out.parent.iterdir()] == [out.name]


def results(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("*.parquet")}


@pytest.fixture(scope="module")
def undisturbed(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    folder = tmp_path_factory.mktemp("undisturbed")
    with forks(queries=64, pairs=256) as here:
        started = time.monotonic()
        whole = Undisturbed(here, made, 0.0, {})
        whole.dedupe(folder / "run")
        assert here.code() == 0
        yield whole._replace(seconds=time.monotonic() - started, files=results(folder / "run"))


def notes(out: Path) -> dict[str, int]:
    """What a killed run has done, and when."""
    return {note.stem: note.stat().st_mtime_ns for note in out.parent.glob(f".{out.name}.*.partial/work/done/*.json")}


def wait_for(out: Path, note: str) -> None:
    until = time.monotonic() + WITHIN_SECONDS
    while note not in notes(out):
        assert time.monotonic() < until, f"there is no note of {note}"
        time.sleep(0.001)


def test_what_is_done_is_not_done_again(undisturbed: Undisturbed, tmp_path: Path) -> None:
    """One run, killed again and again on its way."""
    out = tmp_path / "run"
    done: dict[str, int] = {}
    for note in ("embed-left-000000", "propose", "search-000001", "gather", "score-000001"):
        pid = undisturbed.dedupe(out)
        wait_for(out, note)
        assert undisturbed.forks.kill(pid) == -9
        assert not of_session(pid) and not out.exists()
        now = notes(out)
        assert done.items() < now.items(), "a note was written twice"
        done = now
    undisturbed.dedupe(out)
    assert undisturbed.forks.code() == 0
    undisturbed.assert_same(out)


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_run_killed_at_any_moment(undisturbed: Undisturbed, tmp_path: Path, moment: int) -> None:
    out = tmp_path / "run"
    pid = undisturbed.dedupe(out)
    time.sleep((moment + random.Random(moment).random()) / MOMENTS * undisturbed.seconds)  # one in each part of a run
    undisturbed.forks.kill(pid)
    assert not of_session(pid)
    undisturbed.dedupe(out)
    assert undisturbed.forks.code() == 0
    undisturbed.assert_same(out)


@pytest.mark.slow
def test_an_update_that_was_killed_again_and_again(undisturbed: Undisturbed, tmp_path: Path) -> None:
    base, whole, out = (tmp_path / name for name in ("base", "whole", "killed/run"))
    out.parent.mkdir()
    here, made = undisturbed.forks, undisturbed.made
    records = changed(made.records, tmp_path / "now.parquet")

    def update(out: Path) -> int:
        return here.start("update", base, records, "--out", out, "--json")

    here.start("dedupe", made.model, made.records, "--out", base, "--keep-state")
    assert here.code() == 0
    update(whole)
    assert here.code() == 0
    done: dict[str, int] = {}
    for note in ("again-embed", "again-search", "gather", "again-score"):
        pid = update(out)
        wait_for(out, note)
        assert here.kill(pid) == -9
        assert not of_session(pid) and not out.exists()
        now = notes(out)
        assert done.items() < now.items(), "a note was written twice"
        done = now
    update(out)
    assert here.code() == 0
    assert results(out) == results(whole) and len(results(out)) > 8
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_a_refused_promise_goes_on_when_less_is_asked(
    run: Run, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sure = lambda *given: replace(estimate_prior(*given), at_most=1.0)  # noqa: E731 (129 pairs show hardly a promise)
    monkeypatch.setattr("pipeline.decision.estimate_prior", sure)
    out, whole = tmp_path / "here" / "run", tmp_path / "whole"
    out.parent.mkdir()
    asked = "dedupe", made.model, made.records, "--keep-state", "--min-precision"
    assert_refused(run(*asked, 0.9999, "--out", out), "cannot be promised", f"stays in '{out.parent}/.run.")
    assert not out.exists() and "score-000000" in notes(out) and "match" not in notes(out)
    assert run(*asked, 0.5, "--confidence", 0.1, "--out", whole).code == 0
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.stages.score_block", None)  # it is not called again
        assert run(*asked, 0.5, "--confidence", 0.1, "--out", out).code == 0
    assert results(out) == results(whole)
    assert [path.name for path in out.parent.iterdir()] == ["run"]
    # Whatever else is asked for begins anew, and what stayed is gone.
    assert_refused(run(*asked, 0.9999, "--out", out), "stays in")
    assert run("dedupe", made.model, made.records, "--out", out).code == 0
    assert [path.name for path in out.parent.iterdir()] == ["run"]


def test_two_runs_of_one_output_at_once(run: Run, made: Made, tmp_path: Path) -> None:
    with job_folder(tmp_path / "run", "0" * 16):
        answer = run("dedupe", made.model, made.records, "--out", tmp_path / "run")
        assert_refused(answer, "process ", " since ", f"is making '{tmp_path / 'run'}': wait until it ends")
