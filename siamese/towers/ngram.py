"""The n-gram tower: hashed words and character n-grams through a fixed random projection, each with a learned weight.

Before training it is TF-IDF cosine in fewer dimensions (a sign projection keeps distances: Achlioptas 2003). Training moves a
log-weight for each feature and one for each field and kind of feature, so it needs few pairs, and takes seconds.
An embedding is a sum over fields, so a squared distance is too: that is what explains a match exactly.
"""

from typing import ClassVar

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from siamese.features import HASH_BITS, Bags, Group, featurise
from siamese.schema import Kind, Schema
from siamese.towers.base import Tower, TowerConfig

JOINED_KINDS = (Kind.TEXT, Kind.NAME)  # the other kinds read as one word, or as words without an order


class NgramConfig(TowerConfig):
    dim: int = (
        256  # of the projection: more keeps distances truer, and costs index memory and search time in proportion
    )
    field_norm: float = 0.5  # 0: a long field outweighs a short one as it does in TF-IDF; 1: all fields weigh the same
    gram_weight: float = 0.37  # of n-grams at the start, against 1 for words: a word has some fifteen of them
    joined_weight: float = 0.5  # of two neighbouring words as one
    learning_rate: float = 1e-2


class NgramTower(Tower):
    name: ClassVar[str] = "ngram"
    additive: ClassVar[bool] = True
    averages: ClassVar[bool] = True  # a linear model but for the norms, and its weights start at 0
    Config: ClassVar[type[TowerConfig]] = NgramConfig
    config: NgramConfig
    projection: Tensor
    idf: Tensor
    groups_used: Tensor

    def __init__(self, schema: Schema, config: NgramConfig, seed: int) -> None:
        super().__init__(schema, config, seed)
        self.dim = config.dim
        n_fields = len(schema.fields)
        self.feature_weight = nn.Parameter(torch.zeros(2**HASH_BITS))  # logarithm, as the next two
        groups = torch.zeros(n_fields, len(Group))
        groups[:, Group.GRAM] = float(np.log(config.gram_weight))
        groups[:, [Group.JOINED, Group.JOINED_CODE]] = float(np.log(config.joined_weight))
        self.group_weight = nn.Parameter(groups)
        self.field_weight = nn.Parameter(torch.zeros(n_fields))
        self.register_buffer("idf", torch.ones(2**HASH_BITS))
        # Drawn again from the seed whenever a model is loaded, so that a model file holds no 256 MB of random signs.
        self.register_buffer("projection", _signs(2**HASH_BITS, config.dim, seed), persistent=False)
        used = torch.ones(n_fields, len(Group))
        for row, field in enumerate(schema.fields):
            if field.kind is Kind.NUMBER:
                used[row, Group.GRAM] = (
                    0  # 129 and 1290 share n-grams and are not alike; magnitude bins say what is near
                )
        self.register_buffer("groups_used", used, persistent=False)

    def featurise(self, records: pa.Table) -> Bags:
        return featurise(records, self.schema, JOINED_KINDS)

    def fit_corpus(self, features: Bags) -> None:
        """Inverse document frequency of every feature, smoothed: log((1 + n) / (1 + df)) + 1."""
        n = len(features)
        record_of = np.repeat(np.arange(len(features.offsets) - 1) // features.n_fields, np.diff(features.offsets))
        occurrences = np.unique(record_of * len(features.word_ids) + features.words)
        word_counts = np.bincount(occurrences % max(len(features.word_ids), 1), minlength=len(features.word_ids))
        gram_counts = np.repeat(word_counts, np.diff(features.gram_offsets))
        frequency = np.bincount(features.word_ids, word_counts, 2**HASH_BITS) + np.bincount(
            features.gram_ids, gram_counts, 2**HASH_BITS
        )
        frequency = np.minimum(frequency, n)  # an n-gram in two words of a record counts twice
        self.idf.copy_(torch.from_numpy(np.log((1 + n) / (1 + frequency)) + 1))

    def forward(self, features: Bags) -> Tensor:
        return F.normalize(self.fields(features).sum(dim=1), dim=1, eps=1e-12)

    def fields(self, features: Bags) -> Tensor:
        """(n, fields, dim): the vector of each field, whose sum, brought to length 1, is the embedding."""
        device = self.device
        weight = self.idf * self.feature_weight.exp()
        word_ids, gram_ids, words, groups = (
            torch.from_numpy(array).to(device)
            for array in (features.word_ids, features.gram_ids, features.words, features.groups)
        )
        # The two vectors of every distinct word: itself, and the sum of its n-grams.
        of_word = weight[word_ids, None] * self.projection[word_ids]
        of_grams = _bags(gram_ids, weight[gram_ids], features.gram_offsets, self.projection)
        # Every occurrence adds itself and then, unless it is joined, its n-grams, weighted by its field and group.
        group_weight = self.group_weight.exp() * self.groups_used
        cells = len(features.offsets) - 1
        field = torch.from_numpy(np.repeat(np.arange(cells) % features.n_fields, np.diff(features.offsets))).to(device)
        group = groups[words]
        spelled = group < Group.JOINED
        ends = torch.cumsum(1 + spelled.long(), dim=0)
        grams = ends[spelled] - 1
        rows, group_of_row = (torch.repeat_interleave(each, 1 + spelled.long()) for each in (words, group))
        rows[grams] += len(word_ids)
        group_of_row[grams] = Group.GRAM
        weights = group_weight[torch.repeat_interleave(field, 1 + spelled.long()), group_of_row]
        offsets = np.concatenate(([0], ends.cpu().numpy()))[features.offsets]
        summed = _bags(rows, weights, offsets, torch.cat([of_word, of_grams])).view(-1, features.n_fields, self.dim)
        length = summed.square().sum(dim=2, keepdim=True).clamp(min=1e-12).sqrt()
        return summed * (self.field_weight.exp()[:, None] / length**self.config.field_norm)


def _bags(rows: Tensor, weights: Tensor, offsets: np.ndarray, table: Tensor) -> Tensor:
    """Weighted sums of table rows, one for each span between two offsets."""
    if len(rows) == 0:
        return table.new_zeros(len(offsets) - 1, table.shape[1])
    starts = torch.from_numpy(offsets[:-1]).to(rows.device)
    return F.embedding_bag(rows, table, starts, mode="sum", per_sample_weights=weights)


def _signs(rows: int, dim: int, seed: int) -> Tensor:
    """(rows, dim) of +-1 / sqrt(dim), the same for a seed in every version of numpy (Philox is a counter-based standard)."""
    raw = np.random.Philox(key=seed).random_raw(rows * dim // 64 + 1)
    bits = np.unpackbits(raw.view(np.uint8), count=rows * dim)
    return torch.from_numpy(bits).reshape(rows, dim).to(torch.float32).mul_(2).sub_(1).div_(dim**0.5)
