"""What the search finds of the true pairs: the share among its candidates of those that lie within its radius, exactly measured."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np


def measure(folder: str, model: str) -> dict[str, Any]:
    """The stages of a run up to its candidates, beside every true pair measured in float32, so that no exact search finds more of them.

    Pairs of records that say the same are left out: no search is needed for these. *Radius*: every pair within it is to be a candidate;
    *reach*: the nearest ones of each record up to there, both in margins and as settled by the run.
    """
    import torch

    from pipeline import stages

    torch.set_num_threads(1)
    with TemporaryDirectory() as place:
        return shares(stages.load_encoder(model), proposed(model, folder, Path(place)), folder)


def proposed(model: str, folder: str, work: Path) -> Path:
    """The work folder of a run with its candidates gathered."""
    from pipeline import stages
    from pipeline.decision import Threshold

    threshold = Threshold()
    for number in range(stages.read(model, f"{folder}/records.parquet", "record_id", work / "left")["blocks"]):
        stages.embed_block(model, work / "left", number)
    blocks = stages.prepare(model, work)
    for number in range(blocks["spelled"]):
        stages.spell_block(model, work, number)
    for number in range(blocks["shared"]):
        stages.share_block(model, work, threshold, number)
    for number in range(stages.propose(model, work, threshold)["blocks"]):
        stages.search_block(model, work, number)
    stages.gather(model, work)
    return work


def shares(encoder: Any, work: Path, folder: str) -> dict[str, Any]:
    from speed_truth import Truth

    from pipeline.embedding import measure as distances
    from pipeline.proposing import PLAN, Sides, looked_at
    from siamese.folders import read_json

    corpus, truth, facts = Sides(encoder, work).left, Truth.read(Path(folder)), read_json(work / PLAN)
    left, right = (corpus.rows[rows] for rows in np.divmod(truth.keys, len(truth.ids)))
    left, right = np.minimum(left, right), np.maximum(left, right)
    apart = (left >= 0) & (left < right)
    keys, count = np.unique(left[apart] * len(corpus.embeddings) + right[apart], return_counts=True)
    left, right = np.divmod(keys, len(corpus.embeddings))
    distance = encoder.margin_distance(distances(corpus.embeddings, left, corpus.embeddings, right, encoder.energy))
    pairs = looked_at(work)
    found = np.isin(keys, pairs.left * len(corpus.embeddings) + pairs.right)

    def share(most: float) -> float:
        within = distance <= most
        return float(count[within & found].sum() / count[within].sum())

    return {
        "records": len(truth.ids),
        "true_pairs": int(count.sum()),
        "candidates": len(pairs),
        "radius": facts["radius"],
        "true_pairs_within_radius": int(count[distance <= facts["radius"]].sum()),
        "found_within_radius": share(facts["radius"]),
        "reach": facts["reach"],
        "true_pairs_within_reach": int(count[distance <= facts["reach"]].sum()),
        "found_within_reach": share(facts["reach"]),
        "found_of_all": share(np.inf),
        "recall_foretold": facts["recall"],
    }
