"""Glancing: up to where a run lets candidates go by without a second look, from a look at some of them, drawn at random.

Nine in ten candidates are strangers, and many of these show it at once. Of the candidates that are drawn, those that the run would flag
say how few of such ones a limit loses: a tolerance limit (Wilks 1941), which asks nothing of how they are spread. To stop once enough of
them were found does no harm: whichever candidates are flagged, those drawn first are a random choice of them. No label is asked, for
what counts is what the verifier would say.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from siamese.glance import Glance
from siamese.promise import pairs_needed

LOST, CONFIDENCE = 0.002, 0.95  # at most, of the candidates that the verifier would flag
ENOUGH = pairs_needed(1 - LOST, CONFIDENCE)  # flagged ones: of fewer, even the least at a glance is no limit
MOST = 1 / 3  # of the candidates, drawn until ENOUGH are flagged: more is not worth what is then let go by
LEARNED = 8192  # of the candidates that are drawn, the first: they teach the glance, the others settle its limit
AT_ONCE = 4096


@dataclass(frozen=True)
class Drawn:
    """Candidates that were looked at to settle a limit.

    Attributes:
        places: (d,) places among the candidates, as they were drawn.
        scores: (d,) by the second look.
        limit: the greatest score that the run would flag.
    """

    places: NDArray[np.int64]
    scores: NDArray[np.float64]
    limit: float

    @property
    def is_flagged(self) -> NDArray[np.bool_]:
        """(d,) whether the run would flag them."""
        return self.scores <= self.limit

    @classmethod
    def nothing(cls) -> "Drawn":
        return cls(np.empty(0, np.int64), np.empty(0), -np.inf)

    @classmethod
    def of(
        cls, candidates: int, look: Callable[[NDArray[np.int64]], NDArray[np.float64]], limit: float, seed: int = 0
    ) -> "Drawn":
        """Draw until it is enough, or enough is not to be expected.

        Args:
            candidates: how many there are.
            look: gives (m,) scores of (m,) places among them.
            limit: the greatest score that is flagged.
            seed: of the draw.
        """
        order = np.random.default_rng(seed).permutation(candidates)
        scores = np.empty(candidates)
        drawn, size, flagged, foretold = 0, LEARNED, 0, LEARNED
        while flagged < ENOUGH and max(foretold, drawn + size) <= MOST * candidates:
            here = slice(drawn, drawn + size)
            scores[here] = look(order[here])
            drawn, size = drawn + size, AT_ONCE
            flagged = int((scores[LEARNED:drawn] <= limit).sum())
            foretold = LEARNED + ENOUGH * drawn // max(int((scores[:drawn] <= limit).sum()), 1)
        return cls(order[:drawn], scores[:drawn], limit)

    def settle(self, see: Callable[[NDArray[np.int64]], NDArray[np.float32]], seed: int = 0) -> Glance | None:
        """The glance, None where too few were flagged.

        Args:
            see: gives (m, f) what a glance sees of (m,) places among the candidates.
            seed: of what is learned.
        """
        flagged = self.places[LEARNED:][self.is_flagged[LEARNED:]]
        if len(flagged) < ENOUGH:
            return None
        glance = Glance(Glance.learn(see(self.places[:LEARNED]), self.limit - self.scores[:LEARNED], seed), -np.inf)
        return replace(glance, least=least_of(glance.log_odds(see(flagged))))

    def let_by(self, glance: Glance, see: Callable[[NDArray[np.int64]], NDArray[np.float32]]) -> NDArray[np.float64]:
        """(b,) scores of those that a glance lets go by, of some that did not teach it."""
        some = slice(LEARNED, 2 * LEARNED)
        return self.scores[some][~glance.is_worth(see(self.places[some]))]


def least_of(glances: NDArray[np.float64]) -> float:
    """Below which at most LOST of all flagged candidates lie, with CONFIDENCE, by a random choice of them, ENOUGH or more.

    Below the quantile of LOST lie binomially many of (f,) ``glances``: as few as the limit leaves below it do so rarely enough.
    """
    # Of how many there is a chance of more than 1 - CONFIDENCE, the fewest; scipy.stats has it too, and half a second of imports.
    below = int(np.searchsorted(bdtr(np.arange(len(glances) + 1), len(glances), LOST), 1 - CONFIDENCE)) - 1
    return float(np.partition(glances, below)[below])
