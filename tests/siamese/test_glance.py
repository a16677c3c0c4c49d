"""The glance before the second look."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from rapidfuzz import fuzz
from scipy.stats import spearmanr

from siamese.comparison import Comparison
from siamese.features import HASH_BITS
from siamese.glance import Glance, seen_of
from siamese.profiles import Profiles
from siamese.schema import Schema
from siamese.wordweights import WordWeights

RANDOM = np.random.default_rng(0)


def test_it_sees_the_distance_what_the_words_say_and_how_alike_the_fields_are() -> None:
    table = pa.table({"name": ["Anna Lind", "ana lind", "bo ek", None], "no": ["a 1", "a 1", "b 2", "c"]})
    schema = Schema.model_validate({"fields": [{"name": name, "kind": "text"} for name in ("name", "no")]})
    texts = schema.select(table)
    shared, unshared = RANDOM.normal(size=(2, 2, 2**HASH_BITS)).astype(np.float32)
    words, (left, right) = WordWeights(shared, unshared), np.triu_indices(4, 1)
    said = words.score(Comparison(Profiles.of(texts, schema, np.ones(2**HASH_BITS, np.float32)), left, right))
    apart = np.linspace(0.3, 1.0, len(left))
    alike = [
        [np.nan if a is None or b is None else fuzz.ratio(a.lower(), b.lower()) for a, b in zip(*sides, strict=True)]
        for sides in (
            [[table[name][int(row)].as_py() for row in side] for side in (left, right)] for name in schema.names
        )
    ]
    verifier = SimpleNamespace(schema=schema, words=words)
    seen = seen_of(verifier, texts, left, right, apart)
    np.testing.assert_allclose(seen, np.column_stack([apart, said, *alike]), rtol=1e-5)
    np.testing.assert_array_equal(seen, seen_of(verifier, texts, right, left, apart))


@pytest.fixture
def flagged() -> tuple[np.ndarray, np.ndarray]:
    is_flagged = np.arange(4000) % 2 == 1
    seen = np.where(is_flagged[:, None], 0.4, 0.9) + 0.15 * RANDOM.normal(size=(4000, 3))
    seen[::7, 2] = np.nan
    return seen.astype(np.float32), is_flagged


def test_it_learns_what_the_verifier_flags_the_same_each_time(flagged) -> None:
    seen, is_flagged = flagged
    log_odds = np.where(is_flagged, 3.0, -np.inf)
    trees = Glance.learn(seen[:2000], log_odds[:2000])
    assert trees == Glance.learn(seen[:2000], log_odds[:2000])
    odds = Glance(trees, 0.0).log_odds(seen)
    assert ((odds[2000:] > 0) == is_flagged[2000:]).mean() > 0.95
    np.testing.assert_array_equal(Glance(trees, 1.0).is_worth(seen), odds >= 1.0)
    assert not len(Glance(trees, 1.0).is_worth(seen[:0]))


def test_strangers_teach_it_how_strange_they_are() -> None:
    seen = RANDOM.random((4000, 2)).astype(np.float32)
    log_odds = 9.0 * seen.sum(axis=1) - 18.5  # not one is flagged
    odds = Glance(Glance.learn(seen[:2000], log_odds[:2000]), 0.0).log_odds(seen[2000:])
    assert spearmanr(odds, log_odds[2000:]).statistic > 0.95
