"""The labelling page in a real browser: keys, focus, hostile text, narrow windows, and answers that outlive a killed program."""

import http.client
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.desk import Desk
from flows.guard import Guard
from flows.label_app import application
from flows.label_page import listen, web_server
from pipeline.labelling import LabelSession
from pipeline.synthetic import make_corpus
from siamese.errors import OutputError
from tests.flows.fake_session import FakeSession

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from flows.label_page import serve
from pipeline.labelling import LabelSession
with LabelSession(sys.argv[1], sys.argv[2], train=False) as session:
    serve(session, open_browser=False, by=sys.argv[3])
"""
SHOWN = "[...document.querySelectorAll('#pair thead bdi')].map((each) => each.textContent).join('|')"
WITHIN_SECONDS = 60
LABELS = {"y": 1, "n": 0, "u": None}


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens an address in a new window; nothing may be asked of elsewhere, and nothing may go wrong unseen."""
    contexts, wrong = [], []

    def open_(address: str, width: int = 1000, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
        page.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(address) else None)
        page.goto(address)
        page.wait_for_selector("#pair :is(table, .done)")
        return page

    yield open_
    for each in contexts:
        each.close()
    assert wrong == []


@contextmanager
def served(session: FakeSession | LabelSession, by: str = "ann") -> Iterator[str]:
    """The page over a real socket, from a thread."""
    desk, listening = Desk(session), listen(0)
    guard = Guard(application(desk, by), listening.getsockname()[1])
    server = web_server(guard)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield guard.origins[0] + guard.path
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
        desk.close()


@contextmanager
def program(*args: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The program that labels, in a process of its own, and the address that it printed."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *map(str, args)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield process, re.search(r"http://127\.0\.0\.1:\d+/\S+/", line)[0]  # type: ignore[index]
    finally:
        process.kill()
        process.wait()


def until(page: Any, expression: str) -> None:
    """Wait for an expression to be true; playwright's own way would have the page evaluate text, which its policy forbids."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        time.sleep(0.01)


def press(page: Any, key: str) -> tuple[str, str]:
    """Answer, and wait for the next pair; the ids of the one that was answered."""
    before = page.evaluate(SHOWN)
    page.keyboard.press(key)
    until(page, f"{SHOWN} !== {before!r}")
    left, right = before.split("|")
    return left, right


def test_answers_outlive_a_reload_and_a_killed_program(opened: Callable[..., Any], tmp_path: Path) -> None:
    make_corpus(300, seed=0).save(tmp_path)
    records, labels = tmp_path / "records.parquet", tmp_path / "labels.parquet"
    given: dict[tuple[str, str], int | None] = {}
    with program(records, labels, "ann") as (process, address):
        page = opened(address)
        for number in range(20):
            key = "ynu"[number % 3]
            given[press(page, key)] = LABELS[key]
        following, last = page.evaluate(SHOWN), list(given)[-1]
        press(page, "b")
        assert page.evaluate(SHOWN) == "|".join(last)
        assert page.inner_text("#said") == "Taken back: judge it again."
        assert press(page, "u") == last
        given[last] = None
        assert page.evaluate(SHOWN) == following
        page.reload()
        page.wait_for_selector("#pair table")
        assert page.evaluate(SHOWN) == following
        until(page, "document.getElementById('count').textContent === '20'")
        process.send_signal(signal.SIGKILL)
        process.wait()
        page.keyboard.press("y")
        page.wait_for_selector("#problem:not([hidden])")
        assert "“the same” is not written" in page.inner_text("#problem")

    assert written(labels) == {(*pair, "ann"): label for pair, label in given.items()} and len(given) == 20
    with (
        program(records, labels, "ann") as (process, address),
        LabelSession(str(records), labels, train=False) as session,
        served(session, "bob") as other,
    ):
        both = {"ann": opened(address), "bob": opened(other)}
        answers = written(labels)
        for _ in range(3):
            for by, page in both.items():
                until(page, "document.getElementById('count').textContent !== '…'")
                pair = press(page, "y")
                assert (*pair, by) not in answers
                answers[(*pair, by)] = 1
        assert written(labels) == answers and len(answers) == 26
        assert not {pair[:2] for pair in list(answers)[20:]} & set(given)  # nobody is asked again
        process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN_SECONDS) == 0


def written(labels: Path) -> dict[tuple[str, str, str], int | None]:
    """The label that each person gave each pair, as the file has it."""
    return {(row["left_id"], row["right_id"], row["by"]): row["label"] for row in pq.read_table(labels).to_pylist()}


def test_an_answer_that_cannot_be_written_is_kept_and_sent_again(opened: Callable[..., Any]) -> None:
    session = FakeSession()
    with served(session) as address:
        page = opened(address)
        shown = page.evaluate(SHOWN)
        session.failure = OutputError("cannot write 'labels.parquet': No space left on device")
        page.keyboard.press("n")
        page.wait_for_selector("#problem:not([hidden])")
        assert "No space left on device" in page.inner_text("#problem")
        assert page.evaluate(SHOWN) == shown and session.written == []
        page.reload()  # it is kept by the tab
        page.wait_for_selector("#problem:not([hidden])")
        session.failure = None
        page.click("#retry")
        page.wait_for_selector("#problem", state="hidden")
        assert [(pair, label) for pair, label, _ in session.written] == [(("a000", "b000"), False)]
        assert page.evaluate(SHOWN) == "a001|b001"


def test_what_the_records_hold_does_nothing_and_long_fields_open(opened: Callable[..., Any]) -> None:
    with served(FakeSession()) as address:
        page = opened(address, width=375, color_scheme="dark")
        assert page.evaluate("window.hacked === undefined")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        assert all(
            box["height"] >= 44 for box in (each.bounding_box() for each in page.query_selector_all("[data-answer]"))
        )
        assert page.evaluate("document.getElementById('pair').textContent.length") < 5_000
        page.focus("[data-field='2']")
        page.keyboard.press("Enter")
        until(page, "document.getElementById('pair').textContent.length > 200_000")
        assert page.evaluate("document.activeElement.id") == "pair"
        assert page.evaluate("window.hacked === undefined")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_keys_help_and_focus(opened: Callable[..., Any]) -> None:
    session = FakeSession()
    with served(session) as address:
        page = opened(address)
        page.keyboard.press("?")
        assert page.evaluate("document.getElementById('help').open")
        page.keyboard.press("y")
        page.keyboard.press("Escape")
        page.focus("#by")
        page.keyboard.press("End")
        page.keyboard.type("nyu")
        page.keyboard.press("Control+y")
        assert session.written == []
        page.focus("[data-key='n']")
        press(page, "Enter")
        assert page.evaluate("document.activeElement.dataset.key") == "n"
        press(page, "U")  # with Caps Lock
        until(page, "document.getElementById('count').textContent === '2'")
        assert [(label, by) for _, label, by in session.written] == [(False, "annnyu"), (None, "annnyu")]
        page.evaluate("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'y', repeat: true, bubbles: true}))")
        assert len(session.written) == 2  # a key held down answers once
        page.evaluate(
            "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'н', code: 'KeyY', bubbles: true}))"
        )
        until(page, "document.getElementById('count').textContent === '3'")


def test_the_end_is_said_and_back_still_works(opened: Callable[..., Any]) -> None:
    with served(FakeSession(pairs=2)) as address:
        page = opened(address)
        press(page, "y")
        page.keyboard.press("y")
        page.wait_for_selector(".done")
        assert page.is_disabled("[data-key='y']") and page.evaluate("document.activeElement.id") == "back"
        page.keyboard.press("b")
        page.wait_for_selector("#pair table")
        assert page.evaluate(SHOWN) == "a001|b001"


def test_two_tabs_are_asked_about_different_pairs(opened: Callable[..., Any]) -> None:
    session = FakeSession()
    with served(session) as address:
        one, other = opened(address), opened(address)
        answered = [press(page, "y") for _ in range(5) for page in (one, other)]
        assert len(set(answered)) == 10 == len(session.written)


def test_other_hosts_origins_and_paths_are_refused_over_a_real_socket() -> None:
    with served(FakeSession()) as address:
        host, path = re.fullmatch(r"http://([^/]+)(/.+/)", address).groups()  # type: ignore[union-attr]

        def status(method: str, path: str, **headers: str) -> int:
            connection = http.client.HTTPConnection(host)
            connection.putrequest(method, path, skip_host="host" in headers)
            for name, value in ({"content-length": "0"} | headers).items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            answer.read()
            connection.close()
            return answer.status

        assert status("GET", path) == 200
        assert status("GET", "/") == status("GET", path[:-2] + "/") == status("OPTIONS", "*") == 403
        assert status("GET", f"http://evil.example{path}", host="evil.example") == 403
        assert status("GET", path, host="evil.example") == 403
        assert status("POST", f"{path}answer", origin="http://evil.example", content_type="application/json") == 403
        assert status("POST", f"{path}answer", content_type="application/json") == 403
        assert status("GET", path, upgrade="websocket", connection="upgrade", origin="http://evil.example") == 403
