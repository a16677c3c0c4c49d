"""The stages of a run on a corpus whose every distance is known."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import stages
from pipeline.assignment import one_to_one
from pipeline.decision import NEAR_MISS_BAND
from pipeline.evaluation import cluster_scores, evaluate_run
from pipeline.records import Records
from pipeline.rowpairs import RowPairs
from siamese.errors import DataError
from tests.pipeline.fakes import FakeEncoder, embed, run_stages


@pytest.fixture
def encoder(monkeypatch):
    fake = FakeEncoder()
    monkeypatch.setattr(stages, "load_encoder", lambda model: fake)
    return fake


def dedupe(frame: pd.DataFrame, folder: Path, max_distance: float | None = None):
    frame.to_parquet(folder / "records.parquet")
    run = folder / "run"
    run.mkdir()
    counts = embed(folder / "records.parquet", run / "left")
    matched = run_stages(run, run, stages.Threshold(max_distance))
    clustered = stages.cluster("m", run, run, Records.open(str(folder / "records.parquet")))
    return (
        counts,
        matched,
        clustered,
        pd.read_parquet(run / "pairs.parquet"),
        pd.read_parquet(run / "clusters.parquet"),
        run,
    )


def brute_force(frame: pd.DataFrame, encoder: FakeEncoder, limit: float) -> dict[tuple[str, str], float]:
    known = frame[frame["name"].notna() & (frame["name"].str.strip() != "")]
    vectors = {
        row.record_id: encoder._vector(row.name_) for row in known.rename(columns={"name": "name_"}).itertuples()
    }
    apart = {
        (min(a, b), max(a, b)): float(np.linalg.norm(vectors[a].astype(np.float64) - vectors[b])) / encoder.margin
        for a, b in combinations(vectors, 2)
    }
    return {pair: value for pair, value in apart.items() if value <= limit}


def corpus(n: int = 300, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    names = [f"thing {random.integers(n // 4)}" + random.choice(["", "~0.2", "~0.4", "~0.7"]) for _ in range(n)]
    names[5:8] = [None, "", "   "]
    return pd.DataFrame(
        {"record_id": [f"r{number:04d}" for number in random.permutation(n)], "name": names, "note": range(n)}
    )


def test_pairs_are_those_of_brute_force(tmp_path, encoder):
    frame = corpus()
    limit = encoder.calibration.max_distance
    counts, matched, _, pairs, _, _ = dedupe(frame, tmp_path, limit)
    expected = brute_force(frame, encoder, limit * (1 + NEAR_MISS_BAND))
    assert counts == {
        "records": 300,
        "distinct_contents": frame["name"].str.strip().replace("", None).nunique(),
        "empty_records": 3,
        "blocks": 1,
    }
    assert (pairs["left_id"] < pairs["right_id"]).all()
    found = dict(zip(zip(pairs["left_id"], pairs["right_id"], strict=True), pairs["margin_distance"], strict=True))
    assert len(found) == len(pairs) == matched["pairs"] and found.keys() == expected.keys()
    assert all(found[pair] == pytest.approx(expected[pair], abs=1e-6) for pair in expected)
    assert (pairs["is_match"] == (pairs["margin_distance"] <= limit)).all() and pairs["is_match"].sum() == matched[
        "matches"
    ]
    assert np.allclose(pairs["probability"], encoder.calibration.probability(pairs["margin_distance"]))
    assert np.allclose(pairs["distance"] / encoder.margin, pairs["margin_distance"])


def test_where_no_threshold_is_asked_for_what_the_groups_part_is_no_match(tmp_path, encoder):
    _, matched, counts, pairs, clusters, _ = dedupe(corpus(), tmp_path)
    cluster = clusters.set_index("record_id")["cluster_id"]
    together = pairs["left_id"].map(cluster).to_numpy() == pairs["right_id"].map(cluster).to_numpy()
    near = pairs["margin_distance"] <= matched["max_distance"]
    assert (pairs["is_match"] == (near & together)).all()
    assert matched["matches"] == (near & together).sum() < near.sum() and counts["parted_components"] > 0


def test_a_group_of_500_equal_records_comes_out_whole(tmp_path, encoder):
    frame = corpus(700)
    frame.loc[100:599, "name"] = "the same"
    _, _, _, pairs, clusters, _ = dedupe(frame, tmp_path)
    group = set(frame.loc[100:599, "record_id"])
    inside = pairs["left_id"].isin(group) & pairs["right_id"].isin(group)
    assert inside.sum() == 500 * 499 // 2 and (pairs.loc[inside, "distance"] == 0).all()
    assert not pairs.duplicated(["left_id", "right_id"]).any()
    assert clusters[clusters["record_id"].isin(group)]["cluster_id"].nunique() == 1


def test_clusters_are_the_components_of_the_matches_or_parts_of_loose_ones(tmp_path, encoder):
    frame = corpus()
    _, _, counts, pairs, clusters, run = dedupe(frame, tmp_path, encoder.calibration.max_distance)
    parent = {record: record for record in frame["record_id"]}

    def root(record):
        while parent[record] != record:
            record = parent[record]
        return record

    for pair in pairs[pairs["is_match"]].itertuples():
        parent[root(pair.left_id)] = root(pair.right_id)
    assert clusters["record_id"].tolist() == frame["record_id"].tolist()
    by_root = pd.Series({record: root(record) for record in parent})
    table = clusters.set_index("record_id")
    assert table.groupby("cluster_id").apply(lambda g: by_root[g.index].nunique()).eq(1).all()
    parts = table.groupby(by_root)["cluster_id"].nunique()
    assert (parts > 1).sum() == counts["parted_components"] > 0
    flagged = pairs[pairs["is_match"]]
    members, tied = by_root.value_counts(), flagged["left_id"].map(by_root).value_counts()
    tight = members.index[members * (members - 1) / 2 == tied.reindex(members.index, fill_value=0)]
    assert (parts[tight] == 1).all() and len(tight) > 10
    assert (table["cluster_size"] == table.groupby("cluster_id")["cluster_size"].transform("size")).all()
    assert (table.groupby("cluster_id")["is_representative"].sum() == 1).all()
    assert counts["duplicates"] == (~table["is_representative"]).sum()
    # The representative has the least sum of squared distances to the others.
    texts = frame.set_index("record_id")["name"]
    for _, group in table[table["cluster_size"] > 2].groupby("cluster_id"):
        vectors = np.stack([encoder._vector(texts[record]) for record in group.index]).astype(np.float64)
        sums = np.square(vectors[:, None] - vectors).sum(axis=(1, 2))
        chosen = int(group["is_representative"].argmax())
        assert sums[chosen] == pytest.approx(sums.min(), abs=1e-6)
        apart = np.linalg.norm(vectors - vectors[chosen], axis=1)
        assert np.allclose(group["distance_to_representative"], apart, atol=1e-6)
    unique = pd.read_parquet(run / "unique.parquet")
    assert unique["record_id"].tolist() == table.index[table["is_representative"]].tolist()
    assert unique["note"].tolist() == frame.set_index("record_id").loc[unique["record_id"], "note"].tolist()


def test_records_with_nothing_to_compare_are_left_alone(tmp_path, encoder):
    frame = corpus()
    _, _, _, pairs, clusters, _ = dedupe(frame, tmp_path, max_distance=1.5)
    empty = set(frame.loc[5:7, "record_id"])
    assert not (pairs["left_id"].isin(empty) | pairs["right_id"].isin(empty)).any()
    assert (clusters[clusters["record_id"].isin(empty)]["cluster_size"] == 1).all()


@pytest.mark.parametrize("larger", ["left", "right"])
@pytest.mark.parametrize("only_one", [False, True])
def test_link(tmp_path, encoder, larger, only_one):
    frames = {"left": corpus(200, 1), "right": corpus(60, 2)}
    if larger == "right":
        frames = {"left": frames["right"], "right": frames["left"]}
    run = tmp_path / "run"
    run.mkdir()
    sources = []
    for side, frame in frames.items():
        frame.to_csv(tmp_path / f"{side}.csv", index=False)
        sources.append(Records.open(str(tmp_path / f"{side}.csv")))
        embed(Path(sources[-1].path), run / side)
    run_stages(run, run, stages.Threshold(one_to_one=only_one))
    stages.cluster("m", run, run, sources[0], only_one)
    pairs, clusters = pd.read_parquet(run / "pairs.parquet"), pd.read_parquet(run / "clusters.parquet")
    limit = encoder.calibration.max_distance
    texts = {side: frame.dropna().set_index("record_id")["name"] for side, frame in frames.items()}
    expected = {
        (a, b)
        for a, left in texts["left"].items()
        for b, right in texts["right"].items()
        if left.strip()
        and right.strip()
        and np.linalg.norm(encoder._vector(left) - encoder._vector(right)) / encoder.margin <= limit
    }
    flagged = pairs[pairs["is_match"]]
    found = set(zip(flagged["left_id"], flagged["right_id"], strict=True))
    pd.DataFrame(sorted(expected), columns=["left_id", "right_id"]).to_csv(tmp_path / "truth.csv", index=False)
    truth = str(tmp_path / "truth.csv")
    scores = stages.evaluate("m", run, truth, run, stages.Threshold())["pairs"]
    assert scores["precision"] == len(found & expected) / len(found)
    assert scores["recall"] == len(found & expected) / len(expected)
    assert len(clusters) == 260 and set(clusters["side"]) == {"left", "right"} and not (run / "unique.parquet").exists()
    if only_one:
        assert (
            found <= expected
            and not flagged["left_id"].duplicated().any()
            and not flagged["right_id"].duplicated().any()
        )
        assert clusters["cluster_size"].max() == 2 and (clusters["cluster_size"] == 2).sum() == 2 * len(flagged)
    else:
        assert found == expected


def test_a_row_number_that_pandas_left_is_no_column(tmp_path):
    frame = corpus(30, 1).sample(frac=1, random_state=0).rename_axis(None)
    frame.to_parquet(tmp_path / "records.parquet")
    assert "__index_level_0__" in pq.read_schema(tmp_path / "records.parquet").names
    records = Records.open(str(tmp_path / "records.parquet"))
    assert records.columns == tuple(frame.columns)
    assert [name for batch in records.batches() for name in batch.column_names] == list(frame.columns)


def test_one_to_one_takes_the_best_sum():
    pairs = RowPairs(np.array([0, 0, 1, 2]), np.array([5, 6, 5, 9]), np.array([0.1, 0.2, 0.15, 0.3], np.float32))
    reward = np.array([0.9, 0.8, 0.85, 0.1])
    assert one_to_one(pairs, np.ones(4, bool), reward).tolist() == [False, True, True, True]
    assert one_to_one(pairs, np.array([True, False, False, False]), reward).tolist() == [True, False, False, False]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_one_to_one_is_the_same_as_a_matrix_or_by_its_candidates(seed):
    random = np.random.default_rng(seed)
    n, width, m = random.integers(1, 12), random.integers(1, 12), random.integers(1, 60)
    pairs = RowPairs(random.integers(0, n, m), random.integers(0, width, m), np.zeros(m, np.float32))
    _, place = np.unique(pairs.left * width + pairs.right, return_inverse=True)
    reward = random.random(m)[place] + 0.01  # a pair that comes twice is worth the same
    found = []
    for dense in (2**20, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pipeline.assignment.DENSE", dense)
            found.append(one_to_one(pairs, np.ones(m, bool), reward))
    assert found[0].tolist() == found[1].tolist()
    once = np.unique(np.stack([pairs.left, pairs.right])[:, found[1]], axis=1)
    assert len(np.unique(once[0])) == len(np.unique(once[1])) == once.shape[1]


def test_blocks_that_overlap_give_the_threads_back():
    before = torch.get_num_threads()
    first, second = stages.one_thread(), stages.one_thread()
    first.__enter__(), second.__enter__()
    assert torch.get_num_threads() == 1
    first.__exit__(None, None, None), second.__exit__(None, None, None)
    assert torch.get_num_threads() == before


def test_evaluation_against_the_truth(tmp_path):
    ids = pd.Index(["a", "b", "c", "d", "e"])
    pairs = {"left_id": ["a", "a", "d"], "right_id": ["b", "c", "e"], "is_match": [True, False, True]}
    pd.DataFrame(pairs | {"score": [None, 0.7, 0.1]}).to_parquet(tmp_path / "pairs.parquet")
    truth = {
        "left_id": ["b", "c", "b", "d"],
        "right_id": ["a", "a", "c", "d"],
    }  # a record is itself: no run has to find that
    pd.DataFrame(truth).to_csv(tmp_path / "truth.csv", index=False)
    scores, missed, is_true = evaluate_run(tmp_path, str(tmp_path / "truth.csv"), ids, None, np.array([0, 0, 1, 2, 2]))
    assert is_true.tolist() == [True, True, False]
    assert missed.pairs.left.tolist() == [0, 1] and missed.written.tolist() == [True, False]
    assert missed.true == 3 and missed.independent == 1  # all three share records
    assert scores["pairs"] | {} == {
        "precision": 0.5, "recall": 1 / 3, "f1": 0.4, "true_pairs": 3, "flagged": 2, "candidates": 3, "candidate_recall": 2 / 3,
        "scored_precision": 0.0,  # equal contents have no score: nothing was promised of them
    }  # fmt: skip
    pd.DataFrame({"left_id": ["b"], "right_id": ["zz"]}).to_csv(tmp_path / "truth.csv", index=False)
    with pytest.raises(DataError, match="zz"):
        evaluate_run(tmp_path, str(tmp_path / "truth.csv"), ids, None, np.arange(5))


def test_cluster_scores_by_hand_and_by_loop():
    random = np.random.default_rng(0)
    cluster, entity = random.integers(0, 12, 60), random.integers(0, 15, 60)
    both = [[(cluster[i] == cluster[j], entity[i] == entity[j]) for j in range(60)] for i in range(60)]
    precision = np.mean([sum(c and e for c, e in row) / sum(c for c, _ in row) for row in both])
    recall = np.mean([sum(c and e for c, e in row) / sum(e for _, e in row) for row in both])
    scores = cluster_scores(cluster, entity)
    assert scores["b_cubed"]["precision"] == pytest.approx(precision) and scores["b_cubed"]["recall"] == pytest.approx(
        recall
    )
    upper = [both[i][j] for i, j in combinations(range(60), 2)]
    assert scores["pairwise"]["precision"] == pytest.approx(sum(c and e for c, e in upper) / sum(c for c, _ in upper))
    assert json.dumps(scores)
