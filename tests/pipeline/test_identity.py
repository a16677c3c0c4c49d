"""Ids of clusters beside a plain reading of the rule."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.identity import CHANGE_SCHEMA, NEXT_ID, Identities, carry_ids, id_changes
from pipeline.partitions import Partitions
from siamese.folders import write_json

Clusters = dict[str, int]
old_clusters = st.dictionaries(st.sampled_from("abcdefghijkl"), st.integers(3, 9))
new_clusters = st.dictionaries(st.sampled_from("abcdefghijklmn"), st.integers(0, 6), min_size=1)


def numbered(clusters: Clusters) -> Clusters:
    """The same, numbered by first record, as a run does."""
    numbers = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters.values()))}
    return {record: numbers[cluster] for record, cluster in clusters.items()}


def naive_ids(old: Clusters, new: Clusters, next_id: int) -> list[int]:
    shared = Counter((old[record], new[record]) for record in old.keys() & new.keys())
    ids: dict[int, int] = {}
    for (a, b), _ in sorted(shared.items(), key=lambda item: (-item[1], item[0])):
        if b not in ids and a not in ids.values():
            ids[b] = a
    for b in range(max(new.values()) + 1):
        if b not in ids:
            ids[b], next_id = next_id, next_id + 1
    return [ids[b] for b in range(len(ids))]


def naive_changes(old: Clusters, new: Clusters, ids: list[int]) -> list[tuple[int | None, int | None, int, str]]:
    rows = []
    after = {record: ids[cluster] for record, cluster in new.items()}
    for a in set(old.values()):
        records = [record for record, cluster in old.items() if cluster == a]
        into = Counter(after[record] for record in records if record in after)
        if not into:
            rows.append((a, None, len(records), "deleted"))
        for b, count in into.items():
            of = {old[record] for record, cluster in after.items() if cluster == b and record in old}
            why = "moved" if len(of) > 1 < len(into) else "merged" if len(of) > 1 else "split"
            if a != b:
                rows.append((a, b, count, why))
    for b in set(after.values()):
        records = [record for record, cluster in after.items() if cluster == b]
        if not set(records) & set(old):
            rows.append((None, b, len(records), "new"))
    return rows


def side(one: Clusters) -> tuple[pa.Array, np.ndarray]:
    return pa.array(list(one), pa.large_string()), np.array(list(one.values()), np.int64)


@settings(deadline=None)
@given(old_clusters, new_clusters, st.integers(10, 12))
def test_ids_and_changes_are_those_of_the_rule(old: Clusters, new: Clusters, next_id: int) -> None:
    new = numbered(new)
    overlaps = Partitions.of(*side(old), *side(new)).overlaps()
    found = Identities.of(overlaps, max(new.values()) + 1, next_id)
    expected = naive_ids(old, new, next_id)
    assert found.ids.tolist() == expected
    assert found.next_id == max([next_id - 1, *expected]) + 1
    assert len(set(expected)) == len(expected)
    changes = id_changes(overlaps, found.ids)
    assert changes.schema == CHANGE_SCHEMA
    rows = list(zip(*(column.to_pylist() for column in changes.columns), strict=True))
    assert Counter(rows) == Counter(naive_changes(old, new, expected))


def test_a_chain_of_runs_never_uses_an_id_again(tmp_path: Path) -> None:
    """Ids are kept while members are, and those of clusters that went do not come back."""
    steps: list[Clusters] = [
        {"a": 0, "b": 0, "c": 1, "d": 1},
        {"a": 0, "b": 0, "c": 0, "d": 0},  # merged: 1 goes
        {"a": 0, "b": 0, "c": 1, "d": 1, "e": 2},  # split again: a fresh id, not 1
        {"e": 0},
        {"e": 0, "a": 1},
    ]
    seen = []
    for number, step in enumerate(steps):
        run = tmp_path / str(number)
        run.mkdir()
        table = pa.table({"record_id": pa.array(step, pa.large_string()), "cluster_id": list(step.values())})
        counts = {NEXT_ID: max(step.values()) + 1}
        if number:
            table, counts = carry_ids(table, tmp_path / str(number - 1), run)
            assert pq.read_table(run / "changes.parquet").schema == CHANGE_SCHEMA
        pq.write_table(table, run / "clusters.parquet")
        write_json(run / "summary.json", {NEXT_ID: counts[NEXT_ID]})
        seen.append(dict(zip(table["record_id"].to_pylist(), table["cluster_id"].to_pylist(), strict=True)))
    assert seen == [
        {"a": 0, "b": 0, "c": 1, "d": 1},
        {"a": 0, "b": 0, "c": 0, "d": 0},
        {"a": 0, "b": 0, "c": 2, "d": 2, "e": 3},
        {"e": 3},
        {"e": 3, "a": 4},
    ]
    last = pq.read_table(tmp_path / "2" / "changes.parquet").to_pylist()
    assert last == [
        {"old_id": None, "new_id": 3, "records": 1, "why": "new"},
        {"old_id": 0, "new_id": 2, "records": 2, "why": "split"},
    ]
