"""Strongest paths: against networkx, and what goes first among equals."""

import itertools

import networkx as nx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.bonds import Bonds
from pipeline.paths import Paths


def bonds(pairs: list[tuple[int, int, float]], least: float = 0.5) -> Bonds:
    left, right = (np.array([pair[i] for pair in pairs], np.int64) for i in (0, 1))
    probability = np.array([pair[2] for pair in pairs], np.float64)
    return Bonds(left, right, probability, probability >= least)


def path(paths: Paths, row: int) -> list[int]:
    found = [row]
    while paths.parent[found[-1]] >= 0:
        found.append(int(paths.parent[found[-1]]))
    return found


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 30), st.floats(0.05, 0.6), st.booleans())
def test_no_path_has_a_stronger_weakest_link(seed, n, density, ties):
    random = np.random.default_rng(seed)
    draw = (lambda: float(random.integers(1, 4)) / 4) if ties else random.random
    pairs = [
        (a, b, draw()) if random.random() < 0.5 else (b, a, draw())
        for a in range(n)
        for b in range(a + 1, n)
        if random.random() < density
    ]
    graph = nx.Graph()
    graph.add_nodes_from(range(n))
    graph.add_weighted_edges_from(pairs)
    trees = list(nx.connected_components(graph))
    roots = {max(tree, key=lambda row: (row * 7) % 31): tree for tree in trees}
    paths = Paths.of(bonds(pairs), np.array(list(roots)), n)
    strongest = nx.maximum_spanning_tree(graph)
    for root, tree in roots.items():
        for row in tree:
            found = path(paths, row)
            assert found[-1] == root and len(found) - 1 == paths.links[row]
            along = [graph[a][b]["weight"] for a, b in itertools.pairwise(found)]
            best = nx.shortest_path(strongest, row, root)
            expected = min((strongest[a][b]["weight"] for a, b in itertools.pairwise(best)), default=1.0)
            assert paths.weakest[row] == min(along, default=1.0) == expected
            assert np.isnan(paths.probability[row]) if row == root else paths.probability[row] == along[0]


def test_of_equals_a_flagged_pair_goes_first_and_then_one_with_the_representative():
    pairs = [(0, 1, 0.9), (1, 2, 0.9), (2, 0, 0.9), (3, 2, 0.9)]
    equal = bonds(pairs)
    assert Paths.of(equal, np.array([2]), 4).parent.tolist() == [2, 2, -1, 2]
    unflagged = Bonds(equal.left, equal.right, equal.probability, np.array([True, True, False, True]))
    assert Paths.of(unflagged, np.array([2]), 4).parent.tolist() == [1, 2, -1, 2]


def test_a_long_chain_and_rows_that_nothing_ties():
    n = 20_000
    chain = bonds([(row, row + 1, 0.5 + row / n / 2) for row in range(n - 1)])
    paths = Paths.of(chain, np.array([n - 1, n]), n + 2)
    assert paths.links[:n].tolist() == list(range(n - 1, -1, -1))
    assert np.array_equal(paths.weakest[: n - 1], chain.probability)
    assert paths.parent[n - 1 :].tolist() == [-1, -1, -1] and paths.links[n + 1] == 0
