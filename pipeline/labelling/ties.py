"""Ties: what answers say of pairs that nobody was asked about, and where they speak against each other.

Sameness is transitive: what a chain of matches ties is one thing. So a pair within a group is a match, and a pair between two groups that
an imposite holds apart is none; a pair that was called an imposite and lies within a group is a contradiction: one answer of them is wrong.
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.labelling.answers import Answer
from siamese.components import components

BY_RULE = "rule"  # who answered, where nobody did


@dataclass(frozen=True)
class Contradiction:
    """Answers that cannot all be right.

    Attributes:
        left_id, right_id: a pair that was called no match, or both.
        chain: records from the one to the other, each called a match of the next; of two where the pair itself was called both.
    """

    left_id: str
    right_id: str
    chain: tuple[str, ...]

    @property
    def text(self) -> str:
        if len(self.chain) == 2:
            return f"'{self.left_id}' and '{self.right_id}' are called a match and no match"
        links = " = ".join(f"'{name}'" for name in self.chain)
        return f"'{self.left_id}' and '{self.right_id}' are called no match, and yet {links}"

    def pairs(self) -> list[tuple[str, str]]:
        """The answers that it is made of: the imposite, then the links."""
        links = list(zip(self.chain, self.chain[1:], strict=False))
        return [(self.left_id, self.right_id), *(links if len(self.chain) > 2 else [])]


class Ties:
    """What some answers tie and hold apart.

    Attributes:
        labels: (left_id, right_id) -> 1 or 0, of each pair with an answer; people outvote rules. A pair with as many answers for as
            against has none.
        people: pairs of these that a person labelled.
        asked: every pair with an answer, unsure ones too.
        unsure: those of them that somebody was unsure of, and nobody sure.
    """

    def __init__(self, answers: Iterable[Answer]) -> None:
        said: dict[tuple[str, str], list[Answer]] = defaultdict(list)
        turned: dict[tuple[str, str], tuple[str, str]] = {}
        for answer in answers:
            pair = turned.get(answer.pair, answer.pair)
            turned.setdefault((pair[1], pair[0]), pair)
            said[pair].append(answer)
        self.asked = set(said) | set(turned)  # either way round
        self.labels: dict[tuple[str, str], int] = {}
        self.people: set[tuple[str, str]] = set()
        self.unsure: set[tuple[str, str]] = set()
        self._both: list[tuple[str, str]] = []
        for pair, given in said.items():
            people = [each for each in given if each.by != BY_RULE]
            votes = [each.label for each in people or given if each.label is not None]
            if people and votes:
                self.people.add(pair)
            if not votes:
                self.unsure.add(pair)
            elif 2 * sum(votes) != len(votes):
                self.labels[pair] = int(2 * sum(votes) > len(votes))
            if 0 < sum(votes) < len(votes):
                self._both.append(pair)
        self._links: dict[str, list[str]] = defaultdict(list)
        for (left, right), label in self.labels.items():
            if label == 1:
                self._links[left].append(right)
                self._links[right].append(left)

    @cached_property
    def _groups(self) -> dict[str, int]:
        """Group of each record that an answer names."""
        names = sorted({name for pair in self.labels for name in pair})
        place = {name: number for number, name in enumerate(names)}
        ties = np.array([(place[a], place[b]) for (a, b), label in self.labels.items() if label == 1], np.int64)
        ties = ties.reshape(-1, 2)
        return dict(zip(names, components(ties[:, 0], ties[:, 1], len(names)).tolist(), strict=True))

    @cached_property
    def _apart(self) -> set[tuple[int, int]]:
        """Pairs of groups, either way round, that an imposite holds apart."""
        apart = set()
        for (left, right), label in self.labels.items():
            if label == 0:
                one, other = self._groups[left], self._groups[right]
                apart |= {(one, other), (other, one)}
        return apart

    def label_of(self, pair: tuple[str, str]) -> float:
        """Of a pair, either way round; a half where it has as many answers for as against."""
        return self.labels.get(pair, self.labels.get(pair[::-1], 0.5))

    def derive(self, left_ids: NDArray[np.object_], right_ids: NDArray[np.object_]) -> NDArray[np.int8]:
        """(m,) what follows for m pairs: 1, 0, or -1 where nothing does. Where answers contradict each other nothing follows."""
        names = pd.Index(list(self._groups), dtype=object)
        group = np.array([*self._groups.values(), -1], np.int64)  # the last: of a record that no answer names
        one, other = (group[names.get_indexer(pd.Index(ids, dtype=object))] for ids in (left_ids, right_ids))
        apart = np.array(sorted(self._apart), np.int64).reshape(-1, 2)
        torn = apart[apart[:, 0] == apart[:, 1], 0]
        known = (one >= 0) & (other >= 0) & ~np.isin(one, torn) & ~np.isin(other, torn)
        held = np.isin(one * len(group) + other, apart[:, 0] * len(group) + apart[:, 1])
        return np.select([known & (one == other), known & held], [1, 0], -1).astype(np.int8)

    def contradictions(self) -> list[Contradiction]:
        """Pairs called both, and imposites within a group with the shortest chain of matches between the two."""
        found = [Contradiction(*pair, pair) for pair in self._both]
        for (left, right), label in self.labels.items():
            if label == 0 and self._groups[left] == self._groups[right]:
                found.append(Contradiction(left, right, self._chain(left, right)))
        return found

    def _chain(self, start: str, end: str) -> tuple[str, ...]:
        came_from, waiting = {start: start}, deque([start])
        while waiting and end not in came_from:
            one = waiting.popleft()
            for other in self._links[one]:
                if other not in came_from:
                    came_from[other] = one
                    waiting.append(other)
        chain = [end]
        while chain[-1] != start:
            chain.append(came_from[chain[-1]])
        return tuple(reversed(chain))
