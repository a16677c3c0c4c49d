"""A labelling session without a model: pairs in a fixed order, answers in memory."""

import threading
from types import SimpleNamespace
from typing import Any

from pipeline.labelling import Proposal

HOSTILE = "</td><script>top.hacked=1</script><img src=x onerror='top.hacked=1'> \u202egnp.exe \u05e9\u05dc\u05d5\u05dd"
LONG = "word " * 20_000


def proposal(number: int) -> Proposal:
    left = {"name": f"left {number}", "note": HOSTILE, "text": LONG + "one", HOSTILE: "a"}
    right = {"name": f"right {number}", "note": None, "text": LONG + "two", HOSTILE: "b"}
    return Proposal(f"a{number:03}", f"b{number:03}", left, right, 0.4, 0.5, f"asked {HOSTILE}", 1.0)


class FakeSession:
    """Proposes what nobody answered, as often as it is asked; ``failure`` is raised instead of writing."""

    def __init__(self, pairs: int = 40) -> None:
        self.proposals = [proposal(number) for number in range(pairs)]
        self.written: list[tuple[tuple[str, str], bool | None, str]] = []
        self.failure: Exception | None = None
        self.lock = threading.Lock()

    def propose(self, n: int = 1) -> list[Proposal]:
        with self.lock:
            known = {pair for pair, _, _ in self.written}
            return [each for each in self.proposals if each.pair not in known][:n]

    def answer(self, pair: Any, label: bool | None, by: str = "") -> None:
        with self.lock:
            if self.failure is not None:
                raise self.failure
            self.written.append((pair.pair if isinstance(pair, Proposal) else pair, label, by))

    def undo(self, by: str = "") -> Proposal | None:
        with self.lock:
            own = [each for each in self.written if each[2] == by]
            if not own:
                return None
            self.written.remove(own[-1])
            return next(each for each in self.proposals if each.pair == own[-1][0])

    def progress(self) -> Any:
        return SimpleNamespace(answered=len(self.written), training=False, advice="Go on.", contradictions=[])
