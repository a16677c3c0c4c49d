"""Commands in processes of their own that can be killed, forked from one that has imported everything: no second is lost on imports."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
WARM = """
import json, os, sys, traceback
from flows.embedded import quiet_defaults
quiet_defaults()
import flows.dedupe, flows.update, prefect.server.api.server, uvicorn
import alembic.command, lightgbm, prefect.task_engine, pyarrow.dataset, sklearn.model_selection  # which these import when they need them
from flows import cli
from pipeline import proposing
proposing.QUERIES, proposing.SCORED_PAIRS = {queries}, {pairs}
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.setsid()
        os.dup2(2, 1)
        sys.argv = ["siamese", *json.loads(line)]
        try:
            cli.main()
            os._exit(0)
        except SystemExit as end:
            os._exit(int(end.code or 0))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    print("process", child, flush=True)
    print("code", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forks:
    """One command at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, *args: object) -> int:
        """The process that does a command."""
        assert self._process.stdin is not None
        print(json.dumps([str(arg) for arg in args]), file=self._process.stdin, flush=True)
        return self._said("process")

    def code(self) -> int:
        """Its exit code, when it has ended; -9 if it was killed."""
        return self._said("code")

    def kill(self, pid: int) -> int:
        """As the kernel does where memory is short; the exit code: it may just have ended by itself."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return self.code()

    def _said(self, what: str) -> int:
        assert self._process.stdout is not None
        said, number = self._process.stdout.readline().split()
        assert said == what  # a number that is no process's must not be killed
        return int(number)


@contextmanager
def forks(*, queries: int, pairs: int) -> Iterator[Forks]:
    """Args: queries, pairs: of a block, so that a small corpus has several."""
    command = [sys.executable, "-c", WARM.format(queries=queries, pairs=pairs)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield Forks(process)
        assert process.stdin is not None
        process.stdin.close()
