"""Log-odds: the monotone curve from a score to the log-odds of a match, of the kind that held-out pairs speak for."""

from collections.abc import Callable
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, logit

from siamese.evidence import Evidence
from siamese.folds import deal_in_turn

Kind = Literal["given", "logistic", "beta", "isotonic"]
FOLDS = 5  # of the evidence, to compare the kinds
ISOTONIC_MATCHES = 30  # of either class, at least, before steps are tried: fewer cannot show a bend
# How far given log-odds are off at first sight, as standard deviations: of the factor that they want, and of the log-odds to add. Chosen on
# 50 to 200 train and valid pairs of eight public sets; between half and twice these it makes little difference.
GIVEN_SPREAD = np.array([0.25, 0.5])


class LogOdds(BaseModel):
    """Log-odds that never rise with the score.

    Attributes:
        kind: ``given``: minus the score, which is minus log-odds already, moved as far as the pairs say; ``logistic`` (Platt 1999);
            ``beta`` (Kull, Silva Filho and Flach 2017, on the logistic's probability): tails of two slopes; ``isotonic`` (centred: Oron
            and Flournoy 2017): any falling shape, for many pairs.
        parameters: given and logistic: slope, intercept. beta: those, then a, b, c. isotonic: knots' scores, then their log-odds.
        loss: mean log-loss in nats on held-out pairs of each kind that was tried.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Kind
    parameters: tuple[float, ...]
    loss: dict[str, float] = {}

    @classmethod
    def fit(cls, evidence: Evidence) -> Self:
        """Fit on all pairs whose score is finite.

        The kind is chosen by cross-validated log-loss: the simplest within a standard error of the best (Breiman et al. 1984). The pairs
        of an entity are in one fold, and count as one in that error: else steps that follow a few entities closely would look right.

        Args:
            evidence: pairs of both labels.
        """
        scores, labels = evidence.arrays
        known = np.isfinite(scores)
        scores, labels, groups = scores[known], labels[known], evidence.groups[known]
        rarer = min(labels.sum(), len(labels) - labels.sum())
        kinds: list[Kind] = ["given" if evidence.are_doubts else "logistic"]
        kinds += ["beta"] if rarer >= FOLDS else []
        kinds += ["isotonic"] if rarer >= ISOTONIC_MATCHES else []
        losses = {name: _held_out_losses(name, scores, labels, groups) for name in kinds} if len(kinds) > 1 else {}
        chosen = _simplest(losses, groups) if losses else kinds[0]
        loss = {name: round(float(each.mean()), 6) for name, each in losses.items()}
        return cls.fit_kind(chosen, scores, labels).model_copy(update={"loss": loss})

    @classmethod
    def fit_kind(cls, kind: Kind, scores: NDArray[np.float64], labels: NDArray[np.int64]) -> Self:
        """Fit one kind to (n,) finite scores and labels of both classes."""
        return cls(kind=kind, parameters=tuple(_FITS[kind](scores, labels).tolist()))

    def __call__(self, scores: ArrayLike) -> NDArray[np.float64]:
        """(n,) log-odds of (n,) scores; -inf for a score of inf."""
        return _log_odds(self.kind, self.parameters, np.asarray(scores, np.float64))

    def reaching(self, log_odds: float) -> float:
        """The greatest score that still has these log-odds, by bisection; -inf where none has."""
        low, high = -1.0, 1.0
        while self([low])[0] < log_odds and low > -1e9:
            low *= 2
        while self([high])[0] >= log_odds and high < 1e9:
            high *= 2
        if self([low])[0] < log_odds:
            return -np.inf
        while high - low > 1e-9 * max(1.0, abs(low)):
            middle = (low + high) / 2
            low, high = (middle, high) if self([middle])[0] >= log_odds else (low, middle)
        return low


def _log_odds(kind: str, parameters: ArrayLike, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    values = np.asarray(parameters, np.float64)
    finite = np.where(np.isfinite(scores), scores, np.sign(scores) * 1e6)
    if kind == "isotonic":
        knots, odds = np.split(values, 2)
        found = np.interp(finite, knots, odds)
    else:
        found = values[0] * finite + values[1]
        if kind == "beta":
            a, b, c = values[2:]
            found = c - a * np.logaddexp(0, -found) + b * np.logaddexp(0, found)
    return np.where(scores == np.inf, -np.inf, found)


def held_out_odds(
    kind: Kind, scores: NDArray[np.float64], labels: NDArray[np.int64], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(n,) log-odds of each pair by a curve fitted to the other folds (:func:`deal`)."""
    fold, odds = deal(labels, groups, FOLDS, np.random.default_rng(0)), np.empty(len(labels))
    for held in np.unique(fold):
        here = fold == held
        odds[here] = _log_odds(kind, _FITS[kind](scores[~here], labels[~here]), scores[here])
    return odds


def deal(
    labels: NDArray[np.integer], groups: NDArray[np.int64], folds: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """(n,) fold of each pair: those of a group are in one, and each fold has about its part of either label.

    Groups are dealt by size, the largest first, in turn within those whose pairs are mostly of one label; of equal ones, at random.
    """
    _, group = np.unique(groups, return_inverse=True)
    sizes = np.bincount(group)
    mostly = 2 * np.bincount(group, labels) > sizes
    order = np.lexsort((random.random(len(sizes)), -sizes, mostly))
    return deal_in_turn(order, mostly, folds)[group]


def _held_out_losses(
    kind: Kind, scores: NDArray[np.float64], labels: NDArray[np.int64], groups: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(n,) log-loss of each pair in nats, out of fold."""
    odds = held_out_odds(kind, scores, labels, groups)
    return np.logaddexp(0, np.where(labels == 1, -odds, odds))


def _simplest(losses: dict[Kind, NDArray[np.float64]], groups: NDArray[np.int64]) -> Kind:
    """The first kind whose loss is within one standard error of the least, by groups."""
    best, (_, group) = min(losses.values(), key=np.mean), np.unique(groups, return_inverse=True)

    def is_near(each: NDArray[np.float64]) -> bool:
        more = each - best
        spread = np.bincount(group, more - more.mean())
        return bool(more.mean() <= np.sqrt((spread**2).sum()) / len(more))

    return next(name for name, each in losses.items() if is_near(each))


def _smoothed(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Platt's targets, which keep separable pairs finite."""
    matches = labels.sum()
    return np.where(labels == 1, (matches + 1) / (matches + 2), 1 / (len(labels) - matches + 2))


def _fit_given(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Slope (0 at most) and intercept, the likeliest of all when those of minus the score are the mean of a normal prior."""
    towards = np.where(labels == 1, 1.0, -1.0)
    given = np.array([-1.0, 0.0])

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds, moved = towards * (w[0] * scores + w[1]), (w - given) / GIVEN_SPREAD
        slope = -towards * expit(-odds)
        return float(np.logaddexp(0, -odds).sum() + moved @ moved / 2), (
            np.array([slope @ scores, slope.sum()]) + moved / GIVEN_SPREAD
        )

    return minimize(loss, given, jac=True, method="L-BFGS-B", bounds=[(None, 0), (None, None)]).x


def _fit_logistic(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Slope (0 at most) and intercept, by Newton's method."""
    target = _smoothed(labels)
    design = np.stack([scores, np.ones_like(scores)], axis=1)
    flat = np.array([0.0, logit(target.mean())])
    weights = flat

    def loss(odds: NDArray[np.float64]) -> float:
        return float(np.sum(np.logaddexp(0, odds) - target * odds))

    odds = design @ weights
    least = loss(odds)
    for _ in range(100):
        p = expit(odds)
        hessian = (design * (p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, design.T @ (p - target))
        scale, moved = 1.0, design @ (weights - step)
        while (found := loss(moved)) > least and scale > 1e-8:
            scale /= 2
            moved = design @ (weights - scale * step)
        weights, odds, least = weights - scale * step, moved, found
        if np.abs(scale * step).max() < 1e-10:
            break
    return flat if weights[0] > 0 else weights  # scores that say nothing, or worse: the share of matches for all


def _fit_beta(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Slope and intercept of the logistic, and a, b (0 at least) and c on its probability q: c + a ln q - b ln(1 - q)."""
    first, target = _fit_logistic(scores, labels), _smoothed(labels)
    odds = first[0] * scores + first[1]
    low, high = -np.logaddexp(0, -odds), np.logaddexp(0, odds)

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        found = w[0] * low + w[1] * high + w[2]
        slope = expit(found) - target
        return float(np.sum(np.logaddexp(0, found) - target * found)), np.array(
            [slope @ low, slope @ high, slope.sum()]
        )

    best = minimize(loss, [1.0, 1.0, 0.0], jac=True, method="L-BFGS-B", bounds=[(0, None), (0, None), (None, None)])
    return np.concatenate([first, best.x])


def _fit_isotonic(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Knots: the mean score of each run of pairs with one share of matches, and the log-odds of that share, which a count of a half
    (Jeffreys) keeps finite."""
    order = np.argsort(scores, kind="stable")
    values, place, counts = np.unique(scores[order], return_inverse=True, return_counts=True)
    share = np.bincount(place, labels[order]) / counts
    fitted = isotonic_regression(share, weights=counts, increasing=False).x
    run = np.concatenate([[0], np.cumsum(np.diff(fitted) != 0)])
    pairs = np.bincount(run, counts)
    matches = np.bincount(run, share * counts)
    knots = np.bincount(run, values * counts) / pairs
    odds = np.log((matches + 0.5) / (pairs - matches + 0.5))
    return np.concatenate([knots, np.minimum.accumulate(odds)])


_FITS: dict[str, Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]]] = {
    "given": _fit_given,
    "logistic": _fit_logistic,
    "beta": _fit_beta,
    "isotonic": _fit_isotonic,
}
