"""Measures: against scikit-learn and against counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from siamese.measures import Curve, average_precision

# Few distinct distances, so that ties are common.
DISTANCES = st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.5]) | st.floats(0, 2)
PAIRS = st.lists(st.tuples(DISTANCES, st.integers(0, 1)), min_size=1, max_size=30)
PAIRS_WITH_A_MATCH = PAIRS.filter(lambda pairs: any(y for _, y in pairs))


def columns(pairs: list[tuple[float, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([d for d, _ in pairs]), np.array([y for _, y in pairs])


@given(PAIRS_WITH_A_MATCH)
def test_average_precision_is_scikit_learns(pairs: list[tuple[float, int]]) -> None:
    distances, labels = columns(pairs)
    assert average_precision(distances, labels) == pytest.approx(average_precision_score(labels, -distances))


def test_average_precision_without_matches_or_pairs_is_zero() -> None:
    assert average_precision(np.array([0.1, 0.2]), np.array([0, 0])) == 0
    assert average_precision(np.array([]), np.array([])) == 0


@given(PAIRS_WITH_A_MATCH)
def test_every_row_of_the_curve_counts_the_pairs_up_to_its_distance(pairs: list[tuple[float, int]]) -> None:
    distances, labels = columns(pairs)
    curve = Curve.of(distances, labels)
    assert curve.distances.tolist() == sorted(set(distances.tolist()))
    assert curve.matches == labels.sum()
    for row, threshold in enumerate(curve.distances):
        flagged = distances <= threshold
        assert curve.flagged[row] == flagged.sum()
        assert curve.right[row] == labels[flagged].sum()
        precision, recall, f1, _ = precision_recall_fscore_support(labels, flagged, average="binary")
        assert curve.precision[row] == pytest.approx(precision)
        assert curve.recall[row] == pytest.approx(recall)
        assert curve.f1[row] == pytest.approx(f1)


@given(PAIRS)
def test_the_threshold_of_a_row_flags_exactly_its_pairs(pairs: list[tuple[float, int]]) -> None:
    distances, labels = columns(pairs)
    distances = distances.round(6)  # neighbouring floats have nothing between them
    curve = Curve.of(distances, labels)
    for row in range(len(curve.distances)):
        assert (distances <= curve.between(row)).sum() == curve.flagged[row]
    middle = [curve.between(row) for row in range(len(curve.distances) - 1)]
    np.testing.assert_allclose(middle, (curve.distances[1:] + curve.distances[:-1]) / 2)
