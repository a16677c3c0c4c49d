"""What the tests of the command line share."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from flows.embedded import embedded_server
from tests.flows.command import Answer, Run, call


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run_(*args: object) -> Answer:
        capsys.readouterr()
        code = call(*args)
        return Answer(code, *capsys.readouterr())

    return run_


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A Prefect home whose database is made: a copy of this process's, for Prefect takes ten seconds to make one."""
    folder = tmp_path / "home"
    folder.mkdir()
    with (
        embedded_server(),
        closing(sqlite3.connect(Path(os.environ["PREFECT_HOME"]) / "prefect.db")) as made,
        closing(sqlite3.connect(folder / "prefect.db")) as copied,
    ):
        made.backup(copied)
    return folder
