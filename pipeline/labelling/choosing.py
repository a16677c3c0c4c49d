"""Choosing: which pairs of the pool a person is asked about next.

Some are drawn: the next of a stratum's random order, so that what they say holds for all candidates (see :mod:`pipeline.labelling.pool`).
The others are chosen to teach: of those that the committee is unsure of or disagrees on, some that are unlike each other (Zhdanov 2019,
"Diverse mini-batch active learning": the most informative ones, spread by k-means++).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.labelling.committee import Opinion, entropy
from pipeline.labelling.pool import Pool

COLD = 20  # answers that are drawn before any is chosen
DRAWN = 0.2  # share of the pairs that is drawn afterwards
UNEVEN = 0.25  # by which shares of the strata vary from draw to draw
PREFILTER = 10  # times as many informative pairs as are chosen, among which they are spread
ACROSS, RANDOM, BOUNDARY, DISPUTED = (
    "across the distances",
    "drawn at random",
    "near the boundary",
    "the judges disagree",
)
DRAWN_WHY = (ACROSS, RANDOM)


@dataclass(frozen=True)
class Choice:
    """A place of the pool, with why, and how many candidates it stands for."""

    place: int
    why: str
    weight: float


class Draws:
    """How far each stratum's random order has been asked."""

    def __init__(self, pool: Pool, known: NDArray[np.bool_]) -> None:
        """Count the answered pairs at the head of each stratum.

        Args:
            known: (m,) pairs that were asked about, or whose label follows.
        """
        self.pool = pool
        h = len(pool.sizes)
        self.starts = np.searchsorted(pool.stratum, np.arange(h))
        self.held = np.bincount(pool.stratum, minlength=h)
        self.done = np.empty(h, np.int64)
        for stratum, (start, held) in enumerate(zip(self.starts, self.held, strict=True)):
            missing = np.flatnonzero(~known[start : start + held])
            self.done[stratum] = missing[0] if len(missing) else held

    def places(self) -> NDArray[np.int64]:
        """The pairs of the heads: a simple random sample of each stratum."""
        return np.concatenate(
            [np.arange(start, start + done) for start, done in zip(self.starts, self.done, strict=True)]
        )

    def next(self, share: NDArray[np.float64], taken: set[int], known: NDArray[np.bool_]) -> int | None:
        """The next place of the stratum that is farthest behind its share."""
        ahead = self.done.copy()
        for place in taken:
            ahead[self.pool.stratum[place]] += 1
        for stratum in np.argsort(-share / (ahead + 0.5), kind="stable"):
            start, held = self.starts[stratum], self.held[stratum]
            for place in range(start + self.done[stratum], start + held):
                if not known[place] and place not in taken:
                    return int(place)
        return None

    def weight(self, place: int) -> float:
        stratum = self.pool.stratum[place]
        return float(self.pool.sizes[stratum] / max(place - self.starts[stratum] + 1, 1))


def draw(
    draws: Draws,
    known: NDArray[np.bool_],
    opinion: Opinion | None,
    labels: NDArray[np.int8],
    n: int,
    taken: set[int],
    random: np.random.Generator,
) -> list[Choice]:
    """The next n pairs of the random orders.

    Every stratum has its turn before the committee has an opinion, the near ones more while matches are few and the far ones while
    imposites are. Later half of the draws goes where the candidates are many and in doubt (Neyman 1934).

    Args:
        labels: of the answers so far.
        taken: places that are waiting for an answer.
        random: parts two people who draw at the same time.
    """
    h = len(draws.pool.sizes)
    share = np.full(h, 1 / h)
    if opinion is not None:
        p = np.clip(opinion.probability, 0.01, 0.99)
        doubt = np.bincount(draws.pool.stratum, np.sqrt(p * (1 - p)), h) / np.maximum(draws.held, 1)
        neyman = draws.pool.sizes * doubt
        share = share / 2 + neyman / neyman.sum() / 2
    elif len(labels) >= COLD:
        lacking = 1 if labels.sum() < len(labels) / 2 else 0
        share = 2.0 ** (-np.arange(h) if lacking else np.arange(h))
    chosen: list[Choice] = []
    for _ in range(n):
        place = draws.next(
            share * random.uniform(1 - UNEVEN, 1 + UNEVEN, h), taken | {each.place for each in chosen}, known
        )
        if place is None:
            break
        chosen.append(Choice(place, ACROSS if opinion is None else RANDOM, draws.weight(place)))
    return chosen


def teach(
    pool: Pool,
    features: NDArray[np.float32],
    opinion: Opinion,
    open_: NDArray[np.bool_],
    n: int,
    random: np.random.Generator,
) -> list[Choice]:
    """Choose n open pairs that teach most.

    Args:
        features: (m, f) of the pool's pairs, each of like scale.
        open_: (m,) pairs that may be asked.
    """
    worth = entropy(opinion.probability) + opinion.disagreement
    places = np.flatnonzero(open_)
    places = places[np.argsort(-worth[places], kind="stable")][: PREFILTER * n]
    if len(places) == 0:
        return []
    middle = (pool.embeddings[pool.left[places]] + pool.embeddings[pool.right[places]]) / 2
    spread = _spread(np.concatenate([features[places], middle], axis=1), worth[places], n, random)
    chosen = places[spread]
    doubt, dispute = entropy(opinion.probability[chosen]), opinion.disagreement[chosen]
    return [
        Choice(int(place), DISPUTED if 4 * c > d else BOUNDARY, 1.0)
        for place, d, c in zip(chosen, doubt, dispute, strict=True)
    ]


def _spread(
    points: NDArray[np.floating], weights: NDArray[np.float64], n: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Up to n places, each drawn with a chance in proportion to its weight and to the square of its distance to those before
    (k-means++: Arthur and Vassilvitskii 2007); the first is the weightiest."""
    chosen = [int(np.argmax(weights))]
    nearest = ((points - points[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < min(n, len(points)):
        chance = weights * nearest
        chance[chosen] = 0
        if chance.sum() <= 0:  # the rest are equal to those chosen
            rest = np.setdiff1d(np.arange(len(points)), chosen)
            chosen += rest[: n - len(chosen)].tolist()
            break
        place = int(random.choice(len(points), p=chance / chance.sum()))
        chosen.append(place)
        nearest = np.minimum(nearest, ((points - points[place]) ** 2).sum(axis=1))
    return np.array(chosen, np.int64)
