"""Contest: labelled pairs and the rivals of their records, from which is learned what rivals say."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from siamese.comparison import Comparison
from siamese.judges import Judges, compare
from siamese.rivals import Ends, pressures
from siamese.schema import Schema


@dataclass(frozen=True)
class Contest:
    """What m held-out pairs compete with: r rivals, of either label or none.

    Attributes:
        comparison: of the rivals.
        margin_distances: (r,) by towers that did not learn from the pairs of the fold.
        folds: (r,) whose pairs each rivals.
        rivals: (r,) each: number of what the left and of what the right record says.
        asked: (m,) each: the same of the pairs.
    """

    comparison: Comparison
    margin_distances: NDArray[np.float64]
    folds: NDArray[np.int64]
    rivals: Ends
    asked: Ends

    def pressures(
        self, judges: Mapping[int, Judges], folds: NDArray[np.int64], farthest: float, schema: Schema
    ) -> NDArray[np.float64]:
        """(m, 2) of :func:`siamese.rivals.pressures` on the pairs, by judges that did not learn from the pair's fold.

        Args:
            judges: of each fold.
            folds: (m,) of the pairs.
            farthest: margin distance beyond which nothing is a candidate, and so no rival.
            schema: of the comparison.
        """
        pressure, compared = np.zeros((len(folds), 2)), self._compared(schema)
        for fold, its_judges in judges.items():
            here, held = np.flatnonzero(self.folds == fold), np.flatnonzero(folds == fold)
            apart = self.margin_distances[here]
            doubts = its_judges.doubts(self.comparison.take(here), compared[here], apart)
            asked, rivals = ((ends[0][some], ends[1][some]) for ends, some in ((self.asked, held), (self.rivals, here)))
            pressure[held] = pressures(asked, rivals, np.where(apart <= farthest, doubts, np.inf))
        return pressure

    def _compared(self, schema: Schema) -> NDArray[np.float32]:
        """(r, f) features; a pair that rivals in several folds is compared once."""
        ends = np.stack([self.comparison.left, self.comparison.right], axis=1)
        _, first, place = np.unique(ends, axis=0, return_index=True, return_inverse=True)
        return compare(self.comparison.take(first), schema)[place.ravel()]
