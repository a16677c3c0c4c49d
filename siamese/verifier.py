"""The verifier: a second look at a candidate pair, from the distance and from what the two records share and where they part.

Gradient-boosted trees, half of them plain and half extremely random (their errors differ), on :mod:`siamese.comparison` and the distance.
What was learned on a pair's own label (the distance, the word weights) is never shown with that pair: in training both come from folds
that did not hold it (stacking: Wolpert 1992), else the trees trust them far too much.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from siamese.comparison import Comparison, feature_names
from siamese.errors import SettingsError
from siamese.profiles import Profiles, word_fields
from siamese.schema import Schema
from siamese.wordweights import WordWeights

BLOCK_PAIRS = 16_384  # compared at once
WORDS, TREES = "words.safetensors", ("trees.txt", "random-trees.txt")
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
        trees: LightGBM models, whose log-odds are averaged.
    """

    schema: Schema
    idf: NDArray[np.float32]
    words: WordWeights
    trees: tuple[Any, ...]

    @classmethod
    def fit(
        cls,
        schema: Schema,
        idf: NDArray[np.float32],
        comparison: Comparison,
        margin_distances: NDArray[np.float64],
        is_match: NDArray[np.int8],
        folds: NDArray[np.int64],
        seed: int,
    ) -> tuple["Verifier", NDArray[np.float64]]:
        """Learn from labelled pairs.

        Args:
            schema: the fields of the profiles.
            idf: what the profiles were made with.
            comparison: m pairs.
            margin_distances: (m,) distance / margin, by towers that were not trained on the pair.
            is_match: (m,) labels.
            folds: (m,) the fold of each pair.
            seed: of the trees' random choices.

        Returns:
            The verifier, and (m,) log-odds of the same pairs by verifiers that were not trained on the pair's fold.

        Raises:
            SettingsError: LightGBM cannot be loaded.
        """
        held = [folds == fold for fold in np.unique(folds)]
        said = np.empty(len(comparison))
        for fold in held:
            said[fold] = WordWeights.fit(comparison.take(~fold), is_match[~fold]).score(comparison.take(fold))
        features = np.column_stack([_compared(comparison, schema), margin_distances, said]).astype(np.float32)
        out_of_fold = np.empty(len(comparison))
        for fold in held:
            out_of_fold[fold] = _log_odds(_grow(features[~fold], is_match[~fold], seed), features[fold])
        words = WordWeights.fit(comparison, is_match)
        return cls(schema, idf, words, _grow(features, is_match, seed)), out_of_fold

    def profile(self, texts: pa.Table) -> Profiles:
        """Records, whose columns :meth:`Schema.select` made text, ready to be judged."""
        return Profiles.of(texts, self.schema, self.idf)

    def log_odds(
        self,
        profiles: Profiles,
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        margin_distances: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """(m,) natural logarithm of the odds that the pairs are matches, before calibration.

        Args:
            profiles: from :meth:`profile`.
            left, right: (m,) rows of the profiles.
            margin_distances: (m,) distance / margin.
        """
        judged = np.empty(len(left))
        for start in range(0, len(left), BLOCK_PAIRS):
            here = slice(start, start + BLOCK_PAIRS)
            comparison = Comparison(profiles, left[here], right[here])
            said = self.words.score(comparison)
            features = np.column_stack([_compared(comparison, self.schema), margin_distances[here], said])
            judged[here] = _log_odds(self.trees, features.astype(np.float32))
        return judged

    def save(self, folder: Path) -> None:
        """Write the verifier's files into a new folder; text and tensors, no pickle."""
        folder.mkdir()
        save_file({"idf": self.idf, **self.words.tensors()}, folder / WORDS)
        for name, trees in zip(TREES, self.trees, strict=True):
            (folder / name).write_text(trees.model_to_string(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, schema: Schema) -> "Verifier":
        """Read what :meth:`save` wrote.

        Raises:
            SettingsError: LightGBM cannot be loaded.
        """
        booster = _lightgbm().Booster
        tensors = load_file(folder / WORDS)
        words = WordWeights.from_tensors(tensors, len(word_fields(schema)))
        trees = tuple(booster(model_str=(folder / name).read_text(encoding="utf-8")) for name in TREES)
        return cls(schema, tensors["idf"], words, trees)


def _compared(comparison: Comparison, schema: Schema) -> NDArray[np.float32]:
    blocks = range(0, len(comparison), BLOCK_PAIRS)
    parts = [comparison.take(slice(start, start + BLOCK_PAIRS)).features(schema) for start in blocks]
    return np.concatenate(parts) if parts else np.empty((0, len(feature_names(schema))), np.float32)


def _grow(features: NDArray[np.float32], is_match: NDArray[np.int8], seed: int) -> tuple[Any, ...]:
    lightgbm = _lightgbm()
    return tuple(
        lightgbm.train({**_PARAMETERS, **kind, "seed": seed}, lightgbm.Dataset(features, is_match), _ROUNDS)
        for kind in (_PLAIN, _RANDOM)
    )


def _log_odds(trees: tuple[Any, ...], features: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.mean([each.predict(features, raw_score=True) for each in trees], axis=0)


def _lightgbm() -> Any:
    try:
        import lightgbm
    except OSError as error:  # the wheel leaves OpenMP's runtime to the system
        raise SettingsError(
            f"the verifier's LightGBM cannot be loaded ({error}): install the system's OpenMP runtime "
            "(Debian, Ubuntu: apt install libgomp1; macOS: brew install libomp), or give --verifier none"
        ) from error
    return lightgbm
