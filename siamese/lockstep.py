"""Lockstep: a tower for each fold, trained epoch by epoch together, so that the others can choose when each of them stops."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from siamese.company import Company, Rivals
from siamese.measures import average_precision
from siamese.pairs import Pairs
from siamese.settings import TrainingConfig
from siamese.threads import side_by_side
from siamese.towers import Features, Tower
from siamese.training import Entities, Epoch, Patience, Trained, Training, pair_distances, restore_weights


@dataclass(frozen=True)
class Held:
    """What a fold's tower says of what it did not learn from.

    Attributes:
        pairs: the fold's pairs and the imposites near under the tower.
        places: (m,) int64 which training pairs they are, -1 for a mined one.
        distances: (m,) float32 energies.
        rivals: what their records may be matched with instead; None where there are not two tables.
    """

    pairs: Pairs
    places: NDArray[np.int64]
    distances: NDArray[np.float32]
    rivals: Rivals | None


@dataclass
class FoldTower:
    """One fold's tower.

    Attributes:
        fold: that is held out.
        training: on all but the fold.
        labelled: rows of the fold's pairs among the training pairs.
        held: the fold's pairs.
        mining: what mining knows, where imposites are mined.
        rows: the fold's records, whose neighbours of any fold are mined: a corpus is as dense as all of them. None unless they are.
        choosing: (c,) the held pairs and the imposites near before training: what its epochs are judged by.
        best_weights, best_epoch: that were kept.
        history: of every epoch, the untrained tower first.
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
        fold: int,
        tower: Tower,
        features: Features,
        train: Pairs,
        of_pairs: NDArray[np.int64],
        of_records: NDArray[np.int64] | None,
        config: TrainingConfig,
        mining: Entities | None,
        untrained: torch.Tensor,
    ) -> "FoldTower":
        """A tower for one fold, not trained yet.

        Args:
            fold: that is held out.
            tower, features: whose weights it starts from; its own, or one that takes turns with other folds.
            train: n pairs, of all folds.
            of_pairs, of_records: (n,) and (records,) their folds; None for records that need none.
            config: how to train; with a margin.
            mining: what mining knows, where imposites are mined.
            untrained: (records, dim) embeddings by the tower as it is.
        """
        assert config.margin is not None
        labelled = np.flatnonzero(of_pairs == fold)
        held = choosing = train.take(labelled)
        inside, rows = None, np.empty(0, np.int64)
        if mining is not None and of_records is not None:
            is_held = of_records[mining.rows] == fold
            rows, inside = mining.rows[is_held], replace(mining, rows=mining.rows[~is_held])
            choosing = held + mining.mine(untrained.numpy(), mining.rows, config.mined_per_record, rows)
        learned = train.take(of_pairs != fold)
        training = Training(
            tower, features, learned, config, margin=config.margin, embeddings=untrained, entities=inside
        )
        fresh = cls(fold, training, labelled, held, mining, rows, choosing, training.weights, 0, [])
        fresh._note(None, untrained)
        return fresh

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

    def judge_held(self, company: Company | None) -> Held:
        tower, config, held = self.training.tower, self.training.config, self.held
        restore_weights(tower, self.best_weights)
        embeddings = tower.embed(self.training.features)
        if self.mining is not None:
            held = held + self.mining.mine(embeddings.numpy(), self.mining.rows, config.mined_per_record, self.rows)
        places = np.concatenate([self.labelled, np.full(len(held) - len(self.labelled), -1)])
        rivals = None if company is None else company.rivals(tower, held.rows(), self.fold, config.energy)
        return Held(held, places, pair_distances(embeddings, held, config.energy), rivals)


def train_together(
    towers: list[FoldTower], patience: int, most: int, on_epoch: Callable[[Epoch, float], None]
) -> list[float]:
    """Train an epoch of every fold's tower, side by side where each has its own, until each has the epoch that the others choose for it.

    Args:
        towers: two or more, which keep the weights of their epochs.
        patience: epochs that bring the others nothing better, after which a tower's epoch is chosen.
        most: epochs at most.
        on_epoch: called after each epoch with it and the share of the work that is done at most.

    Returns:
        (epochs + 1,) mean average precision of all folds on their held-out pairs, the untrained tower first.
    """
    n = len(towers)
    each_on = side_by_side if towers[0].training.tower.threaded else map
    precisions = np.array([each.history[0].valid_average_precision for each in towers])

    def by_others(fold: int) -> float:
        return float(np.delete(precisions, fold).mean())

    waits = [Patience(patience, by_others(fold)) for fold in range(n)]
    curve = [float(precisions.mean())]
    for number in range(1, most + 1):
        for fold, epoch in enumerate(each_on(FoldTower.run_epoch, towers)):
            precisions[fold] = epoch.valid_average_precision
            on_epoch(epoch, (number - 1 + (fold + 1) / n) / most)
        curve.append(float(precisions.mean()))
        for fold, each in enumerate(towers):
            if waits[fold].improves(number, by_others(fold)):
                each.keep()
        if all(wait.is_spent for wait in waits):
            break
    return curve
