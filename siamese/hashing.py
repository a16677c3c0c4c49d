"""Hashing: 64-bit numbers from text, for whole arrays of it."""

from functools import cache

import numpy as np
import pyarrow as pa

_ODD = np.uint64(0x9E3779B97F4A7C15)
_KEPT = 2**20  # powers that are made once: enough for a batch
_OCTETS = 8  # that are mixed at once
_MASKS = np.array(
    [2 ** (8 * octets) - 1 for octets in range(1, _OCTETS + 1)], np.uint64
)  # of the first 1, 2, ... octets


def mix(h: np.ndarray) -> np.ndarray:
    """Finaliser of splitmix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


def powers(base: int, count: int) -> np.ndarray:
    """(count,) uint64: base^0, base^1, ... modulo 2^64."""
    return _kept_powers(base)[:count] if count <= _KEPT else _new_powers(base, count)


@cache
def _kept_powers(base: int) -> np.ndarray:
    return _new_powers(base, _KEPT)


def _new_powers(base: int, count: int) -> np.ndarray:
    powers = np.full(count, base, np.uint64)
    powers[:1] = 1
    return np.multiply.accumulate(powers)


def hash_texts(column: pa.Array, key: int) -> np.ndarray:
    """(n,) uint64 hash of each text: equal ones have equal hashes, and null is like no text, the empty one included.

    A sum of numbers, each mixed from eight octets, their place and the key. (A polynomial would not do for what strangers write: modulo
    2^64, Thue-Morse strings of 1,024 letters collide in all of them, whatever the base and the letters' values.) Hashes by two keys are
    independent of each other.

    Args:
        column: n strings.
    """
    if len(column) == 0:
        return np.empty(0, np.uint64)
    column = column.cast(pa.large_string())
    _, offset_buffer, data = column.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64, len(column) + 1, 8 * column.offset)
    octets = np.frombuffer(data or b"", np.uint8)[offsets[0] : offsets[-1]]
    octets = np.append(octets, np.zeros(_OCTETS, np.uint8))
    at_each_octet = np.ndarray(len(octets) - _OCTETS + 1, "<u8", octets, strides=(1,))

    is_null = column.is_null().to_numpy(zero_copy_only=False)
    lengths = np.where(is_null, 0, np.diff(offsets))
    counts = (lengths + _OCTETS - 1) >> 3
    bounds = np.concatenate(([0], np.cumsum(counts)))
    numbers = np.arange(bounds[-1])
    parts = at_each_octet[_OCTETS * numbers + np.repeat(offsets[:-1] - offsets[0] - _OCTETS * bounds[:-1], counts)]
    filled = np.flatnonzero(lengths)
    parts[bounds[1:][filled] - 1] &= _MASKS.take((lengths[filled] - 1) & 7)
    secret = mix(np.uint64(key) + np.arange(counts.max() + 1, dtype=np.uint64) * _ODD)
    mixed = mix(parts ^ secret.take(numbers - np.repeat(bounds[:-1], counts)))
    sums = np.concatenate(([np.uint64(0)], np.cumsum(mixed, dtype=np.uint64)))
    ended = np.where(is_null, -1, lengths).astype(np.uint64) * _ODD
    return mix(np.diff(sums[bounds]) + ended + mix(secret[:1]))
