"""Golden rules and spreadsheets by the command line: what is made, and what is refused."""

import json
from pathlib import Path

import pandas as pd
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tests.flows.command import Made, Run, assert_refused, call


@pytest.fixture(scope="module")
def deduped(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deduped")
    config = '[golden]\ndefault = "longest"\n[golden.fields]\nphone = "representative"\n'
    (folder / "job.toml").write_text(config)
    assert call("dedupe", made.model, made.records, "--out", folder / "run", "--config", folder / "job.toml") == 0
    return folder / "run"


def test_a_run_has_golden_records_by_the_rules_of_its_config(deduped: Path, made: Made) -> None:
    manifest = json.loads((deduped / "manifest.json").read_text())
    assert manifest["settings"]["golden"]["default"] == "longest"
    assert {"golden.parquet", "lineage.parquet", "dropped.parquet", "parted.parquet"} <= manifest["outputs"].keys()
    golden, unique = pq.read_table(deduped / "golden.parquet"), pq.read_table(deduped / "unique.parquet")
    assert golden.schema.equals(unique.schema) and golden["phone"].equals(unique["phone"])
    lineage = pd.read_parquet(deduped / "lineage.parquet")
    assert set(lineage.loc[lineage["field"] == "phone", "rule"]) == {"representative"}
    records = pd.read_parquet(made.records).set_index("record_id")
    rows = golden.to_pandas().set_index("record_id")
    assert len(lineage)
    for cell in lineage.itertuples():
        value, source = rows.at[cell.record_id, cell.field], records.at[cell.source_record_id, cell.field]
        assert value == source or (pd.isna(value) and pd.isna(source))
    summary = json.loads((deduped / "summary.json").read_text())
    assert summary["golden"]["merged_cells"] == len(lineage)


@pytest.mark.parametrize("format_", ["csv", "xlsx"])
def test_tables_are_exported_whole_and_again(deduped: Path, run: Run, tmp_path: Path, format_: str) -> None:
    for _ in range(2):
        answer = run("export", deduped, "--format", format_, "--out", tmp_path / "sheets", "--json")
        assert answer.code == 0
    written = json.loads(answer.out)
    assert list(written) == ["pairs", "clusters", "golden", "dropped"]
    for name, said in written.items():
        assert said["files"] == [f"{name}.{format_}"]
        assert said["rows"] == pq.read_metadata(deduped / f"{name}.parquet").num_rows
        if format_ == "csv":
            assert pyarrow.csv.read_csv(tmp_path / "sheets" / f"{name}.csv").num_rows == said["rows"]


def test_refusals(deduped: Path, run: Run, made: Made, tmp_path: Path) -> None:
    assert_refused(run("export", deduped, "--format", "ods", "--out", tmp_path / "x"), "'ods'", "csv or xlsx")
    assert_refused(run("export", deduped, "--table", "nosuch", "--out", tmp_path / "x"), "'nosuch'", "pairs, clusters")
    assert_refused(run("export", made.model, "--out", tmp_path / "x"), "holds a model, expected a run")
    assert_refused(run("export", deduped, "--out", deduped), "holds a run: give --out another folder")
    assert (deduped / "pairs.parquet").is_file() and not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ('default = "best"', ("golden.default", "most_frequent")),
        ('default = "newest"', ("newest_by",)),
        ('colour = "red"', ("golden.colour", "is not a setting")),
        ('fields = {colour = "longest"}', ("golden.fields.colour", "which the records lack")),
        ('default = "newest"\nnewest_by = "name"', ("'name' of record", "ISO 8601")),
    ],
)
def test_rules_are_refused_before_any_work(run: Run, made: Made, tmp_path: Path, config: str, says: tuple) -> None:
    (tmp_path / "job.toml").write_text(f"[golden]\n{config}\n")
    answer = run("dedupe", made.model, made.records, "--out", tmp_path / "run", "--config", tmp_path / "job.toml")
    assert_refused(answer, *says)
    assert not (tmp_path / "run").exists()
