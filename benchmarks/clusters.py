"""Clusters parted by average linkage against plain connected components of the very same flagged pairs: B-cubed and pairwise scores.

Every set with truth in ``../shared/data``, by the whole-table protocol (train on one half of the entities, dedupe the other); tables
that are meant to be linked are laid into one corpus, and linked too: there it is one-to-one links against the components of all links.
Beside them a corpus that is made from a seed, with a model trained on another one. All settings are the defaults. ``--speed`` parts
scored pairs that are drawn at random, without any model, and gives seconds.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from whole_tables import DATA, halves

from flows.embedded import embedded_server
from siamese.settings import TrainingConfig

MADE = "made"
MEANS = (0.2, 0.3, 0.4, 0.5, 0.6)  # beside the one that the run takes


def prepare(name: str, seed: int, folder: Path) -> dict[str, Path]:
    """Files of a set: records and pairs to learn from, records and true pairs to measure by; of two tables the sides too."""
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
    names = {"train": "train", "pairs": "train_pairs", "test": "test", "truth": "test_pairs"}
    if halves(DATA / name, folder):
        names |= {"left": "test_A", "right": "test_B"}
    return {what: folder / f"{file}.parquet" for what, file in names.items()}


def measure(name: str, seed: int, models: Path) -> list[dict]:
    """Both groupings of a run against the truth; of tables that are meant to be linked, those of links too.

    Args:
        models: folder where the model is kept, and taken from where it is there.
    """
    from flows.dedupe import dedupe
    from flows.link import link
    from flows.train import train

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        files, model = prepare(name, seed, folder), models / f"{name}-{seed}"
        if not model.exists():
            config = TrainingConfig(negatives="given" if name == MADE else "mined", hold_out=name == MADE, seed=seed)
            train(str(files["train"]), str(files["pairs"]), str(model), config=config)
        summary = dedupe(str(model), str(files["test"]), str(folder / "run"))
        clusters = pd.read_parquet(folder / "run" / "clusters.parquet")
        rows = [
            {
                "set": name,
                "seed": seed,
                "components_parted": summary["parted_components"],
                "least_mean": summary["least_mean_between"],
                **compare(clusters["cluster_id"], clusters["component_id"], clusters["record_id"], files["truth"]),
                "other_means": at_other_means(folder / "run", clusters, files["truth"]),
            }
        ]
        if "left" in files:
            sides, ids = [str(files[side]) for side in ("left", "right")], {}
            for one_to_one in (True, False):
                run = folder / f"link {one_to_one}"
                link(str(model), *sides, str(run), one_to_one=one_to_one)
                ids[one_to_one] = pd.read_parquet(run / "clusters.parquet").set_index("record_id")["cluster_id"]
            record = ids[True].index
            compared = compare(ids[True], ids[False][record], record, files["truth"])
            rows.append(
                {"set": f"{name}, linked", "seed": seed, "components_parted": None, "least_mean": None, **compared}
            )
    return rows


def compare(clusters: pd.Series, components: pd.Series, record_id: Iterable[str], truth: Path) -> dict:
    """Scores of two groupings of the same records."""
    from pipeline.evaluation import cluster_scores

    ids = pd.Index(record_id)
    entity = entities(ids, truth)
    return {
        "records": len(ids),
        "largest_component": int(components.value_counts().max()),
        "largest_cluster": int(clusters.value_counts().max()),
        "parted": cluster_scores(clusters.to_numpy(), entity),
        "components": cluster_scores(components.to_numpy(), entity),
    }


def entities(ids: pd.Index, truth: Path) -> np.ndarray:
    from pipeline.pairs import LabelledPairs, entities_of

    return entities_of(LabelledPairs.read(str(truth)).rows(ids, None), len(ids))


def at_other_means(run: Path, clusters: pd.DataFrame, truth: Path) -> dict[str, float]:
    """B-cubed F1 of the run's components, had two groups been one from another mean probability on; each record counts by itself."""
    from pipeline.bonds import Bonds
    from pipeline.evaluation import cluster_scores
    from pipeline.linkage import split_loose

    ids, pairs = pd.Index(clusters["record_id"]), pd.read_parquet(run / "pairs.parquet")
    left, right = (ids.get_indexer(pairs[side]) for side in ("left_id", "right_id"))
    bonds = Bonds(left, right, pairs["probability"].to_numpy(), pairs["is_match"].to_numpy())
    component, entity = clusters["component_id"].to_numpy(), entities(ids, truth)
    scores = {least: cluster_scores(split_loose(component, bonds, least), entity) for least in MEANS}
    return {str(least): each["b_cubed"]["f1"] for least, each in scores.items()}


def markdown(rows: list[dict]) -> str:
    titles = ["set", "seeds", "parted of components", "largest component, cluster", "B-cubed F1: components", "parted"]
    titles += ["gain", "of each seed", "pairwise F1: components", "parted"]
    lines = [titles, ["---"] * len(titles)]
    for name in dict.fromkeys(row["set"] for row in rows):
        some = [row for row in rows if row["set"] == name]

        def f1(how: str, measure_: str, some: list[dict] = some) -> np.ndarray:
            return np.array([row[how][measure_]["f1"] for row in some])

        gain = f1("parted", "b_cubed") - f1("components", "b_cubed")
        parts = [row["components_parted"] for row in some]
        largest = [max(row[f"largest_{what}"] for row in some) for what in ("component", "cluster")]
        lines.append(
            [
                name,
                str(len(some)),
                "" if None in parts else f"{np.mean(parts):.1f}",
                f"{largest[0]}, {largest[1]}",
                f"{f1('components', 'b_cubed').mean():.4f}",
                f"{f1('parted', 'b_cubed').mean():.4f}",
                f"{gain.mean():+.4f}",
                " ".join(f"{each:+.3f}" for each in gain),
                f"{f1('components', 'pairwise').mean():.4f}",
                f"{f1('parted', 'pairwise').mean():.4f}",
            ]
        )
    return table(lines)


def markdown_of_means(rows: list[dict]) -> str:
    """What other least means would have given."""
    titles = ["set", "seed", "its least mean", "parted", *(f"at {least:g}" for least in MEANS), "components"]
    lines = [titles, ["---"] * len(titles)]
    for row in rows:
        if "other_means" in row:
            f1 = [row["parted"]["b_cubed"]["f1"], *row["other_means"].values(), row["components"]["b_cubed"]["f1"]]
            lines.append([row["set"], str(row["seed"]), f"{row['least_mean']:.3f}", *(f"{each:.4f}" for each in f1)])
    return table(lines)


def table(lines: list[list[str]]) -> str:
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
    from pipeline.linkage import split_loose
    from pipeline.paths import Paths
    from siamese.components import components

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
    return table(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"sets of {DATA}, and {MADE}; all unless given")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", type=Path, help="folder of trained models: those there are taken, the others kept")
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
    with embedded_server(), tempfile.TemporaryDirectory() as made:
        models = arguments.models or Path(made)
        models.mkdir(parents=True, exist_ok=True)
        for name in names:
            for seed in range(arguments.seeds):
                rows += measure(name, seed, models)
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    page = markdown(rows) + "\n\n" + markdown_of_means(rows)
    print(page)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "clusters.md").write_text(page + "\n")
        (arguments.out / "clusters.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
