"""Faults injected and inputs fuzzed: after each, the right result or a refusal in one sentence, nothing lost and nothing left over.

``python benchmarks/faults.py --out benchmarks/results`` prints the table and writes it; it exits 1 if anything was wrong. A full disk and a
read-only one are small file systems mounted for the purpose, which takes root (``unshare --mount`` keeps them to this process).
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="faults-prefect-")
sys.path.insert(0, str(Path(__file__).parents[1]))

from faults_world import Tally, World

from tests.processes import children_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="folder to write faults.md into")
    parser.add_argument("--times", type=int, default=45, help="faults of each class in folders that are read")
    parser.add_argument("--inputs", type=int, default=12_000, help="fuzzed inputs")
    parser.add_argument("--only", nargs="*", default=["reading", "writing", "killing", "storage", "fuzz"])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    started, tallies = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        world = World.make(Path(place) / "world") if set(args.only) - {"fuzz"} else None
        for part in args.only:
            tallies += PARTS[part](world, args)
            print(f"{part}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    text = table(tallies, children_of(os.getpid()))
    print(text)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "faults.md").write_text(HEAD + text)
    sys.exit(any(tally.bad for tally in tallies) or bool(children_of(os.getpid())))


def reading(world: World, args: argparse.Namespace) -> list[Tally]:
    from faults_reading import faults_of_reading

    return faults_of_reading(world, args.times, args.seed)


def writing(world: World, args: argparse.Namespace) -> list[Tally]:
    from faults_writing import faults_of_writing

    return faults_of_writing(world, args.seed)


def killing(world: World, args: argparse.Namespace) -> list[Tally]:
    from faults_killing import faults_of_killing

    return faults_of_killing(world, args.seed)


def storage(world: World, args: argparse.Namespace) -> list[Tally]:
    from faults_storage import faults_of_storage

    return faults_of_storage(world, args.seed)


def fuzz(world: World | None, args: argparse.Namespace) -> list[Tally]:
    from fuzz import fuzz_all

    return fuzz_all(args.inputs, args.seed)


PARTS = {"reading": reading, "writing": writing, "killing": killing, "storage": storage, "fuzz": fuzz}
HEAD = """# Faults

`python benchmarks/faults.py --out benchmarks/results` (`make faults`) injected these. *Right*: the same as without the fault (files
byte for byte, but for times); *refused*: one sentence of the family of `siamese/errors.py`, and what was there before is there
still; *wrong*: anything else, be it a wrong result, something lost or left over, or a traceback.

"""


def table(tallies: list[Tally], stray: list[int]) -> str:
    rows = ["| fault | injected | right | refused | wrong |", "|---|---|---|---|---|"]
    rows += [f"| {t.what} | {t.faults:,} | {t.same:,} | {t.refused:,} | {len(t.bad or ())} |" for t in tallies]
    for name, some in (
        ("faults", [t for t in tallies if not t.what.startswith("fuzz")]),
        ("fuzzed inputs", [t for t in tallies if t.what.startswith("fuzz")]),
    ):
        if some:
            counts = (sum(t.faults for t in some), sum(t.same for t in some), sum(t.refused for t in some))
            wrong = sum(len(t.bad or ()) for t in some)
            rows.append(f"| **{name}** | **{counts[0]:,}** | {counts[1]:,} | {counts[2]:,} | **{wrong}** |")
    return "\n".join(rows) + f"\n\nProcesses left over: {len(stray)}.\n"


if __name__ == "__main__":
    main()
