"""Flow ``dedupe``: every duplicate in one corpus."""

from dataclasses import asdict
from typing import Any

from prefect import flow

from flows import stage_tasks
from flows.runners import local_runner
from pipeline import proposing, stages
from pipeline.decision import Threshold
from pipeline.records import Records
from pipeline.resuming import job_folder, job_key
from siamese.folders import check_writable, local_folder, write_manifest


@flow(task_runner=local_runner())
def dedupe(
    model: str,
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
) -> dict[str, Any]:
    """Find the duplicates of a corpus; gives the summary that is also in ``summary.json``.

    Args:
        model: model folder, or its URL.
        records: file, folder, glob or URL.
        out: run folder to write, or its URL.
        max_distance: flag pairs up to here, in margin units, by the distance alone.
        min_precision: flag as far as this precision can be promised; refused where it cannot.
        min_recall: flag as far as this recall asks for, if it can be promised.
        confidence: of the promise, over draws of the held-out pairs.
        verifier: whether the model's verifier decides, if it has one; else the distance alone.
        truth: file of all true pairs, to measure the run against.
        exact: compare every record with every other: slow, and loses nothing.
        id_column: the records' id.

    Raises:
        SiameseError: the input does not do, or ``out`` cannot be written.
    """
    threshold = Threshold(max_distance, min_precision, min_recall, confidence, verifier)
    return run_job("dedupe", model, records, None, out, threshold, truth, exact, id_column, one_to_one=False)


def run_job(
    kind: str,
    model: str,
    left: str,
    right: str | None,
    out: str,
    threshold: Threshold,
    truth: str | None,
    exact: bool,
    id_column: str,
    *,
    one_to_one: bool,
) -> dict[str, Any]:
    """The stages of a run, which dedupe and link share; ``right`` is the second corpus of a link.

    A run of the same that was killed is gone on with.
    """
    check_writable(out)
    # One model for all stages, whatever the URL holds later, and for workers that run in another folder.
    place, model = model, str(local_folder(model, "model").absolute())
    encoder = stages.load_encoder(model)
    judge = threshold.judge(encoder)  # a threshold that cannot be had is refused before any work
    sources = [Records.open(path, id_column) for path in (left, right) if path is not None]
    inputs = [inputs_of(source) for source in sources]
    settings = {**asdict(threshold), "one_to_one": one_to_one, "exact": exact, "id_column": id_column}
    asked = {"kind": kind, "model": encoder.fingerprint, "inputs": inputs, "settings": settings, "truth": truth}
    with job_folder(out, job_key(asked)) as (run, work):
        embedded = [
            stage_tasks.embed(model, source.path, id_column, work / side, work)
            for source, side in zip(sources, (proposing.LEFT, proposing.RIGHT), strict=False)
        ]
        prepared = stage_tasks.prepare(model, work, exact)
        spelled = stage_tasks.fan_out(stage_tasks.spell_block, prepared["spelled"], model, work)
        shared = stage_tasks.fan_out(stage_tasks.share_block, prepared["shared"], model, work, threshold)
        proposed = stage_tasks.propose(model, work, threshold, exact)
        searched = stage_tasks.fan_out(stage_tasks.search_block, proposed["blocks"], model, work)
        gathered = stage_tasks.gather(model, work)
        scored = stage_tasks.fan_out(stage_tasks.score_block, gathered["blocks"], model, work, threshold)
        matched = stage_tasks.match(model, run, work, threshold, one_to_one)
        clustered = stage_tasks.cluster(model, run, work, sources[0], one_to_one)
        evaluation = stage_tasks.evaluate(model, run, truth, work, threshold) if truth else None
        done = {
            "embed": embedded[0],
            "embed right": embedded[-1],
            "prepare": stage_tasks.together([prepared, *spelled]),
            "share": stage_tasks.together(shared),
            "propose": proposed,
            "search": stage_tasks.together(searched),
            "gather": gathered,
            "score": stage_tasks.together(scored),
            "match": matched,
            "cluster": clustered,
        }
        for stage, needless in (("embed right", right is None), ("share", not shared), ("search", not searched)):
            if needless:
                del done[stage]
        summary = {
            "kind": kind,
            "records": embedded[0]["records"]
            if right is None
            else {"left": embedded[0]["records"], "right": embedded[1]["records"]},
            "distinct_contents": sum(each["distinct_contents"] for each in embedded),
            "empty_records": sum(each["empty_records"] for each in embedded),
            **_figures(matched),
            **_figures(clustered),
            "margin": encoder.margin,
            "energy": encoder.energy.value,
            "calibration": judge.calibration.summary(),
            "search": _figures(proposed),
            "evaluation": {**_figures(evaluation), "promises": kept_promises(matched, evaluation)}
            if evaluation
            else None,
            "model": place,
            "records_path": left if right is None else f"{left} and {right}",
            "seconds": {name: facts["seconds"] for name, facts in done.items()},
        }
        done["report"] = stage_tasks.finish(run, summary, place, sources[0], sources[1] if right is not None else None)
        manifest = {
            "model": encoder.fingerprint,
            "settings": settings,
            "inputs": inputs,
            "outputs": {path.name: stages.count_rows(path) for path in sorted(run.glob("*.parquet"))},
            "stages": done,
        }
        write_manifest(run, "run", manifest)
    return summary


def kept_promises(matched: dict[str, Any], evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    """Each promise beside what was achieved."""
    return [
        {**promise, "achieved": achieved, "kept": achieved >= promise["share"]}
        for promise in matched["promises"]
        for achieved in [evaluation["pairs"][promise["what"]]]
    ]


def inputs_of(records: Records) -> dict[str, Any]:
    return {"path": records.path, "files": records.digests()}


def _figures(facts: dict[str, Any]) -> dict[str, Any]:
    """A stage's result less its cost."""
    return {name: value for name, value in facts.items() if name not in ("seconds", "peak_mb")}
