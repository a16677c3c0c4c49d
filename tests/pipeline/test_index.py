import numpy as np
import pytest
from scipy.spatial.distance import cdist

from pipeline.embedding import SHARD_ROWS, Embeddings
from pipeline.index import Found, IndexKind, VectorIndex, kind_for
from siamese.distances import Energy
from siamese.errors import ArtifactError, SettingsError

METRICS = {Energy.EUCLIDEAN: "euclidean", Energy.MANHATTAN: "cityblock", Energy.COSINE: "cosine"}
RADII = {Energy.EUCLIDEAN: 0.6, Energy.MANHATTAN: 2.0, Energy.COSINE: 0.18}


def clustered(n: int, dim: int = 16, seed: int = 0) -> np.ndarray:
    """Unit vectors in loose groups, among them exact repeats."""
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(n // 3 + 1, dim)).repeat(3, axis=0)[:n] + 0.12 * random.normal(size=(n, dim))
    vectors[n // 2] = vectors[n // 3]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def pairs_within(vectors: np.ndarray, energy: Energy) -> set[tuple[int, int]]:
    apart = cdist(vectors.astype(np.float64), vectors.astype(np.float64), METRICS[energy])
    return {(int(i), int(j)) for i, j in zip(*np.nonzero(apart <= RADII[energy]), strict=True)}


def found_by(index: VectorIndex, vectors: np.ndarray, radius: float) -> set[tuple[int, int]]:
    query, row, _ = index.within(vectors, radius)
    assert len(set(zip(query.tolist(), row.tolist(), strict=True))) == len(query), "a pair came twice"
    return set(zip(query.tolist(), row.tolist(), strict=True))


def by_query(found: Found, queries: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(queries, k) distances and rows, where no two are equally far."""
    query, row, distance = found
    assert (query == np.arange(queries).repeat(k)).all()
    return distance.reshape(queries, k), row.reshape(queries, k)


@pytest.mark.parametrize("energy", list(Energy))
def test_exact_kind_agrees_with_brute_force_on_every_pair(energy):
    vectors = clustered(900)
    index = VectorIndex.build(Embeddings((vectors,), 16), energy, kind=IndexKind.FLAT, radius=RADII[energy])
    assert found_by(index, vectors, RADII[energy]) == pairs_within(vectors, energy)


@pytest.mark.parametrize(
    ("kind", "energy"),
    [(IndexKind.IVF, energy) for energy in Energy]
    + [(IndexKind.IVFPQ, Energy.EUCLIDEAN), (IndexKind.IVFPQ, Energy.COSINE)],
)
def test_approximate_kinds_find_nearly_every_pair_and_no_false_one(kind, energy):
    vectors = clustered(4000)
    index = VectorIndex.build(Embeddings((vectors,), 16), energy, kind=kind, radius=RADII[energy])
    found, true = found_by(index, vectors, RADII[energy]), pairs_within(vectors, energy)
    assert found <= true
    assert len(found) >= 0.995 * len(true)
    assert index.probes >= 1 and index.recall >= 0.99


@pytest.mark.parametrize("kind", [IndexKind.FLAT, IndexKind.IVF, IndexKind.IVFPQ])
def test_a_group_of_500_equal_vectors_comes_out_whole(kind):
    vectors = clustered(2000)
    vectors[700:1200] = vectors[700]
    index = VectorIndex.build(Embeddings((vectors,), 16), Energy.EUCLIDEAN, kind=kind, radius=0.3)
    _, row, apart = index.within(vectors[700:701], 0.3)
    assert set(range(700, 1200)) <= set(row.tolist())
    assert (apart[(row >= 700) & (row < 1200)] == 0).all()


@pytest.mark.parametrize("kind", [IndexKind.FLAT, IndexKind.IVF])
def test_nearest_is_sorted_and_exact(kind):
    vectors = clustered(1500)
    index = VectorIndex.build(Embeddings((vectors,), 16), Energy.EUCLIDEAN, kind=kind, radius=0.6)
    distances, rows = by_query(index.nearest(vectors[:20], 4), 20, 4)
    apart = cdist(vectors[:20].astype(np.float64), vectors.astype(np.float64))
    true = np.sort(apart, axis=1)[:, :4]
    near = true <= (
        np.inf if kind is IndexKind.FLAT else 0.6
    )  # cells promise neighbours within the radius they were tuned for
    assert near.sum() >= 60 and np.allclose(distances[near], true[near], atol=1e-6)
    assert (np.diff(distances, axis=1) >= 0).all()
    assert np.allclose(np.take_along_axis(apart, rows, axis=1), distances, atol=1e-6)


def test_k_beyond_the_corpus_gives_the_corpus():
    index = VectorIndex.build(Embeddings((clustered(7),), 16), Energy.EUCLIDEAN, radius=0.5)
    distances, rows = by_query(index.nearest(clustered(2), 50), 2, 7)
    assert rows.shape == (2, 7) and sorted(rows[0]) == list(range(7)) and np.isfinite(distances).all()


def test_an_index_of_nothing_finds_nothing():
    index = VectorIndex.build(Embeddings((clustered(7)[:0],), 16), Energy.EUCLIDEAN, radius=0.5)
    assert all(len(each) == 0 for each in index.nearest(clustered(2), 3))


def test_save_and_load(tmp_path):
    vectors = clustered(3000)
    embeddings = Embeddings((vectors,), 16)
    index = VectorIndex.build(embeddings, Energy.EUCLIDEAN, kind=IndexKind.IVF, radius=0.6)
    index.save(tmp_path)
    loaded = VectorIndex.load(tmp_path, embeddings, Energy.EUCLIDEAN, index.describe())
    assert loaded.describe() == index.describe()
    assert found_by(loaded, vectors[:50], 0.6) == found_by(index, vectors[:50], 0.6)
    with pytest.raises(ArtifactError, match="3000 vectors of 16 dimensions"):
        VectorIndex.load(tmp_path, Embeddings((vectors[:-1],), 16), Energy.EUCLIDEAN, index.describe())
    damaged = tmp_path / "damaged"  # elsewhere: to cut a file that is mapped ends the process, with a bus error
    damaged.mkdir()
    (damaged / "index.faiss").write_bytes(b"no index")
    with pytest.raises(ArtifactError, match="not a whole FAISS index"):
        VectorIndex.load(damaged, embeddings, Energy.EUCLIDEAN, index.describe())


def test_manhattan_has_no_codes():
    with pytest.raises(SettingsError, match="ivfpq"):
        VectorIndex.build(Embeddings((clustered(300),), 16), Energy.MANHATTAN, kind=IndexKind.IVFPQ, radius=1.0)


def test_kind_grows_with_the_corpus():
    kinds = [kind_for(rows, Energy.EUCLIDEAN) for rows in (10, 50_000, 50_001, 4_000_001)]
    assert kinds == [IndexKind.FLAT, IndexKind.FLAT, IndexKind.IVF, IndexKind.IVFPQ]
    assert kind_for(4_000_001, Energy.MANHATTAN) is IndexKind.IVF


def test_embeddings_across_shards():
    vectors = np.arange(2 * (SHARD_ROWS + 5), dtype=np.float32).reshape(-1, 2)
    embeddings = Embeddings((vectors[:SHARD_ROWS], vectors[SHARD_ROWS:]), 2)
    rows = np.array([0, SHARD_ROWS + 4, SHARD_ROWS - 1, SHARD_ROWS, 3, 3])
    assert (embeddings.take(rows) == vectors[rows]).all() and len(embeddings) == len(vectors)
    blocks = list(embeddings.blocks(50_000))
    assert [first for first, _ in blocks] == [0, 50_000, SHARD_ROWS]
    assert (np.concatenate([block for _, block in blocks]) == vectors).all()
