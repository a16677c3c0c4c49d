"""What all tests share: a Prefect home of their own, a small model, the benchmark data where it lies beside the project, and a browser."""

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.flows.command import Made, call

os.environ.setdefault("PREFECT_HOME", tempfile.mkdtemp(prefix="siamese-tests-"))  # before any test imports prefect
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: threads would only wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started with & by a shell: children would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)

gc.disable()  # until all is collected: a quarter of the time of the imports would go into looking through what stays

settings.register_profile("untimed", deadline=None)  # how long an example takes says nothing on a busy machine
settings.load_profile("untimed")

BENCHMARKS = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A small corpus with its model and index."""
    from pipeline.synthetic import make_corpus
    from siamese.encoder import SiameseEncoder

    folder = tmp_path_factory.mktemp("made")
    make_corpus(300, seed=0, n_pairs=200).save(folder)
    found = Made(*(folder / name for name in ("records.parquet", "pairs.parquet", "model", "other", "index")))
    assert call("train", found.records, found.pairs, "--out", found.model, "--epochs", 2) == 0
    replace(SiameseEncoder.load(found.model), margin=2.0).save(found.other)
    assert call("index", found.model, found.records, "--out", found.index) == 0
    return found


@pytest.fixture(scope="session")
def benchmarks() -> Path:
    if not BENCHMARKS.is_dir():
        pytest.skip(f"the public benchmark data is not at {BENCHMARKS}")
    return BENCHMARKS


@pytest.fixture(scope="module")  # not session: while it is open, Prefect takes this thread for an asynchronous one
def browser() -> Iterator[Any]:
    """Debian's Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra [test])")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no chromium on the path: apt-get install chromium")
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield made
        made.close()
