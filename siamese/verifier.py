"""The verifier: a second look at a candidate pair, from the distance and from what the two records share and where they part.

It gives a *doubt*: minus the log-odds of a match, small when alike as a distance is, and calibrated in the same way.

Three judges are weighed by how well each foretells labels that it did not see (:mod:`siamese.stacking`), for their errors differ:
gradient-boosted trees on :mod:`siamese.comparison` and the distance; extremely random trees that may not hold likeness against a pair;
and a linear model, which few labels suffice for. What was learned on a pair's own label (the distance, the word weights, the judges
that are weighed) is never shown with that pair: in training it comes from folds that did not hold it (Wolpert 1992), else the trees
trust it far too much.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from siamese.calibration import Calibration
from siamese.comparison import Comparison, feature_names, feature_signs
from siamese.errors import SettingsError
from siamese.folders import read_json, write_json, written
from siamese.linear import Linear
from siamese.pairs import Pairs
from siamese.profiles import Profiles, word_fields
from siamese.rivals import Contest, Rivalry, among_rivals, pressures, weigh
from siamese.schema import Schema
from siamese.stacking import log_losses, mean_weights
from siamese.wordweights import WordWeights

BLOCK_PAIRS = 16_384  # compared at once
# Candidates reach a tenth and, of n held-out genuine pairs, 1/n beyond what holds this share of them: the few farther out are past telling,
# but a few pairs do not show how far their like may lie.
REACHED, BEYOND = 0.995, 1.1
DISTANCE_SIGN, SAID_SIGN = -1, 1  # of the two features beside those of the comparison, as in feature_signs
# The nearest of a record that are looked at: five, or as many matches as 99 of 100 records with any have among the labelled pairs.
NEIGHBOURS, CROWDED = 5, 0.99
DISTANCE, SAID = "margin_distance", "said"  # their names
WORDS, TREES, DECISION = "words.safetensors", ("trees.txt", "random-trees.txt"), "verifier.json"
JUDGES = len(TREES) + 1  # the last is the linear one
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
class Verifier:
    """Judges pairs of records.

    Attributes:
        schema: the fields that it reads.
        idf: (2**18,) float32 inverse document frequency of hashed words.
        words: what each word says.
        trees: LightGBM models, as text.
        linear: the third judge.
        weights: (3,) of the judges' log-odds: of the trees, then of the linear one.
        calibration: of the doubt; its ``max_distance`` is the greatest doubt that is flagged.
        candidate_distance: margin_distance of the farthest pair that is worth a look.
        neighbours: nearest ones of each record that are worth a look, up to there.
        rivalry: what a pair's rivals say where two tables are matched; None of a model that learned from one.
    """

    schema: Schema
    idf: NDArray[np.float32]
    words: WordWeights
    trees: tuple[str, ...]
    linear: Linear
    weights: tuple[float, ...]
    calibration: Calibration
    candidate_distance: float
    neighbours: int
    rivalry: Rivalry | None = None

    @classmethod
    def fit(
        cls,
        schema: Schema,
        idf: NDArray[np.float32],
        comparison: Comparison,
        margin_distances: NDArray[np.float64],
        is_match: NDArray[np.int8],
        folds: NDArray[np.int64],
        evidence: NDArray[np.int64],
        seed: int,
        *,
        are_chosen: bool = False,
        contest: Contest | None = None,
    ) -> tuple["Verifier", NDArray[np.float64]]:
        """Learn from labelled pairs.

        Args:
            schema: the fields of the profiles.
            idf: what the profiles were made with.
            comparison: m pairs.
            margin_distances: (m,) distance / margin, by towers that were not trained on the pair.
            is_match: (m,) labels.
            folds: (m,) the fold of each pair, -1 for pairs that nothing is learned from.
            evidence: the pairs to calibrate with: their doubts are by a verifier that did not see their label.
            seed: of the trees' random choices.
            are_chosen: whether that evidence was chosen to teach.
            contest: what the pairs compete with, where they tie two tables.

        Returns:
            The verifier, and (m,) doubts of the same pairs by verifiers that were not trained on the pair's fold.

        Raises:
            SettingsError: LightGBM cannot be loaded.
        """
        learned = np.flatnonzero(folds >= 0)
        pairs = Pairs(comparison.left, comparison.right, is_match)
        said, words = np.empty(len(comparison)), {}
        for fold in np.unique(folds):
            here, others = np.flatnonzero(folds == fold), learned[folds[learned] != fold]
            words[fold] = WordWeights.fit(comparison.take(others), is_match[others])
            said[here] = words[fold].score(comparison.take(here))
        features = _features(_compared(comparison, schema), margin_distances, said)
        signs = [*feature_signs(schema), DISTANCE_SIGN, SAID_SIGN]

        def judges(rows: NDArray[np.int64]) -> tuple[tuple[Any, ...], Linear]:
            weights = pairs.take(rows).record_weights()
            shown, labels = features[rows], is_match[rows]
            return _grow(shown, labels, weights, signs, seed), Linear.fit(shown, labels, weights)

        log_odds, losses, of_fold = np.empty((JUDGES, len(comparison))), {}, {}
        for fold in np.unique(folds):
            here, others = np.flatnonzero(folds == fold), learned[folds[learned] != fold]
            of_fold[fold] = judges(others)
            log_odds[:, here] = _log_odds(*of_fold[fold], features[here])
            if fold >= 0:
                losses[fold] = log_losses(log_odds[:, here], is_match[here], pairs.take(here).record_weights())
        weights = {
            fold: mean_weights(np.sum([losses[other] for other in losses if other != fold], axis=0), JUDGES)
            for fold in of_fold
        }
        doubts = np.empty(len(comparison))
        for fold in of_fold:
            doubts[folds == fold] = -(weights[fold] @ log_odds[:, folds == fold])
        trees, linear = judges(learned)
        genuine = margin_distances[evidence][is_match[evidence] == 1]
        candidate_distance = (BEYOND + 1 / len(genuine)) * float(np.quantile(genuine, REACHED, method="higher"))
        partners = np.bincount(np.concatenate([each[is_match == 1] for each in (comparison.left, comparison.right)]))
        crowded = int(np.quantile(partners[partners > 0], CROWDED, method="higher"))
        reached = np.where(margin_distances <= candidate_distance, doubts, np.inf)
        if len(np.unique(is_match[evidence][np.isfinite(reached[evidence])])) < 2:
            reached = doubts  # every imposite is out of reach: then those say what little can be said

        def calibrated(scores: NDArray[np.float64]) -> Calibration:
            left, right = comparison.left[evidence], comparison.right[evidence]
            return Calibration.fit(
                scores[evidence], is_match[evidence], left, right, are_doubts=True, are_chosen=are_chosen
            )

        rivalry = None
        if contest is not None:
            pressure = np.zeros((len(comparison), 2))
            compared = contest.compared(lambda some: _compared(some, schema))
            for fold, judged in of_fold.items():
                here, held = np.flatnonzero(contest.folds == fold), np.flatnonzero(folds == fold)
                said = words[fold].score(contest.comparison.take(here))
                shown = _features(compared[here], contest.margin_distances[here], said)
                near = contest.margin_distances[here] <= candidate_distance
                rivals = np.where(near, -(weights[fold] @ _log_odds(*judged, shown)), np.inf)
                pressure[held] = pressures(contest.asked_at(held), contest.rivals_at(here), rivals)
            some = evidence[np.isfinite(reached[evidence])]
            nearer, farther = weigh(reached[some], pressure[some], is_match[some])
            among = among_rivals(reached, pressure, nearer, farther)
            rivalry = Rivalry(nearer, farther, calibrated(among))
        verifier = cls(
            schema,
            idf,
            WordWeights.fit(comparison.take(learned), is_match[learned]),
            tuple(booster.model_to_string() for booster in trees),
            linear,
            tuple(mean_weights(np.sum(list(losses.values()), axis=0), JUDGES).tolist()),
            calibrated(reached),
            candidate_distance,
            max(NEIGHBOURS, crowded),
            rivalry,
        )
        return verifier, doubts

    @cached_property
    def _boosters(self) -> tuple[Any, ...]:
        booster = lightgbm().Booster  # when it is first asked for: a run without the verifier needs no LightGBM
        return tuple(booster(model_str=trees) for trees in self.trees)

    def profile(self, texts: pa.Table) -> Profiles:
        """Records, whose columns :meth:`Schema.select` made text, ready to be judged."""
        return Profiles.of(texts, self.schema, self.idf)

    def doubt(
        self,
        profiles: Profiles,
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        margin_distances: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """(m,) minus the natural logarithm of the odds that the pairs are matches, before calibration.

        Args:
            profiles: from :meth:`profile`.
            left, right: (m,) rows of the profiles.
            margin_distances: (m,) distance / margin.

        Raises:
            SettingsError: LightGBM cannot be loaded.
        """
        doubts = np.empty(len(left))
        for start in range(0, len(left), BLOCK_PAIRS):
            here = slice(start, start + BLOCK_PAIRS)
            features = self._features(profiles, left[here], right[here], margin_distances[here])
            log_odds = _log_odds(self._boosters, self.linear, features)
            # Not @, whose last digits depend on where a pair stands: it has the same doubt in whatever company.
            doubts[here] = -(np.array(self.weights)[:, None] * log_odds).sum(axis=0)
        return doubts

    def contributions(
        self,
        profiles: Profiles,
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        margin_distances: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """What each feature adds to minus the doubt of each pair.

        Exact: the judges' log-odds are weighed and summed, trees are parted by their Shapley values (TreeSHAP: Lundberg, Erion and Lee
        2018), and the linear judge is a sum.

        Args:
            profiles, left, right, margin_distances: as for :meth:`doubt`.

        Returns:
            (m, f + 1) float64, columns as :attr:`feature_names` and last what is usual among the pairs that were learned from; its rows
            sum to minus the doubts.

        Raises:
            SettingsError: LightGBM cannot be loaded.
        """
        added = np.empty((len(left), len(self.feature_names) + 1))
        for start in range(0, len(left), BLOCK_PAIRS):
            here = slice(start, start + BLOCK_PAIRS)
            features = self._features(profiles, left[here], right[here], margin_distances[here])
            by_judge = [each.predict(features, pred_contrib=True) for each in self._boosters]
            by_judge.append(self.linear.contributions(features))
            added[here] = np.tensordot(self.weights, np.stack(by_judge), axes=1)
        return added

    @property
    def feature_names(self) -> list[str]:
        """What the judges read: the comparison, the distance, and what labelled pairs say of the words."""
        return [*feature_names(self.schema), DISTANCE, SAID]

    def _features(
        self,
        profiles: Profiles,
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        margin_distances: NDArray[np.float64],
    ) -> NDArray[np.float32]:
        comparison = Comparison(profiles, left, right)
        return _features(_compared(comparison, self.schema), margin_distances, self.words.score(comparison))

    def summary(self) -> dict[str, Any]:
        return {
            "weights": dict(zip(("trees", "random_trees", "linear"), self.weights, strict=True)),
            "candidate_distance": self.candidate_distance,
            "rivals": self.rivalry and {"nearer": self.rivalry.nearer, "farther": self.rivalry.farther},
            **self.calibration.summary(),
        }

    def save(self, folder: Path) -> None:
        """Write the verifier's files into a new folder; text and tensors, no pickle."""
        folder.mkdir()
        with written(folder / WORDS):
            save_file({"idf": self.idf, **self.words.tensors(), **self.linear.tensors()}, folder / WORDS)
        for name, trees in zip(TREES, self.trees, strict=True):
            (folder / name).write_text(trees, encoding="utf-8")
        decision = {
            "weights": self.weights,
            "candidate_distance": self.candidate_distance,
            "neighbours": self.neighbours,
            "calibration": self.calibration.model_dump(mode="json"),
            "rivalry": self.rivalry and self.rivalry.to_json(),
        }
        write_json(folder / DECISION, decision)

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> "Verifier":
        """Read what :meth:`save` wrote."""
        tensors = load_file(folder / WORDS)
        words = WordWeights.from_tensors(tensors, len(word_fields(schema)))
        trees = tuple((folder / name).read_text(encoding="utf-8") for name in TREES)
        decision = read_json(folder / DECISION)
        calibration = Calibration.model_validate(decision["calibration"])
        linear, weights = Linear.from_tensors(tensors), tuple(decision["weights"])
        rivalry = decision.get("rivalry")  # which models of before have not
        return cls(
            schema,
            tensors["idf"],
            words,
            trees,
            linear,
            weights,
            calibration,
            float(decision["candidate_distance"]),
            int(decision["neighbours"]),
            rivalry and Rivalry.from_json(rivalry),
        )


def _features(
    compared: NDArray[np.float32], margin_distances: NDArray[np.float64], said: NDArray[np.float64]
) -> NDArray[np.float32]:
    return np.column_stack([compared, margin_distances, said]).astype(np.float32)


def _compared(comparison: Comparison, schema: Schema) -> NDArray[np.float32]:
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


def _log_odds(boosters: tuple[Any, ...], linear: Linear, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """(3, m) by each judge."""
    return np.stack([*(predict(each, features) for each in boosters), linear.log_odds(features)])


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
