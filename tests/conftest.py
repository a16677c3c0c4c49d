"""What all tests share: a Prefect home of their own, and the public benchmark data where it lies beside the project."""

import os
import tempfile
from pathlib import Path

import pytest

os.environ.setdefault("PREFECT_HOME", tempfile.mkdtemp(prefix="siamese-tests-"))  # before any test imports prefect

BENCHMARKS = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def benchmarks() -> Path:
    if not BENCHMARKS.is_dir():
        pytest.skip(f"the public benchmark data is not at {BENCHMARKS}")
    return BENCHMARKS
