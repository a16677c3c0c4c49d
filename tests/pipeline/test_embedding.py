"""Distances between rows of embeddings on disk: measured, and bounded."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError

import numpy as np
import pytest

from pipeline import embedding
from pipeline.embedding import Embeddings, measure, near, shard_path
from pipeline.products import slack
from siamese.distances import Energy

DIM = 24


# Rows of a shard: a few shards, or one; whether they lie in order.
@pytest.fixture(params=[(100, True), (1000, True), (100, False)], ids=["shards", "one shard", "out of order"])
def sides(request, tmp_path, monkeypatch) -> tuple[Embeddings, Embeddings]:
    size, in_order = request.param
    monkeypatch.setattr(embedding, "SHARD_ROWS", size)
    random, opened = np.random.default_rng(0), []
    alike = random.normal(size=DIM)
    for name, n in (("left", 330), ("right", 250)):
        rows = random.normal(size=(n, DIM)) + 1
        rows[::7] = alike + random.normal(scale=1e-4, size=(len(rows[::7]), DIM))  # very near ones
        rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        rows[3] = 0  # says nothing
        (tmp_path / name).mkdir()
        if not in_order:
            order = random.permutation(n)
            np.save(tmp_path / name / embedding.PLACES, np.argsort(order))
            rows = rows[order]
        for number, start in enumerate(range(0, n, size)):
            np.save(tmp_path / name / f"{number:06d}.npy", rows[start : start + size])
        opened.append(Embeddings.open(tmp_path / name, DIM))
    return opened[0], opened[1]


def naive(left: np.ndarray, right: np.ndarray, energy: Energy) -> np.ndarray:
    apart = left.astype(np.float64) - right.astype(np.float64)
    if energy is Energy.MANHATTAN:
        return np.abs(apart).sum(axis=1)
    squared = np.square(apart).sum(axis=1)
    return squared / 2 if energy is Energy.COSINE else np.sqrt(squared)


@pytest.mark.parametrize("energy", list(Energy))
def test_pairs_are_measured_one_by_one_and_near_ones_are_bounded_from_above_with_little_slack(sides, energy):
    left, right = sides
    random = np.random.default_rng(1)
    rows = np.sort(random.integers(0, len(left), 5000))
    others = random.integers(0, len(right), 5000)
    said = (rows != 3) & (others != 3)  # bounds are of vectors of length 1
    rows, others = rows[said], others[said]
    true = naive(left.take(rows), right.take(others), energy)
    assert np.allclose(measure(left, rows, right, others, energy), true, atol=1e-5)
    most = float(np.quantile(true, 0.3))
    chosen, bounds = near(left, rows, right, others, energy, most)
    assert (np.diff(chosen) > 0).all() and set(np.flatnonzero(true <= most - 1e-6)) <= set(chosen.tolist())
    assert (true[chosen] <= most + slack(energy, DIM) + 1e-6).all()
    above = bounds - true[chosen]
    assert (above >= -1e-6).all() and (above <= slack(energy, DIM) + 1e-6).all()
    assert true.min() < 1e-3  # very near ones among them


def test_no_pairs_are_near(sides):
    none = np.empty(0, np.int64)
    chosen, bounds = near(sides[0], none, sides[1], none, Energy.EUCLIDEAN, 1.0)
    assert len(chosen) == len(bounds) == 0


def test_threads_that_open_a_shard_at_once_share_one_map(tmp_path, monkeypatch):
    np.save(shard_path(tmp_path, 0), np.zeros((2, DIM), np.float32))
    load, together = np.load, Barrier(2)

    def slow_load(*args, **kwargs):
        with suppress(BrokenBarrierError):
            together.wait(0.2)  # both are here, unless one waits for the other
        return load(*args, **kwargs)

    monkeypatch.setattr(np, "load", slow_load)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: Embeddings.open(tmp_path, DIM), range(2))
    assert one.shards[0] is other.shards[0]
