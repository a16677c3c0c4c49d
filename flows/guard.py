"""Guard: lets through to a page of this machine only what its own page asks for."""

import secrets
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",  # the address holds the token
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """ASGI middleware before an application that is served on one port of 127.0.0.1.

    The secret is the first part of every path, ``/TOKEN/...``, and the application sees the rest. It is no cookie: browsers send those to
    every port of a host, so to any other server of this machine, and with requests that other sites make. A page that does not know
    the path can ask for nothing, and the path is told to nobody (no Referer, no outside link, no log).

    Three more walls stand behind it. A request must name this machine as its host, or a site whose name was rebound to 127.0.0.1 would be
    of our origin. What a browser says of where a request comes from (Origin, Sec-Fetch-Site) must be our own page, but for going to the
    page by a link. A request that writes must say its Origin, and must be JSON, which a form of another site cannot send.

    Attributes:
        origins: the addresses that the page goes by.
        path: of the page, with the token.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        hosts = [f"{name}{':' + str(port) if port != 80 else ''}" for name in ("127.0.0.1", "localhost")]
        self.origins = [f"http://{host}" for host in hosts]
        self._token = secrets.token_urlsafe(32)
        self._ticket: str | None = None
        self.path = f"/{self._token}/"

    def ticket(self) -> str:
        """A path that leads to the page once: other users of a machine can read what a browser was started with."""
        self._ticket = secrets.token_urlsafe(32)
        return f"/open/{self._ticket}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # a websocket is closed before it opens
            return await send({"type": "websocket.close", "code": 1008})
        nonce = secrets.token_urlsafe(16)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS | {"content-security-policy": POLICY.format(nonce=nonce)})
            await send(message)

        answer = self._refusal(scope) or self._opened(scope)
        if answer is not None:
            return await answer(scope, receive, guarded)
        inner = {**scope, "path": scope["path"][len(self.path) - 1 :], "state": {"nonce": nonce}}
        await self._app(inner, receive, guarded)

    def _opened(self, scope: Scope) -> Response | None:
        """To the page, for who has the ticket or the token without the last slash."""
        path = scope["path"]
        if self._ticket and _same(path, f"/open/{self._ticket}"):
            self._ticket = None
            return RedirectResponse(self.path, 303)
        return RedirectResponse(self.path, 303) if _same(path, self.path.rstrip("/")) else None

    def _refusal(self, scope: Scope) -> Response | None:
        """403 and a sentence, or None for a request that may pass."""
        headers = Headers(scope=scope)
        reads = scope["method"] in ("GET", "HEAD")
        if not _one_of(headers.getlist("host"), [each.removeprefix("http://") for each in self.origins]):
            return refused(403, f"this page is served to {self.origins[0]} only: open the address that was printed")
        if not self._is_known(scope["path"]):
            return refused(
                403,
                "the secret in the address is missing or wrong: open the address that was printed when this was started",
            )
        followed = reads and headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        site, origin = headers.getlist("sec-fetch-site"), headers.getlist("origin")
        if not followed and site and not _one_of(site, ["same-origin", *(["none"] if reads else [])]):
            return refused(403, "another site asked for this, expected this page itself")
        if (origin or not reads) and not _one_of(origin, [f"http://{headers['host']}"]):
            return refused(403, "a request must come from this page itself, and say so in its Origin")
        if not reads and headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return refused(415, "expected a request of type application/json")
        return None

    def _is_known(self, path: str) -> bool:
        first = "/".join(path.split("/")[:2])
        return _same(first, self.path.rstrip("/")) or bool(self._ticket and _same(path, f"/open/{self._ticket}"))


def refused(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"error": sentence}, status)


def _same(one: str, secret: str) -> bool:
    return secrets.compare_digest(one.encode("utf-8", "surrogatepass"), secret.encode())


def _one_of(said: Iterable[str], allowed: list[str]) -> bool:
    """Whether a header is there once, and says one of these."""
    values = list(said)
    return len(values) == 1 and values[0] in allowed
