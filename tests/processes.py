"""Processes of this machine that are alive, to see what a command left behind."""

from collections.abc import Iterator
from pathlib import Path


def of_session(leader: int) -> list[int]:
    """The processes that are left of a command and all that it started."""
    return [pid for pid, _, session in _alive() if session == leader]


def children_of(parent: int) -> list[int]:
    """The processes that one has started and that are left."""
    return [pid for pid, above, _ in _alive() if above == parent]


def _alive() -> Iterator[tuple[int, int, int]]:
    """Process, parent and session."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, _group, session = stat.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile
        if state != "Z":
            yield int(stat.parent.name), int(parent), int(session)
