"""The glance before the second look."""

import json

import numpy as np
import pyarrow as pa

from siamese.comparison import Comparison
from siamese.features import HASH_BITS
from siamese.glance import LEAST_GENUINE, LOST, Glance
from siamese.profiles import Profiles
from siamese.schema import Schema
from siamese.wordweights import WordWeights

N = 12_000
RANDOM = np.random.default_rng(0)
IS_MATCH = (np.arange(N) % 2).astype(np.int8)
DISTANCES = np.where(IS_MATCH == 1, 0.4, 0.9) + 0.15 * RANDOM.normal(size=N)
SAID = np.where(IS_MATCH == 1, 3.0, -3.0) + 2 * RANDOM.normal(size=N)
FOLDS = np.arange(N) % 4


def test_it_lets_go_of_strangers_and_of_no_more_genuine_pairs_than_it_may() -> None:
    glance, worth = Glance.fit(DISTANCES, SAID, IS_MATCH, FOLDS, np.arange(N))
    assert glance is not None
    assert (~worth[IS_MATCH == 1]).mean() <= LOST
    assert (~worth[IS_MATCH == 0]).mean() > 0.8


def test_few_genuine_pairs_let_nothing_go() -> None:
    held = np.flatnonzero(IS_MATCH)[: LEAST_GENUINE - 1]
    glance, worth = Glance.fit(DISTANCES, SAID, IS_MATCH, FOLDS, held)
    assert glance is None and worth.all()


def test_it_is_written_and_read_whole() -> None:
    glance = Glance.fit(DISTANCES, SAID, IS_MATCH, FOLDS, np.arange(N))[0]
    assert glance is not None
    again = Glance.of(json.loads(json.dumps(glance.described())))
    seen = np.column_stack([DISTANCES, SAID]).astype(np.float32)
    assert np.array_equal(again.linear.log_odds(seen), glance.linear.log_odds(seen)) and again.least == glance.least


def test_words_say_the_same_at_a_glance_as_at_a_look() -> None:
    table = pa.table({"name": ["anna lind", "ana lind", "bo ek", None], "no": ["a 1", "a 1", "b 2", "c"]})
    schema = Schema.model_validate({"fields": [{"name": name, "kind": "text"} for name in ("name", "no")]})
    texts = schema.select(table)
    shared, unshared = RANDOM.normal(size=(2, 2, 2**HASH_BITS)).astype(np.float32)
    words, (left, right) = WordWeights(shared, unshared), np.triu_indices(4, 1)
    said = words.score(Comparison(Profiles.of(texts, schema, np.ones(2**HASH_BITS, np.float32)), left, right))
    glance = Glance.fit(DISTANCES, SAID, IS_MATCH, FOLDS, np.arange(N))[0]
    assert glance is not None
    apart = np.linspace(0.3, 1.0, len(left))
    expected = glance.linear.log_odds(np.column_stack([apart, said]).astype(np.float32)) >= glance.least
    assert glance.worth_a_look(words, texts, schema, left, right, apart).tolist() == expected.tolist()
