"""What all tests share: a Prefect home of their own, and the public benchmark data where it lies beside the project."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("PREFECT_HOME", tempfile.mkdtemp(prefix="siamese-tests-"))  # before any test imports prefect
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: threads would only wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("untimed", deadline=None)  # how long an example takes says nothing on a busy machine
settings.load_profile("untimed")

BENCHMARKS = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def benchmarks() -> Path:
    if not BENCHMARKS.is_dir():
        pytest.skip(f"the public benchmark data is not at {BENCHMARKS}")
    return BENCHMARKS
