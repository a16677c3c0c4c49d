"""Splink 5 on whole tables of ``../shared/data`` by the protocol of ``whole_tables.py``: it learns on one half, and runs on the other.

Splink learns m from the true pairs of the train half and u from its random pairs; the threshold is the best F1 there. Where two tables
are linked, each record is matched once at most, as in our own runs. The settings are in ``splink_recipes.py``. Each set runs in a
process of its own, so that its peak memory is its own. Prints Markdown; ``--out FOLDER`` writes it there with all figures as JSON.
"""

import argparse
import json
import logging
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from splink import DuckDBAPI, Linker, SettingsCreator
from splink_recipes import MACRO, RECIPES, Recipe
from whole_tables import DATA, halves

from pipeline.assignment import one_to_one
from pipeline.evaluation import cluster_scores
from pipeline.matching import RowPairs
from siamese.components import components

SEED = 0
SAMPLED = 1e7  # random pairs for u: all of these halves


class Half:
    """One half of a set: its records, its true pairs, and both as Splink takes them.

    Attributes:
        tables: one table, or two to be linked, of ``unique_id`` and the recipe's columns.
        ids: (n,) record ids of all of them.
        true: (t,) keys of the true pairs: the lesser row times n plus the greater.
    """

    def __init__(self, folder: Path, part: str, two_tables: bool, recipe: Recipe) -> None:
        records = pd.read_parquet(folder / f"{part}.parquet").reset_index(drop=True)
        self.pairs = pd.read_parquet(folder / f"{part}_pairs.parquet")
        self.ids = pd.Index(records["record_id"])
        self.two_tables = two_tables
        self.side = (records["source"] == "B").to_numpy() if two_tables else np.zeros(len(records), bool)
        self.true = np.unique(self.keys(self.rows(self.pairs["left_id"]), self.rows(self.pairs["right_id"])))
        made = {"unique_id": records["record_id"], **recipe.columns(records)}
        table = pa.table({column: _arrow(values) for column, values in made.items()})
        self.tables = [
            table.filter(pa.array(self.side == side)) for side in ((False, True) if two_tables else (False,))
        ]

    def rows(self, ids: pd.Series) -> np.ndarray:
        return self.ids.get_indexer(ids)

    def keys(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.minimum(left, right) * len(self.ids) + np.maximum(left, right)

    def linker(self, settings: Any) -> Linker:
        connection = duckdb.connect(config={"threads": 2})
        connection.execute("set enable_progress_bar = false")
        connection.execute(MACRO)
        api = DuckDBAPI(connection)
        names = ("A", "B") if self.two_tables else ("A",)
        inputs = [api.register(t, dataset_display_name=n) for t, n in zip(self.tables, names, strict=True)]
        return Linker(inputs if self.two_tables else inputs[0], settings, log_level=logging.ERROR)


def _arrow(values: pd.Series) -> pa.Array:
    some = next(iter(values.dropna()), "")
    kind = pa.map_(pa.string(), pa.float64()) if isinstance(some, dict) else None
    as_python = [None if not isinstance(v, (list, dict)) and pd.isna(v) else v for v in values]
    if kind:
        as_python = [None if v is None else list(v.items()) for v in as_python]
    return pa.array(as_python, kind)


def train(half: Half, recipe: Recipe) -> dict[str, Any]:
    """Settings with m and u estimated."""
    n = len(half.ids)
    possible = half.side.sum() * (~half.side).sum() if half.two_tables else n * (n - 1) / 2
    settings = SettingsCreator(
        link_type="link_only" if half.two_tables else "dedupe_only",
        comparisons=recipe.comparisons,
        blocking_rules_to_generate_predictions=recipe.blocking,
        probability_two_random_records_match=len(half.true) / possible,
        retain_matching_columns=False,
    )
    linker = half.linker(settings)
    linker.training.estimate_u_using_random_sampling(max_pairs=SAMPLED, seed=SEED, min_count_per_level=None)
    labels = pd.DataFrame({"unique_id_l": half.pairs["left_id"], "unique_id_r": half.pairs["right_id"]})
    if half.two_tables:
        labels = labels.assign(source_dataset_l="A", source_dataset_r="B")
    name = linker._db_api.register(pa.Table.from_pandas(labels, preserve_index=False))
    linker.training.estimate_m_from_pairwise_labels(name)
    return linker.misc.save_model_to_json()


def predict(half: Half, settings: dict[str, Any]) -> tuple[RowPairs, np.ndarray]:
    """Candidates, and the match weight of each: the log odds, which do not round to one as probabilities do."""
    found = half.linker(settings).inference.predict(warning_mode="never").as_pandas_dataframe()
    left, right = half.rows(found["unique_id_l"]), half.rows(found["unique_id_r"])
    order = np.lexsort((right, left))  # DuckDB's order changes with its threads
    pairs = RowPairs(left[order], right[order], np.zeros(len(order), np.float32))
    return pairs, found["match_weight"].to_numpy()[order]


def flag(half: Half, pairs: RowPairs, weight: np.ndarray, threshold: float) -> np.ndarray:
    allowed = weight >= threshold
    if not half.two_tables:
        return allowed
    return one_to_one(pairs, allowed, weight - threshold + 1e-9)


def scores(half: Half, pairs: RowPairs, flagged: np.ndarray) -> dict[str, float]:
    right = np.isin(half.keys(pairs.left, pairs.right)[flagged], half.true).sum()
    precision, recall = right / max(flagged.sum(), 1), right / len(half.true)
    return {"precision": precision, "recall": recall, "f1": 2 * right / (flagged.sum() + len(half.true))}


def best_threshold(half: Half, pairs: RowPairs, weight: np.ndarray) -> float:
    """The match weight at which F1 is best, of 200 quantiles of those of the true pairs."""
    is_true = np.isin(half.keys(pairs.left, pairs.right), half.true)
    tried = np.unique(np.quantile(weight[is_true], np.linspace(0, 1, 200)))
    return max(tried, key=lambda limit: scores(half, pairs, flag(half, pairs, weight, limit))["f1"])


def measure(name: str, part: str) -> dict[str, Any]:
    recipe = RECIPES[name]
    with tempfile.TemporaryDirectory() as folder:
        two_tables = halves(DATA / name, Path(folder))
        started = time.perf_counter()
        learnt = Half(Path(folder), "train", two_tables, recipe)
        settings = train(learnt, recipe)
        threshold = best_threshold(learnt, *predict(learnt, settings))
        trained = time.perf_counter()
        half = Half(Path(folder), part, two_tables, recipe)
        pairs, weight = predict(half, settings)
        flagged = flag(half, pairs, weight, threshold)
        ended = time.perf_counter()
    n = len(half.ids)
    entity = components(half.true // n, half.true % n, n)
    cluster = components(pairs.left[flagged], pairs.right[flagged], n)
    return {
        "set": name,
        **scores(half, pairs, flagged),
        "candidates": len(weight),
        "candidate_recall": np.isin(half.true, half.keys(pairs.left, pairs.right)).mean(),
        "b_cubed": cluster_scores(cluster, entity)["b_cubed"]["f1"],
        "threshold": 1 / (1 + 2.0**-threshold),
        "train_s": trained - started,
        "predict_s": ended - trained,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def markdown(results: list[dict[str, Any]]) -> str:
    lines = [
        "| set | precision | recall | F1 | candidates | candidate recall | B-cubed F1 | training, s | run, s | peak, MB |"
    ]
    lines.append("|---" * 10 + "|")
    for one in results:
        lines.append(
            f"| {one['set']} | {one['precision']:.3f} | {one['recall']:.3f} | {one['f1']:.3f} | {one['candidates']:,} "
            f"| {one['candidate_recall']:.3f} | {one['b_cubed']:.3f} | {one['train_s']:.1f} | {one['predict_s']:.1f} "
            f"| {one['peak_mb']} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="sets; all that have a recipe unless given")
    parser.add_argument(
        "--part", choices=("train", "test"), default="test", help="train: what the recipes were chosen by"
    )
    parser.add_argument("--out", type=Path, help="folder for peers.md and peers.json")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        print(f"skipped: the public benchmark data is not at {DATA}")
        return
    results = []
    for name in arguments.names or RECIPES:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            results.append(pool.submit(measure, name, arguments.part).result())
    print(markdown(results))
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "peers.md").write_text(markdown(results) + "\n")
        (arguments.out / "peers.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
