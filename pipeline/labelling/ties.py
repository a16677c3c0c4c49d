"""Ties: what answers say of pairs that nobody was asked about, and where they speak against each other.

Sameness is transitive: what a chain of matches ties is one thing. So a pair within a group is a match, and a pair between two groups that
an imposite holds apart is none; a pair that was called an imposite and lies within a group is a contradiction: one answer of them is wrong.
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

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
        """The answers that it is made of: the imposite, then the links, which go to and fro between two tables."""
        links = [link[::-1] if place % 2 else link for place, link in enumerate(pairwise(self.chain))]
        return [(self.left_id, self.right_id), *(links if len(self.chain) > 2 else [])]


Node = tuple[int, str]  # a record: the side that it is on, and its id there


class Ties:
    """What some answers tie and hold apart.

    Attributes:
        labels: (left_id, right_id) -> 1 or 0, of each pair with an answer; people outvote rules. A pair with as many answers for as
            against has none.
        people: pairs of these that a person labelled.
        asked: every pair with an answer, unsure ones too.
        unsure: those of them that somebody was unsure of, and nobody sure.
    """

    def __init__(self, answers: Iterable[Answer], *, of_two: bool = False) -> None:
        """Take stock of answers.

        Args:
            of_two: left and right are ids of two tables; one that is in both names two records. Else a pair is one, either way round.
        """
        self._of_two = of_two
        said: dict[tuple[str, str], list[Answer]] = defaultdict(list)
        turned: dict[tuple[str, str], tuple[str, str]] = {}
        for answer in answers:
            pair = turned.get(answer.pair, answer.pair)
            if not of_two:
                turned.setdefault((pair[1], pair[0]), pair)
            said[pair].append(answer)
        self.asked = set(said) | set(turned)
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
        self._links: dict[Node, list[Node]] = defaultdict(list)
        for pair, label in self.labels.items():
            if label == 1:
                left, right = self._ends(pair)
                self._links[left].append(right)
                self._links[right].append(left)

    def _ends(self, pair: tuple[str, str]) -> tuple[Node, Node]:
        return (0, pair[0]), (int(self._of_two), pair[1])

    @cached_property
    def _groups(self) -> dict[Node, int]:
        """Group of each record that an answer names."""
        nodes = sorted({node for pair in self.labels for node in self._ends(pair)})
        place = {node: number for number, node in enumerate(nodes)}
        tied = [self._ends(pair) for pair, label in self.labels.items() if label == 1]
        ties = np.array([(place[a], place[b]) for a, b in tied], np.int64).reshape(-1, 2)
        return dict(zip(nodes, components(ties[:, 0], ties[:, 1], len(nodes)).tolist(), strict=True))

    @cached_property
    def _apart(self) -> set[tuple[int, int]]:
        """Pairs of groups, either way round, that an imposite holds apart."""
        apart = set()
        for pair, label in self.labels.items():
            if label == 0:
                one, other = (self._groups[node] for node in self._ends(pair))
                apart |= {(one, other), (other, one)}
        return apart

    def label_of(self, pair: tuple[str, str]) -> float:
        """Of a pair that was answered; a half where it has as many answers for as against."""
        return self.labels.get(pair, 0.5 if self._of_two else self.labels.get(pair[::-1], 0.5))

    def derive(self, left_ids: NDArray[np.object_], right_ids: NDArray[np.object_]) -> NDArray[np.int8]:
        """(m,) what follows for m pairs: 1, 0, or -1 where nothing does. Where answers contradict each other nothing follows."""
        one, other = (self._groups_of(ids, side) for ids, side in ((left_ids, 0), (right_ids, int(self._of_two))))
        apart = np.array(sorted(self._apart), np.int64).reshape(-1, 2)
        torn = apart[apart[:, 0] == apart[:, 1], 0]
        known = (one >= 0) & (other >= 0) & ~np.isin(one, torn) & ~np.isin(other, torn)
        n = len(self._groups) + 1
        held = np.isin(one * n + other, apart[:, 0] * n + apart[:, 1])
        return np.select([known & (one == other), known & held], [1, 0], -1).astype(np.int8)

    def _groups_of(self, ids: NDArray[np.object_], side: int) -> NDArray[np.int64]:
        """(m,) groups of records of a side, -1 of one that no answer names."""
        here = {name: group for (where, name), group in self._groups.items() if where == side}
        group = np.array([*here.values(), -1], np.int64)
        return group[pd.Index(list(here), dtype=object).get_indexer(pd.Index(ids, dtype=object))]

    def contradictions(self) -> list[Contradiction]:
        """Pairs called both, and imposites within a group with the shortest chain of matches between the two."""
        found = [Contradiction(*pair, pair) for pair in self._both]
        for pair, label in self.labels.items():
            left, right = self._ends(pair)
            if label == 0 and self._groups[left] == self._groups[right]:
                found.append(Contradiction(*pair, self._chain(left, right)))
        return found

    def _chain(self, start: Node, end: Node) -> tuple[str, ...]:
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
        return tuple(name for _, name in reversed(chain))
