"""Cross-fitting: a tower for each fold of the training pairs, trained on all but that fold.

It gives two things. Every training pair gets a distance by a tower that never saw its label, which is what the verifier may learn from
(Wolpert 1992). And, where weights can be averaged, the mean of the folds' towers is the final one, which has learned from every pair.

The folds' towers are trained side by side, an epoch of each in turn, and fold k's tower stops where the *other* folds' towers order their
own held-out pairs best, on average: no pair helps to choose the tower that judges it. (The other towers do learn from fold k, so its
labels reach that choice through what they teach about other pairs; to shut that way too would take a tower for every two folds.)
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from siamese.company import Company, Rivals
from siamese.folds import deal_in_turn
from siamese.lockstep import FoldTower, train_together
from siamese.pairs import Pairs
from siamese.settings import TrainingConfig
from siamese.towers import Features, Tower
from siamese.training import (
    Entities,
    Epoch,
    Trained,
    copy_weights,
    data_margin,
    most_epochs,
    pick_device,
    restore_weights,
    train_tower,
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
        trained: of each fold's tower, judged on its own fold, and, where weights were not averaged, of the last one.
        pairs: the training pairs and the imposites mined in each fold, m in all.
        places: (m,) int64 which training pair each is, -1 for a mined one.
        folds: (m,) int64 fold of each.
        distances: (m,) float32 energies, each by the tower that was trained without the pair's fold.
        rivals: what the records of the pairs may be matched with instead; None where there are not two tables.
    """

    margin: float
    trained: tuple[Trained, ...]
    pairs: Pairs
    places: NDArray[np.int64]
    folds: NDArray[np.int64]
    distances: NDArray[np.float32]
    rivals: Rivals | None = None

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
    return deal_in_turn(order, matched, folds)[group]


def cross_fit(
    tower: Tower,
    features: Features,
    train: Pairs,
    valid: Pairs,
    folds: Folds,
    config: TrainingConfig,
    *,
    entities: Entities | None = None,
    company: Company | None = None,
    on_epoch: Callable[[Epoch, float], None] | None = None,
) -> CrossFitted:
    """Train a tower in place, and one more for each fold.

    Args:
        tower: ends with the mean of the folds' weights where its kind ``averages``; else trained once more, on all pairs of ``train``, for
            as many epochs as are best on average over all folds.
        features: of all records; pairs name their rows.
        train: n pairs to learn from.
        valid: judged in that last training, for its history alone: they choose nothing.
        folds: of the training pairs.
        config: how to train.
        entities: needed for ``negatives="mined"``; then the folds must part records.
        company: of the pairs' records, where they are of two tables.
        on_epoch: called after each epoch with it and the share of the work that is done at most.
    """
    parts, most = folds.count + (not tower.averages), most_epochs(tower, config)

    def report(epoch: Epoch, done: float) -> None:
        if on_epoch:
            on_epoch(epoch, done / parts)

    tower.to(pick_device(config.device)).train()
    torch.manual_seed(config.seed)
    start, untrained = copy_weights(tower), tower.embed(features)
    if config.margin is None:
        config = config.model_copy(update={"margin": data_margin(train, entities, untrained, config)})
    mining = entities if config.negatives == "mined" else None

    def start_fold(fold: int) -> FoldTower:
        own = tower.twin() if tower.threaded else tower  # which may be large: then the folds take turns with it
        return FoldTower.start(fold, own, features, train, folds.of_pairs, folds.of_records, config, mining, untrained)

    towers = [start_fold(fold) for fold in range(folds.count)]
    curve = train_together(towers, config.patience, most, lambda epoch, done: report(epoch, done * folds.count))
    trained, held = [each.trained for each in towers], [each.judge_held(company) for each in towers]
    if tower.averages:
        restore_weights(tower, _mean([each.best_weights for each in towers]))
        tower.to("cpu").eval()
    else:
        del towers  # with their optimizers: as large again as the weights, twice
        restore_weights(tower, start)
        last = train_tower(
            tower,
            features,
            train,
            valid,
            config,
            entities=entities,
            epochs=int(np.argmax(curve)),
            on_epoch=lambda epoch, epochs: report(epoch, folds.count + epoch.epoch / epochs),
        )
        trained.append(last)
    pairs = Pairs.concat([each.pairs for each in held])
    places, distances = (np.concatenate([getattr(each, name) for each in held]) for name in ("places", "distances"))
    rivals = [each.rivals for each in held if each.rivals is not None]
    kept = np.union1d(_first_of_each(pairs), np.flatnonzero(places >= 0))  # two folds may mine the same pair
    return CrossFitted(
        margin=trained[0].margin,
        trained=tuple(trained),
        pairs=pairs.take(kept),
        places=places[kept],
        folds=np.repeat(np.arange(folds.count), [len(each.pairs) for each in held])[kept],
        distances=distances[kept],
        rivals=Rivals.concat(rivals) if rivals else None,
    )


def _first_of_each(pairs: Pairs) -> NDArray[np.int64]:
    """Place of the first of equal pairs, whichever way round."""
    ends = np.stack([np.minimum(pairs.left, pairs.right), np.maximum(pairs.left, pairs.right)], axis=1)
    return np.unique(ends, axis=0, return_index=True)[1]


def _mean(weights: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {
        name: torch.stack([each[name] for each in weights]).mean(dim=0, dtype=torch.float32).to(tensor.dtype)
        for name, tensor in weights[0].items()
    }
