"""Tables: small results, written as one Parquet or CSV file, whole or not at all."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from siamese.errors import OutputError, SettingsError
from siamese.publishing import staged_file

# How Parquet is written whose values hardly repeat, as those of records and of ids: a dictionary would be larger, and slower.
DISTINCT: dict[str, Any] = {"compression": "zstd", "use_dictionary": False}


def check_table(path: Path, *suffixes: str) -> None:
    """Refuse a place for a table before any work is done for it.

    Raises:
        SettingsError: its suffix is not among those given.
        OutputError: its folder is not there, or it is a folder itself.
    """
    if path.suffix.lower() not in suffixes:
        raise SettingsError(f"'{path}' has no suffix that can be written: expected {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise OutputError(f"cannot write '{path}': there is no folder '{path.parent}'")
    if path.is_dir():
        raise OutputError(f"cannot write '{path}': it is a folder, expected a file to make")


def write_table(table: pa.Table, path: Path) -> None:
    """Write Parquet, or CSV where the suffix says so, beside and then renamed.

    Raises:
        OutputError: it cannot be written there.
    """
    try:
        with staged_file(path) as staging:
            if path.suffix.lower() == ".csv":
                with staging.open("wb") as file:
                    file.write("\ufeff".encode())  # without the mark, some spreadsheets do not read it as UTF-8
                    pyarrow.csv.write_csv(table, file)
            else:
                pq.write_table(table, staging, compression="zstd")
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror or error}") from error
