"""What clusters, parted components and dropped records say of themselves, against naive loops and networkx."""

from itertools import combinations, pairwise

import networkx as nx
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipeline import dropped, stages
from pipeline.records import Records
from tests.pipeline.fakes import FakeEncoder, embed, run_stages


def corpus(n: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    names = [f"thing {random.integers(n // 5)}" + random.choice(["", "~0.2", "~0.4", "~0.7"]) for _ in range(n)]
    names[3:5] = [None, "  "]
    return pd.DataFrame({"record_id": [f"r{k:04d}" for k in random.permutation(n)], "name": names})


@pytest.fixture(params=[None, 0.6], ids=["free", "by distance"])
def run(request, tmp_path, monkeypatch):
    """A run's folder, its candidates as a graph, and what the stage says."""
    fake = FakeEncoder()
    monkeypatch.setattr(stages, "load_encoder", lambda model: fake)
    monkeypatch.setattr(dropped, "BLOCK", 50)  # several blocks
    path, folder = tmp_path / "records.parquet", tmp_path / "run"
    corpus(400, 1).to_parquet(path)
    folder.mkdir()
    embed(path, folder / "left")
    matched = run_stages(folder, folder, stages.Threshold(request.param))
    said = stages.cluster("m", folder, folder, Records.open(str(path)))
    graph = nx.Graph()
    for pair in pd.read_parquet(folder / "pairs.parquet").itertuples():
        flagged = pair.margin_distance <= matched["max_distance"]  # whatever was parted later
        graph.add_edge(pair.left_id, pair.right_id, weight=pair.probability, flagged=flagged)
    return folder, graph, said


def test_each_dropped_record_has_the_strongest_path_to_the_one_that_stands_for_it(run):
    folder, graph, said = run
    clusters = pd.read_parquet(folder / "clusters.parquet").set_index("record_id")
    table = pd.read_parquet(folder / "dropped.parquet")
    assert table["record_id"].tolist() == clusters.index[~clusters["is_representative"]].tolist()
    kept = clusters[clusters["is_representative"]].reset_index().set_index("cluster_id")["record_id"]
    assert table["kept_record_id"].tolist() == kept[table["cluster_id"]].tolist()
    assert set(table["kept_record_id"]) <= set(pd.read_parquet(folder / "unique.parquet")["record_id"])
    assert table["links"].max() > 1 and table["links"].min() == 1
    for row in table.itertuples():
        path = list(row.path)
        assert path[0] == row.record_id and path[-1] == row.kept_record_id
        assert len(path) == row.links + 1 == len(set(path))
        along = [graph[one][other]["weight"] for one, other in pairwise(path)]
        assert list(row.path_probabilities) == along and row.weakest_link == min(along)
        members = clusters.index[clusters["cluster_id"] == row.cluster_id]
        assert set(path) <= set(members)
        strongest = nx.maximum_spanning_tree(graph.subgraph(members))
        best = nx.shortest_path(strongest, row.record_id, row.kept_record_id)
        assert row.weakest_link == min(strongest[a][b]["weight"] for a, b in pairwise(best))
    least_sure = said["dropped"].pop("least_sure")
    by_strength = table.sort_values("weakest_link", kind="stable")
    assert [row["record_id"] for row in least_sure] == by_strength["record_id"].tolist()[:20]
    assert [row["path"] for row in least_sure] == [list(path) for path in by_strength["path"][:20]]
    assert said["dropped"] == {
        "tied_directly": (table["links"] == 1).sum(),
        "tied_through_others": (table["links"] > 1).sum(),
        "longest_path": table["links"].max(),
        "weakest_link": table["weakest_link"].min(),
    }


def mean(graph: nx.Graph, pairs) -> float:
    return float(np.mean([graph[a][b]["weight"] if graph.has_edge(a, b) else 0.0 for a, b in pairs]))


def test_what_holds_a_cluster_together(run):
    folder, graph, _ = run
    clusters = pd.read_parquet(folder / "clusters.parquet").set_index("record_id")
    for _, members in clusters.groupby("cluster_id"):
        assert members[["component_id", "cohesion", "weakest_link"]].drop_duplicates().shape[0] == 1
        cohesion, weakest = members["cohesion"].iloc[0], members["weakest_link"].iloc[0]
        if len(members) == 1:
            assert np.isnan(cohesion) and np.isnan(weakest)
            continue
        assert cohesion == pytest.approx(mean(graph, combinations(members.index, 2)))
        tree = nx.maximum_spanning_tree(graph.subgraph(members.index))
        assert weakest == min(weight for _, _, weight in tree.edges(data="weight"))
    assert pq.read_metadata(folder / "clusters.parquet").num_rows == 400


def test_what_was_parted_and_why(run):
    folder, graph, said = run
    clusters = pd.read_parquet(folder / "clusters.parquet").set_index("record_id")
    first = clusters.drop_duplicates("component_id")["component_id"].tolist()
    assert first == list(range(len(first)))  # numbered by first record
    parted = pd.read_parquet(folder / "parted.parquet")
    parts = clusters.groupby("component_id")["cluster_id"].nunique()
    assert parted["component_id"].tolist() == parts.index[parts > 1].tolist()
    assert len(parted) == said["parted_components"] > 0
    for row in parted.itertuples():
        members = clusters[clusters["component_id"] == row.component_id]
        assert (row.records, row.clusters) == (len(members), members["cluster_id"].nunique())
        assert row.cohesion == pytest.approx(mean(graph, combinations(members.index, 2)))
        groups = [list(group.index) for _, group in members.groupby("cluster_id")]
        assert (
            row.highest_mean_between < said["least_mean_between"] <= 0.5
            and f"at most {row.highest_mean_between:.3f}" in row.reason
        )
        between = [
            graph[a][b]["weight"]
            for one, other in combinations(groups, 2)
            for a in one
            for b in other
            if graph.has_edge(a, b) and graph[a][b]["flagged"]
        ]
        assert (row.matches_parted, row.strongest_parted) == (len(between), max(between, default=0.0))


def test_a_corpus_without_any_pair(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "load_encoder", lambda model: FakeEncoder())
    path, folder = tmp_path / "records.parquet", tmp_path / "run"
    pd.DataFrame({"record_id": ["a", "b", "c"], "name": ["one", "two", None]}).to_parquet(path)
    folder.mkdir()
    embed(path, folder / "left")
    run_stages(folder, folder, stages.Threshold())
    said = stages.cluster("m", folder, folder, Records.open(str(path)))
    assert said["dropped"]["weakest_link"] is None and said["parted_components"] == 0
    assert pq.read_metadata(folder / "dropped.parquet").num_rows == 0
    assert pq.read_metadata(folder / "parted.parquet").num_rows == 0
    assert pd.read_parquet(folder / "clusters.parquet")["component_id"].tolist() == [0, 1, 2]
