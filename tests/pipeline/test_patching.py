"""A patched corpus beside a dict that was updated."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import records as reading
from pipeline.patching import patch_records
from pipeline.records import Records
from siamese.errors import DataError, OutputError, SettingsError


def write(path: Path, frame: pd.DataFrame) -> Records:
    frame.to_parquet(path)
    return Records.open(str(path))


@pytest.mark.parametrize("seed", range(4))
def test_patches_are_those_of_a_dict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(reading, "BATCH_RECORDS", 7)
    random = np.random.default_rng(seed)
    old = {f"r{i}": {"name": f"old {i}", "price": float(i), "note": None if i % 3 else "n"} for i in range(30)}
    new = {f"r{i}": {"name": f"new {i}", "price": None, "extra": f"e{i}"} for i in random.permutation(45)[:9]}
    gone = [f"r{i}" for i in random.permutation(45)[:8] if f"r{i}" not in new]
    expected = {**{key: new.get(key, row) for key, row in old.items()}, **new}
    expected = {key: row for key, row in expected.items() if key not in gone}
    frames = [pd.DataFrame([{"record_id": key, **row} for key, row in some.items()]) for some in (old, new)]
    paths = [write(tmp_path / f"{name}.parquet", frame) for name, frame in zip(("old", "new"), frames, strict=True)]
    deleted = write(tmp_path / "gone.parquet", pd.DataFrame({"record_id": gone, "why": "?"}))
    counts = patch_records(*paths, deleted, tmp_path / "out.parquet")
    found = pq.read_table(tmp_path / "out.parquet").to_pylist()
    columns = ("name", "price", "note", "extra")
    assert found == [{"record_id": key, **{name: row.get(name) for name in columns}} for key, row in expected.items()]
    there = sum(key in old for key in gone)
    edited = sum(key in old for key in new)
    assert counts.to_dict() == {
        "records": len(expected),
        "added": len(new) - edited,
        "edited": edited,
        "deleted": there,
        "not_there": len(gone) - there,
    }


def test_what_is_read_may_be_written(tmp_path: Path) -> None:
    records = write(tmp_path / "all.parquet", pd.DataFrame({"record_id": ["a", "b"], "n": [1, 2]}))
    deleted = tmp_path / "gone.csv"
    deleted.write_text("record_id\nb\n")
    patch_records(records, None, Records.open(str(deleted)), tmp_path / "all.parquet")
    assert pq.read_table(tmp_path / "all.parquet").to_pylist() == [{"record_id": "a", "n": 1}]


def test_a_night_without_changes(tmp_path: Path) -> None:
    frame = pd.DataFrame({"record_id": ["a", "b"], "n": [1, 2]})
    records, nothing = write(tmp_path / "all.parquet", frame), write(tmp_path / "none.parquet", frame[:0])
    counts = patch_records(records, nothing, nothing, tmp_path / "out.parquet")
    assert counts.to_dict() == {"records": 2, "added": 0, "edited": 0, "deleted": 0, "not_there": 0}
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == frame.to_dict("records")


def test_changes_from_a_file_without_types_take_those_of_the_corpus(tmp_path: Path) -> None:
    frame = pd.DataFrame({"record_id": ["a", "b"], "n": [1, 2], "born": pd.to_datetime(["2001-02-03", "2004-05-06"])})
    records = write(tmp_path / "all.parquet", frame)
    (tmp_path / "today.csv").write_text("record_id,n,born\nb,7,2004-05-07\nc,,2000-01-01\n")
    patch_records(records, Records.open(str(tmp_path / "today.csv")), None, tmp_path / "out.parquet")
    patched = pq.read_table(tmp_path / "out.parquet")
    assert patched.schema.field("n").type == pa.int64() and pa.types.is_timestamp(patched.schema.field("born").type)
    assert patched["n"].to_pylist() == [1, 7, None]
    assert [str(day.date()) for day in patched["born"].to_pylist()] == ["2001-02-03", "2004-05-07", "2000-01-01"]
    assert len(patched) == 3


def test_what_cannot_be_patched(tmp_path: Path) -> None:
    records = write(tmp_path / "all.parquet", pd.DataFrame({"record_id": ["a", "b"], "n": [1, 2]}))
    twice = write(tmp_path / "twice.parquet", pd.DataFrame({"record_id": ["a", "a"], "n": [1, 2]}))
    text = write(tmp_path / "text.parquet", pd.DataFrame({"record_id": ["a"], "n": ["one"]}))
    out = tmp_path / "out.parquet"
    with pytest.raises(DataError, match="must be unique"):
        patch_records(records, twice, None, out)
    with pytest.raises(DataError, match="do not go together"):
        patch_records(records, text, None, out)
    with pytest.raises(DataError, match="'a' is to be deleted"):
        patch_records(records, records, records, out)
    with pytest.raises(DataError, match="must be unique"):
        patch_records(twice, records, None, out)
    with pytest.raises(SettingsError):
        patch_records(records, text, None, tmp_path / "out.csv")
    with pytest.raises(OutputError):
        patch_records(records, text, None, tmp_path / "nosuch" / "out.parquet")
    assert not out.exists() and not list(tmp_path.glob(".*"))
    assert pa.types.is_integer(pq.read_schema(tmp_path / "all.parquet").field("n").type)
