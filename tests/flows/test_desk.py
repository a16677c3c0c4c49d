"""Desk: pairs dealt to tabs, and answers that count once."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from flows import desk as module
from flows.desk import Desk
from siamese.errors import OutputError
from tests.flows.fake_session import FakeSession


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def desk(session: FakeSession) -> Iterator[Desk]:
    made = Desk(session)
    yield made
    made.close()


def test_a_tab_keeps_its_pair_until_it_answers_and_no_other_is_asked_about_it(desk: Desk) -> None:
    ann, bob = desk.pair("ann"), desk.pair("bob")
    assert ann and bob and ann.pair != bob.pair
    assert desk.pair("ann") == ann
    desk.answer("ann", "1", ann.pair, True, "ann")
    following = desk.pair("ann")
    assert following and following.pair not in (ann.pair, bob.pair)


def test_what_is_sent_again_counts_once(desk: Desk, session: FakeSession) -> None:
    first = desk.pair("tab")
    assert first
    for _ in range(3):
        desk.answer("tab", "request", first.pair, False, "ann")
    assert session.written == [(first.pair, False, "ann")]
    assert desk.back("tab", "undo", "ann") and desk.back("tab", "undo", "ann")
    assert session.written == []
    assert desk.pair("tab") == first


def test_back_goes_further_back_and_forward_again(desk: Desk, session: FakeSession) -> None:
    asked = []
    for number in range(3):
        asked.append(desk.pair("tab"))
        desk.answer("tab", f"answer {number}", asked[-1].pair, True, "ann")
    ahead = desk.pair("tab")
    for number in (2, 1):
        assert desk.back("tab", f"back {number}", "ann")
        assert desk.pair("tab") == asked[number]
    assert not desk.back("tab", "of nobody", "bob")
    for number in (1, 2):
        assert desk.pair("tab") == asked[number]
        desk.answer("tab", f"again {number}", asked[number].pair, None, "ann")
    assert desk.pair("tab") == ahead
    assert [label for _, label, _ in session.written] == [True, None, None]


def test_an_answer_that_is_not_written_leaves_the_pair_and_can_be_sent_again(desk: Desk, session: FakeSession) -> None:
    asked = desk.pair("tab")
    session.failure = OutputError("cannot write 'labels.parquet': No space left on device")
    with pytest.raises(OutputError, match="No space left"):
        desk.answer("tab", "request", asked.pair, True, "ann")
    assert desk.pair("tab") == asked
    session.failure = None
    desk.answer("tab", "request", asked.pair, True, "ann")
    assert session.written == [(asked.pair, True, "ann")]


def test_many_tabs_at_once_with_every_request_sent_twice_answer_every_pair_once(
    desk: Desk, session: FakeSession
) -> None:
    def work(tab: int) -> None:
        number = 0
        while (asked := desk.pair(f"tab {tab}")) is not None:
            number += 1
            with ThreadPoolExecutor(2) as both:
                for _ in range(2):
                    both.submit(desk.answer, f"tab {tab}", f"{tab}/{number}", asked.pair, True, "ann")

    threads = [threading.Thread(target=work, args=(tab,)) for tab in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    counts = Counter(pair for pair, _, _ in session.written)
    assert set(counts) == {each.pair for each in session.proposals}
    # the last ones may be judged twice: with nothing else left, a tab is given what another has not answered
    assert sum(counts.values()) - len(counts) <= 2 * 4


def test_a_pair_of_a_closed_tab_is_asked_of_others_at_last(session: FakeSession) -> None:
    session.proposals = session.proposals[:2]
    desk = Desk(session)
    left = desk.pair("closed")
    other = desk.pair("open")
    desk.answer("open", "1", other.pair, True, "")
    assert desk.pair("open") == left
    desk.answer("open", "2", left.pair, True, "")
    assert desk.pair("open") is None and desk.pair("closed") is None
    desk.close()


def test_tabs_without_number_are_not_remembered_and_their_pairs_are_not_lost(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TABS", 3)
    desk = Desk(session)
    first = desk.pair("tab 0")
    others = [desk.pair(f"tab {number}") for number in range(1, 4)]
    assert len(desk._asked) == 3
    assert others[-1] == first
    desk.close()
