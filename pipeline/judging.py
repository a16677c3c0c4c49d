"""Judging: which candidates are matches, and how sure that is: by the distance alone, or by the verifier's second look."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.contents import Contents
from pipeline.embedding import Encoder
from siamese.calibration import Calibration
from siamese.verifier import Verifier

NEAR_MISS_BAND = 0.1  # pairs up to this share beyond max_distance are candidates too: what was nearly a match


@dataclass(frozen=True)
class Judgement:
    """Of m candidates.

    Attributes:
        score: (m,) margin_distance, or the verifier's doubt; inf for a pair too far apart for a second look.
        probability: (m,) of a match.
        is_match: (m,) flagged.
    """

    score: NDArray[np.float64]
    probability: NDArray[np.float64]
    is_match: NDArray[np.bool_]

    def take(self, chosen: NDArray) -> "Judgement":
        return Judgement(self.score[chosen], self.probability[chosen], self.is_match[chosen])

    @classmethod
    def concat(cls, parts: list["Judgement"]) -> "Judgement":
        if not parts:
            return cls(np.empty(0), np.empty(0), np.empty(0, bool))
        names = ("score", "probability", "is_match")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True)
class Judge:
    """A model with the threshold of a run.

    Attributes:
        calibration: of what is compared with the limit.
        limit: the greatest score that is flagged.
        radius: margin_distance within which every pair is a candidate.
        candidate_distance: margin_distance beyond which no pair is one. Between the two, a run looks at each record's nearest.
        verifier: what scores the candidates; None: their margin_distance is the score.
        threshold_from: where the limit comes from, in words.
    """

    calibration: Calibration
    limit: float
    radius: float
    candidate_distance: float
    verifier: Verifier | None
    threshold_from: str

    def reward(self, judgement: Judgement) -> NDArray[np.float64]:
        """(m,) what a match is worth where matches compete: above 0 for every flagged one, the more the smaller its score."""
        return self.limit + (1.0 if self.verifier else NEAR_MISS_BAND * self.limit) - judgement.score

    def describe(self) -> dict[str, Any]:
        """The threshold, for people and files; ``max_distance`` is None where the verifier decides."""
        return {
            "decided_by": "distance" if self.verifier is None else "verifier",
            "max_distance": self.limit if self.verifier is None else None,
            "min_probability": float(self.calibration.probability(self.limit)),
            "candidate_distance": self.candidate_distance,
            "threshold_from": self.threshold_from,
        }

    def judge(
        self, margin_distances: NDArray[np.float64], texts: pa.Table, left: NDArray[np.int64], right: NDArray[np.int64]
    ) -> Judgement:
        """Judge m candidates.

        Args:
            margin_distances: (m,).
            texts: records, whose columns :meth:`Schema.select` made text; read by the verifier only.
            left, right: (m,) rows of them.
        """
        score = margin_distances
        if self.verifier is not None:
            near = np.flatnonzero(margin_distances <= self.candidate_distance)
            score = np.full(len(margin_distances), np.inf)
            profiles = self.verifier.profile(texts)
            score[near] = self.verifier.doubt(profiles, left[near], right[near], margin_distances[near])
        return Judgement(score, self.calibration.probability(score), score <= self.limit)

    def judge_rows(
        self,
        margin_distances: NDArray[np.float64],
        left: Contents,
        left_rows: NDArray[np.int64],
        right: Contents,
        right_rows: NDArray[np.int64],
    ) -> Judgement:
        """Judge candidates that name rows of corpora, which may be one and the same."""
        if self.verifier is None:
            return self.judge(margin_distances, pa.table({}), left_rows, right_rows)
        if left is right:
            rows, places = np.unique(np.concatenate([left_rows, right_rows]), return_inverse=True)
            return self.judge(margin_distances, left.take(rows), *np.split(places, 2))
        lefts, left_places = np.unique(left_rows, return_inverse=True)
        rights, right_places = np.unique(right_rows, return_inverse=True)
        texts = pa.concat_tables([left.take(lefts), right.take(rights)]).combine_chunks()
        return self.judge(margin_distances, texts, left_places, right_places + len(lefts))


@dataclass(frozen=True)
class Threshold:
    """What a run flags: up to ``max_distance`` (margin units, by the distance alone), or as far as ``min_precision`` was kept on
    held-out pairs, or to the best F1 on them.

    Attributes:
        verifier: whether the model's verifier is asked, if it has one.
    """

    max_distance: float | None = None
    min_precision: float | None = None
    verifier: bool = True

    @property
    def asks_verifier(self) -> bool:
        return self.verifier and self.max_distance is None

    def judge(self, encoder: Encoder) -> Judge:
        """The model with this threshold.

        Raises:
            SettingsError: the threshold cannot be had.
        """
        verifier = encoder.verifier if self.asks_verifier else None
        if verifier is None:
            limit = encoder.calibration.threshold(self.max_distance, self.min_precision)
            radius = limit * (1 + NEAR_MISS_BAND)
            return Judge(encoder.calibration, limit, radius, radius, None, self._source)
        limit = verifier.calibration.threshold(None, self.min_precision)
        radius = min(encoder.calibration.max_distance * (1 + NEAR_MISS_BAND), verifier.candidate_distance)
        return Judge(verifier.calibration, limit, radius, verifier.candidate_distance, verifier, self._source)

    @property
    def _source(self) -> str:
        if self.min_precision is not None:
            return f"precision of at least {self.min_precision:g} on held-out pairs"
        return "best F1 on held-out pairs" if self.max_distance is None else "given"
