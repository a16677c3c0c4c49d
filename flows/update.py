"""Flow ``update``: a dedupe run gone on from where its corpus has changed since."""

from dataclasses import fields
from typing import Any

from flows.job_flow import job_flow
from flows.jobs import Job
from flows.runners import local_runner
from pipeline import stages
from pipeline.decision import Threshold
from pipeline.limits import DriftLimits
from pipeline.rules import GoldenRules
from pipeline.state import State
from siamese.errors import ArtifactError
from siamese.folders import read_json


@job_flow(task_runner=local_runner())
def update(
    run: str,
    records: str,
    out: str,
    *,
    model: str | None = None,
    truth: str | None = None,
    drift: DriftLimits | None = None,
    accept_drift: bool = False,
) -> dict[str, Any]:
    """Find the duplicates of a corpus as it is now, from a run over it as it was; gives the summary that is also in ``summary.json``.

    Contents that the run knows are not embedded again, nor are pairs that it looked at scored again; records that are not among these
    any more are gone. Threshold, id column and how far is searched are those of the run; the decision is made anew, from all scores.

    Args:
        run: run folder, or its URL, that kept its state.
        records: all records as they are now: file, folder, glob or URL.
        out: run folder to write, or its URL; it keeps its state too. ``FOLDER/next``: the next run of a folder, which becomes its
            ``latest``.
        model: model folder, or its URL; None: where the run found it.
        truth: file of all true pairs, to measure the new run against.
        drift: how much the new run may differ from the earlier one.
        accept_drift: publish it however much it differs.

    Raises:
        SiameseError: the input does not do, the model is another one, or ``out`` cannot be written.
        DriftError: the new run differs too much; it lies beside ``out``, which is as it was.
    """
    base, manifest = State.check(run)
    place = model or str(read_json(base / stages.SUMMARY)["model"])
    fingerprint = stages.load_encoder(place).fingerprint
    if fingerprint != manifest["model"]:
        raise ArtifactError(
            f"the run '{run}' was made with another model (fingerprint {manifest['model'][:12]}, '{place}' has {fingerprint[:12]}): "
            "name that one with --model, or make a whole run with this one (siamese dedupe --previous)"
        )
    settings = manifest["settings"]
    threshold = Threshold(**{field.name: settings[field.name] for field in fields(Threshold)})
    golden = settings["golden"] and GoldenRules.model_validate(settings["golden"])
    return Job(
        "dedupe",
        place,
        (records,),
        out,
        threshold,
        truth,
        settings["exact"],
        settings["id_column"],
        golden=golden,
        previous=base,
        base=base,
        keep=True,
        limits=drift or DriftLimits(),
        accept_drift=accept_drift,
    ).run()
