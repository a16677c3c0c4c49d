"""Fuzzed inputs for readers, configs, rules and queries: a result that holds, or a refusal in one sentence.

``python benchmarks/fuzz.py --inputs 12000`` takes them from a seed; ``--atheris SECONDS`` lets atheris (``pip install atheris``)
look for inputs that reach new code.
"""

import argparse
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1]))

if "--atheris" in sys.argv:
    import atheris

    watched = atheris.instrument_imports(include=["siamese", "pipeline", "flows"])
else:
    watched = nullcontext()
with watched:
    from faults_world import Tally, World

    from pipeline.matcher import Matcher
    from siamese.errors import SiameseError
    from tests import fuzzing

Check = Callable[[Random, Path], None]


def checks(place: Path) -> dict[str, Check]:
    world = World.make(place / "world")
    matcher = Matcher.load(world.place / "index")
    return {**fuzzing.CHECKS, "query JSON": partial(fuzzing.query, matcher=matcher)}


def fuzz_all(inputs: int, seed: int) -> list[Tally]:
    """``inputs`` in all, as many of each kind."""
    logging.getLogger("siamese").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    tallies = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        found = checks(Path(place))
        for name, check in found.items():
            tally = Tally(f"fuzzed: {name}")
            for number in range(-(-inputs // len(found))):
                fuzz_one(tally, check, f"{seed} {name} {number}", Path(place))
            tallies.append(tally)
    return tallies


def fuzz_one(tally: Tally, check: Check, seed: str, place: Path) -> None:
    def act() -> str:
        check(Random(seed), place)
        return ""

    tally.judge(seed, act, "", lambda: None)


class Fed(Random):
    """Choices that are read from bytes: a fuzzer that changes these changes what is made of them."""

    def __init__(self, content: bytes) -> None:
        super().__init__(0)
        self.content, self.place = content, 0

    def random(self) -> float:
        return self.getrandbits(24) / 2**24

    def getrandbits(self, k: int, /) -> int:
        size = (k + 7) // 8
        taken = self.content[self.place : self.place + size]
        self.place += size
        return int.from_bytes(taken.ljust(size, b"\0"), "big") >> (8 * size - k)


def with_atheris(seconds: int) -> None:
    """Until the time is over, or an input does what none may."""
    logging.getLogger("siamese").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    place = Path(tempfile.mkdtemp(prefix="fuzz-"))
    found = list(checks(place).values())

    def test_one(content: bytes) -> None:
        if content:
            with suppress(SiameseError):
                found[content[0] % len(found)](Fed(content[1:]), place)

    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-max_len=4096", "-timeout=60"], test_one)
    atheris.Fuzz()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--atheris", type=int, metavar="SECONDS")
    args = parser.parse_args()
    if args.atheris:
        with_atheris(args.atheris)
    else:
        for each in fuzz_all(args.inputs, args.seed):
            print(
                f"{each.what}: {each.faults} inputs, {each.same} read, {each.refused} refused, {len(each.bad or ())} wrong",
                *(each.bad or ()),
                sep="\n  ",
            )
