"""What faults are injected into: small folders of every kind, ways to use them, and what undisturbed uses give."""

import hashlib
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipeline.audit import draw_audit
from pipeline.certificate import verify_run
from pipeline.comparing import compare_runs
from pipeline.evaluation import evaluate_encoder
from pipeline.export import export_run
from pipeline.matcher import Matcher
from pipeline.pairs import LabelledPairs
from pipeline.records import Records
from pipeline.stages import rewrite_report
from pipeline.state import State
from pipeline.synthetic import make_corpus
from siamese.encoder import SiameseEncoder
from siamese.errors import SiameseError
from siamese.folders import check_manifest
from tests.flows.command import call

ROOT = Path(__file__).parents[1]
DATED = {"manifest.json", "summary.json", "report.html"}  # hold the time when they were made
Use = Callable[["World", Path], str]


@dataclass(frozen=True)
class World:
    """Folders of a temporary place; ``scratch`` is emptied after every fault."""

    place: Path

    @classmethod
    def make(cls, place: Path) -> "World":
        made = cls(place)
        (place / "scratch").mkdir(parents=True)
        make_corpus(120, seed=0, n_pairs=150).save(place)
        (place / "job.toml").write_text("[tower]\ndim = 16\n")
        train = ("--epochs", 1, "--config", place / "job.toml", "--json")
        made.command("train", made.records, made.pairs, "--out", made.model, *train)
        encoder = SiameseEncoder.load(made.model)
        replace(encoder, margin=1.5 * encoder.margin).save(place / "other-model")
        replace(encoder, verifier=None, lessons=None).save(place / "bare-model")
        for name, model in (("index", made.model), ("other-index", place / "other-model")):
            made.command("index", model, made.records, "--out", place / name, "--json")
        for name, model in (("run", made.model), ("other-run", place / "other-model")):
            made.command("dedupe", model, made.records, "--out", place / name, "--keep-state", "--json")
        today = pd.read_parquet(made.records)
        today.iloc[10:].to_parquet(place / "today.parquet")
        return made

    def command(self, *args: object) -> None:
        if code := call(*args):
            raise SystemExit(f"siamese {' '.join(map(str, args))} gave {code}")

    @property
    def records(self) -> Path:
        return self.place / "records.parquet"

    @property
    def pairs(self) -> Path:
        return self.place / "pairs.parquet"

    @property
    def model(self) -> Path:
        return self.place / "model"

    @property
    def scratch(self) -> Path:
        return self.place / "scratch"

    def clear(self) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()


def digest(said: Any) -> str:
    """What was found, in short; paths of the folder itself are no part of it."""
    return hashlib.sha256(repr(said).encode()).hexdigest()


def files_of(place: Path, leave_out: frozenset[str] | set[str] = frozenset()) -> dict[str, str]:
    """Digests of all files below a place (of a file: its own), links not followed."""
    if place.is_file():
        return {"": hashlib.sha256(place.read_bytes()).hexdigest()}
    return {
        path.relative_to(place).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(place.rglob("*"))
        if path.is_file() and path.name not in leave_out
    }


def queries(world: World) -> list[dict[str, Any]]:
    return pd.read_parquet(world.records).head(4).to_dict("records")


def load(world: World, folder: Path) -> str:
    encoder = SiameseEncoder.load(folder)
    asked = queries(world)
    return digest((encoder.distance(asked, asked[::-1]).tolist(), encoder.calibration, encoder.fingerprint))


def evaluate(world: World, folder: Path) -> str:
    records, pairs = Records.open(str(world.records)), LabelledPairs.read(str(world.pairs))
    return digest(evaluate_encoder(SiameseEncoder.load(folder), records, pairs, "train"))


def nearest(world: World, folder: Path) -> str:
    return digest(Matcher.load(folder).nearest(queries(world)).to_csv())


def score(world: World, folder: Path) -> str:
    asked = queries(world)
    return digest(Matcher.load(folder).score(asked, asked[::-1]).to_csv())


def verify(world: World, folder: Path) -> str:
    return digest({name: said for name, said in verify_run(folder).items() if name != "run"})


def compare(world: World, folder: Path) -> str:
    said = compare_runs(folder, world.place / "other-run").to_dict()
    said["old"].pop("run")
    return digest(said)


def export(world: World, folder: Path) -> str:
    export_run(folder, world.scratch / "sheets", "csv")
    return digest(files_of(world.scratch / "sheets", DATED))


def report(world: World, folder: Path) -> str:
    rewrite_report(folder)
    said = check_manifest(folder, "run")["files"]  # what others put there is no part of it
    return digest({name: each for name, each in files_of(folder).items() if name in said})


def audit(world: World, folder: Path) -> str:
    draw_audit(str(folder), world.scratch / "sheet.csv", sample=20)
    return digest(files_of(world.scratch / "sheet.csv"))


def update(world: World, folder: Path) -> str:
    from flows.commands.running import run_flow

    State.check(folder)  # what an update refuses it refuses here, without Prefect
    run_flow("update", str(folder), str(world.place / "today.parquet"), str(world.scratch / "updated"))
    return digest(files_of(world.scratch / "updated", DATED))


USES: dict[str, dict[str, Use]] = {
    "model": {"load": load, "evaluate": evaluate},
    "index": {"nearest": nearest, "score": score},
    "run": {
        "verify": verify,
        "compare": compare,
        "export": export,
        "report": report,
        "audit": audit,
        "update": update,
    },
}


@dataclass
class Tally:
    """What became of the faults of one class."""

    what: str
    same: int = 0
    refused: int = 0
    bad: list[str] | None = None

    @property
    def faults(self) -> int:
        return self.same + self.refused + len(self.bad or ())

    def judge(self, fault: str, act: Callable[[], str], expected: str, after: Callable[[], str | None]) -> None:
        """Do what the fault may spoil: it gives what is expected, or refuses in one sentence; ``after`` says what is wrong besides."""
        try:
            found = act()
            wrong = None if found == expected else "a wrong result"
            refused = False
        except SiameseError as error:
            wrong, refused = (None if str(error).strip() else "an empty sentence"), True
        except Exception as error:
            wrong, refused = f"{type(error).__name__}: {error}", True
        wrong = wrong or after()
        if wrong:
            self.bad = [*(self.bad or []), f"{fault}: {wrong}"]
            print(f"{self.what}: {fault}: {wrong}", file=sys.stderr, flush=True)
        elif refused:
            self.refused += 1
        else:
            self.same += 1
