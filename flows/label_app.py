"""The web application of the labelling page: the page, and what it asks for."""

import logging
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from flows import label_view
from flows.desk import Desk
from flows.guard import refused
from siamese.errors import DataError, SiameseError, reason

BODY_BYTES = 2**20

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
