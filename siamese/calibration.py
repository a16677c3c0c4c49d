"""Calibration: from a distance to a probability and to a decision, learned on pairs held out of training."""

import math
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from siamese.errors import DataError, SettingsError
from siamese.measures import Curve


class Calibration(BaseModel):
    """What a model's distances mean. Everything here is in margin units: distance / margin (or, for a verifier, its doubt).

    The probability is logistic in the distance and falls with it, so it never reorders pairs; it is the probability among pairs
    like those it was fitted on. The evidence is kept, so that another threshold can be chosen later from the same pairs.

    Example:
        >>> calibration = Calibration.fit([0.1, 0.2, 0.3, 0.8, 0.9, 1.0], [1, 1, 1, 0, 0, 0])
        >>> round(calibration.max_distance, 2)
        0.55
        >>> calibration.probability([0.0, 0.55, 1.1]).round(1).tolist()
        [0.9, 0.5, 0.1]
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    slope: float = Field(le=0)  # of the log-odds over margin_distance
    intercept: float
    max_distance: float  # pairs up to here are flagged: best F1 on the evidence
    distances: tuple[float, ...]  # the evidence, ascending
    is_match: tuple[int, ...]

    @classmethod
    def fit(cls, margin_distances: ArrayLike, is_match: ArrayLike) -> Self:
        """Fit on held-out pairs.

        Args:
            margin_distances: (n,) distances in margin units.
            is_match: (n,) labels.

        Raises:
            DataError: a class is missing.
        """
        distances, labels = np.asarray(margin_distances, np.float64), np.asarray(is_match, np.int64)
        if not 0 < labels.sum() < len(labels):
            raise DataError(
                f"calibration needs genuine and imposite pairs held out of training, and got {len(labels)} pairs of one class: "
                "label more pairs, or give the pairs file a 'split' column with both classes in 'valid'"
            )
        order = np.lexsort((labels, distances))
        distances, labels = distances[order].round(7), labels[order]
        slope, intercept = _fit_logistic(distances, labels)
        curve = Curve.of(distances, labels)
        best = int(np.argmax(curve.f1))
        return cls(
            slope=slope,
            intercept=intercept,
            max_distance=curve.between(best),
            distances=tuple(distances.tolist()),
            is_match=tuple(labels.tolist()),
        )

    def probability(self, margin_distances: ArrayLike) -> NDArray[np.float64]:
        """(n,) probability that each pair is a match."""
        odds = self.intercept + self.slope * np.asarray(margin_distances, np.float64)
        return np.exp(-np.logaddexp(0, -odds))

    def at_precision(self, precision: float) -> float:
        """The largest max_distance at which at least this share of the flagged held-out pairs is right.

        Raises:
            SettingsError: no threshold reaches it, or it is not in (0, 1].
        """
        if not 0 < precision <= 1:
            raise SettingsError(f"min_precision is {precision}: expected a share between 0 and 1, such as 0.95")
        curve = Curve.of(np.array(self.distances), np.array(self.is_match))
        reached = np.flatnonzero(curve.precision >= precision)
        if len(reached) == 0:
            raise SettingsError(
                f"no max_distance reaches a precision of {precision:g} on the {len(self.distances)} held-out pairs "
                f"(the best is {curve.precision.max():.3f}): ask for less, or label more pairs"
            )
        return curve.between(int(reached[-1]))

    def threshold(self, max_distance: float | None = None, min_precision: float | None = None) -> float:
        """The one threshold of a run: given, by precision, or the best F1.

        Raises:
            SettingsError: both are given, or one is out of range.
        """
        if max_distance is not None and min_precision is not None:
            raise SettingsError("max_distance and min_precision both set the threshold: give one of them")
        if min_precision is not None:
            return self.at_precision(min_precision)
        if max_distance is None:
            return self.max_distance
        if not (math.isfinite(max_distance) and max_distance >= 0):
            raise SettingsError(f"max_distance is {max_distance}: expected 0 or more, in units of the margin")
        return max_distance

    def summary(self) -> dict[str, Any]:
        return {"max_distance": self.max_distance, "pairs": len(self.distances), "matches": sum(self.is_match)}


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


def _fit_logistic(x: NDArray[np.float64], y: NDArray[np.int64]) -> tuple[float, float]:
    """(slope <= 0, intercept) by Newton's method on Platt's (1999) smoothed targets, which keep separable pairs finite."""
    matches = y.sum()
    high, low = (matches + 1) / (matches + 2), 1 / (len(y) - matches + 2)
    target = np.where(y == 1, high, low)
    design = np.stack([x, np.ones_like(x)], axis=1)
    weights = np.array([0.0, math.log(target.mean() / (1 - target.mean()))])

    def loss(w: NDArray[np.float64]) -> float:
        odds = design @ w
        return float(np.sum(np.logaddexp(0, odds) - target * odds))

    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -500, 500)))
        gradient = design.T @ (p - target)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        scale = 1.0
        while loss(weights - scale * step) > loss(weights) and scale > 1e-8:
            scale /= 2
        weights = weights - scale * step
        if np.abs(scale * step).max() < 1e-10:
            break
    if (
        weights[0] > 0
    ):  # distances that say nothing, or worse: then every pair has the share of matches as its probability
        return 0.0, math.log(target.mean() / (1 - target.mean()))
    return float(weights[0]), float(weights[1])
