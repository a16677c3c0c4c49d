"""Profiles, beside what regular expressions find record by record."""

import re

import numpy as np
import pyarrow as pa

from siamese.features import HASH_BITS
from siamese.profiles import CODE_LENGTH, Profiles
from siamese.schema import Schema
from siamese.text import normalise, split_words

TEXTS = [
    "Sony PS-LX350H, 1.2.3 (220-240V) ..5. 10",
    "żółw_12-ab ½ ٣٤x  \u2003caf\u00e9 007.5",
    None,
    "---",
    "a1 b2 c3d 10 10 10.",
    "\u6771\u4eac 2024\u5e74 x" + "y" * 300 + "7",
]
OTHERS = ["x", None, None, "9-9-9", "ps lx350h", "\U0001f600 4.4"]
SCHEMA = Schema.model_validate({"fields": [{"name": "one", "kind": "text"}, {"name": "other", "kind": "code"}]})


def profiles(schema: Schema = SCHEMA) -> Profiles:
    table = pa.table({"one": pa.array(TEXTS, pa.large_string()), "other": pa.array(OTHERS, pa.large_string())})
    return Profiles.of(table, schema, np.ones(2**HASH_BITS, np.float32))


def said() -> list[str]:
    pairs = (normalise(pa.array(column, pa.large_string())).to_pylist() for column in (TEXTS, OTHERS))
    return [f"{one or ''} {other or ''}" for one, other in zip(*pairs, strict=True)]


def test_codes_and_what_is_joined_are_those_of_regular_expressions():
    not_in_word, found = re.compile(r"[\W_]+"), profiles()
    assert found.joined.tolist() == [not_in_word.sub("", text) for text in said()]
    codes = [
        {code for word in text.split() if re.search(r"\d", word) for code in [not_in_word.sub("", word)]}
        for text in said()
    ]
    codes = [{code for code in each if len(code) >= CODE_LENGTH} for each in codes]
    assert [set(found.codes[row.indices]) for row in found.coded] == codes
    assert found.codes.tolist() == sorted(set().union(*codes), key=lambda code: (-len(code), code))


def test_runs_of_digits_are_shared_as_those_of_a_regular_expression():
    runs = [set(re.findall(r"\d+(?:\.\d+)?", text)) for text in said()]
    shared = (profiles().digits @ profiles().digits.T).toarray()
    assert shared.tolist() == [[len(one & other) for other in runs] for one in runs]


def test_words_lie_by_record_and_field_and_are_spelled_once():
    found, words = profiles(), split_words(normalise(pa.array(TEXTS, pa.large_string())))
    spelled, bounds = words.spelled(), words.offsets
    for record in range(len(TEXTS)):
        here = set(spelled[bounds[record] : bounds[record + 1]])
        assert set(found.words[found.cells[[2 * record]].indices]) == here
        both = here | set(found.words[found.cells[[2 * record + 1]].indices])
        assert set(found.words[found.whole[[record]].indices]) == both
    assert len(set(found.words)) == len(found.words)
    chosen = np.array([4, 0, 2])
    assert words.spelled(chosen) == [spelled[each] for each in chosen] and words.spelled(chosen[:0]) == []


def test_a_schema_without_words_has_profiles_of_nothing():
    numbers = Schema.model_validate({"fields": [{"name": "one", "kind": "number"}]})
    found = profiles(numbers)
    assert len(found.words) == 0 and found.whole.shape == (len(TEXTS), 0) and found.joined.tolist() == [""] * len(TEXTS)
