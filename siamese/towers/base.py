"""Tower: the shared network, as the rest of the package sees it."""

import copy
from abc import ABC, abstractmethod
from collections import deque
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import pyarrow as pa
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from siamese.schema import Schema
from siamese.threads import side_by_side

BATCH = 4096  # records; the vectors of larger batches leave the caches, smaller ones share fewer words


class Features(Protocol):
    """Records as a tower reads them: n of them, of which some can be taken."""

    def __len__(self) -> int: ...
    def take(self, rows: np.ndarray) -> Self: ...


class TowerConfig(BaseModel):
    """Settings that every tower has; each adds its own. The training ones are defaults that ``TrainingConfig`` can override."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    epochs: int = 20  # at most: early stopping ends sooner
    folds: int = 4  # towers that are cross-fitted; each learns from all but one fold of the training pairs
    batch_size: int = 64  # pairs a step
    learning_rate: float = 1e-3
    slack: float = 0.0  # share of the margin: genuine pairs that are as near cost nothing


class Tower(nn.Module, ABC):
    """Maps records to unit-length embeddings; both inputs of a pair pass through this one set of weights.

    Attributes:
        name: what ``--tower`` calls it.
        additive: whether an embedding is a sum of one vector a field, and that of one a word, so that a squared distance is a sum over
            fields and words: then the tower has ``fields``, ``words`` and ``spell``.
        averages: whether the mean of the weights of several trainings from one start is a good tower itself.
        threaded: whether batches are encoded, and folds trained, side by side, on a core each; else torch spreads each over the cores.
        dim: dimensions of an embedding.
    """

    name: ClassVar[str]
    additive: ClassVar[bool] = False
    averages: ClassVar[bool] = False
    threaded: ClassVar[bool] = False
    Config: ClassVar[type[TowerConfig]]
    dim: int

    def __init__(self, schema: Schema, config: Any, seed: int) -> None:
        super().__init__()
        self.schema, self.config, self.seed = schema, config, seed

    @abstractmethod
    def featurise(self, records: pa.Table) -> Features:
        """Features of records whose columns :meth:`Schema.select` made text."""

    @abstractmethod
    def forward(self, features: Any) -> Tensor:
        """(n, dim) float32, each row of length 1; a record with nothing in it is all zeros."""

    def fields(self, features: Any) -> Tensor:
        """(n, fields, dim) vectors whose sum over the fields, brought to length 1, is the embedding; of additive towers only."""
        raise NotImplementedError(f"the tower '{self.name}' is not additive")

    def words(self, features: Any) -> Tensor:
        """(o, dim) vectors of all words, by record, then field, whose sums are :meth:`fields`; of additive towers only."""
        raise NotImplementedError(f"the tower '{self.name}' is not additive")

    def spell(self, records: pa.Table) -> list[str]:
        """(o,) what the words of :meth:`words` are; of additive towers only."""
        raise NotImplementedError(f"the tower '{self.name}' is not additive")

    def fit_corpus(self, features: Any) -> None:
        """Learn what unlabelled records teach (which words are rare), before training on pairs."""

    def thin(self, features: Any, random: np.random.Generator) -> Any:
        """What one training step looks at of the features of its records: all of them, or what does as well and takes less time."""
        return features

    def save_files(self, folder: Path) -> None:
        """Write what is not in the state dict into a folder, made if needed; on loading its path comes as the setting ``model``."""

    def twin(self) -> Self:
        """A tower with weights of its own, equal so far, and the same fixed tables."""
        fixed = [*self.buffers(), *(each for each in self.modules() if next(each.parameters(), None) is None)]
        return copy.deepcopy(self, {id(each): each for each in fixed})

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @torch.inference_mode()
    def embed(self, features: Features, batch_size: int = BATCH) -> Tensor:
        """(n, dim) embeddings of all features, without gradients, on the CPU."""
        was_training = self.training
        self.eval()
        n = len(features)
        spans = (np.arange(start, min(start + batch_size, n)) for start in range(0, n, batch_size))
        batches = [features] if n <= batch_size else (features.take(span) for span in spans)
        embedded = [self(batch).cpu() for batch in batches]
        self.train(was_training)
        return embedded[0] if len(embedded) == 1 else torch.cat(embedded)

    def encode(self, records: pa.Table) -> Tensor:
        """(n, dim) embeddings, on the CPU, of records whose columns :meth:`Schema.select` made text."""
        was_training = self.training
        self.eval()
        embedded = torch.empty(records.num_rows, self.dim)

        def encode_batch(start: int) -> None:
            embedded[start : start + BATCH] = self.embed(self.featurise(records.slice(start, BATCH)))

        each_start = range(0, records.num_rows, BATCH)
        deque((side_by_side if self.threaded else map)(encode_batch, each_start), maxlen=0)
        self.train(was_training)
        return embedded
