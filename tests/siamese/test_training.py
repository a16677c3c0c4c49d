"""Training: it learns, it repeats itself, and it keeps the best of what it saw."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError

from siamese import training
from siamese.distances import Energy
from siamese.errors import SettingsError
from siamese.features import Bags
from siamese.measures import average_precision
from siamese.pairs import Pairs
from siamese.schema import Field, Kind, Schema, as_table
from siamese.settings import TrainingConfig
from siamese.towers import Tower, build_tower
from siamese.training import Entities, choose_margin, pair_distances, pick_device, train_tower

SCHEMA = Schema(fields=(Field(name="title", kind=Kind.TEXT),))
LISTS = 60  # entities
SMALL = {"dim": 48}


def records() -> pa.Table:
    """Two records an entity: the same code, in noise that says nothing and outweighs it before training."""
    random = np.random.default_rng(0)
    noise = [f"n{chr(97 + i // 26)}{chr(97 + i % 26)}oise" for i in range(40)]
    titles = []
    for entity in range(LISTS):
        for _ in range(2):
            words = [*random.choice(noise, 6, replace=False), f"{entity * 7919 % 10007}"]
            titles.append(" ".join(random.permutation(words)))
    return SCHEMA.select(as_table({"title": titles}))


def labelled(entities: range, seed: int) -> Pairs:
    random = np.random.default_rng(seed)
    genuine = [(2 * e, 2 * e + 1) for e in entities]
    imposite = set()
    while len(imposite) < 3 * len(genuine):
        a, b = random.integers(2 * entities.start, 2 * entities.stop, 2).tolist()
        if a // 2 != b // 2:
            imposite.add((min(a, b), max(a, b)))
    both = np.array(genuine + sorted(imposite), np.int64)
    return Pairs(both[:, 0], both[:, 1], (np.arange(len(both)) < len(genuine)).astype(np.int8))


RECORDS = records()
TRAIN, VALID = labelled(range(0, 40), 1), labelled(range(40, LISTS), 2)
ENTITIES = np.arange(2 * LISTS) // 2


def small_tower(seed: int = 0) -> tuple[Tower, Bags]:
    tower = build_tower("ngram", SCHEMA, SMALL, seed)
    features = tower.featurise(RECORDS)
    tower.fit_corpus(features)
    return tower, features


def config(**settings: Any) -> TrainingConfig:
    return TrainingConfig(**{"epochs": 6, "batch_size": 32, "learning_rate": 0.05, "device": "cpu"} | settings)


def state(tower: Tower) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in tower.state_dict().items()}


def valid_precision(tower: Tower, features: Bags, energy: Energy = Energy.EUCLIDEAN) -> float:
    return average_precision(pair_distances(tower.embed(features), VALID, energy), VALID.is_match)


@pytest.mark.parametrize("energy", list(Energy))
def test_the_loss_falls_and_the_average_precision_rises(energy: Energy) -> None:
    tower, features = small_tower()
    before = valid_precision(tower, features, energy)
    trained = train_tower(tower, features, TRAIN, VALID, config(energy=energy))
    losses = [epoch.loss for epoch in trained.history[1:]]
    assert losses[-1] < 0.8 * losses[0]
    assert before < 0.9
    assert valid_precision(tower, features, energy) > before + 0.05
    assert trained.history[0].valid_average_precision == pytest.approx(before)
    assert not tower.training


def test_the_lstm_learns_too() -> None:
    settings = {"dim": 16, "token_dim": 16, "hidden_dim": 12, "vocabulary": 2048}
    tower = build_tower("lstm", SCHEMA, settings)
    features = tower.featurise(RECORDS)
    trained = train_tower(tower, features, TRAIN, TRAIN, config(epochs=8, learning_rate=0.01))
    assert trained.history[-1].loss < 0.8 * trained.history[1].loss
    precisions = [epoch.valid_average_precision for epoch in trained.history]
    assert max(precisions) > precisions[0] + 0.2


def test_the_same_seed_gives_the_same_bytes_and_another_one_others() -> None:
    states = []
    for seed in (3, 3, 4):
        tower, features = small_tower()
        trained = train_tower(tower, features, TRAIN, VALID, config(seed=seed, epochs=2))
        states.append((state(tower), repr(trained)))
        torch.rand(1)  # what random state others leave behind must not matter
    assert states[0] == states[1]
    assert states[0][0]["feature_weight"] != states[2][0]["feature_weight"]


def test_the_weights_of_the_best_epoch_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs are scored by a script, so that the best one is known; its weights are those of a training that ends there."""
    scores = iter([0.1, 0.3, 0.9, 0.2, 0.9, 0.4])
    monkeypatch.setattr(training, "average_precision", lambda *_: next(scores))
    tower, features = small_tower()
    trained = train_tower(tower, features, TRAIN, VALID, config(epochs=5))
    assert trained.best_epoch == 2  # the first of two that are as good
    assert [epoch.epoch for epoch in trained.history] == [0, 1, 2, 3, 4, 5]
    assert [epoch.valid_average_precision for epoch in trained.history] == [0.1, 0.3, 0.9, 0.2, 0.9, 0.4]

    scores = iter([0.1, 0.3, 0.9])
    short, _ = small_tower()
    train_tower(short, features, TRAIN, VALID, config(epochs=2))
    assert state(tower) == state(short)


def test_a_training_that_only_harms_leaves_the_tower_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.9, 0.1, 0.1, 0.1])
    monkeypatch.setattr(training, "average_precision", lambda *_: next(scores))
    tower, features = small_tower()
    before = state(tower)
    trained = train_tower(tower, features, TRAIN, VALID, config(epochs=9, patience=3))
    assert trained.best_epoch == 0
    assert len(trained.history) == 4  # patience: three epochs that were no better, then the end
    assert state(tower) == before


def test_every_epoch_is_told() -> None:
    told = []
    tower, features = small_tower()
    trained = train_tower(
        tower, features, TRAIN, VALID, config(epochs=2), on_epoch=lambda epoch, of: told.append((epoch, of))
    )
    assert told == [(epoch, 2) for epoch in trained.history[1:]]


def test_each_distinct_record_of_a_batch_is_embedded_once() -> None:
    tower, features = small_tower()
    seen: list[int] = []
    forward = tower.forward

    def spy(bags: Bags) -> torch.Tensor:
        if tower.training:
            seen.append(len(bags))
        return forward(bags)

    tower.forward = spy  # type: ignore[method-assign]
    train_tower(tower, features, TRAIN, VALID, config(epochs=1, seed=5))
    order = np.random.default_rng(5).permutation(len(TRAIN))
    batches = [order[start : start + 32] for start in range(0, len(order), 32)]
    assert seen == [len(TRAIN.take(batch).rows()) for batch in batches]
    assert sum(seen) < 2 * len(TRAIN)


def test_the_loss_told_is_the_mean_over_the_pairs_whatever_the_batches() -> None:
    told = []
    for batch_size in (7, 1000):
        tower, features = small_tower()
        trained = train_tower(
            tower, features, TRAIN, VALID, config(epochs=1, batch_size=batch_size, learning_rate=1e-12, margin=1.2)
        )
        told.append(trained.history[1].loss)
    tower, features = small_tower()
    distances = pair_distances(tower.embed(features), TRAIN, Energy.EUCLIDEAN).astype(float)
    pulled = np.maximum(0, distances - 1.2 * tower.config.slack) ** 2
    expected = np.where(TRAIN.is_match == 1, pulled, np.maximum(0, 1.2 - distances) ** 2).mean()
    assert told == pytest.approx([expected, expected], rel=1e-4)


@pytest.mark.parametrize("sides", [None, (np.arange(2 * LISTS) % 2).astype(np.int8)], ids=["one table", "two tables"])
def test_mined_imposites_never_tie_one_entity_nor_leave_the_training_part(
    monkeypatch: pytest.MonkeyPatch, sides: np.ndarray | None
) -> None:
    learned: list[Pairs] = []
    run_epoch = training._run_epoch
    monkeypatch.setattr(
        training, "_run_epoch", lambda tower, features, pairs, *rest: (
            learned.append(pairs) or run_epoch(tower, features, pairs, *rest)
        )
    )  # fmt: skip
    rows = np.arange(80)
    tower, features = small_tower()
    trained = train_tower(
        tower,
        features,
        TRAIN,
        VALID,
        config(negatives="mined", mined_per_record=3, epochs=3),
        entities=Entities(ENTITIES, rows, sides),
    )
    assert len(learned) == 3
    for pairs in learned:
        assert len(pairs) > len(TRAIN) + 80
        assert np.array_equal(pairs.take(np.arange(len(TRAIN))).is_match, TRAIN.is_match)
        mined = pairs.take(np.arange(len(TRAIN), len(pairs)))
        assert not mined.is_match.any()
        assert (ENTITIES[mined.left] != ENTITIES[mined.right]).all()
        assert set(mined.rows().tolist()) <= set(rows.tolist())
        if sides is not None:
            assert (sides[mined.left] < sides[mined.right]).all()
    assert not np.array_equal(learned[0].right, learned[-1].right)  # mined anew with the weights of each epoch
    assert trained.history[-1].valid_average_precision > trained.history[0].valid_average_precision


def test_nothing_is_mined_unless_it_is_asked_for() -> None:
    states = []
    for entities in (None, Entities(ENTITIES, np.arange(80))):
        tower, features = small_tower()
        train_tower(tower, features, TRAIN, VALID, config(epochs=1), entities=entities)
        states.append(state(tower))
    assert states[0] == states[1]


def test_the_margin_is_the_distance_of_the_median_imposite() -> None:
    tower, features = small_tower()
    distances = pair_distances(tower.embed(features), TRAIN, Energy.EUCLIDEAN)
    trained = train_tower(tower, features, TRAIN, VALID, config(epochs=1))
    imposites = distances[TRAIN.is_match == 0]
    assert trained.margin == pytest.approx(np.median(imposites))
    other, _ = small_tower()
    assert train_tower(other, features, TRAIN, VALID, config(epochs=1, margin=0.7)).margin == 0.7


def test_the_margin_is_positive_for_any_pairs() -> None:
    assert choose_margin(np.array([0.2, 1.0, 3.0]), np.array([1, 0, 0])) == 2.0
    assert choose_margin(np.array([0.5, 0.5]), np.array([1, 1])) == 0.5
    assert choose_margin(np.zeros(3), np.array([0, 0, 1])) > 0


def test_pair_distances_of_many_blocks() -> None:
    embeddings = torch.nn.functional.normalize(torch.randn(50, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    random = np.random.default_rng(0)
    pairs = Pairs(random.integers(0, 50, 140_000), random.integers(0, 50, 140_000), np.zeros(140_000, np.int8))
    expected = np.linalg.norm(embeddings.numpy()[pairs.left] - embeddings.numpy()[pairs.right], axis=1)
    np.testing.assert_allclose(pair_distances(embeddings, pairs, Energy.EUCLIDEAN), expected, atol=1e-6)
    assert pair_distances(embeddings, pairs.take(np.arange(0)), Energy.EUCLIDEAN).shape == (0,)


def test_balance_weighs_the_classes() -> None:
    told = []
    for balance in (0.0, 1.0):
        tower, features = small_tower()
        train = config(epochs=1, batch_size=1000, learning_rate=1e-12, margin=1.2, balance=balance)
        told.append(train_tower(tower, features, TRAIN, VALID, train).history[1].loss)
    tower, features = small_tower()
    distances = pair_distances(tower.embed(features), TRAIN, Energy.EUCLIDEAN).astype(float)
    match = TRAIN.is_match == 1
    pulled = np.maximum(0, distances[match] - 1.2 * tower.config.slack) ** 2
    means = [pulled.mean(), (np.maximum(0, 1.2 - distances[~match]) ** 2).mean()]
    assert told[0] == pytest.approx((means[0] + 3 * means[1]) / 4, rel=1e-4)
    assert told[1] == pytest.approx(sum(means) / 2, rel=1e-4)


def test_a_device_that_is_not_here_is_named() -> None:
    for name in ("gpu9", "cuda:97"):
        with pytest.raises(SettingsError, match=f"device '{name}' cannot be used here"):
            pick_device(name)
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("setting", [{"margin": 0}, {"epochs": 0}, {"balance": 2}, {"negatives": "x"}, {"typo": 1}])
def test_settings_out_of_range_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrainingConfig(**setting)
