"""What the tests of the command line share: a small corpus with its model and index, made once."""

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from flows.embedded import embedded_server
from pipeline.synthetic import make_corpus
from siamese.encoder import SiameseEncoder
from tests.flows.command import Answer, Made, Run, call


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    make_corpus(300, seed=0, n_pairs=200).save(folder)
    found = Made(
        *(folder / name for name in ("records.parquet", "pairs.parquet", "model", "other", "index")),
    )
    assert call("train", found.records, found.pairs, "--out", found.model, "--epochs", 2) == 0
    replace(SiameseEncoder.load(found.model), margin=2.0).save(found.other)
    assert call("index", found.model, found.records, "--out", found.index) == 0
    return found


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
