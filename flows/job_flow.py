"""Job flow: a Prefect flow that may be called from Python as it is, with no server set up."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Flow
from prefect.context import FlowRunContext

from flows.embedded import embedded_server

# Of every flow: Prefect keeps no result, whatever its profile says, and none is ever a pickle. What is to last is in files.
RESULTS: dict[str, Any] = {"persist_result": False, "result_serializer": "json"}

P = ParamSpec("P")
R = TypeVar("R")


class JobFlow(Flow[P, R]):
    """Brings an API of its own (:mod:`flows.embedded`), where Prefect would start a server beside the process, and log to the terminal.

    Where one is configured it is used, and within another flow that flow's.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if FlowRunContext.get() is not None:
            return super().__call__(*args, **kwargs)
        with embedded_server():
            return super().__call__(*args, **kwargs)


def job_flow(**options: Any) -> Callable[[Callable[P, R]], JobFlow[P, R]]:
    """Decorator, with the options of Prefect's ``flow``."""
    return lambda function: JobFlow(function, **RESULTS, **options)
