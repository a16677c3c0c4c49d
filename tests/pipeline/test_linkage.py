"""Loose components: against average linkage by hand, and what must not happen to tight ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import linkage
from pipeline.bonds import Bonds
from pipeline.linkage import split_loose
from siamese.components import components


def groups(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


def clique(rows: list[int], probability: float) -> list[tuple[int, int, float]]:
    return [(a, b, probability) for i, a in enumerate(rows) for b in rows[i + 1 :]]


def split(n: int, pairs: list[tuple[int, int, float]], least_mean: float = 0.5) -> set[frozenset[int]]:
    left, right = (np.array([pair[i] for pair in pairs], np.int64) for i in (0, 1))
    probability = np.array([pair[2] for pair in pairs])
    bonds = Bonds(left, right, probability, probability >= 0.5)
    component = components(left[bonds.is_match], right[bonds.is_match], n)
    return groups(split_loose(component, bonds, least_mean))


def by_hand(n: int, pairs: list[tuple[int, int, float]], least_mean: float) -> set[frozenset[int]]:
    """Merge the two groups with the greatest mean probability, while that is so much; ties are avoided by the caller."""
    p = np.zeros((n, n))
    for a, b, value in pairs:
        p[a, b] = p[b, a] = value
    found = [[row] for row in range(n)]
    while len(found) > 1:
        means = {
            (i, j): p[np.ix_(found[i], found[j])].mean() for i in range(len(found)) for j in range(i + 1, len(found))
        }
        (i, j), best = max(means.items(), key=lambda item: item[1])
        if best < least_mean:
            break
        found[i] += found.pop(j)
    return {frozenset(group) for group in found}


@pytest.fixture(params=["in rounds", "laid out"])
def way(request, monkeypatch):
    monkeypatch.setattr(linkage, "LAID_OUT", range(3, 1_000) if request.param == "laid out" else range(0))
    return request.param


def test_two_groups_with_one_bridge_are_parted_and_tight_ones_stay(way) -> None:
    pairs = [*clique([0, 1, 2], 0.95), *clique([3, 4, 5, 6], 0.9), (2, 3, 0.8), *clique([7, 8, 9], 0.6)]
    assert split(11, pairs) == {frozenset(each) for each in ((0, 1, 2), (3, 4, 5, 6), (7, 8, 9), (10,))}


def test_a_large_group_that_lacks_some_pairs_stays_whole(way) -> None:
    random = np.random.default_rng(0)
    pairs = [pair for pair in clique(list(range(60)), 0.97) if random.random() < 0.8]
    assert split(60, pairs) == {frozenset(range(60))}


@pytest.mark.parametrize("rows", [range(0), range(3, 1_000)], ids=["in rounds", "laid out"])
@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(3, 12), st.floats(0.2, 1), st.floats(0.01, 0.99))
def test_groups_are_those_of_average_linkage_by_hand(rows, seed, n, density, least) -> None:
    random = np.random.default_rng(seed)
    pairs = [(a, b, float(random.random())) for a in range(n) for b in range(a + 1, n) if random.random() < density]
    pairs = pairs or [(0, 1, 0.7)]
    left, right, probability = (np.array(column) for column in zip(*pairs, strict=True))
    # Average linkage over everything, as one component.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linkage, "LAID_OUT", rows)
        bonds = Bonds(left, right, probability, probability >= least)
        found = split_loose(np.zeros(n, np.int64), bonds, least)
    assert groups(found) == by_hand(n, pairs, least)


def test_a_component_of_50000_rows_falls_apart_and_thousands_of_small_ones_with_it() -> None:
    """Groups of ten whose members are likely the same, all strung together by pairs that are hardly so."""
    random = np.random.default_rng(0)
    n = 50_000
    first = np.arange(0, n, 10)
    within = np.array([(a, b) for a in range(10) for b in range(a + 1, 10)])
    left, right = (np.add.outer(first, within[:, side]).ravel() for side in (0, 1))
    small = n + 4 * np.arange(20_000)  # of four rows: two and two, and one of the four pairs between them
    left = np.concatenate([left, random.integers(0, n, 100_000), small, small + 2, small + 1])
    right = np.concatenate([right, random.integers(0, n, 100_000), small + 1, small + 3, small + 2])
    bridge = (left < n) & (left // 10 != right // 10) | (left >= n) & (left % 2 == 1)
    probability = np.where(bridge, random.uniform(0.5, 0.6, len(left)), random.uniform(0.9, 1, len(left)))
    _, once = np.unique(np.minimum(left, right) * 2 * len(left) + np.maximum(left, right), return_index=True)
    once = once[left[once] != right[once]]
    bonds = Bonds(left[once], right[once], probability[once], np.ones(len(once), bool))
    component = components(bonds.left, bonds.right, n + 80_000)
    assert np.bincount(component).max() == n and len(np.bincount(component)) == 20_001
    group = split_loose(component, bonds, 0.5)
    assert np.array_equal(group[:n], np.repeat(group[first], 10)) and len(np.unique(group)) == 5_000 + 40_000
    assert np.array_equal(group[n:], np.repeat(group[n::2], 2))


def test_what_is_asked_of_the_mean_decides(way) -> None:
    pairs = [
        *clique([0, 1, 2], 0.95),
        *clique([3, 4, 5], 0.95),
        *((a, b, 0.4) for a in range(2) for b in range(3, 6)),
        (2, 3, 0.8),
    ]
    mean = (6 * 0.4 + 0.8) / 9
    assert split(6, pairs, mean - 0.01) == {frozenset(range(6))}
    assert split(6, pairs, mean + 0.01) == {frozenset((0, 1, 2)), frozenset((3, 4, 5))}


@pytest.mark.parametrize("n", [40, 300])
def test_equal_probabilities_come_out_the_same_each_time_and_whole(n) -> None:
    pairs = clique(list(range(n)), 0.9)
    assert split(n, pairs[:-1]) == split(n, pairs[:-1]) == {frozenset(range(n))}
