"""Training: one tower, both sides of every pair, contrastive loss."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from siamese.distances import Energy, distance
from siamese.errors import SettingsError
from siamese.losses import class_weights, contrastive_loss
from siamese.measures import average_precision
from siamese.mining import Neighbours, exact_neighbours, mine_imposites
from siamese.pairs import Pairs
from siamese.settings import TrainingConfig
from siamese.towers import Features, Tower

# The margin lies this far above the distance that the median imposite has before training: with much less, most imposites give no
# gradient; with more, far imposites outshout near ones. Taken from trials of 0.75 to 1.2 on valid pairs, whose best differ by set.
MARGIN_ABOVE_IMPOSITES = 1.05


@dataclass(frozen=True)
class Epoch:
    """One line of the history."""

    epoch: int
    loss: float | None  # mean over the training pairs; None for the untrained tower
    valid_average_precision: float  # on the pairs that choose the epoch
    fold: int | None = None  # that was held out, where several towers were trained


@dataclass(frozen=True)
class Trained:
    """What training chose; the tower itself carries the weights of the best epoch."""

    margin: float
    best_epoch: int  # 0: the tower as it was before training
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


def train_tower(
    tower: Tower,
    features: Features,
    train: Pairs,
    valid: Pairs,
    config: TrainingConfig,
    *,
    entities: Entities | None = None,
    on_epoch: Callable[[Epoch, int], None] | None = None,
) -> Trained:
    """Train a tower in place and leave it with the weights of the epoch that orders the valid pairs best.

    Args:
        tower: its weights are changed; it ends on the CPU.
        features: of all records; pairs name their rows.
        train: pairs to learn from.
        valid: pairs that choose the epoch, by average precision; never learned from.
        entities: needed for ``negatives="mined"``: imposites are then mined too, anew in every epoch.
        on_epoch: called after each epoch with it and the number of epochs there will be at most.

    Returns:
        The margin and the history.
    """
    device = pick_device(config.device)
    tower.to(device).train()
    epochs = config.epochs or tower.config.epochs
    batch_size = config.batch_size or tower.config.batch_size
    optimizer = torch.optim.Adam(tower.parameters(), lr=config.learning_rate or tower.config.learning_rate)
    random = np.random.default_rng(config.seed)
    torch.manual_seed(config.seed)
    mining = entities if config.negatives == "mined" else None

    embeddings = tower.embed(features)
    pairs = with_mined(train, mining, embeddings, config)
    margin = config.margin or choose_margin(pair_distances(embeddings, pairs, config.energy), pairs.is_match)
    best = Epoch(0, None, average_precision(pair_distances(embeddings, valid, config.energy), valid.is_match))
    best_weights = copy_weights(tower)
    history = [best]
    for number in range(1, epochs + 1):
        loss = _run_epoch(tower, features, pairs, margin, config, optimizer, random.permutation(len(pairs)), batch_size)
        embeddings = tower.embed(features)
        epoch = Epoch(number, loss, average_precision(pair_distances(embeddings, valid, config.energy), valid.is_match))
        history.append(epoch)
        if on_epoch:
            on_epoch(epoch, epochs)
        if epoch.valid_average_precision > best.valid_average_precision:
            best, best_weights = epoch, copy_weights(tower)
        if number - best.epoch >= config.patience:
            break
        pairs = with_mined(train, mining, embeddings, config)
    restore_weights(tower, best_weights)
    tower.to("cpu").eval()
    return Trained(margin, best.epoch, tuple(history))


def with_mined(train: Pairs, mining: Entities | None, embeddings: torch.Tensor, config: TrainingConfig) -> Pairs:
    """The pairs to learn from under these embeddings."""
    return train if mining is None else train + mining.mine(embeddings.numpy(), mining.rows, config.mined_per_record)


def _run_epoch(
    tower: Tower,
    features: Features,
    pairs: Pairs,
    margin: float,
    config: TrainingConfig,
    optimizer: torch.optim.Optimizer,
    order: NDArray[np.int64],
    batch_size: int,
) -> float:
    weights = class_weights(torch.from_numpy(pairs.is_match), config.balance)
    total = 0.0
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        batch = pairs.take(chosen)
        rows, places = np.unique(np.concatenate([batch.left, batch.right]), return_inverse=True)
        embedded = tower(features.take(rows))  # each distinct record once, however many pairs of the batch it is in
        left, right = torch.from_numpy(places).to(embedded.device).view(2, -1)
        distances = distance(embedded[left], embedded[right], config.energy)
        is_match = torch.from_numpy(batch.is_match).to(embedded.device)
        loss = contrastive_loss(distances, is_match, margin, weights[chosen].to(embedded.device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += float(loss.detach()) * len(chosen)
    return total / max(len(order), 1)


def choose_margin(distances: NDArray, is_match: NDArray) -> float:
    """A margin above the distances that imposites have before training, so that most of them give a gradient at first.

    Args:
        distances: (n,) energies of the training pairs under the untrained tower.
        is_match: (n,) their labels.
    """
    imposites = distances[is_match == 0]
    typical = float(np.median(imposites)) if len(imposites) else float(np.median(distances))
    return MARGIN_ABOVE_IMPOSITES * (typical if typical > 0 else 1.0)


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
