"""Searching through cells, against brute force."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from pipeline import cells as cells_module
from pipeline import products
from pipeline import search as search_module
from pipeline.cells import Cells
from pipeline.embedding import Embeddings
from pipeline.rowpairs import RowPairs
from pipeline.search import Queries, Scope, search, search_exactly, within_scope
from pipeline.survey import Survey, cells_to_look_into
from siamese.distances import Energy

METRICS = {Energy.EUCLIDEAN: "euclidean", Energy.MANHATTAN: "cityblock", Energy.COSINE: "cosine"}
SCOPES = {
    Energy.EUCLIDEAN: Scope(0.6, 1.1, 5),
    Energy.MANHATTAN: Scope(2.0, 4.0, 5),
    Energy.COSINE: Scope(0.18, 0.6, 5),
}


def clustered(n: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    """Unit vectors in loose groups, among them exact repeats and rows with nothing in them."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(n // 3 + 1, dim)).repeat(3, axis=0)[:n] + 0.12 * random.normal(size=(n, dim))
    vectors[n // 2] = vectors[n // 3]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[[3, n // 4]] = 0
    return vectors.astype(np.float32)


def expected(queries: np.ndarray, rows: np.ndarray, energy: Energy, scope: Scope) -> set[tuple[int, int]]:
    apart = cdist(queries.astype(np.float64), rows.astype(np.float64), METRICS[energy])
    apart[~queries.any(axis=1)] = apart[:, ~rows.any(axis=1)] = np.inf
    if queries is rows:
        np.fill_diagonal(apart, np.inf)
    found = {(int(a), int(b)) for a, b in zip(*np.nonzero(apart <= scope.radius), strict=True)}
    for query in range(len(queries)):
        near = np.argsort(apart[query].astype(np.float32), kind="stable")[: scope.neighbours]
        found |= {(query, int(row)) for row in near if apart[query, row] <= scope.reach}
    return found


def found_by(cells: Cells, embeddings: Embeddings, queries: Queries, asking: Embeddings, scope: Scope, probes) -> set:
    pairs = search(cells, embeddings, queries, asking, scope, probes)
    listed = list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
    assert len(set(listed)) == len(listed), "a pair came twice"
    return set(listed)


@pytest.fixture(params=[torch.float32, torch.bfloat16, torch.int8])
def arithmetic(request, monkeypatch):
    """All kinds of products, whatever this processor is fast at."""
    wide = torch.float32 if request.param is torch.int8 else request.param
    monkeypatch.setattr(cells_module, "precision", lambda energy: torch.float32 if energy is Energy.MANHATTAN else wide)
    coarse = request.param is torch.int8
    monkeypatch.setattr(search_module, "has_coarse", lambda energy, _: coarse and energy is not Energy.MANHATTAN)


@pytest.mark.parametrize("energy", list(Energy))
def test_one_cell_loses_nothing(energy, tmp_path, arithmetic):
    vectors, scope = clustered(900), SCOPES[energy]
    embeddings = Embeddings((vectors,), 16)
    cells = Cells.build(embeddings, energy, tmp_path / "cells")
    assert len(cells) == 1 and len(cells.order) == 898
    whole = found_by(cells, embeddings, Queries.of_cells(cells, 0, 898), embeddings, scope, 1)
    assert whole == expected(vectors, vectors, energy, scope)
    radius = Scope(scope.radius)
    assert found_by(cells, embeddings, Queries.of_cells(cells, 0, 898), embeddings, radius, 1) == expected(
        vectors, vectors, energy, radius
    )


@pytest.mark.parametrize("energy", list(Energy))
def test_many_cells_lose_nothing_when_all_are_looked_into_and_little_when_a_few_are(
    energy, tmp_path, monkeypatch, arithmetic
):
    monkeypatch.setattr(cells_module, "ONE_CELL", 100)
    monkeypatch.setattr(cells_module, "CELL_ROWS", 60)
    vectors, scope = clustered(2400), SCOPES[energy]
    embeddings = Embeddings((vectors[:1000], vectors[1000:2000], vectors[2000:]), 16)
    monkeypatch.setattr("pipeline.embedding.SHARD_ROWS", 1000)
    cells = Cells.build(embeddings, energy, tmp_path / "cells")
    assert len(cells) == 40
    blocks = [Queries.of_cells(cells, start, min(start + 700, len(cells.order))) for start in range(0, 2398, 700)]
    true = expected(vectors, vectors, energy, scope)
    everywhere = [found_by(cells, embeddings, block, embeddings, scope, None) for block in blocks]
    assert set().union(*everywhere) == true
    near = [found_by(cells, embeddings, block, embeddings, Scope(scope.radius), 12) for block in blocks]
    within = expected(vectors, vectors, energy, Scope(scope.radius))
    assert set().union(*near) <= within
    assert len(set().union(*near)) >= 0.98 * len(within)


def test_across_two_corpora_each_query_brings_its_nearest(tmp_path, arithmetic):
    rows, queries, scope = clustered(600, seed=2), clustered(350, seed=3), Scope(0.6, 1.3, 4)
    searched, asking = Embeddings((rows,), 16), Embeddings((queries,), 16)
    cells = Cells.build(searched, Energy.EUCLIDEAN, tmp_path / "cells")
    asked = Queries.of_rows(cells, asking, np.arange(350))
    assert found_by(cells, searched, asked, asking, scope, 1) == expected(queries, rows, Energy.EUCLIDEAN, scope)


def test_a_group_of_500_near_vectors_comes_out_whole(tmp_path, arithmetic):
    random = np.random.default_rng(0)
    vectors = clustered(1200)
    vectors[700:1200] = vectors[700] + 0.02 * random.normal(size=(500, 16))
    vectors[700:1200] /= np.linalg.norm(vectors[700:1200], axis=1, keepdims=True)
    embeddings = Embeddings((vectors,), 16)
    cells = Cells.build(embeddings, Energy.EUCLIDEAN, tmp_path / "cells")
    found = found_by(cells, embeddings, Queries.of_cells(cells, 0, 1198), embeddings, Scope(0.4, 1.0, 5), 1)
    assert len({pair for pair in found if min(pair) >= 700}) == 500 * 499


def test_distances_are_those_of_the_embeddings(tmp_path, arithmetic):
    vectors = clustered(500)
    embeddings = Embeddings((vectors,), 16)
    cells = Cells.build(embeddings, Energy.EUCLIDEAN, tmp_path / "cells")
    pairs = search(cells, embeddings, Queries.of_cells(cells, 0, 498), embeddings, Scope(0.7), 1)
    apart = np.linalg.norm(vectors[pairs.left].astype(np.float64) - vectors[pairs.right], axis=1)
    assert np.allclose(pairs.distances, apart, atol=1e-6) and (pairs.distances <= 0.7).all()


@pytest.mark.parametrize("energy", list(Energy))
def test_an_exact_search_of_some_rows_needs_no_cells(energy, monkeypatch, arithmetic):
    monkeypatch.setattr("pipeline.embedding.SHARD_ROWS", 400)
    vectors, scope = clustered(900), SCOPES[energy]
    shards = vectors[:400], vectors[400:790], vectors[790:]
    places = np.concatenate([np.arange(len(shard)) + 400 * number for number, shard in enumerate(shards)])
    some = np.random.default_rng(0).permutation(900)[:800]  # others are rows of no more
    for embeddings, here in (
        (Embeddings((vectors[:400], vectors[400:800], vectors[800:]), 16), vectors),
        (Embeddings(shards, 16, places[some]), vectors[some]),
    ):
        pairs = search_exactly(embeddings, embeddings, np.arange(0, len(here), 7), energy, scope)
        true = {(query, row) for query, row in expected(here, here, energy, scope) if query % 7 == 0}
        assert set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)) == true
        assert (np.diff(pairs.left) >= 0).all() and (np.diff(pairs.distances)[np.diff(pairs.left) == 0] >= 0).all()


@pytest.mark.parametrize("both", [True, False])
def test_of_pairs_from_anywhere_the_nearest_of_each_row_stay(both):
    random, scope, n = np.random.default_rng(4), Scope(0.2, 0.8, 3), 40
    left, right = np.triu_indices(n, 1)
    kept = random.permutation(len(left))[:400]
    pairs = RowPairs(left[kept], right[kept], random.random(400).astype(np.float32))
    near = {
        (row, float(apart))
        for row in range(n)
        for apart in np.sort(pairs.distances[(pairs.left == row) | (both & (pairs.right == row))])[:3]
        if apart <= 0.8
    }
    true = [
        apart <= 0.2 or (one, apart) in near or (both and (other, apart) in near)
        for one, other, apart in zip(pairs.left.tolist(), pairs.right.tolist(), pairs.distances.tolist(), strict=True)
    ]
    assert within_scope(pairs, scope, n, both).tolist() == true


@pytest.mark.parametrize("dim", [3, 16, 300])
def test_coarse_products_leave_out_nothing_that_reaches_its_threshold(dim):
    random = np.random.default_rng(dim)
    left, right = (random.normal(size=(n, dim)) * random.random(dim) ** 4 for n in (40, 700))
    right[:200] = left[random.integers(40, size=200)] + 0.3 * random.normal(size=(200, dim))
    left, right = ((each / np.linalg.norm(each, axis=1, keepdims=True)).astype(np.float32) for each in (left, right))
    alike = left.astype(np.float64) @ right.astype(np.float64).T
    least = np.sort(alike, axis=1)[:, -9].astype(np.float32)
    hits = set(
        zip(*products.coarse_hits(products.coarse(torch.from_numpy(left)), torch.from_numpy(right), least), strict=True)
    )
    assert hits >= set(zip(*np.nonzero(alike >= least[:, None]), strict=True))
    assert hits <= set(zip(*np.nonzero(alike >= least[:, None] - 0.2), strict=True))


def test_bits_are_ordered_as_floats_are():
    numbers = torch.randn(1000).sort().values
    for dtype in (torch.float32, torch.bfloat16):
        positive = products.bits(numbers[numbers > 0].to(dtype))
        assert (np.diff(positive.astype(np.int64)) >= 0).all()
        assert products.bits(numbers[numbers < 0].to(dtype)).max() < positive.min()


def test_a_survey_says_how_many_cells_a_pair_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(cells_module, "ONE_CELL", 100)
    monkeypatch.setattr(cells_module, "CELL_ROWS", 60)
    vectors = clustered(2400)
    embeddings = Embeddings((vectors,), 16)
    cells = Cells.build(embeddings, Energy.EUCLIDEAN, tmp_path / "cells")
    every = Queries.of_cells(cells, 0, 2398)
    pairs = search(cells, embeddings, every, embeddings, Scope(0.6), None)
    looks = cells_to_look_into(cells, embeddings, embeddings, pairs)
    for probes in (1, 3, 8):
        found = found_by(cells, embeddings, every, embeddings, Scope(0.6), probes)
        found |= {(right, left) for left, right in found}  # who of the two asks does not matter
        needed = {(int(a), int(b)) for a, b, n in zip(pairs.left, pairs.right, looks, strict=True) if n <= probes}
        assert found == needed


def survey(distances, among_nearest=None, looks=None) -> Survey:
    distances = np.asarray(distances, np.float32)
    nearest = np.ones(len(distances), bool) if among_nearest is None else among_nearest
    return Survey(distances, nearest, np.ones(len(distances), np.int64) if looks is None else looks, 1000)


def test_a_search_is_narrowed_to_what_is_worth_a_look():
    random = np.random.default_rng(0)
    genuine = np.sort(np.abs(random.normal(0.3, 0.1, 400)))
    true, false = np.abs(random.normal(0.3, 0.1, 200)), 1 - 0.4 * random.random(200_000) ** 2
    seen = survey(np.concatenate([true, false]))
    scope = Scope(0.1, 1.0, 5)
    narrowed = seen.narrow(scope, genuine)
    assert 200 <= seen.matches(genuine) < 300
    assert 0.55 < narrowed.reach < 0.75  # where 0.1% are matches; the normal's tail ends there
    crowd = survey(np.concatenate([true, false]), np.arange(200_200) < 200).narrow(Scope(1.0, 1.0, 5), genuine)
    assert crowd.radius < 0.75 and crowd.reach >= genuine[-1]  # of the nearest there are only 200: nothing is cut
    few = survey(np.concatenate([true, false[:500]]))
    assert few.narrow(scope, genuine).reach == 1.0  # a few hundred looks cost nothing


def test_a_corpus_with_hardly_a_match_is_searched_all_the_same():
    genuine = np.sort(np.abs(np.random.default_rng(0).normal(0.3, 0.1, 400)))
    nothing = survey(0.8 + 0.2 * np.random.default_rng(1).random(1000))
    assert nothing.matches(genuine) == pytest.approx(-np.log(0.05 / 8))
    assert nothing.narrow(Scope(0.3, 1.0, 5), genuine).reach >= genuine[-5]


def test_probes_hold_the_matches_to_be_expected_as_far_as_they_are_worth_it():
    genuine = np.sort(np.abs(np.random.default_rng(0).normal(0.3, 0.1, 400)))
    looks = np.repeat([1, 2, 9], [900, 95, 5])
    distances = np.abs(np.random.default_rng(1).normal(0.3, 0.1, 1000))
    seen = survey(distances, looks=np.random.default_rng(2).permutation(looks))
    assert seen.probes(genuine, 64, rows=400, recall=0.99) == (2, pytest.approx(0.995, abs=1e-3))
    assert seen.probes(genuine, 64, rows=400, recall=0.999) == (9, pytest.approx(1.0, abs=1e-3))
    assert seen.probes(genuine, 64, rows=400) == (
        9,
        pytest.approx(1.0, abs=1e-3),
    )  # seven cells more for five matches: cheap
    assert seen.probes(genuine, 64, rows=2e4) == (2, pytest.approx(0.995, abs=1e-3))  # not where the cells are large
    assert survey([]).probes(genuine, 64, rows=400) == (16, 1.0)


def test_where_buckets_hold_the_near_pairs_no_cell_is_looked_into():
    """A thousand matches at 0.3 and a hundred thousand strangers at 0.8, of whom the buckets hold few; then the same without buckets."""
    random = np.random.default_rng(0)
    genuine = np.sort(np.abs(random.normal(0.3, 0.1, 400)))
    distances = np.concatenate([np.abs(random.normal(0.3, 0.1, 1000)), 0.8 + 0.2 * random.random(100_000)])
    held = np.concatenate([np.zeros(1000), np.where(random.random(100_000) < 0.01, 0, 1)]).astype(np.int64)
    best, recall = survey(distances, looks=held).probes(genuine, 64, rows=400)
    assert best == 0 and recall > 0.99
    half = np.where(np.arange(len(held)) % 2, held, 1)
    best, recall = survey(distances, looks=half).probes(genuine, 64, rows=400)
    assert best == 1 and recall == 1.0
    assert survey(distances, looks=half).missed(genuine, 1000) == pytest.approx(500, rel=0.2)
    assert survey(distances, looks=held).missed(genuine, 1000) < 10
