"""The labelling page: served to the browser of this machine, where a person answers with keys."""

import getpass
import logging
import signal
import socket
import threading
import webbrowser
from collections.abc import Callable
from typing import Any

import uvicorn

from flows.desk import Desk, Session
from flows.guard import Guard
from flows.label_app import application
from siamese.errors import SettingsError, reason

HOST = "127.0.0.1"  # and no other: whoever reaches the page reads the records


def serve(
    session: Session,
    *,
    port: int = 0,
    open_browser: bool = True,
    by: str | None = None,
    say: Callable[[str], Any] = lambda line: print(line, flush=True),
) -> None:
    """Serve the page on this machine until Ctrl-C; ``session`` is closed by who made it.

    Args:
        port: of 127.0.0.1; 0: one that is free.
        by: whom answers are of, until they say another name in the page; the user of this process when None.
        say: is given the one line with the address.

    Raises:
        SettingsError: the port cannot be had.
    """
    with listen(port) as listening:
        port = listening.getsockname()[1]
        desk = Desk(session)
        guard = Guard(application(desk, _user() if by is None else by), port)
        address = f"http://{HOST}:{port}"
        say(f"label pairs at {address}{guard.path} (Ctrl-C ends)")
        if open_browser:  # it may take its time
            threading.Thread(target=webbrowser.open, args=[address + guard.ticket()], daemon=True).start()
        try:
            _run(web_server(guard), listening)
        finally:
            desk.close()


def web_server(guard: Guard) -> uvicorn.Server:
    """What speaks HTTP; it writes nothing down, for every address holds the token."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # tracebacks of what was answered with a sentence
    return uvicorn.Server(
        uvicorn.Config(
            guard,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=3,
        )
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return ""


def listen(port: int) -> socket.socket:
    """A socket on this machine only; its protocol is named, without which asyncio waits 40 ms before it sends."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()  # from now on who connects waits, and is not refused
    except (OSError, OverflowError) as error:
        listening.close()
        raise SettingsError(
            f"port {port} of {HOST} cannot be had ({reason(error)}): give --port another one, or leave it out"
        ) from error
    return listening


def _run(server: uvicorn.Server, listening: socket.socket) -> None:
    """Until Ctrl-C or SIGTERM, both of which are a good end."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if main else None
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)
