"""Retrying: what storage failed at is tried again, later and later; what a user got wrong is not, for it does not mend itself."""

import errno
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from prefect.flow_engine import FlowRunTimeoutError

T = TypeVar("T")

PASSING = frozenset(
    getattr(errno, name)
    for name in (
        "EIO",
        "EAGAIN",
        "EBUSY",
        "ESTALE",
        "ENETDOWN",
        "ENETUNREACH",
        "EHOSTDOWN",
        "EHOSTUNREACH",
        "ETIMEDOUT",
        "EREMOTEIO",
    )
    if hasattr(errno, name)
)
# Of botocore and aiohttp, whose errors are not those of the same names that Python has.
FAULTS = frozenset(
    {"ConnectionError", "HTTPClientError", "ClientConnectionError", "ServerTimeoutError", "IncompleteReadError"}
)


def is_storage_fault(error: BaseException) -> bool:
    """Whether storage or the way to it failed, in an error or in one that it came from: it may come back."""
    return any(_failed(each) for each in _causes(error))


def retry(
    function: Callable[[], T],
    retries: int,
    delay_seconds: float,
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """What a function gives; it is called again after a storage fault, each time after twice as long.

    Args:
        retries: calls after the first.
        delay_seconds: before the second call.
        say: is told of every fault that is tried again.
    """
    for attempt in range(retries):
        try:
            return function()
        except Exception as error:
            if not is_storage_fault(error):
                raise
            wait = delay_seconds * 2**attempt
            say(f"storage failed ({error}): trying again in {wait:g} s, {retries - attempt} times more")
            sleep(wait)
    return function()


def _failed(error: BaseException) -> bool:
    if isinstance(error, FlowRunTimeoutError):  # of ours: there was time, and it is over
        return False
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    if isinstance(error, OSError) and error.errno in PASSING:
        return True
    return any(each.__name__ in FAULTS for each in type(error).__mro__)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
