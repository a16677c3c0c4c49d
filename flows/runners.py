"""Task runners: where the blocks of a stage are done."""

import logging
import os
from typing import TYPE_CHECKING, Any

from prefect.settings import get_current_settings
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from siamese.errors import SettingsError, reason

if TYPE_CHECKING:
    from prefect_dask import DaskTaskRunner

REACH_SECONDS = 10


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
        workers: threads, or processes of a Dask cluster that is made here and ends with the run; a worker a core unless given.
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
    return local_runner(workers) if name == "threads" else _dask(workers, address)


def _dask(workers: int | None, address: str | None) -> "DaskTaskRunner":
    try:
        from prefect_dask import DaskTaskRunner
    except ImportError as error:
        raise SettingsError(
            f"runner dask takes the extra: pip install 'siamese-dedupe[dask]' ({reason(error)})"
        ) from error
    logging.getLogger("distributed").setLevel(logging.WARNING)  # Prefect's root logger would print its every step
    if address is None:
        return DaskTaskRunner(cluster_kwargs=_local_cluster(workers))
    _reach(address)
    return DaskTaskRunner(address=address)


def _local_cluster(workers: int | None) -> dict[str, Any]:
    """What Dask's LocalCluster takes."""
    return {
        "n_workers": workers or cores(),
        "threads_per_worker": 1,
        "memory_limit": 0,  # mapped files count as a worker's memory, though the kernel takes theirs back when it is short
        "dashboard_address": "127.0.0.1:0",  # any free port
        "env": get_current_settings().to_environment_variables(exclude_unset=True),  # no worker starts a server
    }


def _reach(address: str) -> None:
    """Connect to a scheduler: Prefect would try only after the stages before the first blocks."""
    from distributed import Client

    try:
        Client(address, timeout=REACH_SECONDS, set_as_default=False).close()
    except (OSError, ValueError) as error:
        raise SettingsError(f"no Dask scheduler answers at '{address}': {reason(error)}") from error
