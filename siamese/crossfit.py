"""Cross-fitting: a tower for each fold of the training pairs, trained on all but that fold.

It gives two things. Every training pair gets a distance by a tower that never saw its label, which is what the verifier may learn from
(Wolpert 1992). And, where weights can be averaged, the mean of the folds' towers is the final one, which has learned from every pair.

The folds' towers are trained side by side, an epoch of each in turn, and fold k's tower stops where the *other* folds' towers order their
own held-out pairs best, on average: no pair helps to choose the tower that judges it. (The other towers do learn from fold k, so its
labels reach that choice through what they teach about other pairs; to shut that way too would take a tower for every two folds.)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from siamese.measures import average_precision
from siamese.pairs import Pairs
from siamese.settings import TrainingConfig
from siamese.towers import Features, Tower
from siamese.training import (
    Entities,
    Epoch,
    Patience,
    Trained,
    Training,
    copy_weights,
    data_margin,
    most_epochs,
    pair_distances,
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
        tower: ends with the mean of the folds' weights where its kind ``averages``; else trained once more, on all pairs of ``train``, for
            as many epochs as are best on average over all folds.
        features: of all records; pairs name their rows.
        train: n pairs to learn from.
        valid: judged in that last training, for its history alone: they choose nothing.
        folds: of the training pairs.
        config: how to train.
        entities: needed for ``negatives="mined"``; then the folds must part records.
        on_epoch: called after each epoch with it and the share of the work that is done at most.
    """
    parts, most = folds.count + (not tower.averages), most_epochs(tower, config)

    def report(epoch: Epoch, share: float) -> None:
        if on_epoch:
            on_epoch(epoch, share)

    tower.to(pick_device(config.device)).train()
    torch.manual_seed(config.seed)
    start, untrained = copy_weights(tower), tower.embed(features)
    if config.margin is None:
        config = config.model_copy(update={"margin": data_margin(train, entities, untrained, config)})
    fits = [_Fit.start(tower, features, train, folds, fold, config, untrained, entities) for fold in range(folds.count)]
    curve = _train_in_turn(fits, config, most, lambda epoch, share: report(epoch, share * folds.count / parts))
    held = [fit.judge_held() for fit in fits]
    tower.to("cpu").eval()
    trained = [fit.trained for fit in fits]
    if tower.averages:
        restore_weights(tower, _mean([fit.best_weights for fit in fits]))
    else:
        del fits
        restore_weights(tower, start)
        best = int(np.argmax(curve))
        last = lambda epoch, epochs: report(epoch, (folds.count + epoch.epoch / epochs) / parts)  # noqa: E731
        trained.append(
            train_tower(tower, features, train, valid, config, entities=entities, epochs=best, on_epoch=last)
        )
    pairs, places, distances = zip(*held, strict=True)
    return CrossFitted(
        margin=trained[0].margin,
        trained=tuple(trained),
        pairs=Pairs.concat(pairs),
        places=np.concatenate(places),
        folds=np.repeat(np.arange(folds.count), [len(some) for some in pairs]),
        distances=np.concatenate(distances),
    )


@dataclass
class _Fit:
    """One fold's tower.

    Attributes:
        training: on all but the fold.
        labelled: rows of the fold's pairs among the training pairs.
        held: the fold's pairs.
        rows: the fold's records, among which imposites are mined; none unless they are.
        choosing: (c,) the held pairs and the imposites near before training: what its epochs are judged by.
    """

    fold: int
    training: Training
    labelled: NDArray[np.int64]
    held: Pairs
    mining: Entities | None
    rows: NDArray[np.int64]
    choosing: Pairs
    best_weights: dict[str, torch.Tensor]
    best_epoch: int
    history: list[Epoch]

    @classmethod
    def start(
        cls,
        tower: Tower,
        features: Features,
        train: Pairs,
        folds: Folds,
        fold: int,
        config: TrainingConfig,
        untrained: torch.Tensor,
        entities: Entities | None,
    ) -> "_Fit":
        labelled = np.flatnonzero(folds.of_pairs == fold)
        held = train.take(labelled)
        choosing, inside, rows = held, None, np.empty(0, np.int64)
        mining = entities if config.negatives == "mined" else None
        if mining is not None and folds.of_records is not None:
            is_held = folds.of_records[mining.rows] == fold
            rows, inside = mining.rows[is_held], replace(mining, rows=mining.rows[~is_held])
            choosing = held + mining.mine(untrained.numpy(), rows, config.mined_per_record)
        learned = train.take(folds.of_pairs != fold)
        assert config.margin is not None
        training = Training(
            tower, features, learned, config, margin=config.margin, embeddings=untrained, entities=inside
        )
        fit = cls(fold, training, labelled, held, mining, rows, choosing, training.weights, 0, [])
        fit._note(None, untrained)
        return fit

    def run_epoch(self) -> Epoch:
        return self._note(*self.training.run_epoch())

    def _note(self, loss: float | None, embeddings: torch.Tensor) -> Epoch:
        distances = pair_distances(embeddings, self.choosing, self.training.config.energy)
        precision = average_precision(distances, self.choosing.is_match)
        self.history.append(Epoch(len(self.history), loss, precision, self.fold))
        return self.history[-1]

    def keep(self) -> None:
        """This epoch is the best so far."""
        self.best_weights, self.best_epoch = self.training.weights, self.history[-1].epoch

    @property
    def trained(self) -> Trained:
        return Trained(self.training.margin, self.best_epoch, tuple(self.history))

    def judge_held(self) -> tuple[Pairs, NDArray[np.int64], NDArray[np.float32]]:
        """The fold's pairs and the imposites near under its tower, which training pairs they are, and their energies."""
        tower, config, held = self.training.tower, self.training.config, self.held
        restore_weights(tower, self.best_weights)
        embeddings = tower.embed(self.training.features)
        if self.mining is not None:
            held = held + self.mining.mine(embeddings.numpy(), self.rows, config.mined_per_record)
        places = np.concatenate([self.labelled, np.full(len(held) - len(self.labelled), -1)])
        return held, places, pair_distances(embeddings, held, config.energy)


def _train_in_turn(
    fits: list[_Fit], config: TrainingConfig, most: int, on_epoch: Callable[[Epoch, float], None]
) -> list[float]:
    """An epoch of every fold's tower in turn, until the others have chosen for each: (epochs + 1,) mean average precision of all."""
    n = len(fits)
    precisions = np.array([fit.history[0].valid_average_precision for fit in fits])
    patience = [Patience(config.patience, float(np.delete(precisions, k).mean())) for k in range(n)]
    curve = [float(precisions.mean())]
    for number in range(1, most + 1):
        for k, fit in enumerate(fits):
            epoch = fit.run_epoch()
            precisions[k] = epoch.valid_average_precision
            on_epoch(epoch, (number - 1 + (k + 1) / n) / most)
        curve.append(float(precisions.mean()))
        for k, fit in enumerate(fits):
            if patience[k].improves(number, float(np.delete(precisions, k).mean())):
                fit.keep()
        if all(each.is_spent for each in patience):
            break
    return curve


def _mean(weights: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {
        name: torch.stack([each[name] for each in weights]).mean(dim=0, dtype=torch.float32).to(tensor.dtype)
        for name, tensor in weights[0].items()
    }
