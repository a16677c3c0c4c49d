"""Task runners: where the blocks of a stage are done."""

import os
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner


def local_runner() -> TaskRunner[Any]:
    """A thread for each core that this process may use: products, sorting and trees leave Python's lock alone."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ThreadPoolTaskRunner(max_workers=cores)
