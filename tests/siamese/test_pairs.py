"""Pairs: what each weighs."""

from itertools import combinations, product

import numpy as np

from siamese.pairs import Pairs


def test_a_record_s_pairs_with_an_entity_weigh_as_one_however_many_they_are() -> None:
    genuine = [*combinations(range(40), 2), (50, 51)]
    imposites = [*product(range(40), (50, 51)), *((60, other) for other in range(61, 71))]
    ends, is_match = np.array(genuine + imposites), np.repeat([1, 0], [len(genuine), len(imposites)]).astype(np.int8)
    weights = Pairs(ends[:, 0], ends[:, 1], is_match).record_weights()
    of_record = np.bincount(ends[is_match == 1].ravel(), np.repeat(weights[is_match == 1], 2))
    np.testing.assert_allclose(of_record[[*range(40), 50, 51]], 1)
    between = weights[len(genuine) : len(genuine) + 80]
    np.testing.assert_allclose(between, 1 / np.sqrt(40 * 2))  # as one of the forty and one of the two
    np.testing.assert_array_equal(weights[-10:], 1)
    nothing = np.empty(0, np.int64)
    assert len(Pairs(nothing, nothing, nothing.astype(np.int8)).record_weights()) == 0


def test_weights_are_those_of_counting_one_by_one() -> None:
    random = np.random.default_rng(0)
    entity = random.integers(0, 8, 30)
    ends = np.array([pair for pair in combinations(range(30), 2) if random.random() < 0.3])
    ends = np.where(random.random((len(ends), 1)) < 0.5, ends, ends[:, ::-1])
    whole = np.array([pair for pair in combinations(range(30), 2) if entity[pair[0]] == entity[pair[1]]])
    ends = np.concatenate([ends[entity[ends[:, 0]] != entity[ends[:, 1]]], whole])
    is_match = (entity[ends[:, 0]] == entity[ends[:, 1]]).astype(np.int8)

    def met(record: int, other: int) -> int:
        return sum(record in pair and entity[pair[pair != record][0]] == entity[other] for pair in ends)

    expected = [1 / np.sqrt(met(one, other) * met(other, one)) for one, other in ends]
    np.testing.assert_allclose(Pairs(ends[:, 0], ends[:, 1], is_match).record_weights(), expected)
