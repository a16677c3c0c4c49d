"""The labelling page: who may ask, what is answered, and the page itself in a browser."""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from starlette.testclient import TestClient

from flows.desk import Desk
from flows.guard import Guard
from flows.label_app import BODY_BYTES, application
from flows.label_page import serve
from siamese.errors import DataError, OutputError, SettingsError
from tests.flows.fake_session import LONG, FakeSession

PORT = 8123
OWN = f"http://127.0.0.1:{PORT}"
FROM_PAGE = {"origin": OWN, "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}


class Page(NamedTuple):
    client: TestClient
    guard: Guard
    session: FakeSession

    def post(self, name: str, body: object, **headers: str) -> Any:
        return self.client.post(self.guard.path + name, json=body, headers=FROM_PAGE | headers)

    def standing(self) -> Any:
        return self.client.get(self.guard.path + "standing").json()


@pytest.fixture
def page() -> Iterator[Page]:
    session = FakeSession()
    desk = Desk(session)
    guard = Guard(application(desk, "ann"), PORT)
    yield Page(TestClient(guard, base_url=OWN, follow_redirects=False), guard, session)
    desk.close()


ASKS = {"tab": "t"}
ANSWER = {**ASKS, "request": "r", "by": "ann", "left_id": "a000", "right_id": "b000", "label": True}


@pytest.mark.parametrize(
    "path", ["/", "/pair", "/favicon.ico", "/wrong/", "//", "/open/", "/open/wrong", "/%00/", "/\u00fc/"]
)
def test_without_the_token_nothing_is_served(page: Page, path: str) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
        answer = page.client.request(method, path, headers=FROM_PAGE)
        assert answer.status_code == 403
        assert "script" not in answer.text
    token = page.guard.path.strip("/")
    for near in (token[:-1], token + "x", token.swapcase()):
        assert page.client.get(f"/{near}/").status_code == 403


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        f"evil.example:{PORT}",
        f"127.0.0.1.evil.example:{PORT}",
        "127.0.0.1",
        "127.0.0.1:80",
        "[::1]",
        "",
        f"0.0.0.0:{PORT}",
    ],
)
def test_to_another_host_name_nothing_is_served(page: Page, host: str) -> None:
    """DNS rebinding: a name of another site that leads here."""
    headers = {"host": host, "origin": f"http://{host}"}
    assert page.client.get(page.guard.path, headers=headers).status_code == 403
    assert page.client.post(page.guard.path + "answer", json=ANSWER, headers=headers).status_code == 403
    assert page.session.written == []


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"http://127.0.0.1:{PORT + 1}"},
        {"origin": f"https://127.0.0.1:{PORT}"},
        {"origin": f"http://localhost:{PORT}"},  # not the host that it was sent to
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},  # another port of this machine
        {"sec-fetch-site": "none"},
    ],
)
def test_from_another_origin_nothing_is_written(page: Page, headers: dict[str, str]) -> None:
    for name, body in (("answer", ANSWER), ("back", {**ASKS, "request": "r", "by": "ann"}), ("pair", ASKS)):
        assert page.post(name, body, **headers).status_code == 403
    assert page.session.written == []


def test_a_write_must_say_where_it_comes_from_and_be_json(page: Page) -> None:
    url = page.guard.path + "answer"
    assert page.client.post(url, json=ANSWER).status_code == 403
    form = FROM_PAGE | {"content-type": "text/plain"}
    assert page.client.post(url, content=json.dumps(ANSWER), headers=form).status_code == 415
    assert page.session.written == []


def test_the_page_may_be_gone_to_by_a_link_but_not_be_framed_or_fetched(page: Page) -> None:
    went = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert page.client.get(page.guard.path, headers=went).status_code == 200
    assert page.client.get(page.guard.path, headers=went | {"sec-fetch-dest": "iframe"}).status_code == 403
    assert page.client.get(page.guard.path, headers=went | {"sec-fetch-mode": "no-cors"}).status_code == 403
    assert page.client.get(page.guard.path, headers={"host": f"localhost:{PORT}"}).status_code == 200


def test_the_ticket_of_the_browser_opens_the_page_once(page: Page) -> None:
    ticket = page.guard.ticket()
    assert page.guard.path.strip("/") not in ticket
    first = page.client.get(ticket)
    assert (first.status_code, first.headers["location"]) == (303, page.guard.path)
    assert page.client.get(ticket).status_code == 403


def test_every_response_forbids_what_the_page_does_not_need(page: Page) -> None:
    nonces = set()
    for answer in (
        page.client.get(page.guard.path),
        page.client.get("/"),
        page.post("pair", ASKS),
        page.post("pair", {}),
    ):
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert (
            policy["default-src"] == "'none'"
            and policy["frame-ancestors"] == "'none'"
            and policy["form-action"] == "'none'"
        )
        nonces.add(re.fullmatch(r"'nonce-(\S{16,})'", policy["script-src"])[1])
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in answer.headers and "set-cookie" not in answer.headers
    assert len(nonces) == 4
    html = page.client.get(page.guard.path).text
    assert not re.search(r"(src|href|action)\s*=\s*[\"']?[^#\"'\s]", html), "something from elsewhere"
    assert page.guard.path.strip("/") not in html


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "Invalid JSON"),
        (b"{", 400, "Invalid JSON"),
        (b'{"tab": 3}', 400, "tab: "),
        (b'{"tab": ""}', 400, "tab: "),
        (b'{"tab": "t", "more": 1}', 400, "more: "),
        (b'"\xff"', 400, "Invalid JSON"),
        (b"[" * 100_000, 400, "Invalid JSON"),
        (b'{"tab": "' + b"t" * BODY_BYTES + b'"}', 413, "at most 1,048,576 bytes"),
    ],
)
def test_what_is_not_understood_is_answered_with_a_sentence(page: Page, body: bytes, status: int, says: str) -> None:
    headers = FROM_PAGE | {"content-type": "application/json"}
    answer = page.client.post(page.guard.path + "pair", content=body, headers=headers)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"] and says in answer.json()["error"]


def test_labels_are_true_false_or_null_and_nothing_else(page: Page) -> None:
    for label in (1, 0, "true", "", [], 0.5):
        assert page.post("answer", ANSWER | {"label": label}).status_code == 400
    assert page.session.written == []


@pytest.mark.parametrize(
    ("failure", "status", "says"),
    [
        (OutputError("cannot write 'labels.parquet': No space left on device"), 500, "No space left"),
        (OSError(28, "No space left on device", "labels.parquet"), 500, "No space left"),
        (DataError("there is no record 'a000'"), 400, "no record 'a000'"),
        (RuntimeError("odd\nsecond line"), 500, "odd"),
    ],
)
def test_an_answer_that_is_not_written_is_said_to_be_so(page: Page, failure: Exception, status: int, says: str) -> None:
    client = TestClient(page.guard, base_url=OWN, raise_server_exceptions=False)
    page.session.failure = failure
    answer = client.post(page.guard.path + "answer", json=ANSWER, headers=FROM_PAGE)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"] and says in answer.json()["error"]
    assert "Traceback" not in answer.text and "second line" not in answer.text
    page.session.failure = None
    assert page.post("answer", ANSWER).json()["left_id"] == "a001"  # the same request: it was not done


def test_an_answer_brings_the_next_pair(page: Page) -> None:
    first = page.post("pair", ASKS).json()
    assert (first["left_id"], first["right_id"]) == ("a000", "b000")
    following = page.post("answer", ANSWER).json()
    assert following["left_id"] == "a001"
    assert page.post("answer", ANSWER).json() == following
    assert page.standing()["answered"] == 1
    undone = page.post("back", {**ASKS, "request": "back", "by": "ann"}).json()
    assert (undone["left_id"], undone["undone"]) == ("a000", True)
    assert page.standing()["answered"] == 0


def test_what_the_records_hold_is_text(page: Page) -> None:
    html = page.post("pair", ASKS).json()["pair"]
    assert "<script" not in html and "<img" not in html and "\u202e" not in html
    assert html.count("&lt;script&gt;") == 3  # why it is asked, a value, the name of a field
    assert len(html) < 10_000


def test_a_long_field_is_shown_whole_when_asked_for(page: Page) -> None:
    page.post("pair", ASKS)
    shown = {**ASKS, "left_id": "a000", "right_id": "b000"}
    cells = page.post("field", shown | {"field": 2}).json()["cells"]
    assert LONG[:-1] in cells[0] and "<mark>one</mark>" in cells[0] and "<mark>two</mark>" in cells[1]
    assert "<script" not in "".join(page.post("field", shown | {"field": 1}).json()["cells"])
    assert page.post("field", shown | {"field": 4}).status_code == 400
    assert page.post("field", shown | {"field": 2, "left_id": "a009"}).status_code == 409


def test_a_port_that_is_taken_is_refused_in_a_sentence() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SettingsError, match="give --port another one"):
        serve(FakeSession(), port=taken.getsockname()[1], open_browser=False)
