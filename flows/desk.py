"""Desk: who is asked about which pair, and that an answer counts once however often it is sent."""

import threading
from collections import OrderedDict, deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from pipeline.labelling import Progress, Proposal

AHEAD = 3  # pairs that wait, so that an answer brings the next at once
TABS = 256  # that are remembered; pairs of the one unseen for longest go to others
REQUESTS = 4096  # that are remembered, for those that are sent again


class Session(Protocol):
    """What the desk asks of a :class:`pipeline.labelling.LabelSession`; it may be called from several threads."""

    def propose(self, n: int = 1) -> list[Proposal]: ...
    def answer(self, pair: Proposal | tuple[str, str], label: bool | None, by: str = "") -> None: ...
    def undo(self, by: str = "") -> Proposal | None: ...
    def progress(self) -> Progress: ...


class Desk:
    """Deals the pairs of a session to the tabs of a browser; safe to call from several threads.

    A tab keeps its pair until it answers, also when it is loaded again. No two tabs are asked about the same pair while there are others.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()  # of what follows
        self._waiting: deque[Proposal] = deque()
        self._asked: OrderedDict[str, list[Proposal]] = OrderedDict()  # of each tab, the one that it shows last
        self._heard: OrderedDict[str, None] = OrderedDict()  # requests that were done
        self._answered: set[tuple[str, str]] = (
            set()
        )  # since pairs were last asked for: those on their way may be among them
        self._proposing = threading.Lock()
        self._worker = ThreadPoolExecutor(1, "proposals")
        self._refill: Future[None] = self._worker.submit(self._propose)

    def pair(self, tab: str) -> Proposal | None:
        """The pair that a tab is to judge; None when there is nothing left to ask."""
        with self._lock:
            found = self._of(tab)
        if found is None:  # wait for those that are on their way
            self._propose()
            with self._lock:
                found = self._of(tab) or self._of_another(tab)
        if self._refill.done():
            self._refill = self._worker.submit(self._propose)
        return found

    def answer(self, tab: str, request: str, pair: tuple[str, str], label: bool | None, by: str) -> None:
        """Write an answer down; one whose request was done before is not written twice.

        Raises:
            SiameseError: it could not be written, or names no records; the pair stays with the tab.
        """
        with self._lock:
            if request in self._heard:
                return
            places = [self._waiting, *self._asked.values()]
            asked = [(place, each) for place in places for each in place if each.pair == pair]
            self._session.answer(asked[0][1] if asked else pair, label, by)
            self._hear(request)
            self._answered.add(pair)
            for place, proposal in asked:
                place.remove(proposal)

    def back(self, tab: str, request: str, by: str) -> bool:
        """Take the last answer of this person back; its pair is what the tab shows next.

        Returns:
            Whether there was one.
        """
        with self._lock:
            if request in self._heard:
                return True
            undone = self._session.undo(by)
            self._hear(request)
            if undone is not None:
                self._answered.discard(undone.pair)
                self._stack(tab).append(undone)
            return undone is not None

    def progress(self) -> Progress:
        return self._session.progress()

    def close(self) -> None:
        self._worker.shutdown(cancel_futures=True)

    def _hear(self, request: str) -> None:
        self._heard[request] = None
        while len(self._heard) > REQUESTS:
            self._heard.popitem(last=False)

    def _stack(self, tab: str) -> list[Proposal]:
        self._asked[tab] = self._asked.pop(tab, [])
        while len(self._asked) > TABS:
            self._waiting.extendleft(self._asked.popitem(last=False)[1])
        return self._asked[tab]

    def _of(self, tab: str) -> Proposal | None:
        stack = self._stack(tab)
        if not stack and self._waiting:
            stack.append(self._waiting.popleft())
        return stack[-1] if stack else None

    def _of_another(self, tab: str) -> Proposal | None:
        """A pair that a tab unseen for longest has not answered: it may be closed."""
        for stack in self._asked.values():
            if stack:
                self._stack(tab).append(stack[-1])
                return stack[-1]
        return None

    def _propose(self) -> None:
        """See to it that ``AHEAD`` pairs wait."""
        with self._proposing:
            with self._lock:
                known = {each.pair for asked in (self._waiting, *self._asked.values()) for each in asked}
                wanted = AHEAD - len(self._waiting)
                self._answered.clear()
            if wanted <= 0:
                return
            proposed = self._session.propose(len(known) + wanted)
            with self._lock:
                known |= self._answered | {each.pair for asked in self._asked.values() for each in asked}
                fresh = [each for each in proposed if each.pair not in known]
                self._waiting.extend(fresh[:wanted])
