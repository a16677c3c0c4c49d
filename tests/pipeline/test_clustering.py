"""Clusters and their representatives, against a loop over the clusters, however few records are held at once."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import clustering
from pipeline.clustering import cluster_records
from pipeline.contents import Contents
from pipeline.embedding import Corpus, Embeddings
from tests.pipeline.fakes import FakeEncoder


def made(folder: Path, n: int, contents: int, seed: int) -> Corpus:
    folder.mkdir()
    random = np.random.default_rng(seed)
    rows = random.integers(-1, contents, n)  # some have nothing to compare
    vectors = random.normal(size=(contents, 16)).astype(np.float32)
    vectors[1::5] = vectors[0]  # ties
    pq.write_table(pa.table({"record_id": [str(k) for k in range(n)], "row": rows}), folder / "ids.parquet")
    return Corpus(folder, Embeddings((vectors,), 16), Contents(()))


@pytest.mark.parametrize("block", [3, 50, 65_536])
def test_the_representative_is_the_first_of_those_nearest_to_the_mean(monkeypatch, tmp_path, block):
    monkeypatch.setattr(clustering, "BLOCK", block)
    corpora = [made(tmp_path / "left", 300, 200, 0), made(tmp_path / "right", 100, 60, 1)]
    group = np.random.default_rng(2).integers(0, 70, 260)
    group[:90] = 0  # one cluster larger than a block
    found = cluster_records(FakeEncoder(16), corpora, group)
    vectors = np.concatenate([corpus.embeddings.shards[0] for corpus in corpora])
    rows = clustering.rows_of(corpora)
    label = [int(group[row]) if row >= 0 else -1 - k for k, row in enumerate(rows)]
    assert found.cluster_id.tolist() == [list(dict.fromkeys(label)).index(each) for each in label]
    for cluster in np.unique(found.cluster_id):
        members = np.flatnonzero(found.cluster_id == cluster)
        here = vectors[rows[members]].astype(np.float64)
        apart = np.square(here - here.mean(axis=0)).sum(axis=1).round(9)
        chosen = members[np.argmin(apart)]
        assert (found.representative[members] == chosen).all() and (found.size[members] == len(members)).all()
        if len(members) > 1:
            to_chosen = np.linalg.norm(here - vectors[rows[chosen]], axis=1)
            assert np.allclose(found.distance_to_representative[members], to_chosen, atol=1e-5)
    assert found.is_representative.sum() == found.cluster_id.max() + 1
