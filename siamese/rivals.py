"""Rivals: what else either record of a pair may be matched with, in the table of the other.

Two tables that list the same things seldom list one twice, so a pair is less likely a match where either record has something better. If
each record had one partner at most, the log-odds of a pair would be its own, less ``log(1 + odds of the rival)`` for either end: its odds
times the probability that no rival is the match. Tables do not keep that rule so strictly, perhaps one does and the other does not, and the
likeliest rival is not the only one: how much of each term counts is learned from held-out pairs, with a prior that nothing of it does.

A pair's own doubt stays what it is in whatever company; only what is decided between two tables looks at rivals.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from siamese.calibration import Calibration
from siamese.logodds import GIVEN_SPREAD

Ends = tuple[NDArray[np.int64], NDArray[np.int64]]

COUNTS = 0.5  # how much of a rival's term is thought to count before any label is seen, as a standard deviation around nothing
LEAST_OWN = 0.2  # of the factor of a pair's own log-odds: the others are weighed against it


@dataclass(frozen=True)
class Rivalry:
    """What rivals say.

    Attributes:
        left: weight of log(1 + odds of the rival) where it is the left record's, 0 or more.
        right: where it is the right record's.
        calibration: of the doubts of pairs among their rivals.
    """

    left: float
    right: float
    calibration: Calibration

    def doubts(self, own: NDArray[np.float64], pressure: NDArray[np.float64]) -> NDArray[np.float64]:
        """(m,) doubts of pairs among their rivals; see :func:`among_rivals`."""
        return among_rivals(own, pressure, self.left, self.right)

    def to_json(self) -> dict[str, Any]:
        weights = {"left": self.left, "right": self.right}
        return {**weights, "calibration": self.calibration.model_dump(mode="json")}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> "Rivalry":
        calibration = Calibration.model_validate(said["calibration"])
        return cls(float(said["left"]), float(said["right"]), calibration)


def among_rivals(
    own: NDArray[np.float64], pressure: NDArray[np.float64], left: float, right: float
) -> NDArray[np.float64]:
    """(m,) doubts of pairs among their rivals, never less than their own.

    Args:
        own: (m,) doubts of the pairs by themselves.
        pressure: (m, 2) of :func:`pressures`.
        left, right: weights of its columns.
    """
    return own + left * pressure[:, 0] + right * pressure[:, 1]


def weigh(own: NDArray[np.float64], pressure: NDArray[np.float64], is_match: NDArray[np.int8]) -> tuple[float, float]:
    """How much rivals count: the likeliest logistic curve of a pair's own log-odds and its rivals' terms, under normal priors.

    Args:
        own: (n,) finite doubts of held-out pairs.
        pressure: (n, 2) of :func:`pressures`.
        is_match: (n,) labels.

    Returns:
        The weights of the left and of the right end's, 0 or more.
    """
    design = np.column_stack([-own, np.ones(len(own)), -pressure])
    towards = np.where(is_match == 1, 1.0, -1.0)
    given, spread = np.array([1.0, 0.0, 0.0, 0.0]), np.append(GIVEN_SPREAD, [COUNTS, COUNTS])

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds, moved = towards * (design @ w), (w - given) / spread
        slope = -towards * expit(-odds)
        return float(np.logaddexp(0, -odds).sum() + moved @ moved / 2), slope @ design + moved / spread

    bounds = [(LEAST_OWN, None), (None, None), (0, None), (0, None)]
    factor, _, left, right = minimize(loss, given, jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(left / factor), float(right / factor)


def pressures(asked: Ends, among: Ends, doubts: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(1 + odds) of the likeliest rival of either end of some pairs; 0 where there is none.

    Args:
        asked: (m,) left and (m,) right numbers of the pairs.
        among: (n,) left and (n,) right numbers of what their ends may be matched with; the asked pairs may be among them.
        doubts: (n,) of those; inf counts for nothing.

    Returns:
        (m, 2) of the left and of the right end.
    """
    known = np.flatnonzero(np.isfinite(doubts))
    left, right = among[0][known], among[1][known]
    of_left = _of_first(*asked, left, right, doubts[known])
    return np.column_stack([of_left, _of_first(*asked[::-1], right, left, doubts[known])])


def _of_first(
    asked: NDArray[np.int64],
    with_partner: NDArray[np.int64],
    ends: NDArray[np.int64],
    partners: NDArray[np.int64],
    doubts: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(m,) log(1 + odds) of the likeliest rival of the first end of each pair."""
    if not len(ends):
        return np.zeros(len(asked))
    order = np.lexsort((partners, doubts, ends))
    ends, partners, doubts = ends[order], partners[order], doubts[order]
    starts = np.append(True, ends[1:] != ends[:-1])
    first, run = np.flatnonzero(starts), np.cumsum(starts) - 1
    second = np.full(len(first), np.inf)  # of each end, its best with another than its best partner
    other = partners != partners[first][run]
    np.minimum.at(second, run[other], doubts[other])
    place = np.minimum(np.searchsorted(ends[first], asked), len(first) - 1)
    rival = np.where(partners[first][place] == with_partner, second[place], doubts[first][place])
    return np.where(ends[first][place] == asked, np.logaddexp(0, -rival), 0.0)
