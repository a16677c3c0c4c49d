"""What all tests share: a Prefect home of their own, the public benchmark data where it lies beside the project, and a browser."""

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

os.environ.setdefault("PREFECT_HOME", tempfile.mkdtemp(prefix="siamese-tests-"))  # before any test imports prefect
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: threads would only wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background of a shell: children would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)

gc.disable()  # until all is collected: a quarter of the time of the imports would go into looking through what stays

settings.register_profile("untimed", deadline=None)  # how long an example takes says nothing on a busy machine
settings.load_profile("untimed")

BENCHMARKS = Path(__file__).parents[2] / "shared" / "data"


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


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
