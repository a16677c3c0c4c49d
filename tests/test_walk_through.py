"""From no labels to a deduplicated public corpus: what `make walk-through` prints."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_answers_on_the_page_are_enough_for_a_first_result(benchmarks: Path, tmp_path: Path, browser: object) -> None:
    script = ROOT / "benchmarks" / "walk_through.py"
    done = subprocess.run(
        [sys.executable, script, "--labels", "60", "--out", tmp_path / "out"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (f1,) = re.findall(r"pairs against the truth +precision [\d.]+, recall [\d.]+, F1 ([\d.]+)", done.stdout)
    assert float(f1) > 0.7
