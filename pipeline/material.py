"""Material: the records that training and calibration look at, as the tower reads them, and the labelled pairs among them."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import Tensor

from pipeline.training_set import BETWEEN, TrainingSet, entities_to_mine
from siamese.pairs import Pairs
from siamese.schema import Schema
from siamese.settings import TrainingConfig
from siamese.towers import Features, Tower
from siamese.training import Entities


@dataclass(frozen=True)
class Material:
    """n records and the pairs among them, by their rows here.

    Attributes:
        schema: of the records.
        rows: (n,) int64, which of the training set's records they are, ascending.
        texts, features: the records, and as the tower reads them.
        train, valid: pairs of either part.
        between: imposites of a train and a valid record.
        entities, mined_valid: what mining knows, and the records of the valid part to mine among; None and none of them where no
            imposites are mined.
        one_draw: train and valid are one draw of pairs, parted here by entity.
        pools: whether the tower learns from the valid part too: where the mean of the folds' towers is the tower, no pair need be kept
            from all of them, for each is judged by one that it did not teach.
        config: how to train.
    """

    schema: Schema
    rows: NDArray[np.int64]
    texts: pa.Table
    features: Features
    train: Pairs
    valid: Pairs
    between: Pairs
    entities: Entities | None
    mined_valid: NDArray[np.int64]
    one_draw: bool
    pools: bool
    config: TrainingConfig

    @classmethod
    def of(cls, data: TrainingSet, schema: Schema, tower: Tower, config: TrainingConfig) -> Self:
        train, valid, between = (data.of(split) for split in ("train", "valid", BETWEEN))
        entities, mined_valid = None, np.empty(0, np.int64)
        if config.negatives == "mined":
            entities, mined_valid = entities_to_mine(data, train, valid)
        named = (train + valid + between).rows()
        rows = np.unique(np.concatenate([named, mined_valid, *([entities.rows] if entities else [])]))
        texts = schema.select(data.records.take(pa.array(rows)))
        return cls(
            schema,
            rows,
            texts,
            tower.featurise(texts),
            train.renumber(rows),
            valid.renumber(rows),
            between.renumber(rows),
            entities and entities.renumber(rows),
            np.searchsorted(rows, mined_valid),
            data.part is not None,
            tower.averages,
            config,
        )

    @property
    def learned(self) -> Pairs:
        """The pairs to learn from where they are parted into folds."""
        return self.train + self.valid + self.between if self.pools else self.train

    @property
    def learned_entities(self) -> Entities | None:
        """What mining knows of their records."""
        if self.entities is None or not self.pools:
            return self.entities
        return replace(self.entities, rows=np.union1d(self.entities.rows, self.mined_valid))

    @property
    def is_apart(self) -> bool:
        """Whether train and valid are of other entities; else they are other pairs among the same records."""
        shared = np.intersect1d(self.train.rows(), self.valid.rows())
        return self.one_draw or self.entities is not None or 2 * len(shared) < len(self.valid.rows())

    def valid_and_near(self, embeddings: Tensor) -> Pairs:
        """The valid pairs and, where imposites are mined, those that are near by (n, dim) embeddings: what a run will propose."""
        if self.entities is None:
            return self.valid
        return self.valid + self.entities.mine(embeddings.numpy(), self.mined_valid, self.config.mined_per_record)
