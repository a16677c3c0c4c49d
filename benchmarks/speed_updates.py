"""An update beside a whole run of the same records: the flow ``update`` from a run that has not seen one record in a hundred."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from speed_process import Cost
from speed_truth import Truth

NEW = 0.01  # of the records


def measure(folder: str, model: str) -> dict[str, Any]:
    """Costs of both and of their stages, in one process after a run of the old records that is not counted; how right either is."""
    from flows.embedded import embedded_server

    records = Path(folder) / "records.parquet"
    every, truth = pd.read_parquet(records), Truth.read(Path(folder))
    with tempfile.TemporaryDirectory() as place, embedded_server():
        from flows.dedupe import dedupe
        from flows.update import update

        old = every.drop(every.sample(frac=NEW, random_state=0).index)
        before, whole, updated = (str(Path(place) / name) for name in ("before", "whole", "updated"))
        old.to_parquet(f"{place}/old.parquet")
        dedupe(model, f"{place}/old.parquet", before, keep_state=True)
        with Cost() as cost_whole:
            stages_whole = dedupe(model, str(records), whole, keep_state=True)["seconds"]
        with Cost() as cost_update:
            stages_update = update(before, str(records), updated)["seconds"]
        f1 = [_f1(Path(run), truth) for run in (whole, updated)]
        shutil.rmtree(before)
    costs = {"whole": cost_whole.figures, "update": cost_update.figures}
    return {
        "records": len(every),
        "new": len(every) - len(old),
        **{f"{name}_{key}": cost[key] for key in ("seconds", "cpu_s") for name, cost in costs.items()},
        "seconds_ratio": cost_update.figures["seconds"] / cost_whole.figures["seconds"],
        "cpu_ratio": cost_update.figures["cpu_s"] / cost_whole.figures["cpu_s"],
        "whole_f1": f1[0],
        "update_f1": f1[1],
        "stages": {"whole": stages_whole, "update": stages_update},
    }


def _f1(run: Path, truth: Truth) -> float:
    pairs = pd.read_parquet(run / "pairs.parquet", columns=["left_id", "right_id", "is_match"])
    return float(truth.scores(*truth.rows(pairs[pairs["is_match"]]))["f1"])
