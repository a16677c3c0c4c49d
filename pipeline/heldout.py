"""Held out: pairs with distances by towers that never saw their labels, which calibration and the verifier learn from."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.material import Material
from siamese.calibration import pool_evidence
from siamese.company import Company, Rivals
from siamese.crossfit import CrossFitted
from siamese.measures import average_precision
from siamese.pairs import Pairs
from siamese.towers import Tower
from siamese.training import pair_distances


@dataclass(frozen=True)
class HeldOut:
    """m pairs.

    Attributes:
        pairs: labelled ones, and mined imposites.
        places: (m,) int64 which each is of the train, then the valid, then the pairs between them; -1 for a mined one.
        folds: (m,) int64 fold that was held out; -1 for what was held out of all of them.
        margin_distances: (m,) float64.
        like_valid: (m,) bool: drawn as the valid pairs were.
        rivals: what their records may be matched with instead; None where there are not two tables.
    """

    pairs: Pairs
    places: NDArray[np.int64]
    folds: NDArray[np.int64]
    margin_distances: NDArray[np.float64]
    like_valid: NDArray[np.bool_]
    rivals: Rivals | None

    @classmethod
    def of(
        cls, crossed: CrossFitted, material: Material, tower: Tower, company: Company | None, *, has_valid: bool
    ) -> Self:
        """``has_valid``: the valid pairs were learned from, and are in a fold; else they are held out of the tower itself."""
        train, valid = material.train, material.valid
        pairs, places, folds, distances = crossed.pairs, crossed.places, crossed.folds, crossed.distances
        mined = material.entities is not None
        rivals = crossed.rivals
        like_valid = (places >= len(train)) | mined | (material.one_draw and material.pools)
        if not has_valid:
            embeddings = tower.embed(material.features)
            others = material.valid_and_near(embeddings)
            apart = pair_distances(embeddings, others, material.config.energy)
            pairs, distances = pairs + others, np.append(distances, apart)
            folds = np.append(folds, np.full(len(others), -1))
            like_valid = np.append(like_valid, np.ones(len(others), bool))
            labelled = np.arange(len(train), len(train) + len(valid))
            places = np.concatenate([places, labelled, np.full(len(others) - len(valid), -1)])
            if company is not None and rivals is not None:
                rivals = Rivals.concat([rivals, company.rivals(tower, others.rows(), -1, material.config.energy)])
        return cls(pairs, places, folds, distances.astype(np.float64) / crossed.margin, like_valid, rivals)

    def average_precision(self, scores: NDArray[np.float64]) -> float:
        """Of scores, the less the more alike, on what is like the valid pairs."""
        return average_precision(scores[self.like_valid], self.pairs.is_match[self.like_valid])

    def evidence(self, is_chosen: NDArray[np.bool_], seed: int) -> tuple[NDArray[np.int64], bool]:
        """(e,) rows to learn probabilities from, and whether they were drawn to be judged.

        Pairs drawn to be judged teach, but they are no sample of what a run proposes: probabilities are learned from them only where there
        is nothing else. Then from all: they were chosen by what the records say, so among pairs of a like score the share of matches holds.

        Args:
            is_chosen: of each place.
        """
        is_plain = np.flatnonzero((self.places < 0) | ~is_chosen[self.places])
        if len(np.unique(self.pairs.is_match[is_plain])) < 2:
            return np.arange(len(self.pairs)), True
        random = np.random.default_rng(seed)
        return is_plain[pool_evidence(self.pairs.is_match[is_plain], self.like_valid[is_plain], random)], False
