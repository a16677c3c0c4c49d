"""Training: one tower, both sides of every pair, contrastive loss."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from siamese.adam import Adam
from siamese.distances import Energy, distance
from siamese.errors import SettingsError
from siamese.losses import class_weights, contrastive_loss
from siamese.measures import average_precision
from siamese.mining import Neighbours, exact_neighbours, mine_imposites
from siamese.pairs import Pairs
from siamese.settings import TrainingConfig
from siamese.towers import Features, Tower


@dataclass(frozen=True)
class Epoch:
    """One line of the history."""

    epoch: int
    loss: float | None  # mean over the training pairs; None for the untrained tower
    valid_average_precision: float  # on pairs held out of this training
    fold: int | None = None  # that was held out, where several towers were trained


@dataclass(frozen=True)
class Trained:
    """What training chose; the tower itself carries the weights of the best epoch."""

    margin: float
    best_epoch: int  # whose weights were kept; 0: the tower as it was before training
    history: tuple[Epoch, ...]


@dataclass(frozen=True)
class Entities:
    """What is known of the records when the list of matches is complete; mining needs it.

    Attributes:
        of: (n,) int64 entity of each record.
        rows: (r,) int64 records of the training part, among which imposites to learn from are mined.
        sides: (n,) 0 or 1 where matches only tie one table to another; else None.
        neighbours: how to find near records.
    """

    of: NDArray[np.int64]
    rows: NDArray[np.int64]
    sides: NDArray[np.int8] | None = None
    neighbours: Neighbours = exact_neighbours

    def renumber(self, rows: NDArray[np.int64]) -> "Entities":
        """The same in a table of these rows alone (ascending, and ``self.rows`` among them)."""
        sides = None if self.sides is None else self.sides[rows]
        return replace(self, of=self.of[rows], rows=np.searchsorted(rows, self.rows), sides=sides)

    def mine(
        self,
        embeddings: NDArray[np.float32],
        rows: NDArray[np.int64],
        per_record: int,
        asking: NDArray[np.int64] | None = None,
    ) -> Pairs:
        return mine_imposites(
            embeddings, rows, self.of, per_record, sides=self.sides, neighbours=self.neighbours, asking=asking
        )


class Training:
    """A tower in training, an epoch at a time.

    Several may take turns with one tower: each brings its own weights and optimizer.

    Attributes:
        weights: of this training after its last epoch; never changed in place, so that they can be kept.
    """

    def __init__(
        self,
        tower: Tower,
        features: Features,
        train: Pairs,
        config: TrainingConfig,
        *,
        margin: float,
        embeddings: torch.Tensor,
        entities: Entities | None = None,
    ) -> None:
        """Start from the tower as it is.

        Args:
            tower, features, train, config, entities: as in :func:`train_tower`.
            margin: in units of the energy.
            embeddings: (records, dim) by the tower as it is: imposites are mined under them.
        """
        self.tower, self.features, self.train, self.margin, self.config = tower, features, train, margin, config
        self.mining = entities if config.negatives == "mined" else None
        self.batch_size = config.batch_size or tower.config.batch_size
        self.optimizer = Adam(tower.parameters(), config.learning_rate or tower.config.learning_rate)
        self.random = np.random.default_rng(config.seed)
        self.weights = copy_weights(tower)
        self._pairs = with_mined(train, self.mining, embeddings, config)

    def run_epoch(self) -> tuple[float, torch.Tensor]:
        """Learn from every pair once, and leave the tower with the new weights.

        Returns:
            The mean loss over the pairs, and the (records, dim) embeddings afterwards.
        """
        restore_weights(self.tower, self.weights)
        pairs = self._pairs
        loss = _run_epoch(
            self.tower, self.features, pairs, self.margin, self.config, self.optimizer, self.random, self.batch_size
        )
        embeddings = self.tower.embed(self.features)
        self.weights = copy_weights(self.tower)
        self._pairs = with_mined(self.train, self.mining, embeddings, self.config)
        return loss, embeddings


class Patience:
    """Early stopping: the first of the best epochs so far, until ``epochs`` of them brought nothing better.

    Attributes:
        best: epoch with the highest score; 0 is the untrained tower.
        is_spent: nothing that comes later counts.
    """

    def __init__(self, epochs: int, untrained: float) -> None:
        self.best, self.is_spent = 0, False
        self._epochs, self._score = epochs, untrained

    def improves(self, epoch: int, score: float) -> bool:
        """Hear the score of the next epoch: whether it is the best so far."""
        better = not self.is_spent and score > self._score
        if better:
            self.best, self._score = epoch, score
        self.is_spent = self.is_spent or epoch - self.best >= self._epochs
        return better


def train_tower(
    tower: Tower,
    features: Features,
    train: Pairs,
    valid: Pairs,
    config: TrainingConfig,
    *,
    entities: Entities | None = None,
    epochs: int | None = None,
    on_epoch: Callable[[Epoch, int], None] | None = None,
) -> Trained:
    """Train a tower in place and leave it with the weights of the epoch that orders the valid pairs best.

    Args:
        tower: its weights are changed; it ends on the CPU.
        features: of all records; pairs name their rows.
        train: pairs to learn from.
        valid: pairs that choose the epoch, by average precision; never learned from.
        config: how to train.
        entities: needed for ``negatives="mined"``: imposites are then mined too, anew in every epoch.
        epochs: train for just so many and keep the last; the valid pairs then choose nothing, and are judged for the history alone.
        on_epoch: called after each epoch with it and the number of epochs there will be at most.

    Returns:
        The margin and the history.
    """
    most = most_epochs(tower, config) if epochs is None else epochs
    tower.to(pick_device(config.device)).train()
    torch.manual_seed(config.seed)

    def judge(number: int, loss: float | None, embeddings: torch.Tensor) -> Epoch:
        distances = pair_distances(embeddings, valid, config.energy)
        return Epoch(number, loss, average_precision(distances, valid.is_match))

    embeddings = tower.embed(features)
    margin = config.margin or data_margin(train, entities, embeddings, config)
    training = Training(tower, features, train, config, margin=margin, embeddings=embeddings, entities=entities)
    history = [judge(0, None, embeddings)]
    patience, best_weights = Patience(config.patience, history[0].valid_average_precision), training.weights
    for number in range(1, most + 1):
        epoch = judge(number, *training.run_epoch())
        history.append(epoch)
        if on_epoch:
            on_epoch(epoch, most)
        if patience.improves(number, epoch.valid_average_precision):
            best_weights = training.weights
        if epochs is None and patience.is_spent:
            break
    restore_weights(tower, best_weights if epochs is None else training.weights)
    tower.to("cpu").eval()
    return Trained(margin, patience.best if epochs is None else epochs, tuple(history))


def most_epochs(tower: Tower, config: TrainingConfig) -> int:
    return config.epochs or tower.config.epochs


def with_mined(train: Pairs, mining: Entities | None, embeddings: torch.Tensor, config: TrainingConfig) -> Pairs:
    """The pairs to learn from under these embeddings."""
    return train if mining is None else train + mining.mine(embeddings.numpy(), mining.rows, config.mined_per_record)


def _run_epoch(
    tower: Tower,
    features: Features,
    pairs: Pairs,
    margin: float,
    config: TrainingConfig,
    optimizer: Adam,
    random: np.random.Generator,
    batch_size: int,
) -> float:
    order = random.permutation(len(pairs))
    weights = class_weights(torch.from_numpy(pairs.is_match), config.balance)
    total = 0.0
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = pairs.take(chosen)
        rows, places = np.unique(np.concatenate([batch.left, batch.right]), return_inverse=True)
        embedded = tower(
            tower.thin(features.take(rows), random)
        )  # each distinct record once, however many pairs of the batch it is in
        left, right = torch.from_numpy(places).to(embedded.device).view(2, -1)
        distances = distance(embedded[left], embedded[right], config.energy)
        is_match = torch.from_numpy(batch.is_match).to(embedded.device)
        slack = tower.config.slack * margin
        loss = contrastive_loss(distances, is_match, margin, weights[chosen].to(embedded.device), slack)
        optimizer.forget_gradients()
        loss.backward()
        optimizer.step()
        total += float(loss.detach()) * len(chosen)
    return total / max(len(order), 1)


def data_margin(train: Pairs, entities: Entities | None, embeddings: torch.Tensor, config: TrainingConfig) -> float:
    """The margin that the pairs to learn from ask for under the untrained tower's (records, dim) embeddings."""
    known = with_mined(train, entities if config.negatives == "mined" else None, embeddings, config)
    return choose_margin(pair_distances(embeddings, known, config.energy), known.is_match)


def choose_margin(distances: NDArray, is_match: NDArray) -> float:
    """The distance that the median imposite has before training: with a margin much below, most imposites give no gradient; with one above,
    far imposites outshout near ones. (Of 0.75 to 1.2 of it, on train and valid pairs; the best differ by set.)

    Args:
        distances: (n,) energies of the training pairs under the untrained tower.
        is_match: (n,) their labels.
    """
    imposites = distances[is_match == 0]
    typical = float(np.median(imposites)) if len(imposites) else float(np.median(distances))
    return typical if typical > 0 else 1.0


def pair_distances(embeddings: torch.Tensor, pairs: Pairs, energy: Energy) -> NDArray[np.float32]:
    """(n,) energies of pairs of rows of (records, dim) embeddings."""
    blocks = [
        distance(
            embeddings[pairs.left[start : start + 65536]], embeddings[pairs.right[start : start + 65536]], energy
        ).numpy()
        for start in range(0, len(pairs), 65536)
    ]
    return np.concatenate(blocks) if blocks else np.empty(0, np.float32)


def pick_device(name: str) -> torch.device:
    """The device of a setting.

    Raises:
        SettingsError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(f"device '{name}' cannot be used here: take 'cpu' or 'auto'") from error
    return device


def copy_weights(tower: Tower) -> dict[str, torch.Tensor]:
    """All that training changes in a tower, on the CPU."""
    return copy.deepcopy({name: tensor.cpu() for name, tensor in torch.nn.Module.state_dict(tower).items()})


def restore_weights(tower: Tower, weights: dict[str, torch.Tensor]) -> None:
    torch.nn.Module.load_state_dict(tower, weights)
