"""The sheet: pairs of a run side by side, for a person to judge without knowing what the run made of them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.candidates import BEYOND
from pipeline.matching import PAIRS
from pipeline.pairs import label_of, read_id_pairs, refuse_rows
from pipeline.records import Records
from pipeline.stages import fetch_records, records_of
from pipeline.strata import Strata
from siamese.errors import DataError
from siamese.folders import fingerprint

FORMULA = r"\A([=+\-@\t\r'])"  # a spreadsheet runs a cell that starts so; the last is how we mark one


def run_token(manifest: dict[str, Any]) -> str:
    """Twelve hex digits that name the pairs of a run, and stay when its report is written again."""
    return fingerprint({name: manifest["files"].get(name, "") for name in (PAIRS, BEYOND)})[:12]


def stratum_names(n: int, token: str) -> list[str]:
    """(n,) names that tell a judge nothing: numbers in an order that only the run decides."""
    return [f"s{number + 1}" for number in np.random.default_rng(int(token, 16)).permutation(n)]


def lay_out(
    run: Path, manifest: dict[str, Any], rows: NDArray[np.int64], strata: Strata, weight: NDArray[np.float64]
) -> pa.Table:
    """The sheet of some rows of a run.

    Args:
        rows: (m,) of ``pairs.parquet``, then of ``beyond.parquet``.
        weight: (m,) pairs that each stands for.

    Returns:
        left_id, right_id, left_FIELD and right_FIELD for every field, run, stratum, weight and an empty label (int8).

    Raises:
        DataError: the records of the run are gone, or are others.
    """
    ids, token = _ids_of(run, rows, strata.written), run_token(manifest)
    names = np.array(stratum_names(len(strata.rows), token), object)
    sources = [_open(run, each, manifest) for each in manifest["inputs"]]
    sides = {"left": sources[0], "right": sources[-1]}
    records = {side: _records_of(run, source, ids[f"{side}_id"]) for side, source in sides.items()}
    columns = {name: pa.array(ids[name], pa.large_string()) for name in ("left_id", "right_id")}
    for name in dict.fromkeys(name for source in sources for name in source.columns):
        for side, source in sides.items():
            if name in source.columns and name != source.id_column:
                texts = [record[name] for record in records[side]]
                columns[_column(side, name)] = pa.array(texts, pa.large_string())
    columns["run"] = pa.array([token] * len(rows), pa.large_string())
    columns["stratum"] = pa.array(names[strata.of_pair[rows]], pa.large_string())
    return pa.table({**columns, "weight": weight, "label": pa.nulls(len(rows), pa.int8())})


def disarm(sheet: pa.Table) -> pa.Table:
    """The sheet for a CSV file: a quote before every text that a spreadsheet would run, or that starts with a quote itself."""
    for number, field in enumerate(sheet.schema):
        if pa.types.is_large_string(field.type):
            texts = pc.replace_substring_regex(sheet[field.name], FORMULA, r"'\1")
            sheet = sheet.set_column(number, field.name, texts)
    return sheet


def read_sheet(path: str, run: Path, manifest: dict[str, Any], strata: Strata) -> pd.DataFrame:
    """A sheet, judged in part or in full, held against its run.

    Returns:
        left_id, right_id, row (of ``pairs.parquet``, then of ``beyond.parquet``) and label: 1, 0, or NaN where it is empty.

    Raises:
        DataError: it is no sheet of this run, a label is neither 1 nor 0, or a pair is unknown or there twice.
    """
    table = read_id_pairs(path)
    missing = [name for name in ("label", "run", "stratum") if name not in table.column_names]
    if missing:
        raise DataError(
            f"'{path}' has no column '{missing[0]}': expected the file that 'siamese audit RUN --out' wrote"
        )
    frame = table.select(["left_id", "right_id", "run", "stratum", "label"]).to_pandas()
    token, label = run_token(manifest), frame["label"]
    others = frame["run"].astype(str) != token
    refuse_rows(others, path, "run", frame["run"], f"{token}, the run '{run}': the file was drawn from another one")
    if ".csv" in Path(path).suffixes:
        for name in ("left_id", "right_id"):
            frame[name] = frame[name].str.removeprefix("'")
    empty = label.isna() | (label.astype(str).str.strip() == "")
    frame["label"] = label.map(label_of).where(~empty)
    refuse_rows(frame["label"].isna() & ~empty, path, "label", label, "1 (the same), 0 (not the same) or nothing")
    twice = frame.duplicated(["left_id", "right_id"])
    refuse_rows(twice, path, "left_id", frame["left_id"], "each pair once, and this one is there before")
    frame["row"] = _rows_of(run, frame)
    refuse_rows(
        frame["row"].isna(),
        path,
        "left_id",
        frame["left_id"] + "' and right_id '" + frame["right_id"],
        f"a pair of the run '{run}' (a spreadsheet may have changed the ids: read them as text)",
    )
    frame["row"] = frame["row"].astype("int64")
    names = np.array(stratum_names(len(strata.rows), token), object)[strata.of_pair[frame["row"]]]
    moved = frame["stratum"].astype(str) != names
    refuse_rows(
        moved, path, "stratum", frame["stratum"], "the one that was drawn: leave all columns but label as they are"
    )
    return frame[["left_id", "right_id", "row", "label"]]


def _open(run: Path, source: dict[str, Any], manifest: dict[str, Any]) -> Records:
    try:
        return records_of(source, manifest)
    except DataError as error:
        raise DataError(
            f"the records of the run '{run}' cannot be read: {error}. Put them back, or go to the folder where it was made"
        ) from error


def _records_of(run: Path, source: Records, ids: list[str]) -> list[dict[str, str | None]]:
    """The fields of the records of these ids, in their order."""
    found = fetch_records(source, set(ids))
    lost = next((one for one in ids if one not in found), None)
    if lost is not None:
        raise DataError(
            f"'{source.path}' has no record '{lost}' any more, which the run '{run}' paired: put its records back, "
            "or make the run again"
        )
    return [found[one] for one in ids]


def _column(side: str, name: str) -> str:
    """The sheet's name of a field; a field that is called 'id' leaves left_id and right_id to the records."""
    return f"{side}_{name}" + ("_" if name == "id" else "")


def _batches(run: Path) -> Iterable[tuple[int, pa.RecordBatch]]:
    """(first row, ids) of the written pairs, then of those beyond."""
    first = 0
    for name in (PAIRS, BEYOND):
        if (run / name).is_file():
            with pq.ParquetFile(run / name) as file:
                for batch in file.iter_batches(columns=["left_id", "right_id"]):
                    yield first, batch
                    first += batch.num_rows


def _ids_of(run: Path, rows: NDArray[np.int64], written: int) -> dict[str, list[str]]:
    """left_id and right_id of rows, in their order."""
    order = np.argsort(rows)
    ordered, parts = rows[order], []
    for first, batch in _batches(run):
        start, stop = np.searchsorted(ordered, [first, first + batch.num_rows])
        parts.append(batch.take(pa.array(ordered[start:stop] - first)))
    back = pa.array(np.argsort(order))
    return {name: pa.Table.from_batches(parts)[name].take(back).to_pylist() for name in ("left_id", "right_id")}


def _rows_of(run: Path, pairs: pd.DataFrame) -> pd.Series:
    """(m,) the row of each pair, or NaN."""
    wanted, found = pa.array(pairs["left_id"], pa.large_string()), []
    for first, batch in _batches(run):
        rows = np.flatnonzero(pc.is_in(batch["left_id"].cast(pa.large_string()), value_set=wanted).to_numpy(False))
        some = batch.take(pa.array(rows)).to_pandas()
        found.append(some.assign(row=first + rows))
    known = pd.concat(found).drop_duplicates(["left_id", "right_id"])
    return pairs[["left_id", "right_id"]].merge(known, how="left")["row"].set_axis(pairs.index)
