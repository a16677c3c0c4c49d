"""Ours by the protocol of the peers: the flow ``dedupe``, from the records file to the whole run folder."""

import shutil
import time
from pathlib import Path
from typing import Any

import pandas as pd
from speed_process import Cost
from speed_truth import Truth


def measure(folder: str, model: str, verifier: bool, out: str) -> dict[str, Any]:
    """Pairs, clusters, unique records, report and manifest; how right the flagged pairs are.

    The start of the flows' own server, with all imports, is apart.
    """
    from flows.embedded import embedded_server

    records = str(Path(folder) / "records.parquet")
    shutil.rmtree(out, ignore_errors=True)
    started = time.perf_counter()
    with embedded_server():
        import lightgbm  # noqa: F401 (a run does, where its verifier first looks)

        from flows.dedupe import dedupe

        server_s = time.perf_counter() - started
        with Cost() as cost:
            summary = dedupe(model, records, out, verifier=verifier)
    pairs = pd.read_parquet(Path(out) / "pairs.parquet", columns=["left_id", "right_id", "is_match"])
    shutil.rmtree(out)
    truth = Truth.read(Path(folder))
    right = truth.scores(*truth.rows(pairs[pairs["is_match"]]))
    stages = {"server": server_s, **summary["seconds"]}
    return {**cost.figures, **right, "candidates": len(pairs), "stages": stages, "search": summary["search"]}
