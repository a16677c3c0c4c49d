"""Faults of writing: a disk that is full at some point, one that may only be read, a clock that was set, links, names that lead away."""

import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import pandas as pd
from faults_world import DATED, Tally, World, digest, files_of

from pipeline import stages
from pipeline.audit import draw_audit
from pipeline.export import export_run
from pipeline.labelling.answers import Answer, AnswerFile
from pipeline.patching import patch_records
from pipeline.records import Records
from pipeline.resuming import job_folder, once
from pipeline.stages import rewrite_report
from siamese.encoder import SiameseEncoder
from siamese.folders import new_folder, write_manifest
from tests.flows.command import call

KB, DISK_KB = 1024, 16 * 1024
Writer = Callable[[World, Path], None]


def save(world: World, out: Path) -> None:
    SiameseEncoder.load(world.model).save(out)


def index(world: World, out: Path) -> None:
    model = str(world.model)
    with new_folder(out) as folder:
        stages.read(model, str(world.records), "record_id", folder)
        stages.embed_block(model, folder, 0)
        stages.build_index(model, folder)
        write_manifest(folder, "index", stages.complete_index(model, folder))


def job(world: World, out: Path) -> None:
    """As a run does: what is read, what is embedded, and a file of it all."""
    with job_folder(out, "0" * 16) as (run, work):
        once(work, "read", stages.read, str(world.model), str(world.records), "record_id", work / "left")
        once(work, "embed", stages.embed_block, str(world.model), work / "left", 0)
        shutil.copyfile(work / "left" / "embeddings" / "000000.npy", run / "embeddings.npy")
        write_manifest(run, "run", {})


def export(world: World, out: Path) -> None:
    export_run(world.place / "run", out, "csv")


def workbook(world: World, out: Path) -> None:
    export_run(world.place / "run", out, "xlsx")


def report(world: World, out: Path) -> None:
    rewrite_report(out)


def audit(world: World, out: Path) -> None:
    draw_audit(str(world.place / "run"), out, sample=20)


def labels(world: World, out: Path) -> None:
    AnswerFile(out).add([Answer(f"a{n}", f"b{n}", n % 2, why="x" * 200) for n in range(400)])


def patched(world: World, out: Path) -> None:
    patch_records(Records.open(str(world.records)), Records.open(str(world.place / "today.parquet")), None, out)


WRITERS: dict[str, tuple[Writer, str]] = {  # and what it writes
    "model": (save, "out"),
    "index": (index, "out"),
    "job": (job, "out"),
    "export": (export, "out"),
    "workbook": (workbook, "out"),
    "report": (report, "out"),
    "audit": (audit, "out.csv"),
    "labels": (labels, "out.parquet"),
    "patch": (patched, "out.parquet"),
}


def prepare(world: World, name: str, place: Path) -> Path:
    """What was there before: an earlier output."""
    out = place / WRITERS[name][1]
    if name == "report":
        shutil.copytree(world.place / "run", out)
        with (out / "report.html").open("a"):
            pass
    elif name == "audit":
        pass
    elif name == "labels":
        AnswerFile(out).add([Answer("p", "q", 1)])
    else:
        WRITERS[name][0](world, out)
    return out


def result(out: Path) -> str:
    return digest(files_of(out, DATED - {"report.html"}))


def faults_of_writing(world: World, seed: int) -> list[Tally]:
    drawn = random.Random(seed)
    expected = {}
    for name, (write, _) in WRITERS.items():
        world.clear()
        out = prepare(world, name, world.scratch)
        write(world, out)
        expected[name] = result(out)
    world.clear()
    full, read_only = Tally("disk full"), Tally("disk that may only be read")
    with disk(world.scratch) as mounted:
        for name, (write, _) in WRITERS.items():
            for room in rooms(name, world, drawn):
                out = prepare(world, name, mounted)
                before = files_of(mounted)
                with filled(mounted, room):
                    check(full, f"{name}, {room} kB left", world, write, out, expected[name], before)
                empty(mounted)
            for _ in range(3):
                out = prepare(world, name, mounted)
                before = files_of(mounted)
                mount("-o", "remount,ro", str(mounted))
                check(read_only, name, world, write, out, expected[name], before)
                mount("-o", "remount,rw", str(mounted))
                empty(mounted)
    return [full, read_only, clocks(world, drawn, expected), *names(world, drawn)]


def check(
    tally: Tally, fault: str, world: World, write: Writer, out: Path, expected: str, before: dict[str, str]
) -> None:
    def act() -> str:
        write(world, out)
        return result(out)

    def after() -> str | None:
        left = [path.name for path in out.parent.iterdir() if path.name not in (out.name, "ballast")]
        now = {name: each for name, each in files_of(out.parent).items() if name != "ballast"}
        if left:
            return f"left {left}"
        return None if now == before or result(out) == expected else "what was there is not whole"

    tally.judge(fault, act, expected, after)


def rooms(name: str, world: World, drawn: random.Random) -> list[int]:
    """Kilobytes to leave: none, all, and between, as much as the output needs and less."""
    world.clear()
    place = world.scratch / "measure"
    place.mkdir()
    out = prepare(world, name, place)
    WRITERS[name][0](world, out)
    needed = sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) // KB + 8
    shutil.rmtree(place)
    return [0, 4, 2 * needed + 4000, *(drawn.randrange(0, needed + 8) for _ in range(9))]


@contextmanager
def disk(at: Path) -> Iterator[Path]:
    mounted = at.parent / "disk"
    mounted.mkdir()
    mount("-t", "tmpfs", "-o", f"size={DISK_KB}k", "tmpfs", str(mounted))
    try:
        yield mounted
    finally:
        subprocess.run(["umount", "-l", str(mounted)], check=True)


def mount(*args: str) -> None:
    subprocess.run(["mount", *args], check=True)


@contextmanager
def filled(mounted: Path, room: int) -> Iterator[None]:
    """All but so many kilobytes taken."""
    free = shutil.disk_usage(mounted).free // KB
    with (mounted / "ballast").open("wb") as file:
        for _ in range(max(free - room, 0) // 4):
            file.write(bytes(4 * KB))
    yield
    (mounted / "ballast").unlink()


def empty(mounted: Path) -> None:
    for path in mounted.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def clocks(world: World, drawn: random.Random, expected: dict[str, str]) -> Tally:
    """The clock jumps between any two times that are asked for."""
    tally = Tally("clock set back or forward meanwhile")

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.fromtimestamp(drawn.choice((0, 10**9, 4 * 10**9)), UTC)

    for number in range(27):
        name = sorted(WRITERS)[number % len(WRITERS)]
        world.clear()
        out = prepare(world, name, world.scratch)
        with (
            patch("siamese.folders.datetime", Clock),
            patch("pipeline.resuming.datetime", Clock),
            patch("time.time", lambda: drawn.random() * 2**32),
        ):
            check(tally, name, world, WRITERS[name][0], out, expected[name], files_of(world.scratch))
    return tally


HOSTILE = (
    "../../outside",
    "/etc/outside",
    "..",
    "a/../../b",
    "a\0b",
    "con:",
    "-rf",
    "$(touch outside)",
    "%2e%2e%2f",
    "\\\\host\\x",
    "<b>",
    "=1+1",
)


def names(world: World, drawn: random.Random) -> Iterator[Tally]:
    """Ids, column names and settings that would lead out of a folder if they were taken for paths; links in the output's place."""
    tally = Tally("ids and columns that look like paths, links or commands")
    for number in range(12):
        world.clear()
        frame = pd.read_parquet(world.records)
        hostile = [f"{HOSTILE[number]}{row}" for row in range(len(frame))]
        frame["record_id"] = hostile
        frame[HOSTILE[(number + 1) % len(HOSTILE)]] = frame["record_id"]
        frame.to_parquet(world.scratch / "records.parquet")
        beside = sorted(path.name for path in world.place.iterdir())

        def act() -> str:
            out = world.scratch / "run"
            if call("dedupe", world.model, world.scratch / "records.parquet", "--out", out, "--json"):
                return "refused"
            export_run(out, world.scratch / "sheets", "csv")
            draw_audit(str(out), world.scratch / "sheet.csv", sample=20)
            rewrite_report(out)
            found = set(pd.read_parquet(out / "clusters.parquet")["record_id"])
            return digest(found == set(hostile))  # noqa: B023

        def after(beside: list[str] = beside) -> str | None:
            there = sorted(path.name for path in world.scratch.iterdir())
            if there != ["records.parquet", "run", "sheet.csv", "sheets"]:
                return f"left {there}"
            return None if sorted(path.name for path in world.place.iterdir()) == beside else "wrote outside"

        tally.judge(repr(HOSTILE[number]), act, digest(True), after)
    yield tally
    links = Tally("output at a link, at a link to nowhere, at a file, below a file, beside files of others")
    for number in range(20):
        world.clear()
        target, out = world.scratch / "target", world.scratch / "out"
        (world.scratch / "file").write_text("mine")
        kind = number % 5
        if kind < 2:
            out.symlink_to("target")
            if kind == 0:
                export(world, target)
        elif kind == 2:
            out.write_text("mine")
        elif kind == 3:
            out = world.scratch / "file" / "out"
        else:
            out.mkdir()
            (out / "mine.txt").write_text("mine")
        name = ("model", "index", "job", "export")[number // 5]
        if kind == 0 and name != "export":
            shutil.rmtree(target)
            WRITERS[name][0](world, target)
        mine = {key: each for key, each in files_of(world.scratch).items() if "mine" in key or key == "file"}

        def act(name: str = name, out: Path = out) -> str:
            WRITERS[name][0](world, out)
            return result(out)

        def after(mine: dict[str, str] = mine, out: Path = out) -> str | None:
            now = files_of(world.scratch)
            return None if all(now.get(key) == each for key, each in mine.items()) else "somebody's file is lost"

        links.judge(f"{name} {kind}", act, expected_of(world, name), after)
    yield links


_KNOWN: dict[str, str] = {}


def expected_of(world: World, name: str) -> str:
    if name not in _KNOWN:
        out = world.place / "known"
        WRITERS[name][0](world, out)
        _KNOWN[name] = result(out)
        shutil.rmtree(out)
    return _KNOWN[name]
