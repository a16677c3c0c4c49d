"""Contents: records are the same content exactly if all their fields are."""

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.contents import content_keys

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
