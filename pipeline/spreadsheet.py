"""Spreadsheet: tables of a run as CSV or XLSX that a person can open: no cell is taken for a formula, and nothing is cut without a word.

What a spreadsheet cannot hold, and what becomes of it:

- a sheet of more than 1,048,576 rows goes on in the next file (CSV) or sheet (XLSX);
- text of more than 32,767 characters ends with a note of how many more there are;
- control characters are written as ``⟨U+0007⟩``; tabs and line breaks within a text stay;
- text that would be read as a formula has a ``'`` before it (OWASP, "CSV Injection"); numbers stay numbers;
- whole numbers of more than fifteen digits, of which it would lose the last, are text in XLSX (a CSV file has no types).
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from siamese.errors import DataError, SettingsError
from siamese.schema import as_text

ROWS = 1_048_576  # of a sheet, its head among them
CHARACTERS = 32_767  # of a cell, as UTF-16 counts them
BATCH = 16_384
SAME_DAY = datetime(1980, 1, 1)  # that a workbook says it was made
EXACT = 10**15  # whole numbers from here on lose digits
COLUMNS = 16_384
FORMULA = "^[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"  # the last four are as wide as Chinese characters
NUMBER = r"^-\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?$"  # a minus sign and nothing but digits: no formula
CONTROLS = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]"


@dataclass
class Written:
    """What became of a table.

    Attributes:
        files: names, more than one where the rows did not fit in one.
        sheets: of all files together.
        rows: without heads.
        neutralised: cells and heads that would have been read as formulas.
        controls: cells with control characters.
        shortened: cells that were too long.
    """

    files: list[str] = field(default_factory=list)
    sheets: int = 0
    rows: int = 0
    neutralised: int = 0
    controls: int = 0
    shortened: int = 0


def write_spreadsheet(source: Path, folder: Path, format_: str) -> Written:
    """A Parquet file as ``folder/NAME.csv`` or ``folder/NAME.xlsx``, read and written in batches.

    Raises:
        SettingsError: there is no such format, or what writes it is not installed; DataError: there are more columns than a sheet has.
    """
    if format_ not in WRITERS:
        raise SettingsError(f"format is '{format_}': expected {' or '.join(WRITERS)}")
    written = Written()
    with pq.ParquetFile(source) as file, WRITERS[format_](folder, source.stem, written) as writer:
        if len(file.schema_arrow) > COLUMNS:
            raise DataError(
                f"'{source}' has {len(file.schema_arrow):,} columns and a sheet no more than {COLUMNS:,}: export fewer tables"
            )
        head = _safe(pa.array(file.schema_arrow.names, pa.large_string()), written).to_pylist()
        room = 0
        for batch in _batches(file):
            table = pa.table([_safe(column, written) for column in batch.columns], names=head)
            start = 0
            while start < max(table.num_rows, 1):
                if room == 0:
                    writer.begin(table.schema)
                    written.sheets, room = written.sheets + 1, ROWS - 1
                some = table.slice(start, room)
                writer.write(some)
                start, room = start + max(some.num_rows, 1), room - some.num_rows
            written.rows += table.num_rows
    return written


def _batches(file: pq.ParquetFile) -> Iterator[pa.Table]:
    empty = True
    for batch in file.iter_batches(BATCH):
        empty = False
        yield pa.Table.from_batches([batch])
    if empty:
        yield file.schema_arrow.empty_table()


def _safe(column: pa.ChunkedArray | pa.Array, written: Written) -> pa.Array:
    """A column as numbers, truth values or text that a spreadsheet takes for nothing else."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return column
    if pa.types.is_decimal(kind) and kind.precision <= 15:
        return column.cast(pa.float64())
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        column = _joined(column)
    missing = column.is_null()
    text = pc.if_else(missing, pa.scalar(None, pa.large_string()), _spelled(column))
    text = pc.replace_substring_regex(text, r"\r\n?", "\n")
    has_controls = pc.fill_null(pc.match_substring_regex(text, CONTROLS), False)
    if pc.any(has_controls).as_py():
        written.controls += pc.sum(has_controls).as_py()
        spelled = [re.sub(CONTROLS, _seen, value) for value in text.filter(has_controls).to_pylist()]
        text = pc.replace_with_mask(text, has_controls, pa.array(spelled, pa.large_string()))
    # A sheet trims nothing, but people and programs that read it do: what stands behind spaces counts as first.
    bare = pc.utf8_ltrim(text, characters=" ")
    is_formula = pc.and_not(pc.match_substring_regex(bare, FORMULA), pc.match_substring_regex(text, NUMBER))
    is_formula = pc.fill_null(is_formula, False)
    written.neutralised += pc.sum(is_formula).as_py() or 0
    text = pc.if_else(is_formula, pc.binary_replace_slice(text, 0, 0, b"'"), text)
    may_be_long = pc.fill_null(
        pc.greater(pc.binary_length(text), CHARACTERS), False
    )  # bytes are no fewer than UTF-16 units
    if pc.any(may_be_long).as_py():
        fitted = [_fitted(value, written) for value in text.filter(may_be_long).to_pylist()]
        text = pc.replace_with_mask(text, may_be_long, pa.array(fitted, pa.large_string()))
    return text


def _seen(match: re.Match[str]) -> str:
    return f"⟨U+{ord(match[0]):04X}⟩"


def _joined(lists: pa.Array) -> pa.Array:
    """Lists as text: ``a > b > c``."""
    values = lists.flatten()
    texts = pc.fill_null(_spelled(values), "")
    offsets = np.concatenate([[0], np.cumsum(pc.fill_null(pc.list_value_length(lists), 0).to_numpy(False))])
    joined = pc.binary_join(
        pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), texts), pa.scalar(" > ", pa.large_string())
    )
    return pc.if_else(lists.is_null(), pa.scalar(None, pa.large_string()), joined)


def _spelled(column: pa.Array) -> pa.Array:
    """Text as it is, blanks too; any other type as :func:`siamese.schema.as_text` spells it."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column.cast(pa.large_string())
    return as_text(column)


def _fitted(text: str, written: Written) -> str:
    """Text that fits in a cell."""
    units = text.encode("utf-16-le")
    if len(units) <= 2 * CHARACTERS:
        return text
    written.shortened += 1
    kept = units[: 2 * (CHARACTERS - 60)].decode("utf-16-le", errors="ignore")  # half of a pair is left out
    return f"{kept} [{len(text) - len(kept):,} more characters: see the Parquet file]"


class _Csv:
    """``NAME.csv``, ``NAME 2.csv`` and so on, with the mark by which spreadsheets know UTF-8."""

    def __init__(self, folder: Path, name: str, written: Written) -> None:
        self.folder, self.name, self.written = folder, name, written
        self.writer: Any = None
        self.file: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.writer is not None:
            self.writer.close()
            self.file.close()

    def begin(self, schema: pa.Schema) -> None:
        self.__exit__(None, None, None)
        number = len(self.written.files) + 1
        name = f"{self.name}.csv" if number == 1 else f"{self.name} {number}.csv"
        self.written.files.append(name)
        self.file = (self.folder / name).open("wb")
        self.file.write("\ufeff".encode())
        self.writer = pyarrow.csv.CSVWriter(self.file, schema)

    def write(self, table: pa.Table) -> None:
        self.writer.write_table(table)


class _Patient:
    """A file that tells at its end what went wrong: a zip file that met an error meets it again, and prints it, when it is collected."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._fault: OSError | None = None

    def write(self, data: bytes) -> int:
        self._try(self._file.write, data)
        return len(data)

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        self._try(self._file.seek, offset, whence)
        return offset

    def flush(self) -> None:
        self._try(self._file.flush)

    def end(self) -> None:
        """Raises OSError: what was written is not whole."""
        self._try(self._file.close)
        if self._fault is not None:
            raise self._fault

    def _try(self, act: Callable[..., object], *args: Any) -> None:
        if self._fault is None or act == self._file.close:
            try:
                act(*args)
            except OSError as fault:
                self._fault = self._fault or fault


class _Xlsx:
    """``NAME.xlsx`` with the sheets NAME, NAME 2 and so on; rows are written as they come and not kept."""

    def __init__(self, folder: Path, name: str, written: Written) -> None:
        try:
            import xlsxwriter
        except ImportError as error:
            raise SettingsError(
                "xlsx files are written by XlsxWriter, which is not installed: pip install 'siamese-dedupe[xlsx]', or --format csv"
            ) from error
        options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
        self.file = _Patient(folder / f"{name}.xlsx")
        self.book = xlsxwriter.Workbook(self.file, options)
        self.book.set_properties({"created": SAME_DAY})  # the same run, the same bytes
        self.bold = self.book.add_format({"bold": True})
        self.name, self.row = name, 0
        self.sheet: Any = None
        written.files.append(f"{name}.xlsx")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.book.close()
        self.file.end()

    def begin(self, schema: pa.Schema) -> None:
        number = len(self.book.worksheets()) + 1
        self.sheet = self.book.add_worksheet(self.name if number == 1 else f"{self.name} {number}")
        self.sheet.freeze_panes(1, 0)
        for column, name in enumerate(schema.names):
            self.sheet.write_string(0, column, name, self.bold)
        self.row = 1

    def write(self, table: pa.Table) -> None:
        kinds = [
            self.sheet.write_string
            if pa.types.is_large_string(kind)
            else self._write_boolean
            if pa.types.is_boolean(kind)
            else self._write_number
            for kind in table.schema.types
        ]
        columns = [column.to_pylist() for column in table.columns]
        for values in zip(*columns, strict=True):
            for column, (write, value) in enumerate(zip(kinds, values, strict=True)):
                if value is not None and value != "":
                    write(self.row, column, value)
            self.row += 1

    def _write_boolean(self, row: int, column: int, value: bool) -> None:
        self.sheet.write_boolean(row, column, value)

    def _write_number(self, row: int, column: int, value: float) -> None:
        if (isinstance(value, int) and abs(value) >= EXACT) or not math.isfinite(value):
            self.sheet.write_string(row, column, str(value))
        else:
            self.sheet.write_number(row, column, value)


WRITERS: dict[str, type[_Csv] | type[_Xlsx]] = {"csv": _Csv, "xlsx": _Xlsx}
