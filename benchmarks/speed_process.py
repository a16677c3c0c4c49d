"""A measured process: one job in a process of its own, on so many cores, with its seconds, CPU seconds and peak memory.

``python speed_process.py MODULE FUNCTION ARGUMENTS`` runs a function with arguments from JSON and prints what it gives as the last line.
"""

import json
import os
import resource
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
THREADS = [
    f"{library}_NUM_THREADS" for library in ("OMP", "MKL", "OPENBLAS", "RAYON", "NUMEXPR")
]  # rayon: rensa; DuckDB is told by speed_peers


class JobError(Exception):
    """A job ended otherwise than well; the last line that it wrote."""


def run(module: str, function: str, cores: int, timeout: float = 3600, **arguments: Any) -> Any:
    """What ``module.function(**arguments)`` gives, in a new process on so many cores.

    Raises:
        JobError: it failed, or took too long.
    """
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < cores:
        raise JobError(f"{cores} cores were asked for, and this process may use {len(mine)}")
    kept = {name: os.environ[name] for name in os.environ if name not in THREADS}
    limits = dict.fromkeys(THREADS, str(cores)) | {"POLARS_MAX_THREADS": str(cores), "TOKENIZERS_PARALLELISM": "false"}
    paths = os.pathsep.join([str(HERE.parent), str(HERE)])
    cpus = ",".join(str(cpu) for cpu in mine[-cores:])
    command = ["taskset", "-c", cpus, sys.executable, str(HERE / "speed_process.py"), module, function]
    try:
        done = subprocess.run(
            [*command, json.dumps(arguments)],
            env=kept | limits | {"PYTHONPATH": paths},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as expired:
        raise JobError(f"not done after {timeout:.0f} s") from expired
    if done.returncode:
        raise JobError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


class Cost:
    """Seconds and CPU seconds inside a ``with``, and the peak memory of the process up to its end.

    Example:
        >>> with Cost() as cost: pass
        >>> sorted(cost.figures)
        ['cpu_s', 'peak_mb', 'seconds']
    """

    def __enter__(self) -> "Cost":
        self.figures: dict[str, float] = {}
        self._started, self._cpu = time.perf_counter(), _cpu_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        self.figures["seconds"] = time.perf_counter() - self._started
        self.figures["cpu_s"] = _cpu_seconds() - self._cpu
        self.figures["peak_mb"] = peak_mb()


def peak_mb() -> int:
    """Peak resident memory. Not ``ru_maxrss``, which starts at what the parent had when it made this process."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def main() -> None:
    module, function, arguments = sys.argv[1:]
    print("\n" + json.dumps(getattr(import_module(module), function)(**json.loads(arguments))))


if __name__ == "__main__":
    main()
