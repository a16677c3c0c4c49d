"""Histogram: how far apart the written pairs are."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.matching import PAIRS
from pipeline.runfiles import batches


@dataclass(frozen=True)
class Histogram:
    """Counts of the written pairs by margin_distance; bin i holds (edges[i], edges[i + 1]], the first one 0 too."""

    edges: list[float]
    matches: list[int]
    others: list[int]
    threshold: float | None = None


def read_histogram(run: Path, threshold: float | None, bins: int = 40) -> Histogram:
    """The distances of the written pairs, in about ``bins`` bins of which one ends at the threshold.

    Raises:
        ArtifactError: the pairs are missing or damaged.
    """
    top = threshold or 0.0
    for values, _ in _distances(run):
        top = max(top, float(values.max(initial=0)))
    width = top / bins or 1 / bins
    if threshold and threshold > width:
        width = threshold / round(threshold / width)
    n = max(1, math.ceil(top / width - 1e-9)) if top else bins
    edges = np.arange(n + 1) * width
    counts = np.zeros((2, n), np.int64)
    for values, is_match in _distances(run):
        place = np.clip(np.searchsorted(edges * (1 + 1e-9), values) - 1, 0, n - 1)
        for row, chosen in enumerate((is_match, ~is_match)):
            counts[row] += np.bincount(place[chosen], minlength=n)
    return Histogram(edges.tolist(), counts[0].tolist(), counts[1].tolist(), threshold)


def _distances(run: Path) -> Iterator[tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    for batch in batches(run / PAIRS, ["margin_distance", "is_match"]):
        values, is_match = batch["margin_distance"].to_numpy(), batch["is_match"].to_numpy().astype(bool)
        known = np.isfinite(values)
        yield values[known], is_match[known]
