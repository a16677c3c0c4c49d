"""Tasks: pipeline stages as Prefect tasks. They take and give paths and small facts, never data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import Task, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.futures import wait

from flows.retrying import is_storage_fault
from pipeline import drifting, stages
from pipeline.decision import Threshold
from pipeline.limits import DriftLimits
from pipeline.records import Records
from pipeline.report import headline, markdown
from pipeline.resuming import once
from pipeline.rules import GoldenRules
from pipeline.thresholds import read_thresholds


def _storage_fault(_task: Any, _run: Any, state: Any) -> bool:
    """Whether to try again."""
    return is_storage_fault(state.result(raise_on_failure=False))


DECIDED = ("match", "cluster", "golden")  # stages that depend on what is to be promised
_RETRIES: dict[str, Any] = {"retries": 2, "retry_delay_seconds": [2, 10], "retry_condition_fn": _storage_fault}


def _once(work: Path | None, stage: str, function: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
    """What a stage says, with its cost; one of a run (``work``) that was done before the run was killed is not done again."""
    return stages.timed(function, *args) if work is None else once(work, stage, stages.timed, function, *args)


@task(**_RETRIES)
def read(model: str, records: str, id_column: str, folder: Path, work: Path | None) -> dict[str, Any]:
    return _once(work, f"read-{folder.name}", stages.read, model, records, id_column, folder)


@task
def embed_block(model: str, folder: Path, work: Path | None, number: int) -> dict[str, Any]:
    return _once(work, f"embed-{folder.name}-{number:06d}", stages.embed_block, model, folder, number)


@task
def build_index(model: str, folder: Path, kind: str) -> dict[str, Any]:
    return stages.timed(stages.build_index, model, folder, kind)


@task
def prepare(model: str, work: Path, exact: bool) -> dict[str, Any]:
    return _once(work, "prepare", stages.prepare, model, work, exact)


@task
def spell_block(model: str, work: Path, number: int) -> dict[str, Any]:
    return _once(work, f"spell-{number:06d}", stages.spell_block, model, work, number)


@task
def share_block(model: str, work: Path, threshold: Threshold, number: int) -> dict[str, Any]:
    return _once(work, f"share-{number:06d}", stages.share_block, model, work, threshold, number)


@task
def propose(model: str, work: Path, threshold: Threshold, exact: bool) -> dict[str, Any]:
    return _once(work, "propose", stages.propose, model, work, threshold, exact)


@task
def search_block(model: str, work: Path, number: int) -> dict[str, Any]:
    return _once(work, f"search-{number:06d}", stages.search_block, model, work, number)


@task
def gather(model: str, work: Path) -> dict[str, Any]:
    return _once(work, "gather", stages.gather, model, work)


@task
def glance(model: str, work: Path, threshold: Threshold) -> dict[str, Any]:
    return _once(work, "glance", stages.glance, model, work, threshold)


@task
def score_block(model: str, work: Path, threshold: Threshold, number: int) -> dict[str, Any]:
    return _once(work, f"score-{number:06d}", stages.score_block, model, work, threshold, number)


@task
def match(model: str, run: Path, work: Path, threshold: Threshold) -> dict[str, Any]:
    return _once(work, "match", stages.match, model, run, work, threshold)


@task(**_RETRIES)
def cluster(
    model: str, run: Path, work: Path, records: Records, one_to_one: bool, previous: Path | None = None
) -> dict[str, Any]:
    return _once(work, "cluster", stages.cluster, model, run, work, records, one_to_one, previous)


@task(**_RETRIES)
def golden(run: Path, work: Path, records: Records, rules: GoldenRules) -> dict[str, Any]:
    return _once(work, "golden", stages.golden, run, records, rules)


@task(**_RETRIES)
def evaluate(model: str, run: Path, truth: str, work: Path, threshold: Threshold) -> dict[str, Any]:
    """Never from a note: the truth may be another by now."""
    return stages.timed(stages.evaluate, model, run, truth, work, threshold)


@task
def drift(
    model: str, run: Path, work: Path, before: Path | None, settings: dict[str, Any], limits: DriftLimits
) -> dict[str, Any]:
    """Never from a note: the limits, and the audit of the run before, may be others by now."""
    encoder = stages.load_encoder(model)
    return stages.timed(drifting.write_drift, encoder, run, work, before, settings, limits)


@task
def finish(
    model: str, run: Path, summary: dict[str, Any], left: Records, right: Records | None, work: Path
) -> dict[str, Any]:
    """Thresholds, summary, report and artifacts, all from the same numbers."""
    result = stages.timed(stages.write_summary, model, run, summary, left, right, work)
    rows = [{"figure": name, "value": value} for name, value in summary.items() if isinstance(value, int | float | str)]
    create_table_artifact(rows, key=f"{summary['kind']}-summary", description=headline(summary))
    create_table_artifact(
        read_thresholds(run), key=f"{summary['kind']}-thresholds", description="What each threshold would flag"
    )
    create_markdown_artifact(markdown(summary), key=f"{summary['kind']}-headline")
    return result


def fan_out(blocks: Task[..., dict[str, Any]], count: int, *args: Any) -> list[dict[str, Any]]:
    """Every block of a stage, side by side on the flow's task runner; what each says.

    The first error is raised once all blocks have ended, so that nobody writes any more.
    """
    if count == 1:
        return [blocks(*args, 0)]
    futures = [blocks.submit(*args, number) for number in range(count)]
    wait(futures)
    return [future.result() for future in futures]


def embed(model: str, records: str, id_column: str, folder: Path, work: Path | None = None) -> dict[str, Any]:
    """A corpus read, and its blocks embedded side by side; counts and cost. ``work``: of the run that it is for."""
    counts = read(model, records, id_column, folder, work)
    embedded = together(fan_out(embed_block, counts["blocks"], model, folder, work))
    return {**counts, **embedded, "seconds": round(counts["seconds"] + embedded["seconds"], 3)}


def together(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """The cost of a stage that was done in blocks: seconds of all of them, side by side or not."""
    return {
        "blocks": len(blocks),
        "seconds": round(sum(each["seconds"] for each in blocks), 3),
        "peak_mb": max((each["peak_mb"] for each in blocks), default=0),
    }
