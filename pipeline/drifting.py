"""Drifting: a run held against its model's training records and the runs before it, as ``drift.json``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.drift import DRIFT, Figure, Figures, Measure, Verdict, apart, growth_slack, judge, verdict_of, worst_first
from pipeline.embedding import Encoder
from pipeline.limits import DriftLimits
from pipeline.observed import BIN, Observed, Part
from siamese.errors import ArtifactError
from siamese.folders import AUDIT, read_json, write_json
from siamese.portrait import CLASSES, Hashed, Portrait

MOSTLY_SEEN = 0.5  # least share of seen words in a field of which unseen ones say something: a new phone number is nearly always unseen
CORPUS = {"new": "all"}  # a part's own corpus, where that is another one


class Seen(BaseModel):
    """What ``drift.json`` keeps for later runs: what the run saw, its figures, and those of the runs before it, the last one last."""

    model_config = ConfigDict(frozen=True)
    parts: dict[str, Part]
    reach: float
    figures: Figures
    history: list[Figures]


@dataclass(frozen=True)
class Before:
    """The run before.

    Attributes:
        seen: what it saw.
        same_model: its distances mean the same.
        same_decision: it was asked to flag the same.
        expected: precision that its probabilities expected.
        audited: upper bound of what people found; None where none was judged.
    """

    seen: Seen
    same_model: bool
    same_decision: bool
    expected: float | None = None
    audited: float | None = None

    @classmethod
    def read(cls, run: Path, model: str, settings: dict[str, Any]) -> "Before | None":
        """A run folder; None where it was made before drift was looked at.

        Raises:
            ArtifactError: its ``drift.json`` is damaged.
        """
        if not (run / DRIFT).is_file():
            return None
        try:
            seen = Seen.model_validate(read_json(run / DRIFT))
        except ValidationError as error:
            raise ArtifactError(
                f"'{run / DRIFT}' is damaged ({error.errors()[0]['msg']}): make the run again"
            ) from error
        manifest = read_json(run / "manifest.json")
        same_model = manifest["model"] == model
        audit = read_json(run / AUDIT)["precision"] if same_model and (run / AUDIT).is_file() else None
        expected = read_json(run / "summary.json").get("expected_precision")
        same = same_model and manifest["settings"] == settings
        return cls(seen, same_model, same, expected, audit["high"] if audit else None)


def measure_drift(
    observed: Observed, before: Before | None, training: Mapping[str, Portrait], limits: DriftLimits
) -> dict[str, Any]:
    """The content of ``drift.json``; ``training``: portraits of the records that taught the model, of the same parts or of all."""
    wholes = [name for name in observed.parts if name not in CORPUS]
    is_like = before is not None and all(name in before.seen.parts for name in wholes)
    figures: Figures = {}
    measures: list[Measure] = []
    history: list[Figures] = []
    if training and limits.training != "off":
        most = Verdict.STOP if limits.training == "stop" else Verdict.WARN
        for name in wholes:
            taught = training.get(name) or training["all"]
            found = _of_fields(observed.words[name], observed.parts[name].portrait, taught)
            measures += [judge(f"{name}/{key}", each, (), "training", limits, most) for key, each in found.items()]
    if before is not None and is_like:
        figures, history = _figures(observed, before), _history(before, limits)
        for key, figure in figures.items():
            past = [run[key] for run in history if key in run]
            measures.append(judge(key, figure, past, "last runs" if past else "last run", limits))
        measures += _calibration(before, limits)
    told = worst_first(measures)
    verdict = max((each.verdict for each in measures), default=Verdict.QUIET)
    return {
        "verdict": str(verdict) if measures else "nothing to compare with",
        "has_training": bool(training),
        "runs": len(history) or int(is_like),
        "compared": len(measures),
        "told": [each.to_dict() for each in told],
        "measures": [each.to_dict() for each in measures],
        "limits": limits.model_dump(mode="json"),
        **Seen(parts=observed.parts, reach=observed.reach, figures=figures, history=history).model_dump(mode="json"),
    }


def write_drift(
    encoder: Encoder, run: Path, work: Path, before: Path | None, settings: dict[str, Any], limits: DriftLimits
) -> dict[str, Any]:
    """Write ``drift.json``; what a summary says of it."""
    earlier = None if before is None else Before.read(before, encoder.fingerprint, settings)
    observed = Observed.of_run(encoder, run, work, before)
    drift = measure_drift(observed, earlier, encoder.portraits, limits)
    write_json(run / DRIFT, drift, indent=None)
    return {name: drift[name] for name in ("verdict", "has_training", "runs", "compared", "told")}


def _history(before: Before, limits: DriftLimits) -> list[Figures]:
    """Figures of the last runs, less those that have another meaning now."""
    changed = [*["distances"] * (not before.same_model), *["flagged"] * (not before.same_decision)]
    runs = [run for run in [*before.seen.history, before.seen.figures] if run][-limits.runs :]
    return [{key: each for key, each in run.items() if key.split("/")[1] not in changed} for run in runs]


def _figures(observed: Observed, before: Before) -> Figures:
    found: Figures = {}
    for name, part in observed.parts.items():
        corpus = CORPUS.get(name, name)
        other = before.seen.parts[corpus]
        grouped = other.grouped / max(other.records, 1)
        portraits = _of_fields(observed.words[name], part.portrait, other.portrait, grouped)
        if name == corpus:
            gone = max(other.records - part.records, 0)
            portraits["lost/"] = _share(gone, max(other.records, 1), 0, max(other.records, 1))
        if part.records:
            portraits["empty/"] = _share(part.empty, part.records, other.empty, other.records)
        if part.records and before.same_decision:
            portraits["flagged/"] = _share(part.grouped, part.records, other.grouped, other.records)
        if before.same_model and part.paired and other.paired and (name == corpus or observed.finds_alike):
            bins = int(min(observed.reach, before.seen.reach) / BIN)
            one, two = (np.array(each.distances[:bins]) for each in (part, other))
            portraits["distances/"] = Figure(
                value=apart(one, two),
                records=part.paired,
                before=0.0,
                records_before=other.paired,
                slack=growth_slack(observed.parts[corpus].records, other.records),
            )
        found |= {f"{name}/{key}": each for key, each in portraits.items()}
    return found


def _of_fields(words: dict[str, Hashed], here: Portrait, there: Portrait, grouped: float = 0.0) -> Figures:
    """Measures of the fields that two portraits share, by "measure/field".

    Args:
        words: of the records of the first.
        grouped: share of the records of the second that have a duplicate, in which their words may have been seen; new ones need have none.
    """
    found: Figures = {}
    for name, column in here.columns.items():
        other = there.columns.get(name)
        if other is None or other.kind is not column.kind or here.records == 0:
            continue
        found[f"missing/{name}"] = _share(
            here.records - column.values, here.records, there.records - other.values, there.records
        )
        if column.values == 0 or other.values == 0:
            continue
        for kind, one, two in zip(CLASSES, column.holds, other.holds, strict=True):
            if one or two:
                found[f"characters.{kind}/{name}"] = _share(one, column.values, two, other.values)
        lengths = apart(np.array(column.lengths), np.array(other.lengths))
        found[f"lengths/{name}"] = Figure(value=lengths, records=column.values, before=0.0, records_before=other.values)
        expected = min(1.0, other.unseen / max(other.words_left, 1) / max(1 - grouped, 1e-9))
        count, unseen = other.unseen_of(words[name][0])
        if count and other.words_left and expected <= 1 - MOSTLY_SEEN:
            found[f"unseen/{name}"] = Figure(
                value=unseen / count,
                records=min(count, column.values),  # words of one value come together: they count once
                before=expected,
                records_before=min(other.words_left, other.values),
            )
    return found


def _share(count: int, records: int, before: int, records_before: int) -> Figure:
    return Figure(
        value=count / records, records=records, before=before / max(records_before, 1), records_before=records_before
    )


def _calibration(before: Before, limits: DriftLimits) -> list[Measure]:
    """The precision that the last run's probabilities expected, beside what people found in it."""
    if before.expected is None or before.audited is None:
        return []
    effect = max(0.0, before.expected - before.audited)
    verdict = verdict_of(effect, limits.calibration)
    return [
        Measure("all", "calibration", "", "audit", before.expected, 0, before.audited, before.audited, effect, verdict)
    ]
