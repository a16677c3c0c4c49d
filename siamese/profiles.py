"""Profiles: records made ready for comparing, once each, so that every pair of them is then compared fast.

Nothing here depends on the tower. Words come from the values in the spelling of their kind (see :mod:`siamese.kinds`) and are weighed
by how rare they are; amounts and days are kept as what they are.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from numpy.typing import NDArray

from siamese.features import HASH_BITS, feature_of, hash_words
from siamese.kinds import canonical, parse_date, parse_number
from siamese.schema import Field, Kind, Schema
from siamese.text import Words, normalise, split_words

FUZZY_CHARACTERS = 128  # of a value that are compared letter by letter: the cost grows with the square of the length
CODE_LENGTH = 3  # shorter words with a digit are sizes and counts, which say little of which thing it is
_DIGIT = re.compile(r"\d")
_DIGITS = re.compile(r"\d+(?:\.\d+)?")
_NOT_IN_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Profiles:
    """n records. F of their fields hold words: all but the numbers.

    Attributes:
        words: (v,) distinct words, the rarest first.
        weights: (v,) float32 inverse document frequency of each.
        ids: (v,) int64 hashed feature of each.
        cells: (n * F, v) the words of each field, as ones.
        whole: (n, v) the words of each record, as ones.
        texts: F arrays of n strings: each field's value, normalised, its first FUZZY_CHARACTERS.
        joined: (n,) strings: all letters and digits of a record, with nothing between them.
        codes: (c,) distinct words with a digit, punctuation taken out, the longest first.
        coded: (n, c) the codes of each record, as ones.
        digits: (n, d) the runs of digits of each record, as ones.
        amounts: (n, number and date fields) float64, dates in days; NaN where there is none.
        missing: (n, all fields) bool.
    """

    words: NDArray[np.object_]
    weights: NDArray[np.float32]
    ids: NDArray[np.int64]
    cells: sp.csr_array
    whole: sp.csr_array
    texts: tuple[NDArray[np.object_], ...]
    joined: NDArray[np.object_]
    codes: NDArray[np.object_]
    coded: sp.csr_array
    digits: sp.csr_array
    amounts: NDArray[np.float64]
    missing: NDArray[np.bool_]

    @classmethod
    def of(cls, texts: pa.Table, schema: Schema, idf: NDArray[np.float32]) -> "Profiles":
        """Profiles of records.

        Args:
            texts: n records whose columns :meth:`Schema.select` made text.
            idf: (2**18,) float32, from :func:`document_frequency`.
        """
        n, fields = texts.num_rows, word_fields(schema)
        columns = [_split(texts, field) for field in fields]
        hashes = pa.chunked_array([pa.array(hash_words(words)) for words in columns], pa.uint64()).combine_chunks()
        distinct = hashes.dictionary_encode()
        hashed = distinct.dictionary.to_numpy()
        order = np.lexsort((hashed, -idf[feature_of(hashed)]))
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        ids = feature_of(hashed[order])
        word = rank[distinct.indices.to_numpy()]
        spelled = np.empty(len(order), object)
        spelled[word] = [spelling for words in columns for spelling in words.spelled()]
        record = np.concatenate([_records(words) for words in columns] or [np.empty(0, np.int64)])
        field = np.repeat(np.arange(len(columns)), [len(words) for words in columns])
        values = [pc.fill_null(normalise(_column(texts, field.name)), "") for field in fields]
        said = (
            pc.binary_join_element_wise(*values, pa.scalar(" ", pa.large_string())).to_pylist() if values else [""] * n
        )
        codes, coded = _sets([_codes(text) for text in said], longest_first=True)
        return cls(
            words=spelled,
            weights=idf[ids],
            ids=ids,
            cells=ones(record * len(columns) + field, word, (n * len(columns), len(order))),
            whole=ones(record, word, (n, len(order))),
            texts=tuple(_objects(pc.utf8_slice_codeunits(value, 0, FUZZY_CHARACTERS).to_pylist()) for value in values),
            joined=_objects([_NOT_IN_WORD.sub("", text) for text in said]),
            codes=codes,
            coded=coded,
            digits=_sets([_DIGITS.findall(text) for text in said])[1],
            amounts=_side_by_side([_amounts(texts, field) for field in amount_fields(schema)], n),
            missing=_side_by_side([texts[name].is_null().to_numpy() for name in schema.names], n).astype(bool),
        )


def word_fields(schema: Schema) -> list[Field]:
    """The fields whose words are compared: an amount's digits are not words."""
    return [field for field in schema.fields if field.kind is not Kind.NUMBER]


def amount_fields(schema: Schema) -> list[Field]:
    """The fields whose values have a difference."""
    return [field for field in schema.fields if field.kind in (Kind.NUMBER, Kind.DATE)]


def document_frequency(texts: pa.Table, schema: Schema) -> NDArray[np.float32]:
    """(2**18,) float32 inverse document frequency of hashed words: log((1 + n) / (1 + df)) + 1."""
    n = texts.num_rows
    frequency = np.zeros(2**HASH_BITS)
    for start in range(0, n, 65_536):
        block = texts.slice(start, 65_536)
        seen = [
            _records(words) * 2**HASH_BITS + feature_of(hash_words(words))
            for words in (_split(block, field) for field in word_fields(schema))
        ]
        once = np.unique(np.concatenate(seen)) if seen else np.empty(0, np.int64)
        frequency += np.bincount(once % 2**HASH_BITS, minlength=2**HASH_BITS)
    return (np.log((1 + n) / (1 + frequency)) + 1).astype(np.float32)


def _column(texts: pa.Table, name: str) -> pa.Array:
    return texts[name].combine_chunks()


def _split(texts: pa.Table, field: Field) -> Words:
    return split_words(canonical(_column(texts, field.name), field.kind))


def _records(words: Words) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(words.offsets) - 1), np.diff(words.offsets))


def _codes(text: str) -> list[str]:
    codes = [_NOT_IN_WORD.sub("", word) for word in text.split() if _DIGIT.search(word)]
    return [code for code in codes if len(code) >= CODE_LENGTH]


def _amounts(texts: pa.Table, field: Field) -> NDArray[np.float64]:
    parse = parse_date if field.kind is Kind.DATE else parse_number
    return parse(_column(texts, field.name)).to_numpy(zero_copy_only=False).astype(np.float64)


def _sets(values: Sequence[list[str]], longest_first: bool = False) -> tuple[NDArray[np.object_], sp.csr_array]:
    """Lists of strings as the distinct strings and the (n, distinct) ones that say which list holds which."""
    distinct = sorted({value for each in values for value in each}, key=lambda v: (-len(v) * longest_first, v))
    number = {value: place for place, value in enumerate(distinct)}
    columns = np.array([number[value] for each in values for value in each], np.int64)
    rows = np.repeat(np.arange(len(values)), [len(each) for each in values])
    return _objects(distinct), ones(rows, columns, (len(values), len(distinct)))


def ones(rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]) -> sp.csr_array:
    """A sparse matrix of ones, its columns ascending in each row."""
    matrix = sp.csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _objects(values: list[str]) -> NDArray[np.object_]:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _side_by_side(columns: list[NDArray], n: int) -> NDArray[np.float64]:
    return np.stack(columns, axis=1).astype(np.float64) if columns else np.empty((n, 0))
