"""Embedding's speed on one core, beside MiniLM's and beside what the memory can give."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

TRANSFORMER_RECORDS = 500
GATHERED_ROWS = 2**20


def measure(folder: str, model: str) -> dict[str, Any]:
    """Records a second of ``encode``, of MiniLM on a sample, and the ceiling that the memory sets."""
    import torch
    from accuracy import minilm_folder
    from sentence_transformers import SentenceTransformer

    from siamese.encoder import SiameseEncoder

    encoder = SiameseEncoder.load(model)
    table = pq.read_table(Path(folder) / "records.parquet")
    texts = encoder.schema.select(table)
    encoder.encode(texts.slice(0, 1000))
    seconds = min(timed(encoder.encode, texts) for _ in range(3))
    said = [
        " ".join(filter(None, row))
        for row in zip(*(column.to_pylist() for column in texts.slice(0, TRANSFORMER_RECORDS).columns), strict=True)
    ]
    minilm = SentenceTransformer(minilm_folder(), device="cpu")
    minilm.encode(said[:32], show_progress_bar=False)
    transformer = timed(minilm.encode, said, show_progress_bar=False)
    features = encoder.tower.featurise(texts)
    rows = len(features.feature_ids) + len(features.words)
    width = encoder.dim * 4
    bandwidth = gather_bandwidth(encoder.dim, torch)
    rate, minilm_rate = len(texts) / seconds, len(said) / transformer
    ceiling = bandwidth / (rows * width / len(texts))
    return {
        "records": len(texts),
        "dim": encoder.dim,
        "records_per_s": rate,
        "minilm_records_per_s": minilm_rate,
        "times_minilm": rate / minilm_rate,
        "rows_per_record": rows / len(texts),
        "bandwidth_gb_s": bandwidth / 1e9,
        "ceiling_records_per_s": ceiling,
        "share_of_ceiling": rate / ceiling,
    }


def gather_bandwidth(dim: int, torch: Any) -> float:
    """Bytes a second that are read when rows of a table that no cache holds are copied in a random order."""
    table = torch.rand(2**19, dim)
    rows = torch.from_numpy(np.random.default_rng(0).integers(len(table), size=GATHERED_ROWS // 4))
    out = torch.empty(len(rows), dim)
    seconds = min(timed(torch.index_select, table, 0, rows, out=out) for _ in range(3))
    return len(rows) * dim * 4 / seconds


def timed(function: Any, *arguments: Any, **named: Any) -> float:
    started = time.perf_counter()
    function(*arguments, **named)
    return time.perf_counter() - started
