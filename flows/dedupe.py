"""Flow ``dedupe``: every duplicate in one corpus."""

from collections.abc import Mapping, Sequence
from typing import Any

from flows.job_flow import job_flow
from flows.jobs import Job, previous_of
from flows.runners import local_runner
from pipeline.decision import Threshold
from pipeline.limits import DriftLimits
from pipeline.rules import GoldenRules


@job_flow(task_runner=local_runner())
def dedupe(
    model: str | None,
    records: str,
    out: str,
    *,
    max_distance: float | None = None,
    min_precision: float | None = None,
    min_recall: float | None = None,
    confidence: float = 0.95,
    verifier: bool = True,
    truth: str | None = None,
    exact: bool = False,
    id_column: str = "record_id",
    previous: str | None = None,
    keep_state: bool = False,
    golden: GoldenRules | None = None,
    drift: DriftLimits | None = None,
    accept_drift: bool = False,
    also: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Find the duplicates of a corpus; gives the summary that is also in ``summary.json``.

    Args:
        model: model folder, or its URL; None: the untrained tower, with a threshold from the spread of the distances alone.
        records: file, folder, glob or URL.
        out: run folder to write, or its URL; ``FOLDER/next``: the next run of a folder, which becomes its ``latest`` and, unless
            ``previous`` is given, goes on with the ids of the one that was.
        max_distance: flag pairs up to here, in margin units, by the distance alone.
        min_precision: flag as far as this precision can be promised; refused where it cannot.
        min_recall: flag as far as this recall asks for, if it can be promised.
        confidence: of the promise, over draws of the held-out pairs.
        verifier: whether the model's verifier decides, if it has one; else the distance alone.
        truth: file of all true pairs, to measure the run against.
        exact: compare every record with every other: slow, and loses nothing.
        id_column: the records' id.
        previous: run folder, or its URL, whose cluster ids go on: ``changes.parquet`` says what became of them.
        keep_state: keep what ``update`` goes on from, about 1.7 kB a record.
        golden: which record of a cluster gives each field of its golden record; the value that most have unless given.
        drift: how much the run may differ from the one before it.
        accept_drift: publish it however much it differs.
        also: without a model, other names of columns, as in ``train``; a model knows those of its training.

    Raises:
        SiameseError: the input does not do, or ``out`` cannot be written.
        DriftError: the run differs too much; it lies beside ``out``, which is as it was.
    """
    return Job(
        "dedupe",
        model,
        (records,),
        out,
        Threshold(max_distance, min_precision, min_recall, confidence, verifier),
        truth,
        exact,
        id_column,
        golden=golden or GoldenRules(),
        previous=previous_of(out, previous),
        keep=keep_state,
        limits=drift or DriftLimits(),
        accept_drift=accept_drift,
        also=also or {},
    ).run()
