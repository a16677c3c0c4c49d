"""Candidates scored in blocks: of few records each, and the same scores in whatever order."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import proposing
from pipeline.decision import Threshold
from pipeline.rowpairs import DENSE, RowPairs
from siamese.folders import write_json
from tests.pipeline.fakes import FakeEncoder, embed

BLOCK = 100


def crowds(random: np.random.Generator, crowds: int, size: int) -> RowPairs:
    """All pairs inside crowds whose members lie anywhere in the corpus."""
    member = random.permutation(crowds * size).reshape(crowds, size)
    one, other = np.triu_indices(size, 1)
    pairs = RowPairs(member[:, one].ravel(), member[:, other].ravel(), np.zeros(crowds * len(one), np.float32))
    return pairs.once()


def records_a_block(pairs: RowPairs) -> float:
    blocks = [pairs.take(slice(start, start + BLOCK)) for start in range(0, len(pairs), BLOCK)]
    return float(np.mean([len(np.unique(np.concatenate(block.ends))) for block in blocks]))


@pytest.mark.parametrize("of_two", [False, True])
def test_blocks_of_crowds_are_of_few_records(of_two: bool) -> None:
    pairs = crowds(np.random.default_rng(0), 200, 20)
    order = pairs.neighbourly(of_two=of_two)
    assert order is not None and np.array_equal(np.sort(order), np.arange(len(pairs)))
    assert records_a_block(pairs.take(order)) < records_a_block(pairs) / 2


def test_few_pairs_a_record_stay_as_they_are() -> None:
    assert crowds(np.random.default_rng(0), 50, 2 * DENSE + 1).neighbourly(of_two=False) is None
    assert RowPairs.concat([]).neighbourly(of_two=True) is None


def test_scores_do_not_depend_on_the_order_of_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that were known beforehand keep their pairs."""
    monkeypatch.setattr(proposing, "SCORED_PAIRS", 64)
    random, encoder, work = np.random.default_rng(1), FakeEncoder(), tmp_path
    names = [f"{crowd}~{random.random() / 2:.6f}" for crowd in range(12) for _ in range(10)]
    pd.DataFrame({"record_id": [f"r{i}" for i in range(len(names))], "name": names}).to_parquet(work / "r.parquet")
    monkeypatch.setattr("pipeline.stages.load_encoder", lambda model: encoder)
    embed(work / "r.parquet", work / proposing.LEFT)
    every = RowPairs(*np.triu_indices(len(names), 1), np.empty(0))  # type: ignore[arg-type]
    vectors = proposing.Sides(encoder, work).left.embeddings
    apart = proposing.measure(vectors, every.left, vectors, every.right, encoder.energy)
    near = RowPairs(every.left, every.right, apart).take(np.flatnonzero(apart < 0.7))
    proposing.save_found(work / proposing.FOUND, 0, near)
    facts = {"cells": 2, "radius": 0.5, "reach": 0.6, "neighbours": 0}
    write_json(work / proposing.PLAN, facts)
    blocks = proposing.gather(encoder, work)["blocks"]
    assert blocks > 3 and (work / proposing.LOOKED / proposing.ORDER).is_file()
    looked_at = proposing.looked_at(work)
    drawn = np.sort(random.choice(len(looked_at), 30, replace=False))
    proposing.save_array(work / proposing.DRAWN / "places.npy", drawn)
    proposing.save_array(work / proposing.DRAWN / "scores.npy", np.full(30, 9.0))
    for number in range(blocks):
        proposing.score_block(encoder, work, Threshold(), number)
    wanted = encoder.margin_distance(looked_at.distances)
    wanted[drawn] = 9.0
    assert np.array_equal(proposing.scores_of(work), wanted)
