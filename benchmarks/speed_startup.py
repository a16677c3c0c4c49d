"""Start-up: whole commands from nothing to their end, as a person waits for them."""

import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

REPEATS = 3
SIAMESE = [sys.executable, "-c", "from flows.cli import main; main()"]


def measure(folder: str, small: str, model: str, place: str) -> list[dict[str, Any]]:
    """Best and median seconds of three commands.

    Args:
        folder: the corpus that is queried, with its index made before.
        small: that of 1,000 records.
        model: trained.
        place: a folder for what the commands write.
    """
    index, out = str(Path(place) / "index"), Path(place) / "run"
    if not Path(index).is_dir():
        call(["index", model, f"{folder}/records.parquet", "--out", index])
    record = (
        pd.read_parquet(f"{folder}/records.parquet")
        .drop(columns="record_id")
        .iloc[0]
        .dropna()
        .to_json(force_ascii=False)
    )
    commands = {
        "siamese --help": ["--help"],
        "siamese query, index of {n} records": ["query", index, "--k", "3", "--json", record],
        "siamese dedupe, {m} records": ["dedupe", model, f"{small}/records.parquet", "--out", str(out)],
    }
    sizes = {"n": f"{count(folder):,}", "m": f"{count(small):,}"}
    rows = []
    for title, arguments in commands.items():
        seconds = []
        for _ in range(REPEATS):
            shutil.rmtree(out, ignore_errors=True)
            seconds.append(call(arguments))
        rows.append({"command": title.format(**sizes), "best_s": min(seconds), "median_s": statistics.median(seconds)})
    return rows


def call(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([*SIAMESE, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def count(folder: str) -> int:
    return len(pd.read_parquet(f"{folder}/records.parquet", columns=["record_id"]))
