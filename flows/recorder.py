"""Recorder: what the tasks of a run report, written to Prefect's database many events at a time.

Prefect's own writes each event by itself, which costs a small run a tenth of its time, or by a clock of whole seconds, which the end of a
run cannot hurry.
"""

import asyncio
import logging

from prefect.server.events.schemas.events import ReceivedEvent
from prefect.server.services.task_run_recorder import record_bulk_task_run_events
from prefect.server.utilities.messaging import Message, create_consumer

_SECONDS = 5.0  # between two writes: what a killed run had not told yet
_TRIES = 3  # of one write


class Recorder:
    """Consumes the events of Prefect's server, on its loop."""

    def __init__(self) -> None:
        self._events: list[ReceivedEvent] = []
        self._turn = asyncio.Lock()

    def start(self) -> None:
        """From now on take events, and write them now and then."""
        self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Take no more, and write what was taken."""
        self._running.cancel()
        await self.write()

    async def write(self) -> None:
        """Write all that was taken; what cannot be written is given up, and said."""
        async with self._turn:
            events, self._events = self._events, []
            for _ in range(_TRIES):
                try:
                    return await record_bulk_task_run_events(events)
                except Exception as error:
                    failure = error
            log = logging.getLogger(__name__)
            log.warning("Prefect's history of this run lacks %d events: %s", len(events), failure)

    async def _run(self) -> None:
        consumer = create_consumer("events", group="task-run-recorder", name="embedded")
        await asyncio.gather(consumer.run(self._take), self._write_on())

    async def _take(self, message: Message) -> None:
        event = ReceivedEvent.model_validate_json(message.data)
        if event.event.startswith("prefect.task-run") and event.resource.get("prefect.orchestration") == "client":
            self._events.append(event)

    async def _write_on(self) -> None:
        while True:
            await asyncio.sleep(_SECONDS)
            await self.write()
