"""From nothing to a deduplicated corpus, by what a person would do: the page in a real browser, then the commands.

A stand-in for the person answers from the truth by the keys y and n, after a second for each pair: while a person thinks, the page learns.
Prints each command with what it said, and how long the page took from an answer to the next pair.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from accuracy import DATA

CHROMIUM = "/usr/bin/chromium"
SHOWN = "[...document.querySelectorAll('#pair thead bdi')].map((each) => each.textContent).join('|')"
SIAMESE = [str(Path(sys.executable).with_name("siamese"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", default="cora", help="a set of ../shared/data with true pairs")
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds that a pair is looked at")
    parser.add_argument(
        "--out", type=Path, default=Path("walk-through"), help="folder for labels, model and run; a new one"
    )
    asked = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"skipped: the public benchmark data is not at {DATA}")
    records, true_pairs = (DATA / asked.name / f"{name}.parquet" for name in ("records", "true_pairs"))
    asked.out.mkdir()
    labels, model, run = (asked.out / name for name in ("labels.parquet", "model", "run"))
    truth = {frozenset(pair) for pair in pd.read_parquet(true_pairs)[["left_id", "right_id"]].itertuples(index=False)}
    label(records, labels, truth, asked.labels, asked.pause)
    say("train", records, labels, "--out", model)
    say("dedupe", model, records, "--out", run, "--truth", true_pairs)


def label(records: Path, labels: Path, truth: set[frozenset[str]], wanted: int, pause: float) -> None:
    """Answer on the page, which is then ended as a person ends it."""
    from playwright.sync_api import sync_playwright

    command = ["label", str(records), "--pairs", str(labels), "--no-browser"]
    print("$ siamese", *command, flush=True)
    with (
        subprocess.Popen([*SIAMESE, *command], stdout=subprocess.PIPE, text=True) as serving,
        sync_playwright() as play,
    ):
        assert serving.stdout is not None
        address = re.search(r"http://\S+", serving.stdout.readline())[0]  # type: ignore[index]
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("#pair table")
        milliseconds = [answer(page, truth, pause) for _ in range(wanted)]
        time.sleep(2)  # the page asks how it stands now and then
        print(page.inner_text("#standing .advice"))
        browser.close()
        serving.send_signal(signal.SIGINT)
    median, late = np.percentile(milliseconds, [50, 95])
    print(
        f"{wanted} answers; from an answer to the next pair {median:.0f} ms (median), {late:.0f} ms (95%)\n", flush=True
    )


def answer(page: Any, truth: set[frozenset[str]], pause: float) -> float:
    """Milliseconds from the answer until the next pair is there."""
    time.sleep(pause)
    shown = page.evaluate(SHOWN)
    started = time.perf_counter()
    page.keyboard.press("y" if frozenset(shown.split("|")) in truth else "n")
    while page.evaluate(SHOWN) == shown:
        time.sleep(0.002)
    return 1000 * (time.perf_counter() - started)


def say(*command: object) -> None:
    print("$ siamese", *command, flush=True)
    subprocess.run([*SIAMESE, *map(str, command)], check=True, env=os.environ | {"COLUMNS": "150"})
    print(flush=True)


if __name__ == "__main__":
    main()
