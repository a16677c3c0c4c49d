"""Judges: three that read a pair otherwise, weighed by how well each foretells labels that it did not see.

Gradient-boosted trees on :mod:`siamese.comparison` and the distance; extremely random trees that may not hold likeness against a pair; and
a linear model, which few labels suffice for: their errors differ (:mod:`siamese.stacking`). What was learned on a pair's own label (the
distance, the word weights, the judges that are weighed) is never shown with that pair: in training it comes from folds that did not hold
it (Wolpert 1992), else the trees trust it far too much.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from siamese.comparison import Comparison, feature_names, feature_signs
from siamese.errors import SettingsError
from siamese.linear import Linear
from siamese.pairs import Pairs
from siamese.schema import Schema
from siamese.stacking import log_losses, mean_weights
from siamese.wordweights import WordWeights

BLOCK_PAIRS = 16_384  # compared at once
DISTANCE_SIGN, SAID_SIGN = -1, 1  # of the two features beside those of the comparison, as in feature_signs
JUDGES = 3  # the last is the linear one
# Chosen on the valid pairs of eight public sets, from some dozens of settings within half a point of average precision of one another.
_PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "num_leaves": 15,
    "min_child_samples": 5,
    "min_sum_hessian_in_leaf": 0.01,
    "feature_fraction_bynode": 0.3,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}
_PLAIN = {"learning_rate": 0.1}
_RANDOM = {"learning_rate": 0.2, "extra_trees": True}
_ROUNDS = 100  # of each: two hundred trees are what fits into the time that a pair may take


@dataclass(frozen=True)
class Judges:
    """The three, learned from some labelled pairs.

    Attributes:
        words: what each word says.
        boosters: LightGBM models.
        linear: the third judge.
        weights: (3,) of the judges' log-odds: of the trees, then of the linear one.
    """

    words: WordWeights
    boosters: tuple[Any, ...]
    linear: Linear
    weights: NDArray[np.float64]

    def doubts(
        self, comparison: Comparison, compared: NDArray[np.float32], margin_distances: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """(m,) minus the log-odds that pairs are matches.

        Args:
            comparison: m pairs.
            compared: (m, f) their features.
            margin_distances: (m,).
        """
        features = features_of(compared, margin_distances, self.words.score(comparison))
        return -(self.weights @ log_odds_of(self.boosters, self.linear, features))


@dataclass(frozen=True)
class CrossJudged:
    """m labelled pairs, judged out of fold.

    Attributes:
        doubts: (m,) each by judges that did not learn from the pair's fold.
        by_fold: those judges.
        whole: judges that learned from all pairs of a fold.
    """

    doubts: NDArray[np.float64]
    by_fold: dict[int, Judges]
    whole: Judges

    @classmethod
    def of(
        cls,
        schema: Schema,
        comparison: Comparison,
        margin_distances: NDArray[np.float64],
        is_match: NDArray[np.int8],
        folds: NDArray[np.int64],
        seed: int,
    ) -> "CrossJudged":
        """Learn, with a fold held out in turn; arguments as for :meth:`siamese.verifier.Verifier.fit`."""
        learned, numbers = np.flatnonzero(folds >= 0), np.unique(folds).tolist()
        held = {fold: np.flatnonzero(folds == fold) for fold in numbers}
        others = {fold: learned[folds[learned] != fold] for fold in numbers}
        pairs = Pairs(comparison.left, comparison.right, is_match)
        words = {fold: WordWeights.fit(comparison.take(others[fold]), is_match[others[fold]]) for fold in numbers}
        said = np.empty(len(comparison))
        for fold, here in held.items():
            said[here] = words[fold].score(comparison.take(here))
        features = features_of(compare(comparison, schema), margin_distances, said)
        signs = [*feature_signs(schema), DISTANCE_SIGN, SAID_SIGN]

        def grow(rows: NDArray[np.int64]) -> tuple[tuple[Any, ...], Linear]:
            weights = pairs.take(rows).record_weights()
            shown, labels = features[rows], is_match[rows]
            return _grow(shown, labels, weights, signs, seed), Linear.fit(shown, labels, weights)

        grown = {fold: grow(others[fold]) for fold in numbers}
        log_odds = {fold: log_odds_of(*grown[fold], features[here]) for fold, here in held.items()}
        losses = {
            fold: log_losses(log_odds[fold], is_match[here], pairs.take(here).record_weights())
            for fold, here in held.items()
            if fold >= 0
        }

        def weigh(held_out: int | None) -> NDArray[np.float64]:
            """No label weighs the judges of its own pair."""
            return mean_weights(np.sum([losses[fold] for fold in losses if fold != held_out], axis=0), JUDGES)

        by_fold = {fold: Judges(words[fold], *grown[fold], weigh(fold)) for fold in numbers}
        doubts = np.empty(len(comparison))
        for fold, here in held.items():
            doubts[here] = -(by_fold[fold].weights @ log_odds[fold])
        every_word = WordWeights.fit(comparison.take(learned), is_match[learned])
        return cls(doubts, by_fold, Judges(every_word, *grow(learned), weigh(None)))


def features_of(
    compared: NDArray[np.float32], margin_distances: NDArray[np.float64], said: NDArray[np.float64]
) -> NDArray[np.float32]:
    """(m, f + 2) what the judges read: the comparison, the distance, and what labelled pairs say of the words."""
    return np.column_stack([compared, margin_distances, said]).astype(np.float32)


def log_odds_of(boosters: tuple[Any, ...], linear: Linear, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """(3, m) by each judge."""
    return np.stack([*(predict(each, features) for each in boosters), linear.log_odds(features)])


def compare(comparison: Comparison, schema: Schema) -> NDArray[np.float32]:
    """(m, f) features of the comparison, a block of pairs at a time."""
    blocks = range(0, len(comparison), BLOCK_PAIRS)
    parts = [comparison.take(slice(start, start + BLOCK_PAIRS)).features(schema) for start in blocks]
    return np.concatenate(parts) if parts else np.empty((0, len(feature_names(schema))), np.float32)


def _grow(
    features: NDArray[np.float32],
    is_match: NDArray[np.int8],
    weights: NDArray[np.float64],
    signs: list[int],
    seed: int,
) -> tuple[Any, ...]:
    lgb = lightgbm()
    return tuple(
        lgb.train({**_PARAMETERS, **kind, "seed": seed}, lgb.Dataset(features, is_match, weight=weights), _ROUNDS)
        for kind in (_PLAIN, {**_RANDOM, "monotone_constraints": signs})
    )


def predict(booster: Any, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """(m,) log-odds by trees, on as many threads as torch has: LightGBM's own would get in the way of blocks that are done side by side."""
    return np.asarray(booster.predict(features, raw_score=True, num_threads=torch.get_num_threads()))


def lightgbm() -> Any:
    """The library, imported when it is first asked for; raises SettingsError where the system lacks what it needs."""
    try:
        import lightgbm
    except OSError as error:  # the wheel leaves OpenMP's runtime to the system
        raise SettingsError(
            f"the verifier's LightGBM cannot be loaded ({error}): install the system's OpenMP runtime "
            "(Debian, Ubuntu: apt install libgomp1; macOS: brew install libomp), or give --verifier none"
        ) from error
    return lightgbm
