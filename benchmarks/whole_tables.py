"""Whole runs by the whole-table protocol of ``../shared/data/README.md``: train on one half of the entities, run on the other.

Each set with the model's own threshold, then with a precision promised at 95% confidence. Nothing is tuned to a set: each is trained and
run with the defaults, but that all labels of the train half teach: what is held out is the other half.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from flows.embedded import embedded_server
from siamese.errors import SettingsError
from siamese.settings import TrainingConfig

PROMISES = (None, 0.9, 0.95, 0.99)
FIGURES = ["precision", "expected", "recall", "f1", "b_cubed", "candidate_recall"]
DATA = Path(__file__).parents[2] / "shared" / "data"


def halves(source: Path, folder: Path) -> bool:
    """Write records and true pairs of both halves; whether the set is a link of two tables."""
    records, truth = pd.read_parquet(source / "records.parquet"), pd.read_parquet(source / "true_pairs.parquet")
    part_of = pd.read_parquet(source / "entity_split.parquet").set_index("record_id")["part"]
    for part in ("train", "test"):
        some = records[records["record_id"].map(part_of) == part]
        some.to_parquet(folder / f"{part}.parquet")
        inside = truth["left_id"].isin(some["record_id"]) & truth["right_id"].isin(some["record_id"])
        truth[inside].to_parquet(folder / f"{part}_pairs.parquet")
        for side, table in some.groupby("source") if "source" in some else ():
            table.to_parquet(folder / f"{part}_{side}.parquet")
    return "source" in records and records["source"].nunique() == 2


def measure(name: str, seed: int) -> list[dict]:
    """Figures of one model: of its own threshold, then of each promise; a refused one has the reason."""
    from flows.dedupe import dedupe
    from flows.link import link
    from flows.train import train

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        two_tables = halves(DATA / name, folder)
        started = time.perf_counter()
        config = TrainingConfig(negatives="mined", hold_out=False, seed=seed)
        train(str(folder / "train.parquet"), str(folder / "train_pairs.parquet"), str(folder / "model"), config=config)
        trained = time.perf_counter() - started
        model, truth = str(folder / "model"), str(folder / "test_pairs.parquet")
        rows = []
        for promise in PROMISES:
            row = {"set": name, "seed": seed, "promise": promise or "none", "training": trained}
            run = str(folder / f"run {promise}")
            try:
                if two_tables:
                    left, right = str(folder / "test_A.parquet"), str(folder / "test_B.parquet")
                    summary = link(model, left, right, run, one_to_one=True, truth=truth, min_precision=promise)
                else:
                    summary = dedupe(model, str(folder / "test.parquet"), run, truth=truth, min_precision=promise)
            except SettingsError as error:
                rows.append({**row, "refused": str(error)})
                continue
            pairs, clusters = summary["evaluation"]["pairs"], summary["evaluation"]["clusters"]
            rows.append(
                {
                    **row,
                    **{key: pairs[key] for key in ("precision", "recall", "f1", "candidate_recall")},
                    "expected": summary["expected_precision"],
                    "b_cubed": clusters["b_cubed"]["f1"],
                    "adjusted_rand": clusters["adjusted_rand"],
                    "imposite_weight": summary["prior"]["imposite_weight"],
                    "lost": {cause: each["pairs"] for cause, each in summary["evaluation"]["recall_lost"].items()},
                }
            )
        return rows


def markdown(every: pd.DataFrame) -> str:
    titles = [
        "set",
        "promised precision",
        "kept",
        "precision",
        "expected",
        "recall",
        "F1",
        "B-cubed F1",
        "candidate recall",
    ]
    lines = [titles, ["---"] * len(titles)]
    for (name, promise), rows in every.groupby(["set", "promise"], sort=False):
        run = rows[rows["refused"].isna()]
        cells = [str(name), "none asked: best F1" if promise == "none" else f"{promise:.2f}"]
        if promise == "none":
            kept = ""
        else:
            kept = f"{int((run['precision'] >= promise).sum())} of {len(run)}"
            kept += f", {len(rows) - len(run)} refused" if len(run) < len(rows) else ""
        cells.append(kept)
        for key in FIGURES:
            cells.append(f"{run[key].mean():.3f} ± {run[key].std(ddof=0):.3f}" if len(run) else "")
        lines.append(cells)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="folder for whole_tables.md and whole_tables.json")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"skipped: the public benchmark data is not at {DATA}")
    names = arguments.names or sorted(path.parent.name for path in DATA.glob("*/entity_split.parquet"))
    rows: list[dict] = []
    with embedded_server():
        for name in names:
            for seed in range(arguments.seeds):
                rows += measure(name, seed)
                print(json.dumps(rows[-len(PROMISES) :]), file=sys.stderr, flush=True)
    page = markdown(pd.DataFrame(rows).reindex(columns=["set", "promise", "refused", *FIGURES]))
    print(page)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "whole_tables.md").write_text(page + "\n")
        (arguments.out / "whole_tables.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
