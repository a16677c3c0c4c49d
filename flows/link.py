"""Flow ``link``: the matches between two corpora."""

from collections.abc import Mapping, Sequence
from typing import Any

from flows.job_flow import job_flow
from flows.jobs import Job
from flows.runners import local_runner
from pipeline.decision import Threshold
from pipeline.limits import DriftLimits


@job_flow(task_runner=local_runner())
def link(
    model: str | None,
    left: str,
    right: str,
    out: str,
    *,
    one_to_one: bool = False,
    max_distance: float | None = None,
    min_precision: float | None = None,
    min_recall: float | None = None,
    confidence: float = 0.95,
    verifier: bool = True,
    truth: str | None = None,
    exact: bool = False,
    id_column: str = "record_id",
    drift: DriftLimits | None = None,
    accept_drift: bool = False,
    also: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Find the records of one corpus in another; gives the summary that is also in ``summary.json``.

    Args:
        left, right: file, folder, glob or URL each.
        one_to_one: match each record at most once: the assignment with the most right pairs to be expected.

    The other arguments and the errors are those of ``dedupe``.
    """
    threshold = Threshold(max_distance, min_precision, min_recall, confidence, verifier, one_to_one)
    return Job(
        "link",
        model,
        (left, right),
        out,
        threshold,
        truth,
        exact,
        id_column,
        limits=drift or DriftLimits(),
        accept_drift=accept_drift,
        also=also or {},
    ).run()
