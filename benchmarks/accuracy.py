"""Test F1 of the distance alone on the labelled-pair sets of ``../shared/data``, on their published splits.

Prints one Markdown row a set: mean and spread over seeds. Threshold, margin and epoch come from train and valid alone.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from pipeline.evaluation import evaluate_encoder
from pipeline.fitting import fit_encoder
from pipeline.pairs import LabelledPairs
from pipeline.records import Records
from siamese.settings import TrainingConfig

DATA = Path(__file__).parents[2] / "shared" / "data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tower", default="ngram")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"skipped: the public benchmark data is not at {DATA}")
    names = arguments.names or sorted(path.parent.name for path in DATA.glob("*/pairs.parquet"))
    print(f"| set ({arguments.tower}) | test F1 (sd) | average precision | training, s |\n|---|---|---|---|")
    means = []
    for name in names:
        records, pairs = (
            Records.open(str(DATA / name / "records.parquet")),
            LabelledPairs.read(str(DATA / name / "pairs.parquet")),
        )
        results, seconds = [], []
        for seed in range(arguments.seeds):
            started = time.perf_counter()
            encoder = fit_encoder(records, pairs, tower=arguments.tower, config=TrainingConfig(seed=seed))
            seconds.append(time.perf_counter() - started)
            results.append(evaluate_encoder(encoder, records, pairs, "test"))
        f1 = [result["f1"] for result in results]
        means.append(np.mean(f1))
        precision = np.mean([result["average_precision"] for result in results])
        print(
            f"| {name} | {np.mean(f1):.3f} ({np.std(f1):.3f}) | {precision:.3f} | {np.mean(seconds):.1f} |", flush=True
        )
    print(f"| mean | {np.mean(means):.3f} | | |")


if __name__ == "__main__":
    main()
