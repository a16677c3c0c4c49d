"""Spreadsheets read back by others: what is a formula, what is a number, and what does not fit."""

import csv
import datetime
from decimal import Decimal
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import spreadsheet
from pipeline.spreadsheet import CHARACTERS, write_spreadsheet
from siamese.errors import DataError, SettingsError

FORMATS = ("csv", "xlsx")


def read(path: Path) -> list[list]:
    """All sheets of all files that have the path's name, heads included; None for an empty cell."""
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [[cell or None for cell in row] for row in csv.reader(file)]
    book = openpyxl.load_workbook(path, read_only=True)
    rows = []
    for sheet in book:
        for row in sheet.iter_rows():
            assert all(cell.data_type != "f" for cell in row), "a formula"
            rows.append([cell.value for cell in row])
    return rows


def export(folder: Path, table: pa.Table, format_: str):
    pq.write_table(table, folder / "t.parquet")
    written = write_spreadsheet(folder / "t.parquet", folder, format_)
    return written, read(folder / f"t.{format_}")


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(
    "text", ["=1+1", "+49 170", "@SUM(A1)", "-1-1", "-cmd|' /C calc'!A0", "\t=1", "  =1", "\n=1", "\uff1d1", "-", "+5"]
)
def test_what_would_be_a_formula_is_text_and_heads_are_too(tmp_path, format_, text):
    written, rows = export(tmp_path, pa.table({text: [text, "a" + text]}), format_)
    assert rows == [["'" + text], ["'" + text], ["a" + text]] and written.neutralised == 2


@pytest.mark.parametrize("format_", FORMATS)
def test_numbers_stay_numbers_and_the_others_keep_every_character(tmp_path, format_):
    day = datetime.date(2024, 5, 31)
    table = pa.table(
        {
            "float": [-1.5, None, 1e300],
            "int": pa.array([-5, 7, None], pa.int64()),
            "is": [True, False, None],
            "text": ["-12.5", "0012", "-3e5"],
            "day": [day, None, day],
            "decimal": pa.array([Decimal("-1.25"), None, Decimal("2")], pa.decimal128(6, 2)),
            "path": [["a", "=b"], [], None],
            "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
            "line": ["a\r\nb", 'say "hi", you', "tab\there"],
        }
    )
    written, (head, *rows) = export(tmp_path, table, format_)
    assert head == table.column_names and written.neutralised == 0
    if format_ == "xlsx":
        assert rows == [
            [-1.5, -5, True, "-12.5", "2024-05-31", -1.25, "a > =b", "x", "a\nb"],
            [None, 7, False, "0012", None, None, None, "y", 'say "hi", you'],
            [1e300, None, None, "-3e5", "2024-05-31", 2, None, "x", "tab\there"],
        ]
    else:
        assert [row[:4] for row in rows] == [
            ["-1.5", "-5", "true", "-12.5"],
            [None, "7", "false", "0012"],
            ["1e+300", None, None, "-3e5"],
        ]
        assert [row[4:] for row in rows] == [
            ["2024-05-31", "-1.25", "a > =b", "x", "a\nb"],
            [None, None, None, "y", 'say "hi", you'],
            ["2024-05-31", "2", None, "x", "tab\there"],
        ]


def test_whole_numbers_that_a_sheet_would_round_are_text(tmp_path):
    table = pa.table({"n": [999_999_999_999_999, 1_234_567_890_123_456_789], "f": [float("nan"), float("inf")]})
    _, rows = export(tmp_path, table, "xlsx")
    assert rows[1:] == [[999_999_999_999_999, "nan"], ["1234567890123456789", "inf"]]


@pytest.mark.parametrize("format_", FORMATS)
def test_control_characters_are_spelled_out(tmp_path, format_):
    written, rows = export(
        tmp_path, pa.table({"a": ["bell\x07 nul\x00", "\x1b=1", "\x85 \uffff", "ordinary é"]}), format_
    )
    assert [row[0] for row in rows[1:]] == ["bell⟨U+0007⟩ nul⟨U+0000⟩", "⟨U+001B⟩=1", "⟨U+0085⟩ ⟨U+FFFF⟩", "ordinary é"]
    assert written.controls == 3


@pytest.mark.parametrize("format_", FORMATS)
def test_a_cell_that_is_too_long_says_so(tmp_path, format_):
    texts = ["x" * CHARACTERS, "x" * (CHARACTERS + 1), "𝄞" * 20_000, "é" * CHARACTERS, "=" * CHARACTERS]
    written, rows = export(tmp_path, pa.table({"a": texts}), format_)
    cells = [row[0] for row in rows[1:]]
    assert all(len(cell.encode("utf-16-le")) // 2 <= CHARACTERS for cell in cells)
    assert cells[0] == texts[0] and cells[3] == texts[3] and written.shortened == 3
    kept, _, note = cells[2].partition(" [")
    assert kept == "𝄞" * len(kept) and note == f"{20_000 - len(kept):,} more characters: see the Parquet file]"


@pytest.mark.parametrize("rows", [0, 1, 9, 10, 25, 27])
@pytest.mark.parametrize("format_", FORMATS)
def test_rows_that_do_not_fit_go_on_in_another_sheet(tmp_path, monkeypatch, format_, rows):
    monkeypatch.setattr(spreadsheet, "ROWS", 10)
    monkeypatch.setattr(spreadsheet, "BATCH", 4)
    table = pa.table({"a": [str(k) for k in range(rows)]}, schema=pa.schema([("a", pa.string())]))
    written, found = export(tmp_path, table, format_)
    for name in written.files[1:]:
        found += read(tmp_path / name)
    sheets = max(-(-rows // 9), 1)
    assert (
        written.sheets == sheets and written.rows == rows and len(written.files) == (sheets if format_ == "csv" else 1)
    )
    expected = [
        row
        for start in range(0, max(rows, 1), 9)
        for row in (["a"], *([str(k)] for k in range(start, min(start + 9, rows))))
    ]
    assert found == expected


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.text(max_size=12) | st.none(), min_size=1, max_size=8), st.sampled_from(FORMATS))
def test_whatever_the_text_nothing_starts_a_formula(tmp_path, texts, format_):
    _, rows = export(tmp_path, pa.table({"id": ["x"] * len(texts), "a": pa.array(texts, pa.string())}), format_)
    assert len(rows) == len(texts) + 1
    for text, (_, cell) in zip(texts, rows[1:], strict=True):
        if not text:
            assert cell is None
        elif cell.strip(" ")[:1] in ("=", "+", "-", "@", "\t", "\r", "\n"):
            float(cell.replace(",", "."))  # a negative number
        else:
            assert len(cell) >= len(text.replace("\r\n", "\n"))


def test_what_cannot_be_exported_is_refused(tmp_path, monkeypatch):
    pq.write_table(pa.table({"a": ["x"], "b": ["y"]}), tmp_path / "t.parquet")
    with pytest.raises(SettingsError, match="format is 'ods': expected csv or xlsx"):
        write_spreadsheet(tmp_path / "t.parquet", tmp_path, "ods")
    monkeypatch.setattr(spreadsheet, "COLUMNS", 1)
    with pytest.raises(DataError, match="has 2 columns"):
        write_spreadsheet(tmp_path / "t.parquet", tmp_path, "csv")
    monkeypatch.setitem(__import__("sys").modules, "xlsxwriter", None)
    with pytest.raises(SettingsError, match=r"siamese-dedupe\[xlsx\]"):
        write_spreadsheet(tmp_path / "t.parquet", tmp_path, "xlsx")
