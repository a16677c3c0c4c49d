"""Job: one dedupe, link or update, from what was asked to a whole run folder."""

import gc
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from flows import proposals, stage_tasks
from flows.heap import heap_kept
from pipeline import stages, state
from pipeline.decision import Threshold
from pipeline.drift import what_drifted
from pipeline.holding import HELD, accept, held_place, hold, job_of_held
from pipeline.judging import Judge
from pipeline.limits import DriftLimits
from pipeline.records import Records
from pipeline.registry import LATEST, is_next, next_run, publish_run
from pipeline.resuming import asked_of, job_folder, job_key
from pipeline.rules import GoldenRules
from pipeline.survivorship import check_rules
from siamese.errors import ArtifactError, SettingsError
from siamese.folders import MANIFEST, Place, check_manifest, check_writable, local_folder, place_of, read_json, writing
from siamese.publishing import staging_for, sweep
from siamese.remote import is_url, lasting
from siamese.schema import Also, check_also
from siamese.secrets import redacted

NO_MODEL = "none (the untrained tower)"


@dataclass(frozen=True)
class Job:
    """What a run is asked to do.

    Attributes:
        model: model folder, or its URL; None: the untrained tower.
        records: paths or URLs of one corpus, or of the two of a link.
        golden: rules of the golden records; None: there are none.
        previous: run folder whose cluster ids go on.
        base: run folder whose state is gone on from.
        keep: whether the run keeps its own.
        limits: of drift from the run before.
        accept_drift: publish, whatever drift says.
    """

    kind: Literal["dedupe", "link"]
    model: str | None
    records: tuple[str, ...]
    out: str
    threshold: Threshold
    truth: str | None
    exact: bool
    id_column: str
    golden: GoldenRules | None = None
    previous: Path | None = None
    base: Path | None = None
    keep: bool = False
    limits: DriftLimits = field(default_factory=DriftLimits)
    accept_drift: bool = False
    also: Also = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """Do it; gives the summary that is also in ``summary.json``, and the run's folder as ``out``. One of the same that was killed is
        gone on with.

        Raises:
            SiameseError: the input does not do, or ``out`` cannot be written.
            DriftError: the run is not like the one before; it lies beside ``out``, which is as it was.
        """
        check_writable(self.out)
        if self.model is not None and self.also:
            raise SettingsError("the model knows other names of columns from its training: leave out also")
        check_also(self.also)
        with heap_kept(), _imports_aside(), self._opened() as (model, sources):
            return self._run(model, sources)

    def _sources(self, also: Also) -> list[Records]:
        return [Records.open(path, self.id_column, also) for path in self.records]

    @contextmanager
    def _opened(self) -> Iterator[tuple[str, list[Records]]]:
        """The folder of one model for all stages, whatever a URL holds later, and for workers that run in another folder; and the corpora
        as it reads them. An untrained model is made beside the output, which all workers see."""
        if self.model is not None:
            model = str(local_folder(self.model, "model").absolute())
            yield model, self._sources(stages.load_encoder(model).schema.also)
            return
        sources = self._sources(self.also)
        with self._beside() as folder:
            stages.first_model(sources, folder / "model")
            yield str(folder / "model"), sources

    @contextmanager
    def _beside(self) -> Iterator[Path]:
        """A folder beside the output until the run ends; one that a killed run left is removed."""
        if is_url(self.out):
            with tempfile.TemporaryDirectory(prefix="siamese-") as folder:
                yield Path(folder)
            return
        out = place_of(self.out)
        first = out.with_name(f"{out.name}-first")
        sweep(first)
        with writing(out), staging_for(first) as staging:
            yield staging

    def _run(self, model: str, sources: list[Records]) -> dict[str, Any]:
        encoder = stages.load_encoder(model)
        # One that cannot be had is refused before any work.
        judge = self.threshold.judge(encoder, of_two=self.kind == "link")
        if self.golden is not None:
            check_rules(sources[0], self.golden)
        left, right = sources[0], sources[1] if len(sources) > 1 else None
        asked = {
            "kind": self.kind,
            "model": encoder.fingerprint,
            "inputs": [inputs_of(source) for source in sources],
            "settings": self.settings(),
            "previous": origin_of(self.previous),
            "updates": origin_of(self.base),
        }
        job = {**asked, "truth": self.truth, "keep": self.keep}
        key = job_key(job)
        out = str(next_run(Path(self.out).parent, key)) if is_next(self.out) else self.out
        held = Path(held_place(out))
        if self.accept_drift and not is_url(out) and job_of_held(held) == key:
            accepted = accept(held)
            return self._published(accepted, read_json(accepted / stages.SUMMARY))
        with job_folder(out, job_key({**job, **self._work(judge)}), stays=self.keep) as (run, work):
            asked_of(work, list(self.threshold.levels), stage_tasks.DECIDED)
            if self.base is None:
                done = proposals.from_scratch(model, sources, work, self.threshold, self.exact)
            else:
                done = proposals.from_run(model, left, work, self.threshold, self.exact, self.base)
            done["match"] = stage_tasks.match(model, run, work, self.threshold)
            done["cluster"] = stage_tasks.cluster(model, run, work, left, self.threshold.one_to_one, self.previous)
            if self.golden is not None:
                done["golden"] = stage_tasks.golden(run, work, left, self.golden)
            evaluation = stage_tasks.evaluate(model, run, self.truth, work, self.threshold) if self.truth else None
            drift = stage_tasks.drift(model, run, work, self._before(asked), self.settings(), self.limits)
            done["drift"] = {name: drift[name] for name in ("verdict", "seconds", "peak_mb")}
            summary = {**self._summary(model, done, evaluation), "drift": _figures(drift)}
            done["report"] = stage_tasks.finish(model, run, summary, left, right, work)
            if self.keep:
                done["keep"] = stages.timed(state.keep_state, work, run)
            outputs = {path.name: stages.count_rows(path) for path in sorted(run.glob("*.parquet"))}
            why = what_drifted(drift) if drift["verdict"] == "stop" and not self.accept_drift else None
            held_for = {} if why is None else {HELD: why}
            content = {**asked, "outputs": outputs, "stages": done, "job": key, **held_for}
            stages.write_run_manifest(run, content, base=self.base)
            if why is not None:
                raise hold(run, out, why)
        return self._published(out, summary)

    def _work(self, judge: Judge) -> dict[str, Any]:
        """What settles the work that a decision rests on, in place of what it is to promise: whether it is to, and how far is looked."""
        asks = {name: getattr(self.threshold, name) is not None for name in ("min_precision", "min_recall")}
        looked = (judge.radius, judge.candidate_distance, judge.neighbours, judge.cut)
        return {"settings": {**self.settings(), **asks, "confidence": None}, "looked": [str(one) for one in looked]}

    def _published(self, out: Place, summary: dict[str, Any]) -> dict[str, Any]:
        if is_next(self.out):
            publish_run(Path(out).parent, Path(out).name)
        return {**summary, "out": str(out)}

    def _before(self, asked: dict[str, Any]) -> Path | None:
        """The run to compare with: the one that is gone on from, the last one of the folder, or the one that is replaced, if it was asked
        the same; None where that is not whole, for it must not keep a sound one from taking its place."""
        if self.previous is not None:
            return self.previous
        place = Path(self.out).with_name(LATEST) if is_next(self.out) else Path(self.out)
        if is_url(self.out) or not (place / MANIFEST).is_file():
            return None
        try:
            said = check_manifest(place, "run")
        except ArtifactError:
            return None
        same = all(said.get(name) == asked[name] for name in ("kind", "model", "settings"))
        paths = [[each["path"] for each in inputs] for inputs in (said.get("inputs", ()), asked["inputs"])]
        return place.resolve() if is_next(self.out) or (same and paths[0] == paths[1]) else None

    def settings(self) -> dict[str, Any]:
        """What is written of it in the manifest, and what an update goes on with."""
        return {
            **asdict(self.threshold),
            "exact": self.exact,
            "id_column": self.id_column,
            "golden": None if self.golden is None else self.golden.model_dump(mode="json"),
        }

    def _summary(self, model: str, done: proposals.Facts, evaluation: dict[str, Any] | None) -> dict[str, Any]:
        """The run in figures, from what its stages said."""
        encoder = stages.load_encoder(model)
        calibration = self.threshold.judge(encoder, of_two=self.kind == "link").calibration
        embedded = [done[name] for name in ("embed", "embed right") if name in done]
        counts = [each["records"] for each in embedded]
        return {
            "kind": self.kind,
            "records": counts[0] if len(counts) == 1 else {"left": counts[0], "right": counts[1]},
            "distinct_contents": sum(each["distinct_contents"] for each in embedded),
            "empty_records": sum(each["empty_records"] for each in embedded),
            **_figures(done["match"]),
            **_figures(done["cluster"]),
            **_figures(done.get("golden", {})),
            "margin": encoder.margin,
            "energy": encoder.energy.value,
            "calibration": calibration.summary(),
            "calibrated": len(calibration.evidence) > 0,
            "search": _figures(done["propose"]),
            "evaluation": evaluation
            and {**_figures(evaluation), "promises": kept_promises(done["match"]["promises"], evaluation)},
            "model": NO_MODEL if self.model is None else redacted(lasting(self.model)),
            "records_path": redacted(" and ".join(self.records)),
            "one_to_one": self.threshold.one_to_one,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": {name: facts["seconds"] for name, facts in done.items()},
        }


@contextmanager
def _imports_aside() -> Iterator[None]:
    """What was imported is no garbage, and to look through it takes as long as a stage of an update."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def kept_promises(promises: list[dict[str, Any]], evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    """Each promise beside what was achieved: a precision is promised of pairs that were scored, not of equal contents."""
    achieved_of = {"precision": "scored_precision", "recall": "recall"}
    return [
        {**promise, "achieved": achieved, "kept": achieved >= promise["share"]}
        for promise in promises
        for achieved in [evaluation["pairs"][achieved_of[promise["what"]]]]
    ]


def whole_run(place: Place) -> Path:
    """A run folder, checked against its manifest; a link to one (``latest``) is followed.

    Raises:
        ArtifactError: it is no whole run.
    """
    folder = local_folder(place, "run").resolve()
    check_manifest(folder, "run")
    return folder


def previous_of(out: str, named: str | None) -> Path | None:
    """The run whose ids go on: the one that is named or, of the next run of a folder, the last one."""
    if named is None and is_next(out) and Path(out).with_name(LATEST).exists():
        named = str(Path(out).with_name(LATEST))
    return None if named is None else whole_run(named)


def origin_of(run: Path | None) -> dict[str, str] | None:
    """An earlier run by its digest."""
    return None if run is None else {"path": str(run), "fingerprint": read_json(run / "manifest.json")["fingerprint"]}


def inputs_of(records: Records) -> dict[str, Any]:
    files = {redacted(file): digest for file, digest in records.digests().items()}
    also = {"also": {name: list(others) for name, others in records.also.items()}} if records.also else {}
    return {"path": redacted(lasting(records.path)), "files": files, **also}


def _figures(facts: dict[str, Any]) -> dict[str, Any]:
    """A stage's result less its cost."""
    return {name: value for name, value in facts.items() if name not in ("seconds", "peak_mb")}
