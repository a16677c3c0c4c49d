"""Flow ``scheduled``: any of the flows, as a schedule runs it: by name, and within its time."""

from importlib import import_module
from typing import Any, Literal

from prefect import Flow, flow, get_run_logger

from flows.job_flow import RESULTS
from flows.retrying import retry

FlowName = Literal["train", "index", "dedupe", "link", "update"]

RETRIES, RETRY_DELAY_SECONDS = 3, 60.0


@flow(**RESULTS)
def scheduled(
    flow_name: FlowName,
    parameters: dict[str, Any],
    timeout_seconds: float | None = None,
    retries: int = RETRIES,
    retry_delay_seconds: float = RETRY_DELAY_SECONDS,
) -> dict[str, Any]:
    """Run one of the flows.

    Args:
        flow_name: of which.
        parameters: of that flow.
        timeout_seconds: after which the run fails. What a killed or timed-out run had done is not done again by the next of the same.
        retries: times that it is begun again when storage failed; its tasks that read try twice by themselves before.
        retry_delay_seconds: before the first of these; twice as long before each other.
    """
    named = flow_of(flow_name).with_options(timeout_seconds=timeout_seconds)
    result: dict[str, Any] = retry(lambda: named(**parameters), retries, retry_delay_seconds, get_run_logger().warning)
    return result


def flow_of(name: FlowName) -> Flow[..., dict[str, Any]]:
    """A flow of this package by name."""
    found: Flow[..., dict[str, Any]] = getattr(import_module(f"flows.{name}"), name)
    return found
