"""Calibration: from a score to a probability and to a decision, learned on pairs held out of training."""

import math
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict
from scipy.special import expit

from siamese.errors import DataError
from siamese.evidence import Evidence
from siamese.logodds import LogOdds

LEAST_PAIRS = 30  # with fewer, a probability says more of the curve's shape than of the data


class Calibration(BaseModel):
    """What a model's scores mean: margin_distance (distance / margin), or a verifier's doubt.

    The probability falls with the score and never reorders pairs; it is the probability among pairs like those it was fitted on.
    The evidence is kept, so that another threshold can be chosen later from the same pairs.

    Example:
        >>> calibration = Calibration.fit([0.1, 0.2, 0.3, 0.8, 0.9, 1.0], [1, 1, 1, 0, 0, 0])
        >>> round(calibration.max_distance, 2)
        0.55
        >>> calibration.probability([0.0, 0.55, 1.1]).round(1).tolist()
        [0.9, 0.5, 0.1]
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    log_odds: LogOdds
    max_distance: float  # pairs up to here are flagged: best F1, as expected on the evidence
    evidence: Evidence

    @classmethod
    def fit(
        cls,
        scores: ArrayLike,
        is_match: ArrayLike,
        left: ArrayLike | None = None,
        right: ArrayLike | None = None,
        *,
        are_doubts: bool = False,
        are_chosen: bool = False,
    ) -> Self:
        """Fit on held-out pairs.

        Args:
            scores: (n,) margin distances, or doubts; inf for pairs that no search would bring.
            is_match: (n,) labels.
            left, right: (n,) numbers of the pairs' records; without them every pair counts as independent of the others.
            are_doubts: whether the scores are minus log-odds, which are nearly right as they come.
            are_chosen: whether the pairs were chosen to teach (see :class:`siamese.evidence.Evidence`).

        Raises:
            DataError: a class is missing.
        """
        evidence = Evidence.of(scores, is_match, left, right, are_doubts=are_doubts, are_chosen=are_chosen)
        values, labels = evidence.arrays
        if len(np.unique(labels[np.isfinite(values)])) < 2:
            raise DataError(
                f"calibration needs genuine and imposite pairs held out of training, and got {len(labels)} pairs of one class: "
                "label more pairs, or give the pairs file a 'split' column with both classes in 'valid'"
            )
        return cls.by(LogOdds.fit(evidence), evidence)

    @classmethod
    def by(cls, log_odds: LogOdds, evidence: Evidence) -> Self:
        """What this curve says of the evidence, whichever way it was fitted."""
        return cls(log_odds=log_odds, max_distance=_best_f1(log_odds, evidence)[0], evidence=evidence)

    def best_f1(self, imposite_weight: float = 1.0) -> float:
        """The threshold with the best F1 expected on the evidence, where there are so many imposites to each of these."""
        return _best_f1(self.log_odds, self.evidence, imposite_weight)[0]

    def expected_f1(self, imposite_weight: float = 1.0) -> float:
        """The F1 expected at that threshold."""
        return _best_f1(self.log_odds, self.evidence, imposite_weight)[1]

    def probability(self, scores: ArrayLike, imposite_weight: float = 1.0) -> NDArray[np.float64]:
        """(n,) probability that each pair is a match, where each imposite of the evidence stands for so many."""
        return expit(self.log_odds(scores) - math.log(imposite_weight))

    def summary(self) -> dict[str, Any]:
        return {
            "max_distance": self.max_distance,
            "pairs": len(self.evidence),
            "matches": sum(self.evidence.is_match),
            "kind": self.log_odds.kind,
        }


def _best_f1(log_odds: LogOdds, evidence: Evidence, imposite_weight: float = 1.0) -> tuple[float, float]:
    """Threshold and F1, by the pairs' probabilities (Lipton, Elkan and Naryanaswamy 2014), for of few labels a single one would move the
    threshold far."""
    scores, labels = evidence.arrays
    expected = np.cumsum(expit(log_odds(scores)))
    lost = int(labels[~np.isfinite(scores)].sum())
    curve = evidence.curve(imposite_weight)
    curve = replace(curve, right=expected[curve.flagged - 1], matches=expected[-1] + lost)
    f1 = np.where(np.isfinite(curve.distances), curve.f1.round(9), -1.0)  # no rounding error parts equals
    best = int(np.argmax(f1))
    return curve.between(best), float(f1[best])


def pool_evidence(
    is_match: NDArray[np.int8], like_valid: NDArray[np.bool_], random: np.random.Generator
) -> NDArray[np.int64]:
    """Which pairs to calibrate with: those that are drawn as the valid pairs are, and as many of the others as have the same share
    of matches, which decides what a precision is.

    Args:
        is_match: (n,) labels.
        like_valid: (n,) whether a pair was drawn as the valid ones.

    Returns:
        Ascending places; of the others a random choice.
    """
    labels = np.unique(is_match[like_valid])
    others = [random.permutation(np.flatnonzero(~like_valid & (is_match == label))) for label in labels]
    shares = [np.mean(is_match[like_valid] == label) for label in labels]
    total = min(len(some) / share for some, share in zip(others, shares, strict=True))
    chosen = [some[: round(total * share)] for some, share in zip(others, shares, strict=True)]
    return np.sort(np.concatenate([np.flatnonzero(like_valid), *chosen]))
