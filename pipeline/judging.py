"""Judging: how doubtful each candidate is, by its distance alone or by the verifier's second look."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.contents import Contents
from siamese.calibration import Calibration
from siamese.glance import Glance, seen_of
from siamese.rivals import Ends, Rivalry, pressures
from siamese.verifier import Verifier


@dataclass(frozen=True)
class Judge:
    """What scores the candidates of a run.

    Attributes:
        calibration: of the scores.
        radius: margin_distance within which every pair is a candidate.
        candidate_distance: margin_distance beyond which no pair is one. Between the two, a run looks at each record's nearest.
        neighbours: how many of each record's nearest that is.
        cut: the greatest score that is worth keeping.
        verifier: what scores the candidates; None: their margin_distance is the score.
        rivalry: what the rivals of a candidate say, between two tables; None: it is judged by itself.
        glance: what lets pairs go by without a look by the verifier, in a run (:mod:`pipeline.glancing`); None: nothing does.
    """

    calibration: Calibration
    radius: float
    candidate_distance: float
    neighbours: int
    cut: float
    verifier: Verifier | None
    rivalry: Rivalry | None = None
    glance: Glance | None = None

    @property
    def decided_by(self) -> str:
        return "distance" if self.verifier is None else "verifier"

    def among(
        self, scores: NDArray[np.float64], asked: Ends, rivals: Ends, doubts: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """(m,) scores of pairs among their rivals, where these count.

        Args:
            scores: (m,) of the pairs by themselves.
            asked: (m,) each: numbers of their left and right contents.
            rivals: (n,) each: of all that may be matched instead, which the pairs may be among.
            doubts: (n,) of those by themselves.
        """
        return scores if self.rivalry is None else self.rivalry.doubts(scores, pressures(asked, rivals, doubts))

    def score(
        self, margin_distances: NDArray[np.float64], texts: pa.Table, left: NDArray[np.int64], right: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """(m,) margin_distance, or the verifier's doubt; inf for a pair that is not worth a second look.

        Args:
            margin_distances: (m,).
            texts: records, whose columns :meth:`Schema.select` made text; read by the verifier only.
            left, right: (m,) rows of them.
        """
        if self.verifier is None:
            return margin_distances
        near = np.flatnonzero(margin_distances <= self.candidate_distance)
        if self.glance is not None:
            seen = seen_of(self.verifier, texts, left[near], right[near], margin_distances[near])
            near = near[self.glance.is_worth(seen)]
        score = np.full(len(margin_distances), np.inf)
        rows, places = np.unique(np.concatenate([left[near], right[near]]), return_inverse=True)
        profiles = self.verifier.profile(texts.take(pa.array(rows)).combine_chunks())
        one, other = np.split(places, 2)
        score[near] = self.verifier.doubt(profiles, one, other, margin_distances[near])
        return score

    def score_rows(
        self,
        margin_distances: NDArray[np.float64],
        left: Contents,
        left_rows: NDArray[np.int64],
        right: Contents,
        right_rows: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """(m,) scores of candidates that name rows of corpora, which may be one and the same."""
        if self.verifier is None:
            return margin_distances
        return self.score(margin_distances, *texts_of(left, left_rows, right, right_rows))


def texts_of(
    left: Contents, left_rows: NDArray[np.int64], right: Contents, right_rows: NDArray[np.int64]
) -> tuple[pa.Table, NDArray[np.int64], NDArray[np.int64]]:
    """The texts that pairs of rows are of, and the rows of these."""
    if left is right:
        rows, places = np.unique(np.concatenate([left_rows, right_rows]), return_inverse=True)
        return left.take(rows), *np.split(places, 2)
    lefts, left_places = np.unique(left_rows, return_inverse=True)
    rights, right_places = np.unique(right_rows, return_inverse=True)
    texts = pa.concat_tables([left.take(lefts), right.take(rights)]).combine_chunks()
    return texts, left_places, right_places + len(lefts)
