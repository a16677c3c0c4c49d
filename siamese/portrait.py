"""Portrait: what records look like, field by field, in a few numbers: what a later corpus is held against.

Of half of the records the words are kept, as a bitmap of their hashes; the share of the words of the rest that are not among them is what
unseen words there are where nothing has changed (a phone number is nearly always unseen, a city hardly ever). The halves are drawn in short
runs of records: duplicates often stand side by side, and parted by turns each would vouch for the other.
"""

import base64
import zlib
from collections.abc import Mapping
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from siamese.features import hash_words
from siamese.kinds import canonical
from siamese.schema import Kind, Schema
from siamese.text import split_words

RECORDS = 10_000  # that a portrait is of, at most: a share of them is known to one percent
LENGTHS = np.unique(np.geomspace(1, 65_536, 64).round().astype(np.int64))  # characters, where bins begin
BITS = 18  # of a word's hash
RUN = 8  # records that are in the same half
# What a value may hold, told by the octets of its UTF-8; "signs" are U+0080 to U+00BF, which text that was read in the wrong encoding has
# in it, and "far" what is beyond the alphabets of Europe and the Near East, U+FFFD for what could not be read among it.
CLASSES = ("letters", "digits", "spaces", "punctuation", "controls", "signs", "accents", "alphabets", "far")

Hashed = tuple[NDArray[np.int64], NDArray[np.bool_]]


class Column(BaseModel):
    """One field of n records.

    Attributes:
        values: how many have one.
        lengths: how many of these begin in each bin of LENGTHS.
        holds: how many of these hold characters of each of CLASSES.
        words: bitmap of the words of half of the records.
        words_left, unseen: words of the rest, and how many of them are not in the bitmap.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Kind
    values: int
    lengths: list[int]
    holds: list[int]
    words: str
    words_left: int
    unseen: int

    @classmethod
    def of(cls, text: pa.Array, kind: Kind, words: Hashed | None = None) -> Self:
        """``words``: of the text, where they are known."""
        values = text.drop_null()
        lengths = np.searchsorted(LENGTHS, pc.utf8_length(values).to_numpy(), side="right") - 1
        hashes, is_kept = words or hash_field(text, kind)
        seen = np.zeros(2**BITS, bool)
        seen[hashes[is_kept]] = True
        return cls(
            kind=kind,
            values=len(values),
            lengths=np.bincount(lengths, minlength=len(LENGTHS)).tolist(),
            holds=_holds(values).tolist(),
            words=_pack(seen),
            words_left=int((~is_kept).sum()),
            unseen=int((~seen[hashes[~is_kept]]).sum()),
        )

    def unseen_among(self, text: pa.Array) -> tuple[int, int]:
        """How many words other values of the field have, and how many of them are unseen here."""
        return self.unseen_of(hash_field(text, self.kind)[0])

    def unseen_of(self, hashes: NDArray[np.int64]) -> tuple[int, int]:
        """The same of words that were hashed."""
        return len(hashes), int((~_unpack(self.words)[hashes]).sum())


class Portrait(BaseModel):
    """n records, field by field."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    records: int
    columns: dict[str, Column]

    @classmethod
    def of(cls, texts: pa.Table, schema: Schema, words: Mapping[str, Hashed] | None = None) -> Self:
        """Of records whose columns :meth:`Schema.select` made text; :func:`sample` says which, where there are many.

        Args:
            words: from :func:`hash_fields`, where they are known.
        """
        words = words or hash_fields(texts, schema)
        columns = {
            field.name: Column.of(texts[field.name].combine_chunks(), field.kind, words[field.name])
            for field in schema.fields
        }
        return cls(records=texts.num_rows, columns=columns)


def sample(n: int, seed: int = 0) -> NDArray[np.int64]:
    """Which of n records a portrait is of, ascending: all, or RECORDS of them at random."""
    if n <= RECORDS:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, RECORDS, replace=False))


def hash_fields(texts: pa.Table, schema: Schema) -> dict[str, Hashed]:
    """The words of each field."""
    return {field.name: hash_field(texts[field.name].combine_chunks(), field.kind) for field in schema.fields}


def hash_field(text: pa.Array, kind: Kind) -> Hashed:
    """Hashes of all words, and whether each is of the half that is kept."""
    words = split_words(canonical(text, kind))
    in_half = np.random.default_rng(0).permutation(-(-len(text) // RUN)) % 2 == 0
    is_kept = np.repeat(np.repeat(in_half, RUN)[: len(text)], np.diff(words.offsets))
    return (hash_words(words) >> np.uint64(64 - BITS)).astype(np.int64), is_kept


def _holds(values: pa.Array) -> NDArray[np.int64]:
    """How many values hold each of CLASSES; no value is empty (:func:`siamese.text.as_text`)."""
    if len(values) == 0:
        return np.zeros(len(CLASSES), np.int64)
    values = values.cast(pa.large_string())
    _, offset_buffer, data = values.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64, len(values) + 1, 8 * values.offset)
    octets = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
    held = np.bitwise_or.reduceat(_CLASS_OF[octets], offsets[:-1] - offsets[0])
    return np.array([(held >> place & 1).sum() for place in range(len(CLASSES))])


def _class_of() -> NDArray[np.uint16]:
    """(256,) the class of each octet as a bit; octets that go on with a character have none."""
    ranges = {
        "controls": [(0x00, 0x08), (0x0E, 0x1F), (0x7F, 0x7F)],
        "spaces": [(0x09, 0x0D), (0x20, 0x20)],
        "digits": [(0x30, 0x39)],
        "letters": [(0x41, 0x5A), (0x61, 0x7A)],
        "punctuation": [(0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)],
        "signs": [(0xC2, 0xC2)],
        "accents": [(0xC3, 0xC9)],
        "alphabets": [(0xCA, 0xDF)],
        "far": [(0xE0, 0xFF)],
    }
    table = np.zeros(256, np.uint16)
    for name, spans in ranges.items():
        for first, last in spans:
            table[first : last + 1] = 1 << CLASSES.index(name)
    return table


_CLASS_OF = _class_of()


def _pack(seen: NDArray[np.bool_]) -> str:
    return base64.b64encode(zlib.compress(np.packbits(seen).tobytes())).decode()


def _unpack(words: str) -> NDArray[np.bool_]:
    return np.unpackbits(np.frombuffer(zlib.decompress(base64.b64decode(words)), np.uint8)).astype(bool)
