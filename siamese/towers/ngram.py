"""The n-gram tower: hashed words and character n-grams through a fixed random projection, each with a learned weight.

Before training it is TF-IDF cosine in fewer dimensions (a sign projection keeps distances: Achlioptas 2003). Training moves a
log-weight for each feature, and for each field one for each kind of feature and one for each place of a word (the first words of a title
say something else than the last), so it needs few pairs, and takes seconds.
An embedding is a sum over fields, so a squared distance is too: that is what explains a match exactly.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from siamese.features import HASH_BITS, Bags, Group, featurise, spell, take_spans
from siamese.schema import Kind, Schema
from siamese.towers.base import Tower, TowerConfig
from siamese.towers.signs import Signs

# The place of the k-th word of a field: later ones share theirs. Amounts have places too: the amount, then its magnitude bins.
PLACES = np.array([0, 1, 2, 3, 3, *[4] * 4, *[5] * 8, 6])
JOINED_KINDS = (Kind.TEXT, Kind.NAME)  # the other kinds read as one word, or as words without an order


class NgramConfig(TowerConfig):
    dim: int = (
        256  # of the projection: more keeps distances truer, and costs index memory and search time in proportion
    )
    field_norm: float = 0.5  # 0: a long field outweighs a short one as it does in TF-IDF; 1: all fields weigh the same
    gram_weight: float = 0.37  # of n-grams at the start, against 1 for words: a word has some fifteen of them
    joined_weight: float = 0.5  # of two neighbouring words as one
    learning_rate: float = 1e-2
    # Without it a genuine pair that lacks a word on one side goes on taking weight from that word, though no imposite is as near.
    slack: float = 0.3
    # A step's cost grows with the words that it looks at, and of a text of thousands some hundreds teach as much.
    most_words: int = (
        256  # of a field that a training step looks at, two neighbours as one among them: drawn anew in each step
    )


class NgramTower(Tower):
    name: ClassVar[str] = "ngram"
    additive: ClassVar[bool] = True
    averages: ClassVar[bool] = True  # a linear model but for the norms, and its weights start at 0
    threaded: ClassVar[bool] = True
    Config: ClassVar[type[TowerConfig]] = NgramConfig
    config: NgramConfig
    idf: Tensor

    def __init__(self, schema: Schema, config: NgramConfig, seed: int) -> None:
        super().__init__(schema, config, seed)
        self.dim = config.dim
        n_fields = len(schema.fields)
        self.feature_weight = nn.Parameter(torch.zeros(2**HASH_BITS))  # logarithm, as the next three
        groups = torch.zeros(n_fields, len(Group))
        groups[:, [Group.GRAM, Group.GRAM_CODE]] = float(np.log(config.gram_weight))
        groups[:, [Group.JOINED, Group.JOINED_CODE]] = float(np.log(config.joined_weight))
        self.group_weight = nn.Parameter(groups)
        self.place_weight = nn.Parameter(torch.zeros(n_fields, PLACES[-1] + 1))
        self.field_weight = nn.Parameter(torch.zeros(n_fields))
        self.register_buffer("idf", torch.ones(2**HASH_BITS))
        self.projection = Signs(2**HASH_BITS, config.dim, seed)
        # 129 and 1290 share n-grams and are not alike; magnitude bins say what is near.
        self._has_grams = np.array([field.kind is not Kind.NUMBER for field in schema.fields])

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Models of before there were places weigh all of them alike, and n-grams of codes as those of other words."""
        weights = {"place_weight": torch.zeros_like(self.place_weight), **state_dict}
        groups = weights.get("group_weight")
        if groups is not None and groups.shape[1] == Group.GRAM_CODE:
            weights["group_weight"] = torch.cat([groups, groups[:, [Group.GRAM]]], dim=1)
        return super().load_state_dict(weights, *args, **kwargs)

    def featurise(self, records: pa.Table) -> Bags:
        return featurise(records, self.schema, JOINED_KINDS)

    def thin(self, features: Bags, random: np.random.Generator) -> Bags:
        return features.thin(self.config.most_words, random)

    def fit_corpus(self, features: Bags) -> None:
        """Inverse document frequency of every feature, smoothed: log((1 + n) / (1 + df)) + 1."""
        n = len(features)
        record_of = np.repeat(np.arange(len(features.offsets) - 1) // features.n_fields, np.diff(features.offsets))
        vocabulary = len(features.groups)
        occurrences = np.unique(record_of * vocabulary + features.words)
        counts = np.bincount(occurrences % max(vocabulary, 1), minlength=vocabulary)
        counts = np.repeat(counts, np.diff(features.feature_offsets))
        frequency = np.bincount(features.feature_ids, counts, 2**HASH_BITS)
        frequency = np.minimum(frequency, n)  # an n-gram in two words of a record counts twice
        self.idf.copy_(torch.from_numpy(np.log((1 + n) / (1 + frequency)) + 1))

    def forward(self, features: Bags) -> Tensor:
        vectors, scale, cells = self._cells(features)
        records = np.searchsorted(cells, np.arange(len(features) + 1) * features.n_fields)
        return F.normalize(_sums(vectors, np.arange(len(cells)), records, scale), dim=1, eps=1e-12)

    def fields(self, features: Bags) -> Tensor:
        """(n, fields, dim): the vector of each field, whose sum, brought to length 1, is the embedding."""
        vectors, scale, cells = self._cells(features)
        dense = vectors.new_zeros(len(features) * features.n_fields, self.dim)
        dense = dense.index_copy(0, torch.from_numpy(cells).to(self.device), vectors * scale[:, None])
        return dense.view(len(features), features.n_fields, self.dim)

    def words(self, features: Bags) -> Tensor:
        table, rows, cells = self._words(features)
        weights = self._place_weights(features, cells)
        _, scale = self._scaled(features, table, rows, weights, cells)
        counts = torch.from_numpy(np.diff(features.offsets)[cells]).to(self.device)
        weights = weights * scale.repeat_interleave(counts)
        return table[torch.from_numpy(rows.astype(np.int64)).to(self.device)] * weights[:, None]

    def spell(self, records: pa.Table) -> list[str]:
        return spell(records, self.schema, JOINED_KINDS)

    def _cells(self, features: Bags) -> tuple[Tensor, Tensor, np.ndarray]:
        """The c fields that hold words, of all records.

        Returns:
            (c, dim) sums of their features; (c,) factors that scale them; (c,) record * fields + field of each.
        """
        table, rows, cells = self._words(features)
        return *self._scaled(features, table, rows, self._place_weights(features, cells), cells), cells

    def _words(self, features: Bags) -> tuple[Tensor, np.ndarray, np.ndarray]:
        """The words of all records.

        Returns:
            (s, dim) sums of the features of every distinct word of a field; (o,) which of them each occurrence is; (c,)
            record * fields + field of the fields that hold words.
        """
        n_fields = features.n_fields
        counts = np.diff(features.offsets)
        cells = np.flatnonzero(counts)
        # Every distinct word of a field is summed once: itself and, unless it is joined, its n-grams.
        keys = features.words * n_fields + np.repeat(cells % n_fields, counts[cells])
        seen, rows = _distinct(keys, len(features.groups) * n_fields)
        word, field = np.divmod(seen, n_fields)
        lengths = np.where(self._has_grams[field], np.diff(features.feature_offsets)[word], 1)
        ids, bounds = take_spans(features.feature_ids, features.feature_offsets[word], lengths)

        def put(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(self.device)

        group_weight = self.group_weight.exp()
        group = features.groups[word]
        of_gram = np.where(group == Group.CODE, Group.GRAM_CODE, Group.GRAM)
        of_group = torch.repeat_interleave(group_weight[put(field), put(of_gram)], put(lengths))
        of_group = of_group.index_copy(0, put(bounds[:-1]), group_weight[put(field), put(group)])
        feature = put(ids)
        # index_select, not [], which takes four times as long
        weight = self.idf.index_select(0, feature) * self.feature_weight.index_select(0, feature).exp()
        return self.projection(feature, put(bounds.astype(np.int32)), weight * of_group), rows, cells

    def _place_weights(self, features: Bags, cells: np.ndarray) -> Tensor:
        """(o,) weight of each occurrence by its place."""
        field = np.repeat(cells % features.n_fields, np.diff(features.offsets)[cells])
        place = PLACES.take(features.places, mode="clip") + field * self.place_weight.shape[1]
        return self.place_weight.exp().flatten().index_select(0, torch.from_numpy(place).to(self.device))

    def _scaled(
        self, features: Bags, table: Tensor, rows: np.ndarray, weights: Tensor, cells: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        """(c, dim) sums of the weighted words of each field, and the (c,) factors that scale them."""
        vectors = _sums(table, rows, np.append(features.offsets[cells], len(rows)), weights)
        length = torch.linalg.vector_norm(vectors, dim=1).clamp(min=1e-6)
        weight = self.field_weight.exp()[torch.from_numpy(cells % features.n_fields).to(self.device)]
        return vectors, weight / length**self.config.field_norm


def _distinct(keys: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct ones of (n,) keys below ``size``, ascending, and the (n,) int32 place of each key among them."""
    seen = np.zeros(size, bool)
    seen[keys] = True
    distinct = np.flatnonzero(seen)
    places = np.empty(size, np.int32)
    places[distinct] = np.arange(len(distinct), dtype=np.int32)
    return distinct, places[keys]


def _sums(table: Tensor, rows: np.ndarray, bounds: np.ndarray, weights: Tensor | None = None) -> Tensor:
    """Sums of table rows, one for each span between two bounds."""
    row, bound = (torch.from_numpy(array.astype(np.int32)).to(table.device) for array in (rows, bounds))
    return F.embedding_bag(row, table, bound, mode="sum", per_sample_weights=weights, include_last_offset=True)
