"""Word weights: how much it says that a word is in a field of both records, or of one alone; learned on labelled pairs."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from siamese.comparison import Comparison, row_numbers
from siamese.features import HASH_BITS

PENALTY = 0.3  # scikit-learn's C: thousands of words meet few pairs; a tenth of it does as well


@dataclass(frozen=True)
class WordWeights:
    """Log-odds for a match, by field and hashed word; 0 for words that training did not see.

    Attributes:
        shared, unshared: (F, 2**18) float32: of a word that both sides have, of a word that one has.
    """

    shared: NDArray[np.float32]
    unshared: NDArray[np.float32]

    @classmethod
    def fit(cls, comparison: Comparison, is_match: NDArray[np.int8]) -> "WordWeights":
        """Logistic regression with an L2 penalty on which words are shared and which are not."""
        from sklearn.linear_model import LogisticRegression  # a second to import, and only training needs it

        design, ids = _design(comparison)
        n_fields = comparison.n_fields
        weights = np.zeros((2, n_fields, 2**HASH_BITS), np.float32)
        if design.shape[1]:  # there are words
            model = LogisticRegression(C=PENALTY, solver="liblinear", max_iter=200, random_state=0).fit(
                design, is_match
            )
            weights[:, :, ids] = model.coef_.reshape(2, n_fields, len(ids))
        return cls(weights[0], weights[1])

    def score(self, comparison: Comparison) -> NDArray[np.float64]:
        """(m,) sum of the weights of each pair's words."""
        p = comparison.profiles
        return self.said(p.cells, p.ids, comparison.left, comparison.right, comparison.shared_cells)

    def said(
        self,
        cells: sp.csr_array,
        ids: NDArray[np.int64],
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        shared: sp.csr_array | None = None,
    ) -> NDArray[np.float64]:
        """The same of records as the (n * F, v) words of each field, as ones.

        Args:
            ids: (v,) hashed feature of each word.
            left, right: (m,) records.
            shared: (m * F, v) words that a field has on both sides, if they are known.
        """
        n_fields = len(self.shared)
        if n_fields == 0:
            return np.zeros(len(left))
        if shared is None:
            one, other = ((rows[:, None] * n_fields + np.arange(n_fields)).ravel() for rows in (left, right))
            shared = cells[one].multiply(cells[other]).tocsr()
        alone = self._sums(self.unshared, cells, ids, n_fields)
        return alone[left] + alone[right] + self._sums(self._together, shared, ids, n_fields)

    @cached_property
    def _together(self) -> NDArray[np.float32]:
        """(F, words) of a word on both sides, over what it adds on either by itself; worked out once, not for each query."""
        return self.shared - 2 * self.unshared

    @staticmethod
    def _sums(weights: NDArray, cells: sp.csr_array, ids: NDArray[np.int64], n_fields: int) -> NDArray[np.float64]:
        """(rows,) sums over the fields and words of each record or pair, whose fields are rows of ``cells``."""
        row = row_numbers(cells)
        said = weights[row % n_fields, ids[cells.indices]].astype(np.float64)
        return np.bincount(row // n_fields, said, cells.shape[0] // n_fields).astype(np.float64)

    def tensors(self) -> dict[str, NDArray]:
        """The weights that are not 0, as arrays to save."""
        places = np.flatnonzero((self.shared != 0) | (self.unshared != 0))
        return {
            "words": places.astype(np.int64),
            "shared": self.shared.ravel()[places],
            "unshared": self.unshared.ravel()[places],
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, NDArray], n_fields: int) -> "WordWeights":
        weights = np.zeros((2, n_fields * 2**HASH_BITS), np.float32)
        weights[0, tensors["words"]], weights[1, tensors["words"]] = tensors["shared"], tensors["unshared"]
        return cls(*weights.reshape(2, n_fields, 2**HASH_BITS))


def _design(comparison: Comparison) -> tuple[sp.csr_matrix, NDArray[np.int64]]:
    """(m, 2 * F * distinct words) ones: shared words by field, then unshared ones; and the hashed words of the columns."""
    p, n_fields, m = comparison.profiles, comparison.n_fields, len(comparison.left)
    shared = comparison.shared_cells
    unshared = (p.cells[comparison.left_cells] + p.cells[comparison.right_cells] - 2 * shared).tocsr()
    ids, column_of = np.unique(p.ids, return_inverse=True)
    parts = []
    for cells in (shared, unshared):
        row = row_numbers(cells)
        columns = (row % n_fields) * len(ids) + column_of[cells.indices]
        parts.append(sp.csr_array((np.ones(len(row)), (row // n_fields, columns)), shape=(m, n_fields * len(ids))))
    design = sp.csr_matrix(sp.hstack(parts))
    design.indices, design.indptr = design.indices.astype(np.int32), design.indptr.astype(np.int32)  # liblinear's
    return design, ids
