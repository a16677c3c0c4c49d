"""The self-join on untrained n-gram embeddings, beside FAISS's exact search and a bare matrix product of the same size."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq

DIM = 128
TRUE_SHARE = 0.95  # of the true pairs lie within the radius
RECALL = 0.998  # asked of the sample, for 0.995 of all pairs
# Pairs of one crowd are found or lost together: of a thousand queries, recall is uncertain by half a percent.
SAMPLE = 8192  # queries
BLOCK = 4096


def measure(folder: str, model: str) -> dict[str, Any]:
    """Seconds of each and the share of the exact search's pairs that ours finds.

    Args:
        folder: of the corpus.
        model: a tower of 128 dimensions that has learned nothing.
    """
    import faiss
    import torch
    from speed_truth import Truth

    from siamese.encoder import SiameseEncoder

    encoder = SiameseEncoder.load(model)
    embeddings = encoder.encode(pq.read_table(Path(folder) / "records.parquet"))
    truth = Truth.read(Path(folder))
    left, right = np.divmod(truth.keys, len(embeddings))
    radius = float(np.quantile(encoder.energies(embeddings[left], embeddings[right]), TRUE_SHARE))

    flat = faiss.IndexFlatL2(embeddings.shape[1])
    flat.add(embeddings)
    started = time.perf_counter()
    limits, _, rows = flat.range_search(embeddings, radius**2)
    exact_s = time.perf_counter() - started
    query = np.repeat(np.arange(len(embeddings)), np.diff(limits.astype(np.int64)))
    exact = np.unique(truth.keys_of(query, rows)[query < rows])

    with TemporaryDirectory() as place:
        corpus = stored(embeddings, Path(place))
        started = time.perf_counter()
        ours = np.unique(truth.keys_of(*join(corpus, encoder.energy, radius)))
        ours_s = time.perf_counter() - started
    products = {
        str(kind).removeprefix("torch."): product_seconds(embeddings, kind) for kind in (torch.float32, torch.bfloat16)
    }
    return {
        "records": len(embeddings),
        "dim": DIM,
        "radius": radius,
        "pairs": len(exact),
        "flat_s": exact_s,
        "ours_s": ours_s,
        "times_flat": ours_s / exact_s,
        "share_of_pairs": np.isin(exact, ours, assume_unique=True).mean(),
        **{f"product_{kind}_s": seconds for kind, seconds in products.items()},
    }


def join(embeddings: Any, energy: Any, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Our pairs within the radius, from embeddings on disk: the cells, the survey that chooses the probes, and the search."""
    from pipeline.cells import Cells
    from pipeline.search import Queries, Scope, search, search_exactly
    from pipeline.survey import Survey, cells_to_look_into, sampled_rows

    scope = Scope(radius)
    with TemporaryDirectory() as place:
        cells = Cells.build(embeddings, energy, Path(place) / "cells")
        rows = sampled_rows(embeddings, SAMPLE)
        sample = search_exactly(embeddings, embeddings, rows, energy, scope)
        looks = cells_to_look_into(cells, embeddings, embeddings, sample)
        survey = Survey.of(sample, looks, scope, len(rows))
        probes, _ = survey.probes(np.sort(survey.distances.astype(np.float64)), len(cells), 0, RECALL)
        every = Queries.of_cells(cells, 0, len(cells.order))
        found = search(cells, embeddings, every, embeddings, scope, probes).once()
    return found.left, found.right


def stored(embeddings: np.ndarray, folder: Path) -> Any:
    """As a run has them: shards on disk, mapped into memory."""
    from pipeline.contents import SHARD_ROWS
    from pipeline.embedding import Embeddings

    for number, start in enumerate(range(0, len(embeddings), SHARD_ROWS)):
        np.save(folder / f"{number:06d}.npy", embeddings[start : start + SHARD_ROWS])
    return Embeddings.open(folder, embeddings.shape[1])


def product_seconds(embeddings: np.ndarray, kind: Any) -> float:
    """Of all inner products once, left < right by blocks, nothing done with them."""
    import torch

    blocks = torch.from_numpy(embeddings).to(kind).split(BLOCK)
    started = time.perf_counter()
    for number, block in enumerate(blocks):
        for other in blocks[number:]:
            torch.mm(block, other.T)
    return time.perf_counter() - started
