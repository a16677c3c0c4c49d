"""Mining: against brute force."""

import numpy as np
import pytest

from siamese.mining import exact_neighbours, mine_imposites


def unit(n: int, dim: int, seed: int) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def brute(
    embeddings: np.ndarray,
    rows: np.ndarray,
    entities: np.ndarray,
    per_record: int,
    sides: np.ndarray | None = None,
) -> set[tuple[int, int]]:
    found = set()
    for row in rows:
        if sides is not None and sides[row] == 1:
            continue
        others = [o for o in rows if entities[o] != entities[row] and (sides is None or sides[o] == 1)]
        others.sort(key=lambda o: float(np.square(embeddings[o].astype(float) - embeddings[row]).sum()))
        for other in others[:per_record]:
            found.add((row, other) if sides is not None else (min(row, other), max(row, other)))
    return {(int(a), int(b)) for a, b in found}


def mined(pairs: object) -> set[tuple[int, int]]:
    listed = list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))  # type: ignore[attr-defined]
    assert len(set(listed)) == len(listed)
    assert not pairs.is_match.any()  # type: ignore[attr-defined]
    return set(listed)


@pytest.mark.parametrize("per_record", [1, 3, 7])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_nearest_records_of_other_entities(per_record: int, seed: int) -> None:
    embeddings = unit(80, 6, seed)
    entities = np.random.default_rng(seed).integers(0, 25, 80)
    rows = np.sort(np.random.default_rng(seed + 9).choice(80, 50, replace=False))
    pairs = mine_imposites(embeddings, rows, entities, per_record)
    assert mined(pairs) == brute(embeddings, rows, entities, per_record)
    assert (pairs.left < pairs.right).all()


@pytest.mark.parametrize("per_record", [1, 4])
def test_an_entity_that_fills_the_neighbourhood_does_not_hide_the_others(per_record: int) -> None:
    embeddings = unit(60, 4, 5)
    crowd = unit(1, 4, 6) + 1e-3 * unit(40, 4, 7)
    embeddings[:40] = crowd / np.linalg.norm(crowd, axis=1, keepdims=True)
    entities = np.concatenate([np.zeros(40, int), np.arange(1, 21)])
    rows = np.arange(60)
    pairs = mine_imposites(embeddings, rows, entities, per_record)
    assert mined(pairs) == brute(embeddings, rows, entities, per_record)


@pytest.mark.parametrize("per_record", [1, 3])
def test_with_two_sides_imposites_tie_left_to_right(per_record: int) -> None:
    embeddings, entities = unit(60, 6, 3), np.random.default_rng(3).integers(0, 20, 60)
    sides = np.random.default_rng(4).integers(0, 2, 60).astype(np.int8)
    rows = np.arange(5, 60)
    pairs = mine_imposites(embeddings, rows, entities, per_record, sides=sides)
    assert mined(pairs) == brute(embeddings, rows, entities, per_record, sides)
    assert (sides[pairs.left] == 0).all()
    assert (sides[pairs.right] == 1).all()


def test_too_few_others_give_what_there_is() -> None:
    embeddings = unit(5, 4, 0)
    pairs = mine_imposites(embeddings, np.arange(5), np.array([0, 0, 0, 0, 1]), 10)
    assert mined(pairs) == {(0, 4), (1, 4), (2, 4), (3, 4)}


@pytest.mark.parametrize(("rows", "sides"), [([], None), ([0], None), ([0, 1], None), ([0, 2], np.zeros(3, np.int8))])
def test_no_others_give_no_pairs(rows: list[int], sides: np.ndarray | None) -> None:
    entities = np.array([0, 0, 1])
    assert len(mine_imposites(unit(3, 4, 0), np.array(rows, np.int64), entities, 2, sides=sides)) == 0


def test_exact_neighbours_are_nearest_first() -> None:
    queries, corpus = unit(1500, 8, 0), 3 * unit(70, 8, 1) * np.linspace(0.2, 1, 70, dtype=np.float32)[:, None]
    near = exact_neighbours(queries, corpus, 5)
    squared = np.square(queries[:, None].astype(float) - corpus[None]).sum(axis=2)
    np.testing.assert_allclose(np.take_along_axis(squared, near, 1), np.sort(squared, axis=1)[:, :5], atol=1e-4)
    assert exact_neighbours(queries[:2], corpus, 500).shape == (2, 70)
    assert exact_neighbours(queries[:0], corpus, 5).shape == (0, 5)
