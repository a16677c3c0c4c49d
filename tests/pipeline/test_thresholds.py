"""What each threshold would flag, against naive loops; and the forest, against networkx."""

from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.forest import Forest
from pipeline.matching import PAIR_SCHEMA
from pipeline.thresholds import Truth, read_thresholds, write_thresholds
from siamese.errors import ArtifactError

edges = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from([0.1, 0.2, 0.5, 0.7, 1.0])), max_size=40
)


@settings(max_examples=60, deadline=None)
@given(edges, st.integers(1, 5))
def test_the_forest_hangs_together_as_all_ties_do(ties: list[tuple[int, int, float]], parts: int) -> None:
    ties = [tie for tie in ties if tie[0] != tie[1]]
    forest = Forest(10)
    for part in range(parts):
        some = ties[part::parts]
        forest.add(
            *(np.array([tie[i] for tie in some], kind) for i, kind in enumerate((np.int64, np.int64, np.float64)))
        )
    for least in (0.1, 0.2, 0.5, 0.7, 1.0):
        graph, kept = nx.Graph(), nx.Graph()
        graph.add_nodes_from(range(10))
        kept.add_nodes_from(range(10))
        graph.add_edges_from(tie[:2] for tie in ties if tie[2] >= least)
        strong = forest.strength >= least
        kept.add_edges_from(zip(forest.left[strong].tolist(), forest.right[strong].tolist(), strict=True))
        assert list(map(sorted, nx.connected_components(graph))) == list(map(sorted, nx.connected_components(kept)))
        assert kept.number_of_edges() == 10 - nx.number_connected_components(kept)
    best = [max((tie[2] for tie in ties if node in tie[:2]), default=-np.inf) for node in range(10)]
    assert forest.strongest().tolist() == best


def write(folder: Path, frame: pd.DataFrame, name: str, schema: pa.Schema) -> None:
    pq.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False), folder / name, row_group_size=17)


def make(folder: Path, *, link: bool, least: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Random pairs of 30 records, or of 30 with 30 of the same ids, and those beyond."""
    random = np.random.default_rng(1)
    drawn = random.permutation([(i, j) for i in range(30) for j in range(30) if link or i < j])[:150]
    frame = pd.DataFrame({"left_id": [f"r{i:02}" for i in drawn[:, 0]], "right_id": [f"r{j:02}" for j in drawn[:, 1]]})
    frame["probability"] = random.random(150).round(2)
    frame["margin_distance"] = 1.2 - frame["probability"] * random.random(150)
    frame["distance"], frame["zone"] = frame["margin_distance"], "review"
    frame["score"] = np.where(random.random(150) < 0.1, np.nan, 1 - frame["probability"])
    # Some above the threshold are let go; those of equal contents are flagged whatever their probability.
    frame["is_match"] = (frame["probability"] >= least) & (random.random(150) < 0.8) | frame["score"].isna()
    beyond = frame.iloc[100:].assign(probability=0.01, weight=3.0, is_match=False)
    frame = frame.iloc[:100].reset_index(drop=True)
    write(folder, frame, "pairs.parquet", PAIR_SCHEMA)
    write(folder, beyond, "beyond.parquet", PAIR_SCHEMA.append(pa.field("weight", pa.float64())))
    ids = [f"r{i:02}" for i in range(30)]
    clusters = pd.DataFrame({"record_id": ids * (2 if link else 1), "cluster_id": range(60 if link else 30)})
    if link:
        clusters["side"] = ["left"] * 30 + ["right"] * 30
    clusters.to_parquet(folder / "clusters.parquet")
    return frame, beyond


@pytest.mark.parametrize(("link", "one_to_one"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("least", [0.5, 0.637])
def test_every_row_is_what_a_loop_counts(tmp_path: Path, link: bool, one_to_one: bool, least: float) -> None:
    frame, beyond = make(tmp_path, link=link, least=least)
    is_true = np.random.default_rng(2).random(100) < frame["probability"]
    write_thresholds(tmp_path, least, one_to_one, Truth(is_true.to_numpy(), 90))
    rows = read_thresholds(tmp_path)
    assert [row["min_probability"] for row in rows if row["is_chosen"]] == [least]
    taken = {("left", one) for one in frame[frame["is_match"]]["left_id"]}
    taken |= {("right" if link else "left", one) for one in frame[frame["is_match"]]["right_id"]}

    pairs = frame.to_dict("records")

    def is_lost(pair: dict) -> bool:
        ends = {("left", pair["left_id"]), ("right" if link else "left", pair["right_id"])}
        return one_to_one and not pair["is_match"] and bool(ends & taken)

    whole = sum(p["probability"] for p in pairs if not is_lost(p))
    whole += sum(3 * p["probability"] for p in beyond.to_dict("records") if not is_lost(p))
    for row in rows:
        at = row["min_probability"]
        flagged = []
        for i, pair in enumerate(pairs):
            equal = pair["is_match"] and np.isnan(pair["score"])
            above = pair["probability"] >= at if not pair["is_match"] else max(pair["probability"], least) >= at
            let_go = not pair["is_match"] and pair["probability"] >= least
            if equal or (above and not let_go and not is_lost(pair)):
                flagged.append(i)
        some = frame.loc[flagged]
        graph = nx.Graph(
            (("left", a), ("right" if link else "left", b))
            for a, b in zip(some["left_id"], some["right_id"], strict=True)
        )
        assert row["flagged"] == len(some)
        assert row["clusters"] == nx.number_connected_components(graph)
        assert row["duplicates"] == len(graph) - nx.number_connected_components(graph)
        assert row["margin_distance"] == some["margin_distance"].max()
        assert row["expected_precision"] == pytest.approx(some["probability"].mean())
        assert row["expected_recall"] == pytest.approx(some["probability"].sum() / whole)
        assert row["precision"] == pytest.approx(is_true[flagged].mean())
        assert row["recall"] == pytest.approx(is_true[flagged].sum() / 90)
    chosen = next(row for row in rows if row["is_chosen"])
    assert chosen["flagged"] == frame["is_match"].sum()


def test_without_a_truth_nothing_is_said_of_it(tmp_path: Path) -> None:
    make(tmp_path, link=False, least=0.5)
    write_thresholds(tmp_path, 0.5, False)
    assert all(row["precision"] is None and row["recall"] is None for row in read_thresholds(tmp_path))


def test_a_pair_of_an_unknown_record_is_refused(tmp_path: Path) -> None:
    make(tmp_path, link=False, least=0.5)
    pd.DataFrame({"record_id": ["r00"], "cluster_id": [0]}).to_parquet(tmp_path / "clusters.parquet")
    with pytest.raises(ArtifactError, match=r"clusters\.parquet' lacks the record 'r"):
        write_thresholds(tmp_path, 0.5, False)
