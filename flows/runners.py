"""Task runners: where the blocks of a stage are done."""

import os
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from siamese.errors import SettingsError, reason

REACH_SECONDS = 10.0


def local_runner(workers: int | None = None) -> TaskRunner[Any]:
    """Threads: products, sorting and trees leave Python's lock alone."""
    return ThreadPoolTaskRunner(max_workers=workers or cores())


def cores() -> int:
    """As many as this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def task_runner(name: str, workers: int | None = None, address: str | None = None) -> TaskRunner[Any]:
    """A task runner by name.

    Args:
        name: threads or dask.
        workers: threads, or processes of a Dask cluster that is made here and ends with the run; one a core unless given.
        address: of the scheduler of a Dask cluster that is there.

    Raises:
        SettingsError: the settings do not go together, Dask is not installed, or no scheduler answers at the address.
    """
    if name not in ("threads", "dask"):
        raise SettingsError(f"there is no runner '{name}': expected threads or dask")
    if workers is not None and workers < 1:
        raise SettingsError(f"workers is {workers}: expected 1 or more")
    if address is not None and (name != "dask" or workers is not None):
        raise SettingsError("an address is that of a Dask cluster with its own workers: give it with runner dask alone")
    if name == "threads":
        return local_runner(workers)
    try:
        from flows.dask_runner import DaskRunner
    except ImportError as error:
        raise SettingsError(
            f"runner dask takes the extra [dask]: pip install 'siamese-dedupe[dask]' ({reason(error)})"
        ) from error
    return DaskRunner.at(address, REACH_SECONDS) if address is not None else DaskRunner.local(workers or cores())
