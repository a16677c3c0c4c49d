"""Flow ``dedupe``: every duplicate in one corpus."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import flow

from flows import proposals, stage_tasks
from flows.runners import local_runner
from pipeline import stages, state
from pipeline.decision import Threshold
from pipeline.records import Records
from pipeline.resuming import job_folder, job_key
from siamese.folders import Place, check_manifest, check_writable, local_folder, read_json, write_manifest


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
    previous: str | None = None,
    keep_state: bool = False,
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
        previous: run folder, or its URL, whose cluster ids go on: ``changes.parquet`` says what became of them.
        keep_state: keep what ``update`` goes on from, about 1.5 kB a record.

    Raises:
        SiameseError: the input does not do, or ``out`` cannot be written.
    """
    threshold = Threshold(max_distance, min_precision, min_recall, confidence, verifier)
    before = None if previous is None else whole_run(previous)
    return run_job(
        "dedupe",
        model,
        records,
        None,
        out,
        threshold,
        truth,
        exact,
        id_column,
        one_to_one=False,
        previous=before,
        keep=keep_state,
    )


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
    previous: Path | None = None,
    base: Path | None = None,
    keep: bool = False,
) -> dict[str, Any]:
    """The stages of a run, which dedupe, link and update share; ``right`` is the second corpus of a link.

    A run of the same that was killed is gone on with.

    Args:
        previous: run folder whose cluster ids go on.
        base: run folder whose state is gone on from.
        keep: whether this run keeps its own.
    """
    check_writable(out)
    # One model for all stages, whatever the URL holds later, and for workers that run in another folder.
    place, model = model, str(local_folder(model, "model").absolute())
    encoder = stages.load_encoder(model)
    judge = threshold.judge(encoder)  # a threshold that cannot be had is refused before any work
    sources = [Records.open(path, id_column) for path in (left, right) if path is not None]
    inputs = [inputs_of(source) for source in sources]
    settings = {**asdict(threshold), "one_to_one": one_to_one, "exact": exact, "id_column": id_column}
    origin = {"previous": origin_of(previous), "updates": origin_of(base)}
    asked: dict[str, Any] = {
        "kind": kind,
        "model": encoder.fingerprint,
        "inputs": inputs,
        "settings": settings,
        "truth": truth,
    }
    asked |= {**origin, "keep": keep}
    with job_folder(out, job_key(asked)) as (run, work):
        if base is None:
            done = proposals.from_scratch(model, sources, work, threshold, exact)
        else:
            done = proposals.from_run(model, sources[0], work, threshold, exact, base)
        matched = stage_tasks.match(model, run, work, threshold, one_to_one)
        clustered = stage_tasks.cluster(model, run, work, sources[0], one_to_one, previous)
        evaluation = stage_tasks.evaluate(model, run, truth, work, threshold) if truth else None
        done |= {"match": matched, "cluster": clustered}
        embedded = [done[name] for name in ("embed", "embed right") if name in done]
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
            "search": _figures(done["propose"]),
            "evaluation": {**_figures(evaluation), "promises": kept_promises(matched, evaluation)}
            if evaluation
            else None,
            "model": place,
            "records_path": left if right is None else f"{left} and {right}",
            "seconds": {name: facts["seconds"] for name, facts in done.items()},
        }
        done["report"] = stage_tasks.finish(run, summary, place, sources[0], sources[1] if right is not None else None)
        if keep:
            done["keep"] = stages.timed(state.keep_state, work, run)
        manifest = {
            "model": encoder.fingerprint,
            **origin,
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


def whole_run(place: Place) -> Path:
    """A run folder, checked against its manifest; a link to one (``latest``) is followed.

    Raises:
        ArtifactError: it is no whole run.
    """
    folder = local_folder(place, "run").resolve()
    check_manifest(folder, "run")
    return folder


def origin_of(run: Path | None) -> dict[str, str] | None:
    """An earlier run by its digest."""
    return None if run is None else {"path": str(run), "fingerprint": read_json(run / "manifest.json")["fingerprint"]}


def inputs_of(records: Records) -> dict[str, Any]:
    return {"path": records.path, "files": records.digests()}


def _figures(facts: dict[str, Any]) -> dict[str, Any]:
    """A stage's result less its cost."""
    return {name: value for name, value in facts.items() if name not in ("seconds", "peak_mb")}
