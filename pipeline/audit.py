"""The audit: what a finished run is worth, from a few of its pairs that a person judged."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.intervals import Estimate, Tally, share_found, share_right
from pipeline.sheet import disarm, lay_out, read_sheet
from pipeline.strata import Kind, Strata
from pipeline.tables import check_table, write_table
from siamese.errors import DataError, OutputError, SettingsError
from siamese.folders import AUDIT, check_manifest, edited_folder, local_folder, write_json
from siamese.promise import pairs_needed


@dataclass(frozen=True)
class Plan:
    """What a drawn sheet can show.

    Attributes:
        pairs: rows of the sheet.
        flagged, written, beyond: how many of them the run flagged, wrote and did not flag, did not write.
        if_no_error: the precision that is shown, one-sided, where every flagged pair of the sheet is right.
        needed: precision -> flagged pairs without an error that show it, drawn plainly: log(1 - confidence) / log(precision).
    """

    out: str
    pairs: int
    flagged: int
    written: int
    beyond: int
    confidence: float
    if_no_error: float | None
    needed: dict[str, int]


@dataclass(frozen=True)
class Audit:
    """What the judged pairs say of the whole run.

    Attributes:
        drawn, judged: rows of the sheet, and those with a label; ``not_judged`` are the others.
        precision: of the flagged pairs; None where there are none or none was judged.
        recall: of all matches that there are, where the run holds a sample of the pairs that it did not write, and else
            of those among the pairs written (``recall_is_of``); None where a kind of pairs was not judged, or no match seen.
        recall_of_written: of the matches among the pairs written.
        strata: what was judged, a row a stratum: kind, pairs, judged and right.
    """

    drawn: int
    judged: int
    not_judged: int
    confidence: float
    precision: Estimate | None
    recall: Estimate | None
    recall_of_written: Estimate | None
    recall_is_of: str
    strata: list[dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def draw_audit(run: str, out: Path, *, sample: int = 200, seed: int = 0, confidence: float = 0.95) -> Plan:
    """Draw pairs of a finished run and lay them out for a person: records side by side, in random order, with an empty label.

    Args:
        run: run folder, or its URL.
        out: Parquet or CSV file to write; it must be new, or judgements could be lost.
        sample: pairs to draw; all, where the run has fewer.
        confidence: for what the sample can show.

    Raises:
        ArtifactError: the run is damaged.
        DataError: it has no pairs, or its records are gone.
        SettingsError: the sample is too small, or the confidence not a share.
        OutputError: ``out`` cannot be written, or is there already.
    """
    _check_confidence(confidence)
    check_table(out, ".csv", ".parquet")
    if out.exists():
        raise OutputError(f"'{out}' is there already, perhaps with judgements in it: give --out another name")
    folder = local_folder(run, "run")
    manifest, strata = check_manifest(folder, "run"), Strata.of_run(folder)
    if len(strata.of_pair) == 0:
        raise DataError(f"the run '{run}' has no pairs: there is nothing to judge")
    counts = strata.allocate(sample)
    rows = strata.draw(counts, np.random.default_rng(seed))
    weight = strata.weight[rows] * (strata.rows / counts)[strata.of_pair[rows]]
    sheet = lay_out(folder, manifest, rows, strata, weight)
    write_table(disarm(sheet) if out.suffix.lower() == ".csv" else sheet, out)
    drawn = counts.astype(np.float64)
    flagged = Tally(strata.size, drawn, drawn).of(strata.are(Kind.FLAGGED))
    shown = share_right(flagged, confidence)
    numbers = {kind.value: int(counts[strata.are(kind)].sum()) for kind in Kind}
    needed = {f"{p:.2f}": pairs_needed(p, confidence) for p in (0.9, 0.95, 0.99)}
    return Plan(
        str(out),
        len(rows),
        **numbers,
        confidence=confidence,
        if_no_error=shown.at_least if shown else None,
        needed=needed,
    )


def read_audit(run: str, judged: str, *, confidence: float = 0.95, labels: Path | None = None) -> Audit:
    """Precision and recall of a whole run from a judged sheet; ``audit.json`` in the run folder keeps them.

    Rows without a label are left out, and the others of their stratum stand for them.

    Args:
        judged: the sheet of :func:`draw_audit`, with 1 or 0 in its label column.
        labels: file to write the judged pairs to, for training: left_id, right_id, label, and weight, the inverse of the
            chance to be drawn and judged.

    Raises:
        ArtifactError: the run is damaged.
        DataError: the sheet is of another run, was changed but for its labels, or holds no judgement.
        SettingsError: the confidence is not a share.
        OutputError: a file cannot be written.
    """
    _check_confidence(confidence)
    if labels is not None:
        check_table(labels, ".parquet", ".csv")
    folder = local_folder(run, "run")
    manifest, strata = check_manifest(folder, "run"), Strata.of_run(folder)
    sheet = read_sheet(judged, folder, manifest, strata)
    known = sheet[sheet["label"].notna()]
    if known.empty:
        raise DataError(f"no row of '{judged}' is judged: write 1 (the same) or 0 (not the same) in its label column")
    audit = estimate_run(strata, known["row"].to_numpy(), known["label"].to_numpy(np.float64), len(sheet), confidence)
    if labels is not None:
        _write_labels(known, strata, labels)
    try:
        with edited_folder(run, "run", whole=False) as folder:
            write_json(folder / AUDIT, audit.to_dict())
    except OSError as error:
        raise OutputError(f"cannot write '{folder / AUDIT}': {error.strerror or error}") from error
    return audit


def estimate_run(
    strata: Strata, rows: np.ndarray, label: np.ndarray, drawn: int, confidence: float, **simulation: int
) -> Audit:
    """The audit of judged rows.

    Args:
        rows, label: (m,) rows of the run and what they were judged as, 1.0 or 0.0.
        drawn: how many rows were to be judged.
        simulation: ``seed`` and ``draws`` of the intervals.
    """
    tally = tally_of(strata, rows, label)
    kinds = {kind: strata.are(kind) for kind in Kind}
    flagged, written, beyond = (tally.of(chosen) for chosen in kinds.values())
    of_written = share_found(flagged, written, confidence, **simulation)
    has_beyond = len(beyond.size) > 0
    recall = of_written
    if has_beyond:
        unjudged = any(one.size.sum() > 0 and one.judged.sum() == 0 for one in (written, beyond))
        missed = tally.of(~kinds[Kind.FLAGGED])
        recall = None if unjudged else share_found(flagged, missed, confidence, **simulation)
    counts = np.bincount(strata.of_pair[rows], minlength=len(strata.rows))
    right = np.bincount(strata.of_pair[rows], label, minlength=len(strata.rows))
    table = [
        {"kind": kind.value, "pairs": round(size), "judged": int(n), "right": int(x)}
        for kind, size, n, x in zip(strata.kind, strata.size, counts, right, strict=True)
    ]
    of = "all pairs" if has_beyond else "the pairs written"
    precision = share_right(flagged, confidence, **simulation)
    return Audit(drawn, len(rows), drawn - len(rows), confidence, precision, recall, of_written, of, table)


def tally_of(strata: Strata, rows: np.ndarray, label: np.ndarray) -> Tally:
    """Judged pairs by stratum; where the weights of a stratum differ, as many as would say the same with equal ones (Kish 1965)."""
    stratum, weight, n = strata.of_pair[rows], strata.weight[rows], len(strata.rows)
    total, squares, right = (np.bincount(stratum, each, n) for each in (weight, weight**2, weight * label))
    judged = total**2 / np.maximum(squares, 1e-12)
    return Tally(strata.size, judged, judged * right / np.maximum(total, 1e-12))


def _write_labels(known: pd.DataFrame, strata: Strata, path: Path) -> None:
    rows = known["row"].to_numpy()
    judged = np.bincount(strata.of_pair[rows], minlength=len(strata.rows))
    weight = strata.weight[rows] * (strata.rows / np.maximum(judged, 1))[strata.of_pair[rows]]
    columns = {
        "left_id": pa.array(known["left_id"], pa.large_string()),
        "right_id": pa.array(known["right_id"], pa.large_string()),
        "label": pa.array(known["label"].astype("int8")),
        "weight": pa.array(weight),
    }
    write_table(pa.table(columns), path)


def _check_confidence(confidence: float) -> None:
    if not 0.5 <= confidence < 1:
        raise SettingsError(f"confidence is {confidence}: expected a share from 0.5 to below 1, such as 0.95")
