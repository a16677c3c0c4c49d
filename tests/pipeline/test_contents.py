"""Contents: records are the same content exactly if all their fields are."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.contents import ContentNumbers, content_keys

FIELD = st.sampled_from([None, "", "a", "b", "ab"])


@settings(deadline=None)
@given(st.lists(st.tuples(FIELD, FIELD), max_size=12))
def test_equal_contents_and_only_they_have_equal_keys(records: list[tuple[str | None, str | None]]) -> None:
    columns = list(zip(*records, strict=True)) or [(), ()]
    texts = pa.table({name: pa.array(column, pa.large_string()) for name, column in zip("xy", columns, strict=True)})
    keys = content_keys(texts)
    assert keys.shape == (len(records), 2)
    for half in (0, 1):
        assert len(set(keys[:, half].tolist())) == len(set(records))


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), max_size=8), max_size=6))
def test_contents_are_numbered_as_they_come(batches: list[list[int]]) -> None:
    """0 is an empty record."""
    numbers, seen = ContentNumbers(), {}
    for batch in batches:
        values = np.array(batch, np.uint64)
        keys = np.stack([values * np.uint64(0x9E3779B97F4A7C15), values], axis=1).reshape(-1, 2)
        found, fresh = numbers.number(keys, values == 0)
        expected_fresh = []
        for place, value in enumerate(batch):
            if value and value not in seen:
                seen[value] = len(seen)
                expected_fresh.append(place)
        assert fresh.tolist() == expected_fresh
        assert found.tolist() == [seen[value] if value else -1 for value in batch]
        assert numbers.count == len(seen)
