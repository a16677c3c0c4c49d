"""The models that ``speed.py`` measures with, learned from the small labelled corpora."""

from pathlib import Path
from typing import Any

import numpy as np

NEIGHBOURS = 5  # of each record, that the untrained towers are calibrated on


def make(kind: str, labelled: str, out: str) -> dict[str, float]:
    """Write a model; its seconds, CPU seconds and peak memory."""
    from speed_process import Cost

    with Cost() as cost:
        MODELS[kind](Path(labelled)).save(out)
    return cost.figures


def trained(folder: Path) -> Any:
    """All defaults but for imposites, which are mined: every true pair of the small corpus is labelled."""
    from pipeline.fitting import fit_encoder
    from pipeline.pairs import LabelledPairs
    from pipeline.records import Records
    from siamese.settings import TrainingConfig

    pairs = LabelledPairs.read(str(folder / "pairs.parquet"))
    return fit_encoder(Records.open(str(folder / "records.parquet")), pairs, config=TrainingConfig(negatives="mined"))


def untrained(folder: Path, dim: int = 256) -> Any:
    """The n-gram tower that has counted words and learned nothing else; its threshold is calibrated on the true pairs and each record's
    nearest neighbours."""
    import pyarrow.parquet as pq
    from speed_truth import Truth

    from pipeline.index import index_neighbours
    from siamese.calibration import Calibration
    from siamese.distances import Energy
    from siamese.encoder import SiameseEncoder
    from siamese.schema import Schema
    from siamese.towers import build_tower

    records, truth = pq.read_table(folder / "records.parquet"), Truth.read(folder)
    schema = Schema.infer(records, exclude=["record_id"])
    tower = build_tower("ngram", schema, {"dim": dim}, 0).eval()
    features = tower.featurise(schema.select(records))
    tower.fit_corpus(features)
    embeddings = tower.embed(features).numpy()
    n = len(embeddings)
    near = index_neighbours(embeddings, embeddings, NEIGHBOURS + 1).ravel()
    of = np.repeat(np.arange(n), NEIGHBOURS + 1)
    left, right = np.divmod(np.union1d(truth.keys_of(of, near)[of != near], truth.keys), n)
    distances = np.linalg.norm(embeddings[left] - embeddings[right], axis=1)
    calibration = Calibration.fit(distances, truth.is_true(left, right).astype(np.int8), left, right)
    return SiameseEncoder(tower, Energy.EUCLIDEAN, 1.0, calibration)


def untrained_128(folder: Path) -> Any:
    return untrained(folder, 128)


MODELS = {"trained": trained, "untrained": untrained, "untrained-128": untrained_128}
