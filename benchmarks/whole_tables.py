"""Whole runs by the whole-table protocol of ``../shared/data/README.md``: train on one half of the entities, run on the other.

Prints one Markdown row a data set. Nothing is tuned to a set: each is trained and run with the defaults.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from flows.embedded import embedded_server
from siamese.settings import TrainingConfig

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


def measure(name: str, seed: int) -> dict:
    from flows.dedupe import dedupe
    from flows.link import link
    from flows.train import train

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        two_tables = halves(DATA / name, folder)
        started = time.perf_counter()
        config = TrainingConfig(negatives="mined", seed=seed)
        train(str(folder / "train.parquet"), str(folder / "train_pairs.parquet"), str(folder / "model"), config=config)
        trained = time.perf_counter() - started
        model, run, truth = str(folder / "model"), str(folder / "run"), str(folder / "test_pairs.parquet")
        if two_tables:
            left, right = str(folder / "test_A.parquet"), str(folder / "test_B.parquet")
            summary = link(model, left, right, run, one_to_one=True, truth=truth)
        else:
            summary = dedupe(model, str(folder / "test.parquet"), run, truth=truth)
    pairs, clusters = summary["evaluation"]["pairs"], summary["evaluation"]["clusters"]["b_cubed"]
    return {
        **{key: pairs[key] for key in ("precision", "recall", "f1", "candidate_recall")},
        "b_cubed": clusters["f1"],
        "train_s": trained,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"skipped: the public benchmark data is not at {DATA}")
    names = arguments.names or sorted(path.parent.name for path in DATA.glob("*/entity_split.parquet"))
    print(
        "| set | precision | recall | F1 (sd) | candidate recall | B-cubed F1 | training, s |\n|---|---|---|---|---|---|---|"
    )
    with embedded_server():
        for name in names:
            table = pd.DataFrame([measure(name, seed) for seed in range(arguments.seeds)])
            mean, spread = table.mean(), table["f1"].std(ddof=0)
            print(
                f"| {name} | {mean.precision:.3f} | {mean.recall:.3f} | {mean.f1:.3f} ({spread:.3f}) | {mean.candidate_recall:.3f} "
                f"| {mean.b_cubed:.3f} | {mean.train_s:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
