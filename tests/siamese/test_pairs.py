"""Pairs: what each weighs."""

from itertools import combinations

import numpy as np

from siamese.pairs import Pairs


def test_a_record_s_genuine_pairs_weigh_as_one_however_many_they_are() -> None:
    ends = np.array([*combinations(range(40), 2), (50, 51), *((60, other) for other in range(10))])
    is_match = np.ones(len(ends), np.int8)
    is_match[-10:] = 0
    weights = Pairs(ends[:, 0], ends[:, 1], is_match).record_weights()
    of_record = np.bincount(ends[is_match == 1].ravel(), np.repeat(weights[is_match == 1], 2))
    np.testing.assert_allclose(of_record[[*range(40), 50, 51]], 1)
    np.testing.assert_array_equal(weights[is_match == 0], 1)
    nothing = np.empty(0, np.int64)
    assert len(Pairs(nothing, nothing, nothing.astype(np.int8)).record_weights()) == 0
