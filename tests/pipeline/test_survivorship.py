"""Golden records and their lineage, against a naive loop over clusters, fields and records."""

import datetime
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline import stages, survivorship
from pipeline.records import Records
from pipeline.rules import GoldenRules, Rule
from pipeline.survivorship import check_rules, write_golden
from siamese.errors import DataError, SettingsError

EVERY_RULE = GoldenRules(
    default="most_frequent",
    fields={
        "price": "newest",
        "note": "longest",
        "phone": "source_priority",
        "city": "most_complete",
        "tags": "representative",
    },
    newest_by="updated",
    source="shop",
    source_priority=["crm", "web"],
)


def make(folder: Path, n: int, seed: int, suffix: str = "parquet") -> tuple[Records, pa.Table]:
    """Records with holes and few values, so that there are ties, in random clusters."""
    random = np.random.default_rng(seed)

    def some(values: list, holes: float = 0.3) -> list:
        return [None if random.random() < holes else values[random.integers(len(values))] for _ in range(n)]

    day = datetime.date(2024, 5, 31)
    table = pa.table(
        {
            "shop": some(["crm", "web", "fax", " "]),
            "record_id": pa.array([f"r{k:05d}" for k in random.permutation(n)]),
            "price": pa.array(some([1.5, -2.0, 3.25]), pa.float64()),
            "note": some(["a", "bb", "ccc", "dddé", "𝄞𝄞𝄞𝄞", "", "  "]),
            "phone": pa.array(some([49, -5, 7]), pa.int32()),
            "city": some(["Kőszeg", "Wien", "=1+1"]),
            "kind": pa.array(some(["x", "y"]), pa.string()).dictionary_encode(),
            "tags": pa.array(some([["a", "b"], ["c"], []]), pa.list_(pa.string())),
            "updated": pa.array(some([day, day.replace(year=1), day.replace(year=9999)]), pa.date32()),
            "nothing": pa.nulls(n, pa.string()),
        }
    )
    if suffix == "parquet":
        pq.write_table(table, folder / "records.parquet", row_group_size=max(n // 3, 1))
    else:
        table.drop_columns(["tags"]).to_pandas().to_csv(folder / "records.csv", index=False)
    records = Records.open(str(folder / f"records.{suffix}"))
    label = pd.factorize(random.integers(0, max(n * 2 // 3, 1), n))[0]
    frame = pd.DataFrame({"record_id": table["record_id"].to_pylist(), "cluster_id": label})
    frame["cluster_size"] = frame.groupby("cluster_id")["cluster_id"].transform("size")
    frame["is_representative"] = False
    chosen = frame.sample(frac=1, random_state=seed).drop_duplicates("cluster_id").index
    frame.loc[chosen, "is_representative"] = True
    apart = random.choice(np.array([0.25, 0.5], np.float32), n)
    frame["distance_to_representative"] = np.where(frame["is_representative"], np.float32(0), apart)
    frame.to_parquet(folder / "clusters.parquet")
    stages._write_unique(records, frame["is_representative"].to_numpy(), folder / "unique.parquet")
    return records, pa.concat_tables(list(records.batches()), promote_options="permissive")


def by_loop(table: pa.Table, clusters: pd.DataFrame, rules: GoldenRules) -> dict[tuple[str, str], tuple]:
    """(golden id, field) -> (source id, number of values, tied), for clusters of two or more."""
    rows = table.to_pylist()
    fields = [name for name in table.column_names if name != "record_id"]

    def text(value):
        if value is None or value == [] or (isinstance(value, str) and not value.strip()):
            return None
        return str(value)

    stands, apart = clusters["is_representative"].tolist(), clusters["distance_to_representative"].tolist()
    clusters_of: dict[int, list[int]] = {}
    for k, cluster in enumerate(clusters["cluster_id"]):
        clusters_of.setdefault(cluster, []).append(k)
    found = {}
    for group in clusters_of.values():
        if len(group) == 1:
            continue
        members = sorted(group, key=lambda k: (not stands[k], apart[k], k))
        golden = rows[members[0]]["record_id"]
        for field in fields:
            rule = rules.of(field)
            values = {k: text(rows[k][field]) for k in members if text(rows[k][field]) is not None}
            counts = Counter(values.values())

            def worth(k: int, rule=rule, values=values, counts=counts):
                match rule:
                    case Rule.MOST_FREQUENT:
                        return counts[values[k]]
                    case Rule.LONGEST:
                        return len(values[k])
                    case Rule.MOST_COMPLETE:
                        return sum(text(rows[k][name]) is not None for name in fields)
                    case Rule.NEWEST:
                        return str(rows[k]["updated"] or "")
                    case Rule.SOURCE_PRIORITY:
                        order = list(rules.source_priority)
                        return -order.index(rows[k]["shop"]) if rows[k]["shop"] in order else -len(order)

            if not values or rule is Rule.REPRESENTATIVE:
                source, tied = members[0], False
            else:
                best = max(worth(k) for k in values)
                ahead = [k for k in members if k in values and worth(k) == best]
                source, tied = ahead[0], any(values[k] != values[ahead[0]] for k in ahead)
            found[golden, field] = (rows[source]["record_id"], len(set(values.values())), tied)
    return found


def check(folder: Path, records: Records, table: pa.Table, rules: GoldenRules) -> dict:
    said = write_golden(folder, records, rules)
    clusters = pd.read_parquet(folder / "clusters.parquet")
    expected = by_loop(table, clusters, rules)
    lineage = pd.read_parquet(folder / "lineage.parquet")
    found = {
        (row.record_id, row.field): (row.source_record_id, row.values, row.tied)
        for row in lineage.itertuples(index=False)
    }
    assert found == expected and len(lineage) == len(expected)
    assert (lineage["rule"] == lineage["field"].map(lambda name: rules.of(name).value)).all()
    golden, unique = pq.read_table(folder / "golden.parquet"), pq.read_table(folder / "unique.parquet")
    assert golden.schema.equals(unique.schema) and golden["record_id"].equals(unique["record_id"])
    cells = {row["record_id"]: row for row in table.to_pylist()}
    for row in golden.to_pylist():
        for field, value in row.items():
            source = expected.get((row["record_id"], field), (row["record_id"],))[0]
            assert value == cells[source][field] or field == "record_id"
    assert said["golden"] == {
        "merged_cells": len(expected),
        "disputed": sum(values > 1 for _, values, _ in expected.values()),
        "tied": sum(tied for _, _, tied in expected.values()),
        "taken_from_others": sum(source != golden_id for (golden_id, _), (source, _, _) in expected.items()),
    }
    return said["golden"]


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.sampled_from(list(Rule)))
def test_golden_records_are_those_of_a_loop(tmp_path, seed, n, default):
    records, table = make(tmp_path, n, seed)
    check(tmp_path, records, table, EVERY_RULE.model_copy(update={"default": default}))


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_every_rule_has_its_ties_and_every_type_is_kept(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(survivorship, "BATCH_RECORDS", 97)
    records, table = make(tmp_path, 600, 5, suffix)
    rules = (
        EVERY_RULE
        if suffix == "parquet"
        else EVERY_RULE.model_copy(update={"fields": {"price": Rule.NEWEST, "note": Rule.LONGEST}})
    )
    figures = check(tmp_path, records, table, rules)
    assert 0 < figures["tied"] < figures["disputed"] < figures["merged_cells"]
    lineage = pd.read_parquet(tmp_path / "lineage.parquet")
    assert (lineage[lineage["tied"]].groupby("rule").size() > 0).all() and (lineage["values"] == 0).any()


def test_a_corpus_without_duplicates(tmp_path):
    records, _ = make(tmp_path, 1, 0)
    said = write_golden(tmp_path, records, EVERY_RULE)
    assert said["golden"]["merged_cells"] == 0 and pq.read_metadata(tmp_path / "lineage.parquet").num_rows == 0
    assert pq.read_table(tmp_path / "golden.parquet").equals(pq.read_table(tmp_path / "unique.parquet"))


def newest(folder: Path, dates: list, type_: pa.DataType | None = None) -> str:
    """The value that a cluster takes from the newest of records "0", "1", ..."""
    n = len(dates)
    table = {"record_id": [str(k) for k in range(n)], "v": [str(k) for k in range(n)], "at": pa.array(dates, type_)}
    pq.write_table(pa.table(table), folder / "records.parquet")
    first = np.arange(n) == 0
    frame = pd.DataFrame(
        {"record_id": table["record_id"], "cluster_id": 0, "cluster_size": n, "is_representative": first}
    )
    frame.assign(distance_to_representative=np.float32(0)).to_parquet(folder / "clusters.parquet")
    records = Records.open(str(folder / "records.parquet"))
    stages._write_unique(records, first, folder / "unique.parquet")
    rules = GoldenRules(fields={"v": "newest"}, newest_by="at")
    check_rules(records, rules)
    write_golden(folder, records, rules)
    return pq.read_table(folder / "golden.parquet")["v"][0].as_py()


@pytest.mark.parametrize(
    ("dates", "latest"),
    [
        (["2024-05-31", None, "2024-06-01", ""], 2),
        (["2024-05-31T12:00:00Z", "2024-05-31 13:30:00+02:00", "2024-05-31T12:00:00.123456789Z"], 2),
        (["2024-05-31", "9999-12-31", "2024-05-31T00:00:00.123456789"], 1),
        (["0001-01-01", "1066-10-14"], 1),
        (["99", "1690000000", "-5", None], 1),
        ([20240531, 20240601, None], 1),
        ([datetime.datetime(2024, 5, 31, 1), datetime.datetime(2024, 5, 31, 2), None], 1),
        ([None, None], 0),
    ],
)
def test_the_newest(tmp_path, dates, latest):
    assert newest(tmp_path, dates, pa.string() if dates[0] is None else None) == str(latest)


@pytest.mark.parametrize("wrong", ["31/12/2024", "yesterday", "2024-13-01"])
def test_a_date_that_cannot_be_read_is_refused_with_its_record(tmp_path, wrong):
    with pytest.raises(DataError, match=f"'at' of record '1' is '{wrong}'.*newest_by.*2024-05-31"):
        newest(tmp_path, ["2024-01-01", wrong])


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"default": "newest"}, "newest_by"),
        ({"fields": {"price": "source_priority"}, "source": "shop"}, "source_priority"),
        ({"source_priority": ["a", "a"]}, "twice"),
        ({"default": "best"}, "most_frequent"),
        ({"colour": 1}, "colour"),
    ],
)
def test_rules_that_do_not_do_are_refused(rules, says):
    with pytest.raises(ValidationError, match=says):
        GoldenRules.model_validate(rules)


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"fields": {"colour": "longest"}}, "golden.fields.colour names column 'colour'"),
        ({"newest_by": "when"}, "golden.newest_by names column 'when'"),
        ({"source": "where"}, "golden.source names column 'where'"),
        ({"fields": {"id": "longest"}}, "'id', the id"),
    ],
)
def test_columns_that_are_not_there_are_refused(rules, says):
    with pytest.raises(SettingsError, match=says):
        GoldenRules.model_validate(rules).check(["id", "price"], "id")
