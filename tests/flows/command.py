"""The command line, run in this process, and what a refusal looks like."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from flows import cli


class Made(NamedTuple):
    """What good runs need and made, once for the module; tests copy what they damage."""

    records: Path
    pairs: Path
    model: Path
    other: Path
    index: Path


class Answer(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Answer]


def call(*args: object) -> int:
    """The exit code of the command line, run in this process."""
    argv, sys.argv = sys.argv, ["siamese", *map(str, args)]
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = argv
    return 0


def assert_refused(answer: Answer, *says: str, warnings: int = 0) -> None:
    """Exit code 2 and one line that says all of ``says``."""
    assert "Traceback" not in answer.err
    assert answer.code == 2, answer
    assert answer.out == ""
    lines = answer.err.splitlines()
    assert len(lines) == 1 + warnings, answer.err
    assert all(line.startswith("siamese: ") for line in lines), answer.err
    for part in says:
        assert part in lines[-1], lines[-1]
