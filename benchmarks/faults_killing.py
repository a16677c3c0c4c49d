"""Commands killed at random moments and given again, and two of them at once for one output, each in a process of its own."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGKILL

from faults_world import DATED, ROOT, Tally, World, digest, files_of

from siamese.errors import OutputError
from tests.flows.forks import WARM, forks
from tests.processes import of_session

KILLS = {
    "dedupe": 9,
    "update": 6,
    "index": 8,
    "link": 4,
    "export": 10,
    "report": 8,
    "audit": 8,
    "patch": 10,
    "score": 5,
}
PAIRS = {"dedupe": 3, "index": 3, "export": 4, "report": 4, "patch": 4, "update": 2}


def arguments(world: World, name: str, out: Path) -> list[object]:
    return {
        "dedupe": ["dedupe", world.model, world.records, "--out", out, "--keep-state", "--json"],
        "update": ["update", world.place / "run", world.place / "today.parquet", "--out", out, "--json"],
        "index": ["index", world.model, world.records, "--out", out, "--json"],
        "link": ["link", world.model, world.records, world.place / "today.parquet", "--out", out, "--json"],
        "export": ["export", world.place / "run", "--out", out, "--json"],
        "report": ["report", out],
        "audit": ["audit", world.place / "run", "--out", out, "--sample", 20, "--json"],
        "patch": ["patch", world.records, "--changed", world.place / "today.parquet", "--out", out, "--json"],
        "score": ["score", world.model, world.records, world.pairs, "--out", out, "--json"],
    }[name]


def out_of(world: World, name: str) -> Path:
    suffix = {"audit": ".csv", "patch": ".parquet", "score": ".parquet"}.get(name, "")
    return world.scratch / f"place/out{suffix}"


def prepare(world: World, name: str) -> Path:
    """An earlier output, of other content where that can be."""
    world.clear()
    out = out_of(world, name)
    out.parent.mkdir()
    if name == "report":
        shutil.copytree(world.place / "run", out)
    elif name in ("dedupe", "update", "link"):
        shutil.copytree(world.place / "other-run", out)
    elif name == "index":
        shutil.copytree(world.place / "other-index", out)
    elif name in ("patch", "score"):
        shutil.copyfile(world.records, out)
    return out


def result(out: Path) -> str:
    return digest(files_of(out, DATED)) if out.exists() else "nothing"


def faults_of_killing(world: World, seed: int) -> list[Tally]:
    drawn = random.Random(seed)
    tallies = [Tally(f"killed (-9) at a random moment, then given again: {name}") for name in KILLS]
    with forks(queries=64, pairs=256) as first:
        expected, seconds = {}, {}
        for name in KILLS:
            for _ in range(2):  # the first finds no database of Prefect's
                out = prepare(world, name)
                started = time.monotonic()
                first.start(*arguments(world, name, out))
                assert first.code() == 0, name
                expected[name], seconds[name] = result(out), time.monotonic() - started
        for tally, (name, times) in zip(tallies, KILLS.items(), strict=True):
            for number in range(times):
                out = prepare(world, name)
                earlier = result(out)
                pid = first.start(*arguments(world, name, out))
                time.sleep((number + drawn.random()) / times * seconds[name])
                first.kill(pid)
                stray, meanwhile = of_session(pid), result(out)
                if meanwhile == expected[name]:  # it had ended: its drift is not to be held against its own output
                    out = prepare(world, name)
                if name == "audit":  # it writes over nothing
                    out.unlink(missing_ok=True)

                def act(name: str = name, out: Path = out) -> str:
                    first.start(*arguments(world, name, out))
                    if code := first.code():
                        raise RuntimeError(f"exit code {code}")
                    return result(out)

                def after(
                    stray: list[int] = stray, seen: str = meanwhile, earlier: str = earlier, name: str = name
                ) -> str | None:
                    if stray:
                        return f"processes {stray}"
                    if seen not in (earlier, expected[name]):
                        return "half an output at its place"
                    left = [path.name for path in out.parent.iterdir() if path != out]  # noqa: B023
                    return f"left {left}" if left else None

                tally.judge(f"{name} after {number}/{times}", act, expected[name], after)
    tallies.append(together(world, drawn, expected))
    return tallies


def together(world: World, drawn: random.Random, expected: dict[str, str]) -> Tally:
    """Each of the two ends well, or is refused; what is there is whole."""
    tally = Tally("two at once into one place")
    with server() as one, server() as other:
        for name, times in PAIRS.items():
            for _ in range(times):
                out = prepare(world, name)

                def act(name: str = name, out: Path = out) -> str:
                    codes = []
                    for each in (one, other):
                        print(
                            json.dumps([str(arg) for arg in arguments(world, name, out)]), file=each.stdin, flush=True
                        )
                        time.sleep(drawn.random() * 0.2)
                    for each in (one, other):
                        each.stdout.readline()
                        codes.append(int(each.stdout.readline().split()[1]))
                    if sorted(codes) not in ([0, 0], [0, 2]):
                        raise RuntimeError(f"exit codes {codes}")
                    found = result(out)
                    if codes != [0, 0] and found == expected[name]:
                        raise OutputError("one of the two was refused")  # counts as such
                    return found

                def after(out: Path = out) -> str | None:
                    left = [path.name for path in out.parent.iterdir() if path != out]
                    return f"left {left}" if left else None

                tally.judge(name, act, expected[name], after)
    return tally


@contextmanager
def server():
    """As :func:`tests.flows.forks.forks`, but one that is not waited for."""
    command = [sys.executable, "-c", WARM.format(queries=64, pairs=256)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield process
    finally:
        process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        if process.poll() is None:
            process.send_signal(SIGKILL)
        process.stdout.close()
        process.wait()
