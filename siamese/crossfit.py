"""Cross-fitting: a tower for each fold of the training pairs, trained on all but that fold.

It gives two things. Every training pair gets a distance by a tower that never saw its label, which is what the verifier may learn from
(Wolpert 1992). And each fold's tower stops early on its own fold, so that, where weights can be averaged, their mean is the final tower:
it has learned from every training pair, and the valid pairs are left for calibration.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from siamese.pairs import Pairs
from siamese.settings import TrainingConfig
from siamese.towers import Features, Tower
from siamese.training import (
    Entities,
    Epoch,
    Trained,
    choose_margin,
    copy_weights,
    pair_distances,
    restore_weights,
    train_tower,
    with_mined,
)


@dataclass(frozen=True)
class Folds:
    """Which fold holds what out of training.

    Attributes:
        count: folds.
        of_pairs: (n pairs,) int64 fold of each training pair.
        of_records: (n records,) int64 fold of each record, where folds part whole entities (mining needs it); else None.
    """

    count: int
    of_pairs: NDArray[np.int64]
    of_records: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class CrossFitted:
    """What cross-fitting gives beside the tower.

    Attributes:
        margin: the same for every tower.
        trained: of each fold's tower and, where weights were not averaged, of the last one.
        pairs: the training pairs and the imposites mined in each fold, m in all.
        places: (m,) int64 which training pair each is, -1 for a mined one.
        folds: (m,) int64 fold of each.
        distances: (m,) float32 energies, each by the tower that was trained without the pair's fold.
    """

    margin: float
    trained: tuple[Trained, ...]
    pairs: Pairs
    places: NDArray[np.int64]
    folds: NDArray[np.int64]
    distances: NDArray[np.float32]

    @classmethod
    def without_folds(cls, trained: Trained) -> "CrossFitted":
        """One tower, trained on all pairs: none of them has a distance that is out of fold."""
        none = np.empty(0, np.int64)
        nothing = Pairs(none, none, none.astype(np.int8))
        return cls(trained.margin, (trained,), nothing, none, none, none.astype(np.float32))


def deal_folds(groups: NDArray[np.int64], is_match: NDArray, folds: int, seed: int) -> NDArray[np.int64]:
    """(n,) int64 folds that hold whole groups, and each the same number of groups with a match, as nearly as can be.

    Args:
        groups: (n,) any numbers.
        is_match: (n,) bool, or 1 and 0.
        folds: how many.
    """
    _, group = np.unique(groups, return_inverse=True)
    matched = np.bincount(group, is_match) > 0
    order = np.lexsort((np.random.default_rng(seed).permutation(len(matched)), matched))
    fold = np.empty(len(matched), np.int64)
    for kind in (False, True):
        members = order[matched[order] == kind]
        fold[members] = np.arange(len(members)) % folds
    return fold[group]


def cross_fit(
    tower: Tower,
    features: Features,
    train: Pairs,
    valid: Pairs,
    folds: Folds,
    config: TrainingConfig,
    *,
    entities: Entities | None = None,
    on_epoch: Callable[[Epoch, float], None] | None = None,
) -> CrossFitted:
    """Train a tower in place, and one more for each fold.

    Args:
        tower: ends with the mean of the folds' weights where its kind ``averages``; else trained once more, on all pairs of ``train``.
        features: of all records; pairs name their rows.
        train: n pairs to learn from.
        valid: choose the epoch of that last training; not looked at otherwise.
        folds: of the training pairs.
        config: how to train.
        entities: needed for ``negatives="mined"``; then the folds must part records.
        on_epoch: called after each epoch with it and the share of the work that is done at most.
    """
    start = copy_weights(tower)
    mining = entities if config.negatives == "mined" else None
    untrained = tower.embed(features)
    if config.margin is None:
        known = with_mined(train, mining, untrained, config)
        margin = choose_margin(pair_distances(untrained, known, config.energy), known.is_match)
        config = config.model_copy(update={"margin": margin})
    parts = folds.count + (not tower.averages)

    def train_part(part: int, learn: Pairs, choose: Pairs, entities: Entities | None) -> Trained:
        fold = part if part < folds.count else None

        def report(epoch: Epoch, epochs: int) -> None:
            if on_epoch:
                on_epoch(replace(epoch, fold=fold), (part + epoch.epoch / epochs) / parts)

        restore_weights(tower, start)
        trained = train_tower(tower, features, learn, choose, config, entities=entities, on_epoch=report)
        return replace(trained, history=tuple(replace(epoch, fold=fold) for epoch in trained.history))

    towers: list[Trained] = []
    pairs, places, fold_of, distances = [], [], [], []
    total: dict[str, torch.Tensor] = {}
    for fold in range(folds.count):
        held = train.take(folds.of_pairs == fold)
        choose, inside, rows = held, None, np.empty(0, np.int64)
        if mining is not None and folds.of_records is not None:
            is_held = folds.of_records[mining.rows] == fold
            rows, inside = mining.rows[is_held], replace(mining, rows=mining.rows[~is_held])
            choose = held + mining.mine(untrained.numpy(), mining.rows, config.mined_per_record, rows)
        towers.append(train_part(fold, train.take(folds.of_pairs != fold), choose, inside))
        embeddings = tower.embed(features)
        if mining is not None:
            held = held + mining.mine(embeddings.numpy(), mining.rows, config.mined_per_record, rows)
        labelled = np.flatnonzero(folds.of_pairs == fold)
        places.append(np.concatenate([labelled, np.full(len(held) - len(labelled), -1)]))
        pairs.append(held)
        fold_of.append(np.full(len(held), fold))
        distances.append(pair_distances(embeddings, held, config.energy))
        for name, tensor in copy_weights(tower).items():
            total[name] = total[name] + tensor if name in total else tensor
    if tower.averages:
        restore_weights(tower, {name: (tensor / folds.count).to(tensor.dtype) for name, tensor in total.items()})
        tower.eval()
    else:
        towers.append(train_part(folds.count, train, valid, mining))
    every = Pairs.concat(pairs)
    # A mined pair of two folds may come from either: once is enough.
    keys = np.stack([np.minimum(every.left, every.right), np.maximum(every.left, every.right)], axis=1)
    first = np.unique(keys, axis=0, return_index=True)[1]
    place = np.concatenate(places)
    kept = np.union1d(first, np.flatnonzero(place >= 0))
    return CrossFitted(
        margin=towers[0].margin,
        trained=tuple(towers),
        pairs=every.take(kept),
        places=place[kept],
        folds=np.concatenate(fold_of)[kept],
        distances=np.concatenate(distances)[kept],
    )
