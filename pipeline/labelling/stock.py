"""The stock: what the answers so far say of the pool."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.intervals import Estimate
from pipeline.labelling.answers import Answer
from pipeline.labelling.choosing import Draws
from pipeline.labelling.committee import Opinion
from pipeline.labelling.pool import Pool
from pipeline.labelling.standing import observed
from pipeline.labelling.ties import Ties
from pipeline.pairs import LabelledPairs, labelled_frame


class Stock:
    """Taken anew after every answer.

    Attributes:
        answers: all of them.
        ties: what they tie.
        label: (m,) int8 of the pool's pairs, answered or derived: 1, 0, or -1 where it is unknown.
        derived: (m,) bool, pairs whose label follows and was not asked for.
        known: (m,) bool, pairs that there is no need to ask about: answered, unsure ones too, or derived.
    """

    def __init__(self, pool: Pool, answers: Sequence[Answer]) -> None:
        self.pool, self.answers, self.ties = pool, answers, Ties(answers, of_two=pool.of_two)
        asked = np.zeros(len(pool), bool)
        self.label = np.full(len(pool), -1, np.int8)
        for pair in self.ties.asked:
            if (place := pool.places.get(pair)) is not None:
                asked[place] = True
        for (left, right), label in self.ties.labels.items():
            if (place := pool.place(left, right)) is not None:
                self.label[place] = label
        follows = self.ties.derive(pool.left_ids, pool.right_ids)
        self.derived = (follows >= 0) & ~asked
        self.label[self.derived] = follows[self.derived]
        self.known = asked | self.derived

    @property
    def by_people(self) -> NDArray[np.int8]:
        """Labels that people gave."""
        return np.array([label for pair, label in self.ties.labels.items() if pair in self.ties.people], np.int8)

    def observe(self, opinion: Opinion | None) -> tuple[Estimate | None, Estimate | None, Estimate | None]:
        """Precision, recall and F1 of an opinion, from the pairs that were drawn at random."""
        if opinion is None:
            return None, None, None
        drawn = Draws(self.pool, self.known).places()
        drawn = drawn[self.label[drawn] >= 0]
        return observed(self.pool, opinion, drawn, self.label[drawn])

    def labelled(self, path: str) -> LabelledPairs:
        """The answers as training reads them: what ``siamese train`` makes of the labels file, each pair once."""
        first = {each.pair: each for each in reversed(self.answers)}
        rows = [(*pair, label, first[pair].weight, first[pair].split) for pair, label in self.ties.labels.items()]
        return labelled_frame(path, rows)
