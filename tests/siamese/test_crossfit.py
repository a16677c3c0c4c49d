"""Cross-fitting against the same towers trained one by one."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from siamese.crossfit import Folds, cross_fit, deal_folds
from siamese.measures import average_precision
from siamese.pairs import Pairs
from siamese.training import Entities, copy_weights, pair_distances, train_tower
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


def alone(fold: int, epochs: int, folds: Folds = FOLDS, **settings) -> tuple:
    """The tower of one fold, trained by itself for so many epochs: its curve, weights, and the distances of its held-out pairs."""
    tower, features = small_tower()
    held = TRAIN.take(folds.of_pairs == fold)
    learned = TRAIN.take(folds.of_pairs != fold)
    trained = train_tower(tower, features, learned, held, config(margin=1.3, **settings), epochs=epochs)
    curve = [epoch.valid_average_precision for epoch in trained.history]
    return curve, copy_weights(tower), pair_distances(tower.embed(features), held, config().energy)


def first_best(curve: np.ndarray, patience: int) -> int:
    """The best epoch before the first one that lies ``patience`` epochs behind the best so far."""
    for end in range(1, len(curve) + 1):
        best = int(np.argmax(curve[:end]))
        if end - 1 - best >= patience:
            return best
    return best


@pytest.mark.parametrize(("count", "patience"), [(2, 1), (3, 1), (4, 2)])
def test_towers_are_those_trained_alone_for_as_long_as_the_others_say(count, patience) -> None:
    folds = Folds(count, deal_folds(np.arange(len(TRAIN)), TRAIN.is_match, count, seed=0))
    tower, features = small_tower()
    crossed = cross_fit(tower, features, TRAIN, VALID, folds, config(margin=1.3, patience=patience))
    curves = np.array([alone(fold, 6, folds)[0] for fold in range(count)])
    chosen = [first_best(np.delete(curves, fold, axis=0).mean(axis=0), patience) for fold in range(count)]
    assert [trained.best_epoch for trained in crossed.trained] == chosen
    total = {}
    for fold in range(count):
        history = crossed.trained[fold].history
        assert [epoch.valid_average_precision for epoch in history] == curves[fold, : len(history)].tolist()
        assert {epoch.fold for epoch in history} == {fold}
        _, weights, distances = alone(fold, chosen[fold], folds)
        np.testing.assert_array_equal(crossed.distances[crossed.folds == fold], distances)
        total = {name: total.get(name, 0) + tensor for name, tensor in weights.items()}
    for name, tensor in copy_weights(tower).items():
        torch.testing.assert_close(tensor, total[name] / count)


def test_folds_side_by_side_are_those_one_after_another() -> None:
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 3):
            torch.set_num_threads(number)
            tower, features = small_tower()
            crossed = cross_fit(tower, features, TRAIN, VALID, FOLDS, config(margin=1.3))
            assert torch.get_num_threads() == number
            found.append((crossed.distances, copy_weights(tower)))
    finally:
        torch.set_num_threads(threads)
    (distances, weights), (others, other_weights) = found
    np.testing.assert_array_equal(distances, others)
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, other_weights[name], rtol=0, atol=0)


def test_a_twin_has_weights_of_its_own_and_the_same_tables() -> None:
    tower, _ = small_tower()
    twin = tower.twin()
    assert twin.projection is tower.projection and twin.idf is tower.idf
    with torch.no_grad():
        twin.feature_weight += 1
    assert not torch.equal(twin.feature_weight, tower.feature_weight)


def test_no_pair_chooses_the_tower_that_judges_it(monkeypatch) -> None:
    """Labels of a fold, turned where its tower is judged, change the other folds' epochs and not its own."""
    # Each fold is known by its size.
    folds = Folds(3, np.array([0, 0, 0, 0, 1, 1, 1, 2, 2])[np.arange(len(TRAIN)) % 9])
    sizes = np.bincount(folds.of_pairs)

    def chosen(turned: int | None) -> list[int]:
        def judge(distances, is_match):
            turn = turned is not None and len(is_match) == sizes[turned]
            return average_precision(distances, 1 - is_match if turn else is_match)

        monkeypatch.setattr("siamese.lockstep.average_precision", judge)
        tower, features = small_tower()
        return [t.best_epoch for t in cross_fit(tower, features, TRAIN, VALID, folds, config(patience=2)).trained]

    as_they_are = chosen(None)
    with_turned = [chosen(fold) for fold in range(3)]
    assert [with_turned[fold][fold] for fold in range(3)] == as_they_are
    assert any(chosen != as_they_are for chosen in with_turned)


def test_the_same_seed_gives_the_same_towers() -> None:
    results = []
    for seed in (0, 0, 1):
        tower, features = small_tower()
        crossed = cross_fit(tower, features, TRAIN, VALID, FOLDS, config(epochs=2, seed=seed))
        results.append((crossed.trained, crossed.distances.tolist(), tower.embed(features).tolist()))
        torch.rand(1)  # what random state others leave behind must not matter
    assert results[0] == results[1]
    assert results[0][1] != results[2][1]


def test_valid_pairs_have_no_say_where_weights_are_averaged() -> None:
    results = []
    for valid in (VALID, Pairs(VALID.left, VALID.right, (1 - VALID.is_match).astype(np.int8))):
        tower, features = small_tower()
        crossed = cross_fit(tower, features, TRAIN, valid, FOLDS, config(epochs=2))
        results.append((crossed.margin, crossed.distances.tolist(), tower.embed(features).tolist()))
    assert results[0] == results[1]


@pytest.mark.parametrize("turned", [False, True])
def test_where_they_are_not_the_last_tower_learns_from_all_for_as_long_as_the_folds_say(monkeypatch, turned) -> None:
    tower, features = small_tower()
    monkeypatch.setattr(type(tower), "averages", False)
    valid = Pairs(VALID.left, VALID.right, (1 - VALID.is_match).astype(np.int8)) if turned else VALID
    crossed = cross_fit(tower, features, TRAIN, valid, FOLDS, config(margin=1.3))
    curves = np.array([[epoch.valid_average_precision for epoch in part.history] for part in crossed.trained[:2]])
    assert crossed.trained[2].best_epoch == np.argmax(curves.mean(axis=0)) > 0
    other, _ = small_tower()
    train_tower(other, features, TRAIN, VALID, config(margin=1.3), epochs=crossed.trained[2].best_epoch)
    for name, tensor in copy_weights(tower).items():
        torch.testing.assert_close(tensor, copy_weights(other)[name])


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
    in_turn = [epoch for row in zip(*(part.history[1:] for part in crossed.trained[:2]), strict=True) for epoch in row]
    last = [epoch for part in crossed.trained[2:] for epoch in part.history[1:]]
    assert [epoch for epoch, _ in told] == in_turn + last
    shares = [done for _, done in told]
    assert shares == sorted(shares) and shares[-1] <= 1
