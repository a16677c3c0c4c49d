"""Profiles: records made ready for comparing, once each, so that every pair of them is then compared fast.

Nothing here depends on the tower. Words come from the values in the spelling of their kind (see :mod:`siamese.kinds`) and are weighed
by how rare they are; amounts and days are kept as what they are.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from numpy.typing import NDArray

from siamese.features import HASH_BITS, feature_of, hash_words, take_ragged
from siamese.kinds import canonical, parse_date, parse_number
from siamese.schema import DATES, Field, Kind, Schema
from siamese.text import Words, normalise, split_words, wide_points

FUZZY_CHARACTERS = 128  # of a value that are compared letter by letter: the cost grows with the square of the length
CODE_LENGTH = 3  # shorter words with a digit are sizes and counts, which say little of which thing it is
_DIGIT, _DIGITS, _NO_DIGITS = r"\p{Nd}", r"(\p{Nd}+(?:\.\p{Nd}+)?)", r"[^\p{Nd}]+"
_IN_ASCII = np.array([chr(octet).isalnum() for octet in range(256)])  # its letters and digits


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
        columns = [_column(texts, field.name) for field in fields]
        values = [normalise(column) for column in columns]
        words = split_words(
            *(
                value if field.kind in (Kind.TEXT, Kind.NAME) else canonical(column, field.kind)
                for field, column, value in zip(fields, columns, values, strict=True)
            )
        )
        values = [pc.fill_null(value, "") for value in values]
        distinct = pa.array(hash_words(words)).dictionary_encode()
        numbers, hashed = distinct.indices.to_numpy(), distinct.dictionary.to_numpy()
        order = np.lexsort((hashed, -idf[feature_of(hashed)]))
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        ids, word = feature_of(hashed[order]), rank[numbers]
        first = np.empty(len(order), np.int64)
        first[word[::-1]] = np.arange(len(word) - 1, -1, -1)  # the last write stays
        spelled = _objects(words.spelled(first))
        nothing = pa.repeat(pa.scalar("", pa.large_string()), n)
        said = pc.binary_join_element_wise(*values, pa.scalar(" ", pa.large_string())) if values else nothing
        record, token, tokens = _tokens(said)
        codes, coded = _codes(tokens, record, token, n)
        return cls(
            words=spelled,
            weights=idf[ids],
            ids=ids,
            cells=ragged_ones(word, words.offsets, len(order)),
            whole=ragged_ones(word, words.offsets[:: max(len(fields), 1)], len(order))
            if fields
            else ones(word, word, (n, 0)),
            texts=tuple(strings(pc.utf8_slice_codeunits(value, 0, FUZZY_CHARACTERS)) for value in values),
            joined=strings(_joined(said)),
            codes=codes,
            coded=coded,
            digits=_digits(tokens, record, token, n),
            amounts=_side_by_side([_amounts(texts, field) for field in amount_fields(schema)], n),
            missing=_side_by_side([texts[name].is_null().to_numpy() for name in schema.names], n).astype(bool),
        )


def word_fields(schema: Schema) -> list[Field]:
    """The fields whose words are compared: an amount's digits are not words."""
    return [field for field in schema.fields if field.kind is not Kind.NUMBER]


def amount_fields(schema: Schema) -> list[Field]:
    """The fields whose values have a difference."""
    return [field for field in schema.fields if field.kind in (Kind.NUMBER, *DATES)]


def document_frequency(texts: pa.Table, schema: Schema) -> NDArray[np.float32]:
    """(2**18,) float32 inverse document frequency of hashed words: log((1 + n) / (1 + df)) + 1."""
    n = texts.num_rows
    frequency = np.zeros(2**HASH_BITS)
    for start in range(0, n, 65_536):
        block = texts.slice(start, 65_536)
        seen = [
            _records(words) * 2**HASH_BITS + feature_of(hash_words(words))
            for words in (_split(block, [field]) for field in word_fields(schema))
        ]
        once = np.unique(np.concatenate(seen)) if seen else np.empty(0, np.int64)
        frequency += np.bincount(once % 2**HASH_BITS, minlength=2**HASH_BITS)
    return (np.log((1 + n) / (1 + frequency)) + 1).astype(np.float32)


def _column(texts: pa.Table, name: str) -> pa.Array:
    return texts[name].combine_chunks()


def _split(texts: pa.Table, fields: list[Field]) -> Words:
    return split_words(*(canonical(_column(texts, field.name), field.kind) for field in fields))


def _records(words: Words) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(words.offsets) - 1), np.diff(words.offsets))


def _tokens(texts: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64], pa.Array]:
    """What stands between white space and has a digit: the (t,) record and number of each, and what those numbers are of."""
    parted = pc.utf8_split_whitespace(texts)
    record = np.repeat(np.arange(len(texts)), parted.value_lengths().to_numpy())
    coded = parted.flatten().dictionary_encode()
    token, has_digit = coded.indices.to_numpy(), pc.match_substring_regex(coded.dictionary, _DIGIT)
    kept = has_digit.to_numpy(zero_copy_only=False)
    here = kept[token]
    return record[here], (np.cumsum(kept) - 1)[token[here]], coded.dictionary.filter(has_digit)


def _codes(
    tokens: pa.Array, record: NDArray[np.int64], token: NDArray[np.int64], n: int
) -> tuple[NDArray[np.object_], sp.csr_array]:
    """The distinct codes among tokens, and the (n, distinct) ones that say which record holds which."""
    coded = _joined(tokens).dictionary_encode()
    length = pc.utf8_length(coded.dictionary)
    order = pc.sort_indices(
        pa.table([length, coded.dictionary], ["length", "code"]), [("length", "descending"), ("code", "ascending")]
    )
    kept = order.slice(0, int((length.to_numpy() >= CODE_LENGTH).sum())).to_numpy()
    rank = np.full(len(order), -1)
    rank[kept] = np.arange(len(kept))
    code = rank[coded.indices.to_numpy()[token]]
    here = code >= 0
    return strings(coded.dictionary.take(pa.array(kept))), ones(record[here], code[here], (n, len(kept)))


def _digits(tokens: pa.Array, record: NDArray[np.int64], token: NDArray[np.int64], n: int) -> sp.csr_array:
    """(n, distinct) ones that say which record holds which runs of digits."""
    apart = pc.utf8_trim_whitespace(pc.replace_substring_regex(tokens, _DIGITS + "|" + _NO_DIGITS, r"\1 "))
    parted = pc.utf8_split_whitespace(apart)
    coded = parted.flatten().dictionary_encode()
    bounds = np.concatenate(([0], np.cumsum(parted.value_lengths().to_numpy(), dtype=np.int64)))
    run, held = take_ragged(coded.indices.to_numpy(), bounds, token)
    return ones(np.repeat(record, np.diff(held)), run, (n, len(coded.dictionary)))


def _joined(texts: pa.Array) -> pa.Array:
    """Texts less all that is no letter or digit."""
    offsets, data = (np.frombuffer(buffer or b"", kind) for buffer, kind in zip(texts.buffers()[1:], "lB", strict=True))
    offsets = offsets[texts.offset : texts.offset + len(texts) + 1]
    data = data[: offsets[-1] if len(offsets) else 0]
    kept = _IN_ASCII[data]
    if data.max(initial=0) > 0x7F:
        points = wide_points(data)
        table = np.zeros(int(points.max()) + 1, bool)
        table[points] = True
        table[table] = [chr(point).isalnum() for point in np.flatnonzero(table)]
        octets = 2 + (points > 0x7FF).astype(np.int64) + (points > 0xFFFF)  # of a character in UTF-8
        kept[data > 0x7F] = np.repeat(table[points], octets)
    ends = offsets - np.searchsorted(np.flatnonzero(~kept), offsets)
    return pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(ends), pa.py_buffer(data[kept]))


def strings(texts: pa.Array) -> NDArray[np.object_]:
    return texts.to_numpy(zero_copy_only=False).astype(object)


def _amounts(texts: pa.Table, field: Field) -> NDArray[np.float64]:
    parse = partial(parse_date, kind=field.kind) if field.kind in DATES else parse_number
    # Regular expressions are slow: each distinct value is parsed once.
    coded = _column(texts, field.name).dictionary_encode()
    return parse(coded.dictionary).take(coded.indices).to_numpy(zero_copy_only=False).astype(np.float64)


def ones(rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]) -> sp.csr_array:
    """A sparse matrix of ones, its columns ascending in each row."""
    matrix = sp.csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def ragged_ones(columns: NDArray[np.int64], offsets: NDArray[np.int64], width: int) -> sp.csr_array:
    """The same of a row's columns end to end, with their offsets."""
    parts = np.ones(len(columns), np.float32), columns, offsets
    matrix = sp.csr_array(parts, shape=(len(offsets) - 1, width), copy=True)  # for it is then changed in place
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _objects(values: list[str]) -> NDArray[np.object_]:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _side_by_side(columns: list[NDArray], n: int) -> NDArray[np.float64]:
    return np.stack(columns, axis=1).astype(np.float64) if columns else np.empty((n, 0))
