"""Flow ``scheduled``: any of the flows, as a schedule runs it: by name, and within its time."""

from importlib import import_module
from typing import Any, Literal

from prefect import Flow, flow

FlowName = Literal["train", "index", "dedupe", "link", "update"]


@flow
def scheduled(flow_name: FlowName, parameters: dict[str, Any], timeout_seconds: float | None = None) -> dict[str, Any]:
    """Run one of the flows.

    Args:
        flow_name: of which.
        parameters: of that flow.
        timeout_seconds: after which the run fails. What a killed or timed-out run had done is not done again by the next of the same.
    """
    result: dict[str, Any] = flow_of(flow_name).with_options(timeout_seconds=timeout_seconds)(**parameters)
    return result


def flow_of(name: FlowName) -> Flow[..., dict[str, Any]]:
    """A flow of this package by name."""
    found: Flow[..., dict[str, Any]] = getattr(import_module(f"flows.{name}"), name)
    return found
