"""Glance: which candidates are worth the verifier's second look, from their distance and their words alone.

Nine in ten candidates are strangers, and most of these show it at once. What the glance lets go by was measured on held-out genuine
pairs, which are then lost as those beyond the search are: it is not made where there are too few of them to measure it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from siamese.features import HASH_BITS, feature_of, hash_words
from siamese.kinds import canonical
from siamese.linear import Linear
from siamese.profiles import ones, word_fields
from siamese.schema import Schema
from siamese.text import split_words
from siamese.wordweights import WordWeights

LOST = 0.002  # of the genuine pairs
LEAST_GENUINE = 1500  # held-out genuine pairs: with none of so many lost, that share is the upper bound at 95%
AT_ONCE = 65_536  # pairs


@dataclass(frozen=True)
class Glance:
    """A linear judge of two numbers: margin_distance, and what the words say.

    Attributes:
        linear: log-odds of a match.
        least: log-odds below which a pair is not looked at.
    """

    linear: Linear
    least: float

    @classmethod
    def fit(
        cls,
        margin_distances: NDArray[np.float64],
        said: NDArray[np.float64],
        is_match: NDArray[np.int8],
        folds: NDArray[np.int64],
        held: NDArray[np.int64],
    ) -> tuple["Glance | None", NDArray[np.bool_]]:
        """Learn from labelled pairs.

        Args:
            margin_distances, said: (m,) by models that were not trained on the pair.
            is_match: (m,) labels.
            folds: (m,) the fold of each pair, -1 for pairs that nothing is learned from.
            held: the pairs that the limit is taken from.

        Returns:
            The glance, None where too few of ``held`` are genuine; (m,) which pairs it would look at.
        """
        seen, everything = np.column_stack([margin_distances, said]).astype(np.float32), np.ones(len(said), bool)
        genuine = held[is_match[held] == 1]
        if len(genuine) < LEAST_GENUINE:
            return None, everything
        log_odds = np.empty(len(said))
        for fold in np.unique(folds):
            others = np.flatnonzero((folds >= 0) & (folds != fold))
            log_odds[folds == fold] = Linear.fit(seen[others], is_match[others]).log_odds(seen[folds == fold])
        least = float(np.quantile(log_odds[genuine], LOST, method="lower"))
        learned = np.flatnonzero(folds >= 0)
        return cls(Linear.fit(seen[learned], is_match[learned]), least), log_odds >= least

    def worth_a_look(
        self,
        words: WordWeights,
        texts: pa.Table,
        schema: Schema,
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        margin_distances: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        """(m,) which pairs to look at.

        Args:
            words: what they say.
            texts: records, whose columns :meth:`Schema.select` made text.
            left, right: (m,) rows of them.
        """
        fields = word_fields(schema)
        columns = [split_words(canonical(texts[field.name].combine_chunks(), field.kind)) for field in fields]
        rows = [
            np.repeat(np.arange(texts.num_rows) * len(fields) + number, np.diff(column.offsets))
            for number, column in enumerate(columns)
        ]
        features = [feature_of(hash_words(column)) for column in columns]
        shape = (texts.num_rows * len(fields), 2**HASH_BITS)
        cells = ones(np.concatenate(rows), np.concatenate(features), shape)
        worth = np.empty(len(left), bool)
        for start in range(0, len(left), AT_ONCE):
            here = slice(start, start + AT_ONCE)
            said = words.said(cells, np.arange(2**HASH_BITS), left[here], right[here])
            seen = np.column_stack([margin_distances[here], said]).astype(np.float32)
            worth[here] = self.linear.log_odds(seen) >= self.least
        return worth

    def described(self) -> dict[str, Any]:
        """As JSON."""
        return {"least": self.least, **{name: each.tolist() for name, each in self.linear.tensors().items()}}

    @classmethod
    def of(cls, described: dict[str, Any]) -> "Glance":
        """What :meth:`described` gave."""
        tensors = {name: np.array(each, np.float64) for name, each in described.items() if name != "least"}
        return cls(Linear.from_tensors(tensors), float(described["least"]))
