"""Clusters parted by average linkage against plain connected components of the very same flagged pairs: B-cubed and pairwise scores.

Every set with truth in ``../shared/data``, by the whole-table protocol (train on one half of the entities, dedupe the other); tables
that are meant to be linked are laid into one corpus. Beside them a corpus that is made from a seed, with a model trained on another one.
All settings are the defaults. ``--speed`` parts scored pairs that are drawn at random, without any model, and gives seconds.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from whole_tables import DATA, halves

from flows.embedded import embedded_server

MADE = "made"


def prepare(name: str, seed: int, folder: Path) -> dict[str, Path]:
    """Files of a set: records and pairs to learn from, records and true pairs to measure by."""
    from pipeline.synthetic import make_corpus

    if name == MADE:
        make_corpus(5_000, seed=1_000 + seed).save(folder / "train")
        make_corpus(5_000, seed=seed).save(folder / "test")
        train, test = folder / "train", folder / "test"
        return {
            "train": train / "records.parquet",
            "pairs": train / "pairs.parquet",
            "test": test / "records.parquet",
            "truth": test / "true_pairs.parquet",
        }
    halves(DATA / name, folder)
    names = {"train": "train", "pairs": "train_pairs", "test": "test", "truth": "test_pairs"}
    return {what: folder / f"{file}.parquet" for what, file in names.items()}


def measure(name: str, seed: int) -> dict:
    """Both groupings of one run against the truth."""
    from flows.dedupe import dedupe
    from flows.train import train
    from pipeline.evaluation import cluster_scores
    from pipeline.pairs import LabelledPairs, entities_of
    from siamese.settings import TrainingConfig

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        files = prepare(name, seed, folder)
        config = TrainingConfig(negatives="given" if name == MADE else "mined", seed=seed)
        train(str(files["train"]), str(files["pairs"]), str(folder / "model"), config=config)
        summary = dedupe(str(folder / "model"), str(files["test"]), str(folder / "run"))
        clusters = pd.read_parquet(folder / "run" / "clusters.parquet")
        truth = LabelledPairs.read(str(files["truth"])).rows(pd.Index(clusters["record_id"]), None)
        entity = entities_of(truth, len(clusters))
        scores = {
            "parted": cluster_scores(clusters["cluster_id"].to_numpy(), entity),
            "components": cluster_scores(clusters["component_id"].to_numpy(), entity),
        }
    return {
        "set": name,
        "seed": seed,
        "records": len(clusters),
        "components_parted": summary["parted_components"],
        "largest_component": int(clusters["component_id"].value_counts().max()),
        "largest_cluster": summary["largest_cluster"],
        **scores,
    }


def markdown(rows: list[dict]) -> str:
    titles = ["set", "parted of components", "largest component, cluster", "B-cubed F1: components", "parted", "gain"]
    titles += ["pairwise F1: components", "parted"]
    lines = [titles, ["---"] * len(titles)]
    for name in dict.fromkeys(row["set"] for row in rows):
        some = [row for row in rows if row["set"] == name]

        def mean(how: str, measure_: str, some: list[dict] = some) -> float:
            return float(np.mean([row[how][measure_]["f1"] for row in some]))

        parts, largest = [row["components_parted"] for row in some], some[0]
        lines.append(
            [
                name,
                f"{np.mean(parts):.0f}",
                f"{largest['largest_component']}, {largest['largest_cluster']}",
                f"{mean('components', 'b_cubed'):.4f}",
                f"{mean('parted', 'b_cubed'):.4f}",
                f"{mean('parted', 'b_cubed') - mean('components', 'b_cubed'):+.4f}",
                f"{mean('components', 'pairwise'):.4f}",
                f"{mean('parted', 'pairwise'):.4f}",
            ]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def drawn(kind: str, random: np.random.Generator) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """About a million scored pairs: how many rows, the pairs' ends and their probabilities."""
    if kind == "300,000 small components":
        size = random.integers(3, 5, 300_000)
        first = np.cumsum(size) - size
        ends = [(first[size > b] + a, first[size > b] + b) for a in range(4) for b in range(a + 1, 4)]
        left, right = (np.concatenate(side) for side in zip(*ends, strict=True))
        kept = random.random(len(left)) < 0.85
        left, right = left[kept], right[kept]
        return int(size.sum()), left, right, np.sqrt(random.random(len(left)))
    n = 50_000
    if kind == "50,000 rows in one, groups of ten":
        first = np.arange(0, n, 10)
        inner = np.array([(a, b) for a in range(10) for b in range(a + 1, 10)])
        left, right = (np.add.outer(first, inner[:, side]).ravel() for side in (0, 1))
        stray = random.integers(0, n, (2, 800_000))
        probability = np.append(random.uniform(0.7, 1, len(left)), random.uniform(0, 0.6, 800_000))
        left, right = np.append(left, stray[0]), np.append(right, stray[1])
    else:
        left, right = random.integers(0, n, (2, 1_000_000))
        probability = random.random(len(left))
    _, once = np.unique(np.minimum(left, right) * n + np.maximum(left, right), return_index=True)
    once = once[left[once] != right[once]]
    return n, left[once], right[once], probability[once]


def speed() -> str:
    """Seconds to part drawn pairs, and to find the path of every row to the first of its cluster."""
    from pipeline.bonds import Bonds
    from pipeline.components import components
    from pipeline.linkage import split_loose
    from pipeline.paths import Paths

    titles = ["drawn pairs", "rows", "pairs", "components", "largest", "clusters", "parting, s", "paths, s"]
    lines = [titles, ["---"] * len(titles)]
    for kind in ("300,000 small components", "50,000 rows in one, groups of ten", "50,000 rows in one, at random"):
        n, left, right, probability = drawn(kind, np.random.default_rng(0))
        bonds = Bonds(left, right, probability, probability >= 0.5)
        component = components(left[bonds.is_match], right[bonds.is_match], n)
        started = time.perf_counter()
        group = split_loose(component, bonds, 0.5)
        parted = time.perf_counter()
        Paths.of(bonds.within(group), np.unique(group, return_index=True)[1], n)
        ended = time.perf_counter()
        counts = [n, len(left), component.max() + 1, np.bincount(component).max(), group.max() + 1]
        seconds = [f"{parted - started:.2f}", f"{ended - parted:.2f}"]
        lines.append([kind, *(f"{count:,}" for count in counts), *seconds])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"sets of {DATA}, and {MADE}; all unless given")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--out", type=Path, help="folder for clusters.md and clusters.json")
    arguments = parser.parse_args()
    if arguments.speed:
        print(speed())
        return
    names = arguments.names or [*sorted(path.parent.name for path in DATA.glob("*/entity_split.parquet")), MADE]
    if not DATA.is_dir():
        print(f"the public benchmark data is not at {DATA}: only '{MADE}' is measured", file=sys.stderr)
        names = [MADE]
    rows: list[dict] = []
    with embedded_server():
        for name in names:
            for seed in range(arguments.seeds):
                rows.append(measure(name, seed))
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    page = markdown(rows)
    print(page)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "clusters.md").write_text(page + "\n")
        (arguments.out / "clusters.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
