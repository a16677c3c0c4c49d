"""Glance: small trees that foretell, from what costs little to know of a pair, whether the verifier would flag it; a tenth of a look.

They read the distance, what labelled pairs say of the words, and how alike the fields are spelled. They are taught by the verifier itself
(distillation: Bucila, Caruana and Niculescu-Mizil 2006), on pairs of the corpus that they judge: no label is asked. They learn how far the
verifier is from flagging a pair, softened (Hinton, Vinyals and Dean 2015), and not only whether it does: few pairs of a corpus are
flagged, but every stranger says how strange it is.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from rapidfuzz import fuzz
from scipy.special import expit

from siamese.comparison import alike
from siamese.features import HASH_BITS, feature_of, hash_words
from siamese.judges import lightgbm, predict
from siamese.kinds import canonical
from siamese.profiles import FUZZY_CHARACTERS, ragged_ones, strings, word_fields
from siamese.text import normalise, split_words
from siamese.verifier import Verifier

AT_ONCE = 65_536  # pairs
TEMPERATURE = 2.0  # that log-odds are divided by before they are learned
_ROUNDS = 50
_PARAMETERS = {
    "objective": "cross_entropy",
    "num_leaves": 7,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


@dataclass(frozen=True)
class Glance:
    """Says which pairs are worth a second look.

    Attributes:
        trees: a LightGBM model, as text.
        least: softened log-odds below which a pair is not.
    """

    trees: str
    least: float

    @staticmethod
    def learn(seen: NDArray[np.float32], log_odds: NDArray[np.float64], seed: int = 0) -> str:
        """Trees, as text, from (m, f) what is seen of pairs and (m,) the verifier's log-odds, 0 where it just flags one; not all alike."""
        lgb = lightgbm()
        data = lgb.Dataset(seen, expit(log_odds / TEMPERATURE))
        return str(lgb.train({**_PARAMETERS, "seed": seed}, data, _ROUNDS).model_to_string())

    @cached_property
    def _booster(self) -> Any:
        return lightgbm().Booster(model_str=self.trees)

    def log_odds(self, seen: NDArray[np.float32]) -> NDArray[np.float64]:
        """(m,) softened, that the verifier flags the pairs, from :func:`seen_of` them."""
        return predict(self._booster, seen) if len(seen) else np.empty(0)

    def is_worth(self, seen: NDArray[np.float32]) -> NDArray[np.bool_]:
        """(m,) which pairs to look at."""
        return self.log_odds(seen) >= self.least


def seen_of(
    verifier: Verifier,
    texts: pa.Table,
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    margin_distances: NDArray[np.float64],
) -> NDArray[np.float32]:
    """(m, 2 + F) distance, what the words say, and how alike each field with words is spelled (0 to 100), NaN where one side has none.

    Args:
        texts: records, whose columns :meth:`Schema.select` made text.
        left, right: (m,) rows of them.
        margin_distances: (m,) distance / margin.
    """
    fields = word_fields(verifier.schema)
    columns = [texts[field.name].combine_chunks() for field in fields]
    words = split_words(*(canonical(column, field.kind) for column, field in zip(columns, fields, strict=True)))
    cells = ragged_ones(feature_of(hash_words(words)), words.offsets, 2**HASH_BITS)
    has = (np.diff(words.offsets) > 0).reshape(texts.num_rows, len(fields))
    seen = np.empty((len(left), 2 + len(fields)), np.float32)
    seen[:, 0] = margin_distances
    for start in range(0, len(left), AT_ONCE):
        here = slice(start, start + AT_ONCE)
        seen[here, 1] = verifier.words.said(cells, np.arange(2**HASH_BITS), left[here], right[here])
    seen[:, 2:] = np.nan
    for number, column in enumerate(columns):
        spelled = strings(pc.utf8_slice_codeunits(pc.fill_null(normalise(column), ""), 0, FUZZY_CHARACTERS))
        both = np.flatnonzero(has[left, number] & has[right, number])
        seen[both, 2 + number] = alike(fuzz.ratio, spelled[left[both]], spelled[right[both]], 100)
    return seen
