"""Faults in folders that are read: bits, lengths, files lost, swapped, added and linked, clocks."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from faults_world import USES, Tally, World, files_of

OTHERS = {"model": "other-model", "index": "other-index", "run": "other-run"}


def faults_of_reading(world: World, times: int, seed: int) -> list[Tally]:
    """``times`` of each class, every file of every kind of folder in turn."""
    expected = {
        (kind, name): use(world, copy_of(world, kind)) for kind, uses in USES.items() for name, use in uses.items()
    }
    world.clear()
    tallies = []
    for what, change in CLASSES.items():
        tally, drawn = Tally(what), random.Random(f"{seed} {what}")
        todo = [(kind, file) for kind in USES for file in files_of(world.place / kind)]
        drawn.shuffle(todo)
        for number in range(times):
            kind, file = todo[number % len(todo)]
            folder = copy_of(world, kind)
            change(world, folder, file, kind, drawn)
            name = drawn.choice(sorted(USES[kind]))
            before = files_of(folder)

            def after(folder: Path = folder, before: dict[str, str] = before, name: str = name) -> str | None:
                left = [path.name for path in folder.parent.iterdir() if path.name.startswith(".")]
                if left:
                    return f"left {left}"
                return None if name == "report" or files_of(folder) == before else "the folder was changed"

            tally.judge(f"{kind}/{file}, {name}", lambda: USES[kind][name](world, folder), expected[kind, name], after)  # noqa: B023
            world.clear()
        tallies.append(tally)
    return tallies


def copy_of(world: World, kind: str) -> Path:
    world.clear()
    return Path(shutil.copytree(world.place / kind, world.scratch / kind, copy_function=_link))


def _link(source: str, target: str) -> None:
    os.link(source, target)


def put(path: Path, content: bytes) -> None:
    """In place of a file that may be another's too."""
    path.unlink()
    path.write_bytes(content)


def flip_bits(world: World, folder: Path, file: str, kind: str, drawn: random.Random) -> None:
    content = bytearray((folder / file).read_bytes())
    for _ in range(drawn.choice((1, 1, 1, 8)) if content else 0):
        content[drawn.randrange(len(content))] ^= 1 << drawn.randrange(8)
    put(folder / file, bytes(content))


def cut(world: World, folder: Path, file: str, kind: str, drawn: random.Random) -> None:
    content = (folder / file).read_bytes()
    put(folder / file, content[: drawn.choice((0, len(content) // 2, drawn.randrange(max(len(content), 1))))])


def lengthen(world: World, folder: Path, file: str, kind: str, drawn: random.Random) -> None:
    put(folder / file, (folder / file).read_bytes() + drawn.randbytes(drawn.randrange(1, 200)))


def lose(world: World, folder: Path, file: str, kind: str, drawn: random.Random) -> None:
    (folder / file).unlink()


def swap(world: World, folder: Path, file: str, kind: str, drawn: random.Random) -> None:
    """The good file of this name of another folder of the kind."""
    other = world.place / OTHERS[kind] / file
    if other.is_file():
        put(folder / file, other.read_bytes())


def other_version(world: World, folder: Path, file: str, kind: str, drawn: random.Random) -> None:
    """A manifest that says a format version which is not ours."""
    path = folder / "manifest.json"
    text = path.read_text()
    put(
        path,
        text.replace('"format_version": 2', f'"format_version": {drawn.choice((0, 1, 3, 99, "null", "[]"))}').encode(),
    )


def add(world: World, folder: Path, file: str, kind: str, drawn: random.Random) -> None:
    """A file that nobody knows, beside one that is read."""
    beside = (folder / file).with_name(f"9{drawn.randrange(10**5):05d}{(folder / file).suffix}")
    beside.write_bytes((folder / file).read_bytes())
    if kind == "model" and drawn.random() < 0.3:  # a verifier where the manifest knows of none
        shutil.rmtree(folder)
        shutil.copytree(world.place / "model", folder, copy_function=_link)
        (folder / "extra").mkdir()
        shutil.copytree(world.model / "verifier", folder / "extra" / "verifier")


def link_away(world: World, folder: Path, file: str, kind: str, drawn: random.Random) -> None:
    """A symbolic link in the file's place: to the same content, to another's, or to nothing."""
    target = drawn.choice(
        (world.place / kind / file, world.place / OTHERS[kind] / file, Path("/nowhere"), Path("/dev"))
    )
    (folder / file).unlink()
    (folder / file).symlink_to(target)


def other_times(world: World, folder: Path, file: str, kind: str, drawn: random.Random) -> None:
    """Files from before 1980 and from the next century: clocks that were set."""
    for path in folder.rglob("*"):
        if path.is_file():
            put(path, path.read_bytes())
            os.utime(path, (drawn.choice((0, 2**31, 4 * 10**9)),) * 2)


CLASSES: dict[str, Callable[[World, Path, str, str, random.Random], None]] = {
    "bits flipped": flip_bits,
    "file cut short or emptied": cut,
    "file with bytes added": lengthen,
    "file lost": lose,
    "file of another folder in its place": swap,
    "format version changed": other_version,
    "file added that the manifest does not name": add,
    "symbolic link in a file's place": link_away,
    "files dated by a wrong clock": other_times,
}
