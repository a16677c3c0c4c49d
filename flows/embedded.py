"""Prefect's own API, run inside this process when no server is set up.

Prefect's answer to "no server" is a uvicorn subprocess: seconds slower, and an orphan holding
stdout open once its parent is killed. Here the same app is served from a daemon thread on a free
local port, so it ends with the process, whatever ends the process.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from prefect.settings import Settings

    from flows.recorder import Recorder

# Defaults of the embedded server; what the user set (environment, profile, prefect.toml) wins.
# The history keeps flow runs, task runs, their states and artifacts; not the feed of events.
_DEFAULTS: dict[str, Any] = {
    "flows.heartbeat_frequency": None,  # joining the heartbeat's sleep ends every flow 1 s late
    "server.analytics_enabled": False,
    "server.events.stream_out_enabled": False,
    "server.services.db_vacuum.enabled": None,
    "server.services.event_persister.enabled": False,
    "server.services.task_run_recorder.enabled": False,  # ours writes many events at a time
    "server.services.triggers.enabled": False,
    # Memoizing would tell a later `prefect server start` that the blocks are registered.
    "server.register_blocks_on_start": False,
    "server.memoize_block_auto_registration": False,
}
_QUIET: dict[str, Any] = dict.fromkeys(("logging.level", "internal.logging_level", "server.logging_level"), "CRITICAL")
# What a run asks of the API. FastAPI makes a router's routes ready when the first request passes it by: those behind these never are.
_ASKED = {"/admin", "/artifacts", "/csrf-token", "/events", "/flow_runs", "/flows"}
_FLUSH_SECONDS = 30.0

_starting = threading.Lock()
_server: ApiServer | None = None
_settings: tuple[Settings, Settings] | None = None  # outside and inside: Prefect makes some in 0.1 s


def quiet_defaults() -> None:
    """Switch off Prefect's telemetry and its server subprocess, unless the user set them.

    Call it before the first `import prefect`, which itself prints a notice, reports the import
    to the analytics service and reads the settings.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_ENABLED", "false")


@contextmanager
def embedded_server() -> Iterator[str]:
    """Give the flows called inside an API, and yield its URL.

    A configured API (environment or active profile) is used as it is. Otherwise the first use
    starts the embedded server, later ones share it, and each ends with its runs written down.
    """
    quiet_defaults()
    from prefect.context import SettingsContext, get_settings_context

    outside = get_settings_context()
    if outside.settings.api.url:
        yield outside.settings.api.url
        return
    with _starting:
        server, inside = _serve(outside.settings)
    with SettingsContext(profile=outside.profile, settings=inside):
        try:
            yield server.url
        finally:
            server.flush()


def _serve(outside: Settings) -> tuple[ApiServer, Settings]:
    """Return the embedded server, started if need be, and the settings of what is called inside."""
    global _server, _settings
    from prefect.settings import temporary_settings

    if _server is None or _settings is None or _settings[0] is not outside:
        defaults = _DEFAULTS | _quiet(outside)
        with temporary_settings(set_defaults=defaults) as inside:
            server = _server = _server or ApiServer(outside)
        _settings = outside, inside.copy_with_update(updates={"api.url": server.url})
    return _server, _settings[1]


def _quiet(settings: Settings) -> dict[str, Any]:
    """Return the settings that silence Prefect, none where the user chose a log level."""
    if "level" in settings.logging.model_fields_set:
        return {}
    for name in ("EventsWorker", "APILogWorker"):  # not below the "prefect" logger
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return _QUIET


class ApiServer:
    """Prefect's API app on a thread of this process, from construction to the process's end.

    Args:
        settings: Prefect's.
        port: of 127.0.0.1; a free one when 0.
        schedules: whether schedules fire and the pages are there, as with ``prefect server start``.
    """

    def __init__(self, settings: Settings, port: int = 0, *, schedules: bool = False) -> None:
        self._settings, self._port, self._schedules = settings, port, schedules
        no_proxy = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
        os.environ["no_proxy"] = f"{no_proxy},127.0.0.1" if no_proxy else "127.0.0.1"
        self._recorder: Recorder | None = None
        self._started: futures.Future[str] = futures.Future()
        context = contextvars.copy_context()  # carries the caller's settings into the thread
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="prefect-server", daemon=True)
        self._thread.start()
        self.url = self._started.result()
        # Not `atexit`: by then executors are shut, and Prefect's queue spins on that error. These
        # calls come before, latest first: after Prefect's clients have sent what they hold.
        threading._register_atexit(self._stop)  # type: ignore[attr-defined]

    def flush(self) -> None:
        """Wait until all that the flows reported is in the database."""
        done = asyncio.run_coroutine_threadsafe(self._flush(), self._loop)
        try:
            done.result(_FLUSH_SECONDS)
        except futures.TimeoutError:
            done.cancel()
            logging.getLogger(__name__).warning("Prefect's history of this run is incomplete")

    def _stop(self) -> None:
        """End before the interpreter does, which may crash with native threads at work."""
        self._uvicorn.should_exit = True
        self._thread.join(_FLUSH_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if not self._started.done():
                self._started.set_exception(error)

    async def _serve(self) -> None:
        with _collector_paused():
            import uvicorn
            from prefect.server.api import server
            from prefect.settings import get_current_settings

            from flows.recorder import Recorder

            _lock_sqlite_at_begin(self._settings)
            # No public name: another Prefect may have none, and be slower.
            if routers := getattr(server, "API_ROUTERS", None):
                server.API_ROUTERS = tuple(sorted(routers, key=lambda router: router.prefix not in _ASKED))
            app = server.create_app(ephemeral=not self._schedules)
            lifespan = app.router.lifespan_context(app)
            with _migration_lock(self._settings.home):
                await lifespan.__aenter__()
            # uvicorn makes the socket, for asyncio gives no other TCP_NODELAY: 40 ms a request.
            config = uvicorn.Config(app, port=self._port, lifespan="off", log_config=None)
            self._loop, self._uvicorn = asyncio.get_running_loop(), uvicorn.Server(config)
            serving = asyncio.create_task(self._uvicorn.serve())
            if not get_current_settings().server.services.task_run_recorder.enabled:
                self._recorder = Recorder()
                self._recorder.start()
            while not self._uvicorn.started:
                await asyncio.sleep(0.001)
        port = self._uvicorn.servers[0].sockets[0].getsockname()[1]
        self._started.set_result(f"http://127.0.0.1:{port}/api")
        await serving
        if self._recorder is not None:
            await self._recorder.stop()
        await lifespan.__aexit__(None, None, None)

    async def _flush(self) -> None:
        from prefect.server.utilities.messaging.memory import METRICS

        await drain()
        # Task runs reach the database as events: first over a websocket, then through a queue.
        events = METRICS["events"]
        while self._uvicorn.server_state.tasks or events["consumed"] < events["published"]:
            await asyncio.sleep(0.005)
        if self._recorder is not None:
            await self._recorder.write()


async def drain() -> None:
    """Send what this process has to tell the server, and close the connections that it told it by."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (EventsWorker, APILogWorker):
        drained: Any = worker.drain_all()  # awaitable, on a thread with a running loop
        await drained


def _lock_sqlite_at_begin(settings: Settings) -> None:
    """Let the transactions of several processes wait for each other.

    Prefect's take sqlite's write lock halfway, which fails at once when another process wrote
    meanwhile: answered with 503 and tried again seconds later, or hanging for a minute.
    """
    from prefect.server.database import configurations, dependencies

    class Immediate(configurations.AioSqliteConfiguration):
        def begin_transaction(self, session: Any, with_for_update: bool = False) -> Any:
            return super().begin_transaction(session, with_for_update=True)

    url = settings.server.database.connection_url
    if url and url.get_secret_value().startswith("sqlite"):
        dependencies.set_database_config(Immediate(connection_url=url.get_secret_value()))


@contextmanager
def _migration_lock(home: Path) -> Iterator[None]:
    """Let one process at a time create or migrate the database; a killed one holds no lock."""
    home.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(home / "embedded.lock", timeout=300)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Collect no garbage inside, and never again walk what was made there: 1.7 s of a run."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if enabled:
            gc.enable()
