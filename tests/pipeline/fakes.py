"""An encoder that needs no training: a record's embedding is spelled out in its own field; and a run's stages in their order."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from pipeline import stages
from pipeline.decision import Threshold
from siamese.calibration import Calibration
from siamese.distances import Energy, distance
from siamese.schema import Field, Kind, Schema, as_table


class FakeEncoder:
    """Hashes the text to a direction; ``x~0.1`` lies 0.1 off the direction of ``x``."""

    fingerprint = "fake"
    verifier = None
    portraits: ClassVar[dict[str, Any]] = {}

    def __init__(self, dim: int = 16, energy: Energy = Energy.EUCLIDEAN, margin: float = 1.25) -> None:
        self.dim, self.energy, self.margin = dim, energy, margin
        self.calibration = Calibration.fit([0.1, 0.2, 0.3, 0.7, 0.8, 0.9], [1, 1, 1, 0, 0, 0])
        self.schema = Schema(fields=(Field(name="name", kind=Kind.TEXT),))

    def encode(self, records) -> np.ndarray:
        vectors = [self._vector(text) for text in self.schema.select(as_table(records))["name"].to_pylist()]
        return np.array(vectors, np.float32).reshape(-1, self.dim)

    def _vector(self, text: str | None) -> np.ndarray:
        if text is None:
            return np.zeros(self.dim, np.float32)
        base, _, off = text.partition("~")
        vector = self._direction(base)
        if off:
            vector = vector + float(off) * self._direction(text)
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    def _direction(self, text: str) -> np.ndarray:
        vector = np.random.default_rng(list(text.encode())).normal(size=self.dim)
        return vector / np.linalg.norm(vector)

    def energies(self, left, right) -> np.ndarray:
        return distance(torch.from_numpy(left), torch.from_numpy(right), self.energy).numpy()

    def margin_distance(self, distances) -> np.ndarray:
        return np.asarray(distances, np.float64) / self.margin


def embed(records: Path, folder: Path) -> dict[str, Any]:
    """A corpus embedded in a folder; what ``read`` says."""
    counts = stages.read("m", str(records), "record_id", folder)
    for number in range(counts["blocks"]):
        stages.embed_block("m", folder, number)
    return counts


def run_stages(run: Path, work: Path, threshold: Threshold) -> dict[str, Any]:
    """From embedded corpora in the work folder to decided pairs in the run's; what ``match`` says."""
    proposed = stages.propose("m", work, threshold)
    for number in range(proposed["blocks"]):
        stages.search_block("m", work, number)
    blocks = stages.gather("m", work)["blocks"]
    stages.glance("m", work, threshold)
    for number in range(blocks):
        stages.score_block("m", work, threshold, number)
    return stages.match("m", run, work, threshold)
