"""Cross-fitting against the same towers trained one by one."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from siamese.crossfit import Folds, cross_fit, deal_folds
from siamese.pairs import Pairs
from siamese.training import Entities, copy_weights, pair_distances, restore_weights, train_tower
from tests.siamese.test_training import TRAIN, VALID, config, small_tower

FOLDS = Folds(2, deal_folds(np.arange(len(TRAIN)), TRAIN.is_match, 2, seed=0))


@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=60), st.integers(2, 4), st.integers(0, 9)
)
def test_folds_hold_whole_groups_and_share_the_matches(pairs, count, seed) -> None:
    groups, is_match = (np.array(column) for column in zip(*pairs, strict=True))
    folds = deal_folds(groups, is_match, count, seed)
    assert folds.min() >= 0 and folds.max() < count
    matched = {}
    for group in np.unique(groups):
        assert len(set(folds[groups == group])) == 1
        matched.setdefault(bool(is_match[groups == group].any()), []).append(folds[groups == group][0])
    for dealt in matched.values():
        sizes = np.bincount(dealt, minlength=count)
        assert sizes.max() - sizes.min() <= 1


def test_distances_are_those_of_towers_that_did_not_see_the_pair() -> None:
    tower, features = small_tower()
    start = copy_weights(tower)
    settings = config(epochs=3, margin=1.3)
    crossed = cross_fit(tower, features, TRAIN, VALID, FOLDS, settings)
    total = {name: torch.zeros_like(tensor) for name, tensor in start.items()}
    for fold in range(2):
        restore_weights(tower, start)
        held = TRAIN.take(FOLDS.of_pairs == fold)
        trained = train_tower(tower, features, TRAIN.take(FOLDS.of_pairs != fold), held, settings)
        expected = pair_distances(tower.embed(features), held, settings.energy)
        np.testing.assert_array_equal(crossed.distances[crossed.folds == fold], expected)
        assert crossed.trained[fold].best_epoch == trained.best_epoch
        assert {epoch.fold for epoch in crossed.trained[fold].history} == {fold}
        total = {name: total[name] + tensor for name, tensor in copy_weights(tower).items()}
    restore_weights(tower, start)
    cross_fit(tower, features, TRAIN, VALID, FOLDS, settings)
    for name, tensor in copy_weights(tower).items():
        torch.testing.assert_close(tensor, total[name] / 2)


def test_valid_pairs_have_no_say_where_weights_are_averaged() -> None:
    results = []
    for valid in (VALID, Pairs(VALID.left, VALID.right, (1 - VALID.is_match).astype(np.int8))):
        tower, features = small_tower()
        crossed = cross_fit(tower, features, TRAIN, valid, FOLDS, config(epochs=2))
        results.append((crossed.margin, crossed.distances.tolist(), tower.embed(features).tolist()))
    assert results[0] == results[1]


def test_where_they_are_not_the_last_tower_learns_from_all(monkeypatch) -> None:
    tower, features = small_tower()
    monkeypatch.setattr(type(tower), "averages", False)
    start = copy_weights(tower)
    crossed = cross_fit(tower, features, TRAIN, VALID, FOLDS, config(epochs=2, margin=1.3))
    last = copy_weights(tower)
    restore_weights(tower, start)
    train_tower(tower, features, TRAIN, VALID, config(epochs=2, margin=1.3))
    assert len(crossed.trained) == 3
    for name, tensor in copy_weights(tower).items():
        torch.testing.assert_close(tensor, last[name])


def test_a_mined_imposite_holds_a_record_that_its_tower_did_not_see() -> None:
    tower, features = small_tower()
    n = len(features)
    of = np.arange(n)
    matches = TRAIN.take(TRAIN.is_match == 1)
    of[matches.right] = of[matches.left]
    entities = Entities(of, TRAIN.rows())
    of_records = deal_folds(of, np.bincount(of, minlength=n)[of] > 1, 2, seed=0)
    folds = Folds(2, of_records[TRAIN.left], of_records)
    settings = config(epochs=2, negatives="mined", mined_per_record=2)
    crossed = cross_fit(tower, features, TRAIN, VALID, folds, settings, entities=entities)
    assert len(crossed.pairs) > len(TRAIN)
    mined = crossed.places < 0
    labelled = crossed.pairs.take(~mined)
    np.testing.assert_array_equal(labelled.left, TRAIN.left[crossed.places[~mined]])
    assert sorted(crossed.places[~mined]) == list(range(len(TRAIN)))
    assert (crossed.pairs.is_match[mined] == 0).all()
    # One of the two is held out; the other may be any record, as in a corpus of that size.
    held = [of_records[side[mined]] == crossed.folds[mined] for side in (crossed.pairs.left, crossed.pairs.right)]
    assert np.logical_or(*held).all() and not np.logical_and(*held).all()
    both = np.sort(np.stack([crossed.pairs.left[mined], crossed.pairs.right[mined]], axis=1))
    assert len(np.unique(both, axis=0)) == len(both)


@pytest.mark.parametrize("averages", [True, False])
def test_every_epoch_is_told_with_the_share_that_is_done(monkeypatch, averages) -> None:
    tower, features = small_tower()
    monkeypatch.setattr(type(tower), "averages", averages)
    told = []
    crossed = cross_fit(
        tower, features, TRAIN, VALID, FOLDS, config(epochs=2), on_epoch=lambda epoch, done: told.append((epoch, done))
    )
    assert [epoch for epoch, _ in told] == [epoch for part in crossed.trained for epoch in part.history[1:]]
    shares = [done for _, done in told]
    assert shares == sorted(shares) and shares[-1] <= 1
