"""Reports of real runs in a real browser, through the flows that make them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flows.embedded import embedded_server
from siamese.settings import TrainingConfig
from tests.pages import assert_works, opened


def train_on(folder: Path, source: Path, epochs: int = 1) -> pd.DataFrame:
    """A small model of a data set with known pairs; its records."""
    from flows.train import train

    records, true = pd.read_parquet(source / "records.parquet"), pd.read_parquet(source / "true_pairs.parquet")
    random = np.random.default_rng(0)
    genuine = true.sample(150, random_state=0)[["left_id", "right_id"]].assign(label=1)
    drawn = {"left_id": random.choice(true["left_id"], 300), "right_id": random.choice(true["right_id"], 300)}
    imposites = (
        pd.DataFrame(drawn)
        .merge(true, how="left", indicator=True)
        .query("_merge == 'left_only' and left_id != right_id")
    )
    pairs = pd.concat([genuine, imposites[["left_id", "right_id"]].assign(label=0)]).drop_duplicates(
        ["left_id", "right_id"]
    )
    records.to_parquet(folder / "records.parquet")
    pairs.to_parquet(folder / "pairs.parquet")
    config = TrainingConfig(epochs=epochs)
    train(str(folder / "records.parquet"), str(folder / "pairs.parquet"), str(folder / "model"), config=config)
    return records


@pytest.fixture(scope="session")
def cora(benchmarks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dedupe run with its truth."""
    folder = tmp_path_factory.mktemp("cora")
    with embedded_server():
        from flows.dedupe import dedupe

        train_on(folder, benchmarks / "cora")
        truth = str(benchmarks / "cora" / "true_pairs.parquet")
        dedupe(str(folder / "model"), str(folder / "records.parquet"), str(folder / "run"), truth=truth)
    return folder / "run"


@pytest.fixture(scope="session")
def abt_buy(benchmarks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A one-to-one link run without truth."""
    folder = tmp_path_factory.mktemp("abt-buy")
    with embedded_server():
        from flows.link import link

        records = train_on(folder, benchmarks / "abt-buy-tables")
        for side, table in records.groupby("source"):
            table.to_parquet(folder / f"{side}.parquet")
        link(
            str(folder / "model"),
            str(folder / "A.parquet"),
            str(folder / "B.parquet"),
            str(folder / "run"),
            one_to_one=True,
        )
    return folder / "run"


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1], ids=["cora", "abt-buy-tables"])
def test_reports_of_real_runs_work(cora: Path, abt_buy: Path, browser: Any, number: int) -> None:
    run = (cora, abt_buy)[number]
    summary = json.loads((run / "summary.json").read_text())
    thresholds = pd.read_parquet(run / "thresholds.parquet")
    chosen = thresholds[thresholds["is_chosen"]].iloc[0]
    assert chosen["flagged"] == summary["matches"] > 0
    assert chosen["expected_precision"] == pytest.approx(summary["expected_precision"])
    if summary["evaluation"]:
        measured = summary["evaluation"]["pairs"]
        assert chosen[["precision", "recall"]].tolist() == pytest.approx([measured["precision"], measured["recall"]])
    else:
        assert thresholds[["precision", "recall"]].isna().all(axis=None)
    for width in (1280, 375):
        with opened(browser, run / "report.html", width) as tab:
            assert_works(tab)
            assert tab.locator("[data-figure=flagged]").inner_text() == f"{summary['matches']:,}"
            assert tab.locator(".reliability svg circle").count() > 1
