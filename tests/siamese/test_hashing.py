"""Hashing: equal texts and only they have equal hashes, however their column lies in memory."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from siamese.hashing import hash_texts

TEXTS = st.lists(st.none() | st.text(st.sampled_from("ab\0é日"), max_size=20), max_size=9)


def strings(values: list[str | None]) -> pa.Array:
    return pa.array(values, pa.large_string())


@settings(deadline=None)  # the first call imports
@given(TEXTS)
@example([None, "", "\0", "\0\0", "\0" * 8, "\0" * 9])
@example(["abcdefgh", "abcdefgha", "aabcdefgh", "abcdefg"])
@example([])
def test_equal_texts_and_only_they_hash_alike(values: list[str | None]) -> None:
    hashed = hash_texts(strings(values), 5)
    assert hashed.dtype == np.uint64
    assert len(hashed) == len(values)
    assert len(set(hashed.tolist())) == len(set(values))
    assert dict(zip(values, hashed, strict=True)) == {
        value: hash_texts(strings([value]), 5)[0] for value in values
    }  # whatever lies around
    if values:
        assert not np.isin(hash_texts(strings(values), 6), hashed).any()


@settings(deadline=None)
@given(TEXTS, st.data())
def test_slices_and_other_types_of_string_hash_as_their_texts(values: list[str | None], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(values)))
    expected = hash_texts(strings(values), 1)[start:]
    assert np.array_equal(hash_texts(strings(values).slice(start), 1), expected)
    assert np.array_equal(hash_texts(pa.array(values, pa.string()).slice(start), 1), expected)


def test_a_null_hashes_alike_whatever_lies_under_it() -> None:
    text = strings(["a", "b", "b"])
    hidden = pa.LargeStringArray.from_buffers(3, text.buffers()[1], text.buffers()[2], pa.py_buffer(b"\x05"))
    assert hidden.to_pylist() == ["a", None, "b"]
    assert np.array_equal(hash_texts(hidden, 1), hash_texts(strings(["a", None, "b"]), 1))


def test_hashes_spread_over_all_bits() -> None:
    hashed = hash_texts(strings([f"{number}" for number in range(20_000)]), 3)
    assert len(np.unique(hashed >> np.uint64(32))) > 19_990
    bits = np.unpackbits(hashed.view(np.uint8)).reshape(-1, 64).mean(axis=0)
    assert np.abs(bits - 0.5).max() < 0.02


@pytest.mark.parametrize("length", [2**10, 2**12])
def test_thue_morse_strings_do_not_collide(length: int) -> None:
    one = "".join("ab"[bin(place).count("1") % 2] for place in range(length))
    hashed = hash_texts(strings([one, one.translate(str.maketrans("ab", "ba"))]), 1)
    assert hashed[0] != hashed[1]
