"""Run folders made at once, of any size, without a model: for tests of what is read from one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.matching import PAIR_SCHEMA
from pipeline.records import Records
from pipeline.thresholds import Truth, write_thresholds

LEAST = 0.5
SUMMARY: dict[str, Any] = {
    "kind": "dedupe",
    "one_to_one": False,
    "records": 50_000,
    "distinct_contents": 49_000,
    "empty_records": 3,
    "pairs": 8_000,
    "matches": 1_471,
    "clusters": 590,
    "duplicates": 1_204,
    "largest_cluster": 14,
    "decided_by": "distance",
    "max_distance": 0.5,
    "min_probability": LEAST,
    "candidate_distance": 1.5,
    "threshold_from": "best F1 on held-out pairs",
    "margin": 1.25,
    "energy": "euclidean",
    "calibration": {"pairs": 412, "matches": 130},
    "evaluation": {
        "pairs": {"precision": 0.973, "recall": 1.0, "f1": 0.986, "true_pairs": 1_530},
        "clusters": {"b_cubed": {"precision": 0.95, "recall": 0.93, "f1": 0.94}, "adjusted_rand": 0.9},
    },
    "search": {"cells": 1, "recall": 0.99999},
    "promises": [{"what": "precision", "share": 0.95, "confidence": 0.9}],
    "expected_precision": 0.981,
    "review": 77,
    "prior": {"share": 0.31, "evidence_share": 0.62, "imposite_weight": 3.63, "at_most": 4.5, "candidates": 900},
    "false_positive_rate": {"at_most": 0.012, "confidence": 0.9, "imposites": 282, "flagged": 1, "independent": 200.0},
    "recall_lost": {
        "not_flagged": {"share": 0.04, "interval": [0.02, 0.08], "pairs": 5},
        "genuine": 130,
        "independent": 90.5,
    },
    "seconds": {"encode": 41.25, "search": 8.5},
    "model": "models/customers",
    "records_path": "customers.parquet",
    "created_at": "2025-03-04T10:20:30+00:00",
}


def make_records(path: Path, n: int, seed: int = 0) -> Records:
    """n records of a name, a street, a city that is missing one time in five, and a number."""
    random = np.random.default_rng(seed)
    words = np.array(["Anna", "Björn", "Chloë", "Dmitri", "Elif", "Farid", "Gwen", "Håkon", "Iris", "João"], object)
    drawn = random.integers(0, len(words), (4, n))
    city = words[drawn[3]] + "stadt"
    table = {
        "record_id": [f"r{i:07}" for i in range(n)],
        "name": words[drawn[0]] + " " + words[drawn[1]] + "sson",
        "street": words[drawn[2]] + " Street " + (np.arange(n) // 2).astype(str).astype(object),
        "city": pa.array(city, mask=random.random(n) < 0.2),
        "amount": pa.array(random.integers(1, 10**6, n)),
    }
    pq.write_table(pa.table(table), path)
    return Records.open(str(path))


def make_run(folder: Path, records: int, pairs: int, seed: int = 0, **summary: Any) -> Records:
    """A finished run but for its report: groups of two to five neighbouring records, half of the pairs flagged and inside them.

    Returns:
        Its corpus.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    flagged = pairs // 2
    size = random.integers(2, 6, flagged)
    size = size[: np.searchsorted(np.cumsum(size - 1), flagged) + 1]
    size[-1] -= int((size - 1).sum()) - flagged
    group = np.repeat(np.arange(len(size)), size)
    grouped = np.flatnonzero(group[1:] == group[:-1])  # each record with the next of its group
    apart = records - 2 - random.choice(records - len(group) - 2, pairs - flagged, replace=False)
    left, right = np.concatenate([grouped, apart]), np.concatenate([grouped + 1, apart + 1])
    p = np.concatenate(
        [1 - random.beta(0.6, 5, flagged) * (1 - LEAST), random.beta(0.5, 4, pairs - flagged) * LEAST * 0.999]
    )
    is_match = np.arange(pairs) < flagged
    ids = np.array([f"r{i:07}" for i in range(records)], object)
    order = random.permutation(pairs)
    score = pa.array(1 - p, mask=p > 0.9999)
    columns = [
        ids[left],
        ids[right],
        1.25 * (1 - p),
        1 - p,
        p,
        is_match,
        score,
        np.where(is_match, "match", "no match"),
    ]
    table = pa.table(
        [pa.array(each).cast(field.type) for each, field in zip(columns, PAIR_SCHEMA, strict=True)], PAIR_SCHEMA
    )
    table = table.take(pa.array(order))
    pq.write_table(table, folder / "pairs.parquet", row_group_size=100_000)
    beyond = table.slice(0, 0).append_column("weight", pa.array([], pa.float64()))
    pq.write_table(beyond, folder / "beyond.parquet")
    cluster = np.concatenate([group, len(size) + np.arange(records - len(group))])
    counts = np.bincount(cluster)[cluster]
    first = np.append(True, np.diff(cluster) != 0)
    names = ["record_id", "cluster_id", "cluster_size", "is_representative", "distance_to_representative"]
    apart_from = np.where(first, 0.0, 0.3)
    pq.write_table(pa.table([ids, cluster, counts, first, apart_from], names), folder / "clusters.parquet")
    figures = {
        "records": records,
        "pairs": pairs,
        "matches": flagged,
        "clusters": len(size),
        "duplicates": len(group) - len(size),
        "largest_cluster": int(counts.max()),
        "expected_precision": float(p[:flagged].mean()),
    }
    (folder / "summary.json").write_text(json.dumps(SUMMARY | figures | summary))
    is_true = (random.random(pairs) < p)[order]
    write_thresholds(folder, LEAST, False, Truth(is_true, int(is_true.sum()) + 10))
    return make_records(folder.parent / "records.parquet", records, seed)
