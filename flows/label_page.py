"""The labelling page: a web application for the browser of this machine, in which a person answers with keys."""

import getpass
import logging
import signal
import socket
import threading
import webbrowser
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from flows import label_view
from flows.desk import Desk, Session
from flows.guard import Guard, refused
from siamese.errors import DataError, SettingsError, SiameseError, reason

BODY_BYTES = 2**20
HOST = "127.0.0.1"  # and no other: whoever reaches the page reads the records

log = logging.getLogger("siamese")
Short = Annotated[str, Field(min_length=1, max_length=200)]


class _Asked(BaseModel):
    """What a request says of itself: the tab that it comes from."""

    model_config = ConfigDict(extra="forbid", strict=True)
    tab: Short


class _Act(_Asked):
    """One that changes the file: ``request`` is its name, the same when it is sent again."""

    request: Short
    by: Annotated[str, Field(max_length=200)]


class _Answer(_Act):
    left_id: str
    right_id: str
    label: bool | None


class _Field(_Asked):
    left_id: str
    right_id: str
    field: int


Message = TypeVar("Message", bound=BaseModel)


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


def application(desk: Desk, by: str = "") -> Starlette:
    """The page and what it asks for; :class:`Guard` stands before it."""

    async def page(request: Request) -> Response:
        return HTMLResponse(label_view.page(request.state.nonce, by))

    async def standing(_: Request) -> Response:
        return JSONResponse(await run_in_threadpool(_standing, desk))

    async def pair(request: Request) -> Response:
        asked = await _read(request, _Asked)
        return JSONResponse(await run_in_threadpool(_state, desk, asked.tab))

    async def answer(request: Request) -> Response:
        act = await _read(request, _Answer)

        def work() -> dict[str, Any]:
            desk.answer(act.tab, act.request, (act.left_id, act.right_id), act.label, act.by)
            return _state(desk, act.tab)

        return JSONResponse(await run_in_threadpool(work))

    async def back(request: Request) -> Response:
        act = await _read(request, _Act)

        def work() -> dict[str, Any]:
            undone = desk.back(act.tab, act.request, act.by)
            return _state(desk, act.tab) | {"undone": undone}

        return JSONResponse(await run_in_threadpool(work))

    async def field(request: Request) -> Response:
        asked = await _read(request, _Field)
        proposal = await run_in_threadpool(desk.pair, asked.tab)
        if proposal is None or proposal.pair != (asked.left_id, asked.right_id):
            raise HTTPException(409, "this pair is not on the page any more: load the page again")
        sides = list(label_view.sides_of(proposal).values())
        if not 0 <= asked.field < len(sides):
            raise HTTPException(400, f"the records have {len(sides)} fields, numbered from 0")
        return JSONResponse({"cells": await run_in_threadpool(label_view.whole_field, *sides[asked.field])})

    return Starlette(
        routes=[
            Route("/", page),
            Route("/standing", standing),
            *(Route(f"/{each.__name__}", each, methods=["POST"]) for each in (pair, answer, back, field)),
        ],
        exception_handlers={
            HTTPException: _http_refusal,
            SiameseError: _refusal,
            OSError: _failure,
            Exception: _failure,
        },
    )


def _state(desk: Desk, tab: str) -> dict[str, Any]:
    proposal = desk.pair(tab)
    left_id, right_id = proposal.pair if proposal else (None, None)
    return {"pair": label_view.pair(proposal), "left_id": left_id, "right_id": right_id}


def _standing(desk: Desk) -> dict[str, Any]:
    """Apart from the pair, which does not wait for the estimates."""
    progress = desk.progress()
    return {"standing": label_view.standing(progress), "answered": progress.answered, "training": progress.training}


async def _read(request: Request, kind: type[Message]) -> Message:
    """The JSON of a request.

    Raises:
        HTTPException: 413 where it is longer than BODY_BYTES, 400 where it is not what is expected.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES:
            raise HTTPException(413, f"expected at most {BODY_BYTES:,} bytes")
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the request"
        raise HTTPException(400, f"{where}: {first['msg']}") from error


async def _http_refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refused(error.status_code, error.detail)


async def _refusal(_: Request, error: Exception) -> Response:
    return refused(400 if isinstance(error, DataError) else 500, " ".join(str(error).split()))


async def _failure(_: Request, error: Exception) -> Response:
    log.error(
        "the labelling page: %s: %s", type(error).__name__, reason(error), exc_info=log.isEnabledFor(logging.DEBUG)
    )
    return refused(500, reason(error))


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
    listening = socket.socket(
        socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )  # named: asyncio then sends at once
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
