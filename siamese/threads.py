"""Threads: pieces of work done side by side, on a core each."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

if hasattr(os, "register_at_fork"):
    # OpenMP's threads stay behind in the parent, and a child that asked for them would wait for ever.
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """What a function gives for each item, in order: as many at once as torch has threads, each of one thread.

    All cores on one small product would mostly wait for each other, and what is not torch has but one.
    """
    cores = torch.get_num_threads()
    if cores == 1 or len(items) < 2:
        yield from map(function, items)
        return
    try:
        with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(function, items)
    finally:
        torch.set_num_threads(cores)  # for threads to come, which take the last setting of any
