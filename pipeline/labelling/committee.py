"""The committee: quick judges of the pool's pairs, which learn from a handful of answers in a second.

They read what the verifier reads (:mod:`siamese.comparison` and the distance). Three opinions, whose errors differ: the distance alone,
a linear model, and trees that may not hold likeness against a pair; each of the last two learned several times from resampled answers
(query by bagging: Abe and Mamitsuka 1998). What they disagree on, or are unsure of, is what an answer teaches most about.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from siamese.linear import Linear
from siamese.logodds import LogOdds, deal

RESAMPLED = 4  # committees of resampled answers
FOLDS = 5
LEAST_EACH = 3  # answers of either kind that the judges need
_TREES = {
    "objective": "binary",
    "num_leaves": 8,
    "min_child_samples": 2,
    "min_sum_hessian_in_leaf": 0.01,
    "feature_fraction_bynode": 0.3,
    "lambda_l2": 1.0,
    "learning_rate": 0.15,
    "extra_trees": True,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}
_ROUNDS = 40


@dataclass(frozen=True)
class Opinion:
    """What the committee makes of m pairs.

    Attributes:
        probability: (m,) mean over the linear judges and the trees.
        disagreement: (m,) in nats, how far the members, the distance among them, are from one mind: the Jensen-Shannon divergence of
            their votes (McCallum and Nigam 1998).
        held_out: (m,) the probability of an answered pair by judges that did not see its answer; of others as ``probability``.
    """

    probability: NDArray[np.float64]
    disagreement: NDArray[np.float64]
    held_out: NDArray[np.float64]


def form_opinion(
    features: NDArray[np.float32],
    signs: list[int],
    answered: NDArray[np.int64],
    labels: NDArray[np.int8],
    seed: int,
) -> Opinion | None:
    """Learn from answers and judge all pairs; None while there are too few of either kind.

    Args:
        features: (m, f) of all pairs, the last of them the distance.
        signs: (f,) which way each may speak (see :func:`siamese.comparison.feature_signs`).
        answered: (a,) pairs that are learned from.
        labels: (a,) their labels.
        seed: of the resampling.
    """
    if min(labels.sum(), len(labels) - labels.sum()) < LEAST_EACH:
        return None
    random = np.random.default_rng(seed)
    places = [np.arange(len(answered)), *(_resample(labels, random) for _ in range(RESAMPLED))]
    votes = [_distance_vote(features, answered, labels)]
    judged = [_votes(features, features[answered[some]], labels[some], signs, seed) for some in places]
    votes += [expit(odds) for pair in judged for odds in pair]
    probability = expit(np.mean([odds for pair in judged for odds in pair], axis=0))
    held_out = probability.copy()
    fold = deal(labels, np.arange(len(labels)), FOLDS, random)
    for held in range(FOLDS):
        here, others = np.flatnonzero(fold == held), np.flatnonzero(fold != held)
        shown = _votes(features[answered[here]], features[answered[others]], labels[others], signs, seed)
        held_out[answered[here]] = expit(np.mean(shown, axis=0))
    return Opinion(probability, divergence(np.stack(votes)), held_out)


def entropy(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) in nats, of a coin."""
    p = np.clip(probability, 1e-9, 1 - 1e-9)
    return -p * np.log(p) - (1 - p) * np.log1p(-p)


def divergence(votes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m,) Jensen-Shannon divergence of (members, m) probabilities, in nats."""
    return np.maximum(entropy(votes.mean(axis=0)) - entropy(votes).mean(axis=0), 0.0)


def _distance_vote(
    features: NDArray[np.float32], answered: NDArray[np.int64], labels: NDArray[np.int8]
) -> NDArray[np.float64]:
    distances = features[:, -1].astype(np.float64)
    return expit(LogOdds.fit_kind("logistic", distances[answered], labels.astype(np.int64))(distances))


def _votes(
    asked: NDArray[np.float32],
    shown: NDArray[np.float32],
    labels: NDArray[np.int8],
    signs: list[int],
    seed: int,
) -> NDArray[np.float64]:
    """(2, m) log-odds of some pairs by a linear model and by trees."""
    import lightgbm

    parameters = {**_TREES, "monotone_constraints": signs, "seed": seed}
    trees = lightgbm.train(parameters, lightgbm.Dataset(shown, labels), _ROUNDS)
    return np.stack([Linear.fit(shown, labels).log_odds(asked), trees.predict(asked, raw_score=True)])


def _resample(labels: NDArray[np.int8], random: np.random.Generator) -> NDArray[np.int64]:
    """As many places, drawn with replacement within either label."""
    return np.concatenate([random.choice(np.flatnonzero(labels == label), (labels == label).sum()) for label in (0, 1)])
