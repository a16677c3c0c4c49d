"""What became of the groups of a run, and of its pairs, beside loops over sets."""

from collections import Counter
from pathlib import Path

import networkx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.changes import FATES, Changes, Fate
from pipeline.pairchanges import PairChanges
from pipeline.partitions import Partitions, places
from siamese.errors import ArtifactError

Clusters = dict[str, int]
clusters = st.dictionaries(st.text("abcdeé\0", max_size=3), st.integers(0, 6), max_size=14)


def partitions(old: Clusters, new: Clusters) -> Partitions:
    def side(one: Clusters) -> tuple[pa.Array, np.ndarray]:
        return pa.array(list(one), pa.large_string()), np.array(list(one.values()), np.int64)

    return Partitions.of(*side(old), *side(new))


def naive(old: Clusters, new: Clusters) -> list[tuple[Fate, frozenset[str], int, int]]:
    """Each change as (fate, records, old groups, new groups)."""
    sides = []
    for which, one in (("old", old), ("new", new)):
        sets: dict[tuple[str, int], set[str]] = {}
        for record, cluster in one.items():
            sets.setdefault((which, cluster), set()).add(record)
        sides.append({name: members for name, members in sets.items() if len(members) > 1})
    graph = networkx.Graph()
    graph.add_nodes_from([*sides[0], *sides[1]])
    graph.add_edges_from((a, b) for a, one in sides[0].items() for b, other in sides[1].items() if one & other)
    found = []
    for tied in networkx.connected_components(graph):
        before = [sides[0][name] for name in tied if name[0] == "old"]
        after = [sides[1][name] for name in tied if name[0] == "new"]
        a, b = set().union(*before), set().union(*after)
        if not before or not after:
            fate = Fate.GONE if before else Fate.NEW
        elif len(before) > 1 or len(after) > 1:
            fate = Fate.REGROUPED if len(before) > 1 < len(after) else Fate.MERGED if len(before) > 1 else Fate.SPLIT
        elif a == b:
            fate = Fate.UNCHANGED
        else:
            fate = Fate.GROWN if a < b else Fate.SHRUNK if b < a else Fate.EXCHANGED
        found.append((fate, frozenset(a | b), len(before), len(after)))
    return found


@settings(deadline=None)
@given(clusters, clusters)
def test_changes_are_those_of_a_loop_over_sets(old: Clusters, new: Clusters) -> None:
    both = partitions(old, new)
    assert both.ids.to_pylist() == [*old, *(name for name in new if name not in old)]
    changes = Changes.between(both)
    ids = both.ids.to_pylist()
    found = [
        (FATES[fate], frozenset(ids[i] for i in changes.members(number)), int(olds), int(news))
        for number, (fate, olds, news) in enumerate(
            zip(changes.fate, changes.old_groups, changes.new_groups, strict=True)
        )
    ]
    expected = naive(old, new)
    assert Counter(found) == Counter(expected)
    assert changes.records.tolist() == [len(members) for _, members, _, _ in found]
    counts = changes.counts()
    assert {fate: count["changes"] for fate, count in counts.items() if count["changes"]} == Counter(
        fate for fate, *_ in expected
    )
    for fate in FATES:
        largest = changes.largest(fate, 3)
        assert all(FATES[changes.fate[number]] == fate for number in largest)
        assert [len(changes.members(number)) for number in largest] == sorted(
            (len(members) for each, members, *_ in expected if each == fate), reverse=True
        )[:3]


@settings(deadline=None)
@given(clusters, clusters)
def test_overlaps_are_the_contingency_table(old: Clusters, new: Clusters) -> None:
    found = partitions(old, new).overlaps()
    expected = Counter((old.get(name, -1), new.get(name, -1)) for name in {**old, **new})
    assert list(zip(found.old.tolist(), found.new.tolist(), found.records.tolist(), strict=True)) == [
        (*pair, count) for pair, count in sorted(expected.items())
    ]


def test_a_run_beside_itself_is_unchanged() -> None:
    one = {"a": 0, "b": 0, "c": 1, "d": 2, "e": 2}
    counts = Changes.between(partitions(one, one)).counts()
    assert counts["unchanged"] == {"changes": 2, "old_groups": 2, "new_groups": 2, "records": 4}
    assert sum(count["changes"] for count in counts.values()) == 2


def test_places() -> None:
    assert places(pa.array(["b", "", "x"]), pa.array(["", "a", "b"])).tolist() == [2, 0, -1]


def write_run(folder: Path, clusters: Clusters, pairs: list[tuple[str, str, float, bool]], link: bool = False) -> Path:
    folder.mkdir()
    table = pa.table({"record_id": pa.array(clusters, pa.large_string()), "cluster_id": list(clusters.values())})
    if link:
        sides = ["left" if name.startswith("l") else "right" for name in clusters]
        names = pa.array([name[1:] for name in clusters], pa.large_string())
        table = table.set_column(0, "record_id", names).append_column("side", pa.array(sides))
    pq.write_table(table, folder / "clusters.parquet")
    frame = pd.DataFrame(pairs, columns=["left_id", "right_id", "probability", "is_match"])
    frame = frame.astype({"left_id": "str", "right_id": "str", "probability": float, "is_match": bool})
    frame.to_parquet(folder / "pairs.parquet")
    return folder


def changes_of(old: Path, new: Path) -> tuple[PairChanges, Partitions]:
    both = Partitions.of_runs(old, new)
    return PairChanges.between(old, new, both), both


@pytest.mark.parametrize("seed", range(5))
def test_pairs_gained_and_lost_are_those_of_sets(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    runs = []
    for name in ("old", "new"):
        ids = [f"r{i}" for i in random.permutation(12)[:9]]
        pairs = {tuple(sorted(random.choice(ids, 2, replace=False).tolist())) for _ in range(25)}
        written = [(a, b, round(float(random.random()), 2), bool(random.integers(2))) for a, b in sorted(pairs)]
        runs.append((ids, written, write_run(tmp_path / name, {name: i for i, name in enumerate(ids)}, written)))
    (old_ids, old, old_run), (new_ids, new, new_run) = runs
    changes, both = changes_of(old_run, new_run)
    names = both.ids.to_pylist()
    flagged = [{(a, b) for a, b, _, is_match in written if is_match} for written in (old, new)]
    assert changes.kept == len(flagged[0] & flagged[1])
    for found, here, there, ids in ((changes.gained, new, old, old_ids), (changes.lost, old, new, new_ids)):
        expected = {
            (a, b): (p, {(c, d): q for c, d, q, _ in there}.get((a, b)), a not in ids or b not in ids)
            for a, b, p, is_match in here
            if is_match and (a, b) not in {(c, d) for c, d, _, is_match in there if is_match}
        }
        seen = {}
        for i in range(len(found)):
            pair = tuple(sorted((names[found.left[i]], names[found.right[i]])))
            otherwise = None if np.isnan(found.otherwise[i]) else found.otherwise[i]
            seen[pair] = (found.probability[i], otherwise, bool(found.lacks[i]))
        assert seen == expected
        assert (np.diff(found.probability) <= 0).all()
        counts = found.counts()
        assert counts["pairs"] == len(expected) == sum(counts.values()) - counts["pairs"]


def test_in_a_link_equal_ids_of_the_two_sides_are_two_records(tmp_path: Path) -> None:
    clusters = {"l1": 0, "r1": 0, "l2": 1, "r2": 2}
    old = write_run(tmp_path / "old", clusters, [("1", "1", 0.9, True), ("2", "1", 0.8, True)], link=True)
    new = write_run(tmp_path / "new", clusters, [("1", "1", 0.9, True), ("1", "2", 0.7, True)], link=True)
    changes, both = changes_of(old, new)
    assert both.ids.to_pylist() == ["left:1", "right:1", "left:2", "right:2"]
    assert (changes.kept, len(changes.gained), len(changes.lost)) == (1, 1, 1)
    assert {both.ids[i].as_py() for i in (changes.gained.left[0], changes.gained.right[0])} == {"left:1", "right:2"}


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", {"a": 0}, [("a", "b", 0.9, True)])
    with pytest.raises(ArtifactError, match="names a record that"):
        changes_of(run, run)
    (run / "clusters.parquet").write_bytes(b"no")
    with pytest.raises(ArtifactError, match="cannot be read"):
        Partitions.of_runs(run, run)
