"""The recorder: that nothing reported is lost to a passing fault, and that what is lost is said."""

import asyncio
import json
import logging
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("prefect")

from prefect.server.utilities.messaging.memory import MemoryMessage

from flows import recorder
from flows.recorder import Recorder


def told(event: str, by: str = "client") -> MemoryMessage:
    resource = {"prefect.resource.id": f"prefect.task-run.{uuid4()}", "prefect.orchestration": by}
    said = {"event": event, "resource": resource, "id": str(uuid4()), "occurred": "2026-01-01T00:00:00Z"}
    return MemoryMessage(json.dumps({**said, "received": said["occurred"]}).encode(), {})


def write(faults: int, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What reaches the database, of two task runs' events and two others, when so many writes fail."""
    written, tries = [], []

    async def record(events: list[Any]) -> None:
        tries.append(events)
        if len(tries) <= faults:
            raise OSError("the disk is full")
        written.extend(events)

    async def run() -> None:
        own = Recorder()
        for message in (
            told("prefect.task-run.Running"),
            told("prefect.flow-run.Running"),
            told("x"),
            told("y", "server"),
        ):
            await own._take(message)
        await own._take(told("prefect.task-run.Completed"))
        await own._take(told("prefect.task-run.Completed", "server"))
        await own.write()

    monkeypatch.setattr(recorder, "record_bulk_task_run_events", record)
    asyncio.run(run())
    return [each.event for each in written]


@pytest.mark.parametrize("faults", [0, 1, 2])
def test_events_of_task_runs_are_written_in_order_despite_faults(faults: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert write(faults, monkeypatch) == ["prefect.task-run.Running", "prefect.task-run.Completed"]


def test_what_cannot_be_written_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert write(3, monkeypatch) == []
    assert "lacks 2 events: the disk is full" in caplog.text
