"""Loose components: against average linkage by hand, and what must not happen to tight ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import linkage
from pipeline.components import components
from pipeline.linkage import split_loose


def groups(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


def clique(rows: list[int], probability: float) -> list[tuple[int, int, float]]:
    return [(a, b, probability) for i, a in enumerate(rows) for b in rows[i + 1 :]]


def split(n: int, pairs: list[tuple[int, int, float]]) -> tuple[set[frozenset[int]], int]:
    left, right = (np.array([pair[i] for pair in pairs], np.int64) for i in (0, 1))
    probability = np.array([pair[2] for pair in pairs])
    is_match = probability >= 0.5
    component = components(left[is_match], right[is_match], n)
    found, parted = split_loose(component, left, right, probability, is_match)
    return groups(found), parted


def by_hand(n: int, pairs: list[tuple[int, int, float]]) -> set[frozenset[int]]:
    """Merge the two groups with the greatest mean probability, while that is a half or more; ties are avoided by the caller."""
    p = np.zeros((n, n))
    for a, b, value in pairs:
        p[a, b] = p[b, a] = value
    found = [[row] for row in range(n)]
    while len(found) > 1:
        means = {
            (i, j): p[np.ix_(found[i], found[j])].mean() for i in range(len(found)) for j in range(i + 1, len(found))
        }
        (i, j), best = max(means.items(), key=lambda item: item[1])
        if best < 0.5:
            break
        found[i] += found.pop(j)
    return {frozenset(group) for group in found}


def test_two_groups_with_one_bridge_are_parted_and_tight_ones_stay() -> None:
    pairs = [*clique([0, 1, 2], 0.95), *clique([3, 4, 5, 6], 0.9), (2, 3, 0.8), *clique([7, 8, 9], 0.6)]
    found, parted = split(11, pairs)
    assert found == {frozenset(each) for each in ((0, 1, 2), (3, 4, 5, 6), (7, 8, 9), (10,))}
    assert parted == 1


def test_a_large_group_that_lacks_some_pairs_stays_whole() -> None:
    random = np.random.default_rng(0)
    pairs = [pair for pair in clique(list(range(60)), 0.97) if random.random() < 0.8]
    assert split(60, pairs) == ({frozenset(range(60))}, 0)


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(3, 12), st.floats(0.2, 1))
def test_groups_are_those_of_average_linkage_by_hand(seed, n, density) -> None:
    random = np.random.default_rng(seed)
    pairs = [(a, b, float(random.random())) for a in range(n) for b in range(a + 1, n) if random.random() < density]
    pairs = pairs or [(0, 1, 0.7)]
    expected = by_hand(n, pairs)
    left, right, probability = (np.array(column) for column in zip(*pairs, strict=True))
    # Average linkage over everything, as one component.
    found, _ = split_loose(np.zeros(n, np.int64), left, right, probability, probability >= 0.5)
    assert groups(found) == expected


@pytest.mark.parametrize("largest", [3, 10])
def test_a_component_too_large_to_lay_out_falls_apart_by_its_weaker_matches(monkeypatch, caplog, largest) -> None:
    monkeypatch.setattr(linkage, "LARGEST", largest)
    pairs = [*clique([0, 1, 2], 0.99), *clique([3, 4, 5], 0.99), (2, 3, 0.8)]
    assert split(6, pairs)[0] == {frozenset((0, 1, 2)), frozenset((3, 4, 5))}
    assert ("groups of over 3 contents" in caplog.text) == (largest == 3)
