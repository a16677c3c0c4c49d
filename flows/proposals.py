"""Proposals: the candidates of a run with their scores, from scratch or from what an earlier run kept, as tasks."""

from collections.abc import Sequence
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
    embedded = again(("embed",), model, work, base, threshold)["embed"]
    done = {"embed": {**read, **embedded, "seconds": round(read["seconds"] + embedded["seconds"], 3)}}
    if embedded["searches_on"]:
        return done | again(("propose", "search", "gather", "score"), model, work, base, threshold)
    done |= _candidates(model, work, threshold, exact)
    return done | again(("score",), model, work, base, threshold)


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
def again(steps: Sequence[str], model: str, work: Path, base: Path, threshold: Threshold) -> Facts:
    """Steps of :mod:`pipeline.updating`; together, for to tell a server of each takes longer than some of them do."""
    encoder, done = stages.load_encoder(model), {}
    for step in steps:
        asked = (encoder, work, base, *[threshold] * (step == "score"))
        done[step] = once(work, f"again-{step}", stages.timed, getattr(updating, step), *asked)
    return done
