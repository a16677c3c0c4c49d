"""The verifier: a second look at a candidate pair, from the distance and from what the two records share and where they part.

It gives a *doubt*: minus the log-odds of a match, small when alike as a distance is, and calibrated in the same way.

It is the weighed log-odds of three judges (:mod:`siamese.judges`), and between two tables what a pair's rivals say (:mod:`siamese.rivals`).
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from siamese.calibration import Calibration
from siamese.comparison import Comparison, feature_names
from siamese.contest import Contest
from siamese.folders import read_json, write_json, written
from siamese.judges import BLOCK_PAIRS, CrossJudged, compare, features_of, lightgbm, log_odds_of
from siamese.linear import Linear
from siamese.profiles import Profiles, word_fields
from siamese.rivals import Rivalry, among_rivals, weigh
from siamese.schema import Schema
from siamese.wordweights import WordWeights

# Candidates reach a tenth and, of n held-out genuine pairs, 1/n beyond what holds this share of them: the few farther out are past telling,
# but a few pairs do not show how far their like may lie.
REACHED, BEYOND = 0.995, 1.1
# The nearest of a record that are looked at: five, or as many matches as 99 of 100 records with any have among the labelled pairs.
NEIGHBOURS, CROWDED = 5, 0.99
DISTANCE, SAID = "margin_distance", "said"  # their names
WORDS, TREES, DECISION = "words.safetensors", ("trees.txt", "random-trees.txt"), "verifier.json"


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
        judged = CrossJudged.of(schema, comparison, margin_distances, is_match, folds, seed)
        genuine = margin_distances[evidence][is_match[evidence] == 1]
        candidate_distance = (BEYOND + 1 / len(genuine)) * float(np.quantile(genuine, REACHED, method="higher"))
        partners = np.bincount(np.concatenate([each[is_match == 1] for each in (comparison.left, comparison.right)]))
        crowded = int(np.quantile(partners[partners > 0], CROWDED, method="higher"))
        reached = np.where(margin_distances <= candidate_distance, judged.doubts, np.inf)
        if len(np.unique(is_match[evidence][np.isfinite(reached[evidence])])) < 2:
            reached = judged.doubts  # every imposite is out of reach: then those say what little can be said

        def calibrated(scores: NDArray[np.float64]) -> Calibration:
            left, right = comparison.left[evidence], comparison.right[evidence]
            return Calibration.fit(
                scores[evidence], is_match[evidence], left, right, are_doubts=True, are_chosen=are_chosen
            )

        rivalry = None
        if contest is not None:
            pressure = contest.pressures(judged.by_fold, folds, candidate_distance, schema)
            some = evidence[np.isfinite(reached[evidence])]
            left, right = weigh(reached[some], pressure[some], is_match[some])
            rivalry = Rivalry(left, right, calibrated(among_rivals(reached, pressure, left, right)))
        verifier = cls(
            schema,
            idf,
            judged.whole.words,
            tuple(booster.model_to_string() for booster in judged.whole.boosters),
            judged.whole.linear,
            tuple(judged.whole.weights.tolist()),
            calibrated(reached),
            candidate_distance,
            max(NEIGHBOURS, crowded),
            rivalry,
        )
        return verifier, judged.doubts

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
            log_odds = log_odds_of(self._boosters, self.linear, features)
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
        return features_of(compare(comparison, self.schema), margin_distances, self.words.score(comparison))

    def summary(self) -> dict[str, Any]:
        return {
            "weights": dict(zip(("trees", "random_trees", "linear"), self.weights, strict=True)),
            "candidate_distance": self.candidate_distance,
            "rivals": self.rivalry and {"left": self.rivalry.left, "right": self.rivalry.right},
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
