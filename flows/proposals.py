"""Proposals: the candidates of a run with their scores, from scratch or from what an earlier run kept, as tasks."""

from pathlib import Path
from typing import Any

from prefect import task

from flows import stage_tasks
from pipeline import proposing, stages, updating
from pipeline.decision import Threshold
from pipeline.records import Records
from pipeline.resuming import once

Facts = dict[str, Any]  # what each stage says, by its name


def from_scratch(model: str, sources: list[Records], work: Path, threshold: Threshold, exact: bool) -> Facts:
    """Embed each corpus, search, and score what is found."""
    sides = zip(sources, (proposing.LEFT, proposing.RIGHT), ("embed", "embed right"), strict=False)
    done = {name: stage_tasks.embed(model, each.path, each.id_column, work / side, work) for each, side, name in sides}
    done |= _candidates(model, work, threshold, exact)
    done["glance"] = stage_tasks.glance(model, work, threshold)
    scored = stage_tasks.fan_out(stage_tasks.score_block, done["gather"]["blocks"], model, work, threshold)
    done["score"] = stage_tasks.together(scored)
    return done


def from_run(model: str, records: Records, work: Path, threshold: Threshold, exact: bool, base: Path) -> Facts:
    """The same where an earlier run is gone on from: only what is new is embedded and scored and, in a small corpus, searched for."""
    read = stage_tasks.read(model, records.path, records.id_column, work / proposing.LEFT, work)
    embedded = again("embed", model, work, base)
    done = {"embed": {**read, **embedded, "seconds": round(read["seconds"] + embedded["seconds"], 3)}}
    if embedded["searches_on"]:
        done["propose"] = again("plan", model, work, base)
        done["search"] = again("search", model, work, base)
        done["gather"] = again("gather", model, work, base)
    else:
        done |= _candidates(model, work, threshold, exact)
    done["score"] = again("score", model, work, base, threshold)
    return done


def _candidates(model: str, work: Path, threshold: Threshold, exact: bool) -> Facts:
    """Of embedded corpora."""
    prepared = stage_tasks.prepare(model, work, exact)
    spelled = stage_tasks.fan_out(stage_tasks.spell_block, prepared["spelled"], model, work)
    shared = stage_tasks.fan_out(stage_tasks.share_block, prepared["shared"], model, work, threshold)
    proposed = stage_tasks.propose(model, work, threshold, exact)
    searched = stage_tasks.fan_out(stage_tasks.search_block, proposed["blocks"], model, work)
    done = {"prepare": stage_tasks.together([prepared, *spelled]), "propose": proposed}
    done |= {name: stage_tasks.together(blocks) for name, blocks in (("share", shared), ("search", searched)) if blocks}
    return done | {"gather": stage_tasks.gather(model, work)}


@task
def again(step: str, model: str, work: Path, base: Path, *args: Any) -> dict[str, Any]:
    """A step of :mod:`pipeline.updating`."""
    return once(
        work, f"again-{step}", stages.timed, getattr(updating, step), stages.load_encoder(model), work, base, *args
    )
