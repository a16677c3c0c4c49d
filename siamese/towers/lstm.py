"""The LSTM tower, the classic siamese network: token embeddings -> bidirectional LSTM -> pooling -> embedding.

Tokens are hashed, as fastText does (Bojanowski et al. 2017): a word's vector is the mean of its own and its n-grams', so
that a misspelt or unseen word still lies near its kin. Not additive over fields: words are read in context.
"""

from typing import ClassVar

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from siamese.features import Bags, featurise
from siamese.schema import Schema
from siamese.towers.base import Tower, TowerConfig


class LstmConfig(TowerConfig):
    dim: int = 128  # of the embedding
    token_dim: int = 96  # of a token's vector
    hidden_dim: int = 96  # of the LSTM, in each direction
    vocabulary: int = 2**15  # rows of the hashed token table
    max_tokens: int = 128  # tokens of a record that are read; the rest is not, to bound the time of a step
    learning_rate: float = 2e-3
    epochs: int = 12


class LstmTower(Tower):
    name: ClassVar[str] = "lstm"
    Config: ClassVar[type[TowerConfig]] = LstmConfig
    config: LstmConfig

    def __init__(self, schema: Schema, config: LstmConfig, seed: int) -> None:
        super().__init__(schema, config, seed)
        self.dim = config.dim
        generator = torch.Generator().manual_seed(seed)
        self.tokens = nn.Parameter(torch.randn(config.vocabulary, config.token_dim, generator=generator))
        self.field = nn.Parameter(0.1 * torch.randn(len(schema.fields), config.token_dim, generator=generator))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.lstm = nn.LSTM(config.token_dim, config.hidden_dim, batch_first=True, bidirectional=True)
            self.project = nn.Linear(2 * config.hidden_dim, config.dim)

    def featurise(self, records: pa.Table) -> Bags:
        return featurise(records, self.schema)

    def forward(self, features: Bags) -> Tensor:
        device = self.device
        ids = features.feature_ids.astype(np.int64) % self.config.vocabulary
        starts = features.feature_offsets[:-1]
        vectors = F.embedding_bag(
            torch.from_numpy(ids).to(device), self.tokens, torch.from_numpy(starts).to(device), mode="mean"
        )

        n, n_fields = len(features), features.n_fields
        bounds = features.offsets[::n_fields]
        lengths = np.minimum(np.diff(bounds), self.config.max_tokens)
        read = np.flatnonzero(lengths)  # the LSTM takes no empty sequence; a record without words stays all zeros
        embedded = torch.zeros(n, self.dim, device=device)
        if len(read) == 0:
            return embedded
        longest = int(lengths.max())
        steps = np.arange(longest)
        inside = steps < lengths[read, None]
        positions = np.where(inside, bounds[read, None] + steps, 0)
        field = np.repeat(np.arange(len(features.offsets) - 1) % n_fields, np.diff(features.offsets))
        rows = torch.from_numpy(features.words[positions]).to(device)
        inputs = vectors[rows] + self.field[torch.from_numpy(field[positions]).to(device)]
        packed = pack_padded_sequence(inputs, torch.from_numpy(lengths[read]), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        weights = torch.from_numpy(inside).to(device)[:, :, None].to(states.dtype)
        pooled = (states * weights).sum(dim=1) / weights.sum(dim=1)
        return embedded.index_copy(0, torch.from_numpy(read).to(device), F.normalize(self.project(pooled), dim=1))
