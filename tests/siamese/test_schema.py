"""Schema: kinds told from values, set by hand, and the sentences for what does not fit."""

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from siamese.errors import DataError, SchemaError
from siamese.schema import Field, Kind, Schema, as_table

RANDOM = np.random.default_rng(0)
WORDS = ["amber", "brook", "cedar", "delta", "ember", "fjord", "grove", "haven", "inlet", "jetty", "knoll", "lagoon"]


def phrase(length: int) -> str:
    return " ".join(RANDOM.choice(WORDS, length))


N = 400
COLUMNS: dict[str, tuple[Kind, list[Any]]] = {
    "title": (Kind.TEXT, [phrase(6) for _ in range(N)]),
    "title_with_models": (Kind.TEXT, [f"{phrase(3)} {i}x" for i in range(N)]),
    "author": (Kind.NAME, [f"{phrase(1)} {phrase(1)}{chr(97 + i % 26)}" for i in range(N)]),
    "price": (Kind.NUMBER, [f"${i},{i % 900 + 100}.50" for i in range(N)]),
    "euros": (Kind.NUMBER, [f"{i + 1}.299,50 €" for i in range(N)]),
    "stock": (Kind.NUMBER, [float(i % 50) for i in range(N)]),
    "share": (Kind.NUMBER, [f"{i / 7:.2f}%" for i in range(N)]),
    "price_with_strays": (Kind.NUMBER, ["call us" if i % 10 == 0 else f"{i}.99" for i in range(N)]),
    "released": (Kind.DATE, [dt.date(2000, 1, 1) + dt.timedelta(days=i) for i in range(N)]),
    "stamped": (Kind.DATE, [dt.datetime(2000, 1, 1, 10) + dt.timedelta(days=i) for i in range(N)]),
    "us_day": (Kind.US_DATE, [f"{i % 12 + 1}/{i % 28 + 1}/2001" for i in range(N)]),
    "spoken_day": (Kind.DATE, [f"{i % 28 + 1} March {1950 + i % 50}" for i in range(N)]),
    "phone": (Kind.CODE, [f"(212) 555-{i:04d}" for i in range(N)]),
    "postcode": (Kind.CODE, [f"0{i:04d}" for i in range(N)]),
    "ean": (Kind.CODE, [4006381000000 + i for i in range(N)]),
    "model": (Kind.CODE, [f"PS-LX{i}H" for i in range(N)]),
    "colour": (Kind.CATEGORY, [["red", "green", "blue"][i % 3] for i in range(N)]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_the_kind_is_told_from_the_values(name: str) -> None:
    kind, values = COLUMNS[name]
    holes = [None if i % 9 == 0 else value for i, value in enumerate(values)]
    for column in (values, holes):
        schema = Schema.infer(pa.table({name: pa.array(column)}))
        assert schema.fields == (Field(name=name, kind=kind),)


def test_every_kind_is_inferred_in_the_tests_above() -> None:
    assert {kind for kind, _ in COLUMNS.values()} == set(Kind)


def test_empty_and_constant_columns_are_left_out_with_the_reason() -> None:
    table = as_table({"title": ["a b c d", "e f g h"], "gone": [None, " "], "source": ["web", "web"]})
    schema = Schema.infer(table)
    assert schema.names == ["title"]
    assert schema.ignored == {"gone": "empty", "source": "the same value in every record"}


def test_constant_columns_take_part_where_there_are_no_others() -> None:
    schema = Schema.infer(as_table({"title": ["a b", "a b"], "size": [3, 3], "gone": [None, " "]}))
    assert schema.names == ["title", "size"] and schema.ignored == {"gone": "empty"}


def test_kinds_set_by_hand_win_and_ignore_leaves_out() -> None:
    table = as_table({"id": ["1", "2"], "title": ["a b", "c d"], "sku": ["x1", "x2"], "note": ["u v", "w x"]})
    schema = Schema.infer(table, exclude=["id"], kinds={"title": "code", "sku": Kind.NAME, "note": "ignore"})
    assert schema.fields == (Field(name="title", kind=Kind.CODE), Field(name="sku", kind=Kind.NAME))
    assert schema.ignored == {"note": "set by hand"}


def test_a_constant_column_takes_part_when_set_by_hand() -> None:
    schema = Schema.infer(as_table({"source": ["web", "web"]}), kinds={"source": "category"})
    assert schema.fields == (Field(name="source", kind=Kind.CATEGORY),)


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(SchemaError, match=r"column 'titel'.*lack.*'title', 'price'"):
        Schema.infer(as_table({"title": ["a"], "price": ["1"]}), kinds={"titel": "text"})


def test_a_kind_that_does_not_exist_is_named() -> None:
    with pytest.raises(SchemaError, match=r"'title' has kind 'words'.*'text'.*'ignore'"):
        Schema.infer(as_table({"title": ["a"]}), kinds={"title": "words"})


def test_no_column_left_says_why() -> None:
    with pytest.raises(SchemaError, match=r"no column is left.*'gone': empty"):
        Schema.infer(as_table({"gone": [None, None]}))


def test_a_field_named_twice_is_refused() -> None:
    with pytest.raises(SchemaError, match=r"twice: a, a"):
        Schema(fields=(Field(name="a", kind=Kind.TEXT), Field(name="a", kind=Kind.CODE)))


def test_select_brings_the_fields_into_order_as_text() -> None:
    schema = Schema(fields=(Field(name="b", kind=Kind.NUMBER), Field(name="a", kind=Kind.TEXT)))
    selected = schema.select(as_table({"a": ["x", " "], "extra": [1, 2], "b": [1.0, None]}))
    assert selected.column_names == ["b", "a"]
    assert selected.to_pydict() == {"b": ["1", None], "a": ["x", None]}
    assert set(selected.schema.types) == {pa.large_string()}


def test_a_missing_column_is_named() -> None:
    schema = Schema(fields=(Field(name="title", kind=Kind.TEXT), Field(name="price", kind=Kind.NUMBER)))
    with pytest.raises(SchemaError, match=r"the records lack 'price'.*the records have 'title', 'cost'"):
        schema.select(as_table([{"title": "x", "cost": 3}]))


def test_without_moves_fields_to_the_ignored() -> None:
    schema = Schema(fields=(Field(name="a", kind=Kind.TEXT), Field(name="b", kind=Kind.TEXT)), ignored={"c": "empty"})
    less = schema.without({"a": "in one table only"})
    assert less.names == ["b"]
    assert less.ignored == {"c": "empty", "a": "in one table only"}
    with pytest.raises(SchemaError, match="no column is left"):
        less.without({"b": "why not"})


def test_a_schema_survives_json() -> None:
    schema = Schema.infer(as_table({"title": ["a b c d", "e f g h"], "gone": [None, None]}))
    assert Schema.model_validate(schema.model_dump(mode="json")) == schema


@pytest.mark.parametrize(
    "records",
    [
        pd.DataFrame({"a": ["x", None], "b": [1, 2]}, index=[7, 9]),
        [{"a": "x", "b": 1}, {"b": 2}],
        {"a": ["x", None], "b": [1, 2]},
        {"a": np.array(["x", None], object), "b": pd.Series([1, 2])},
        {"a": pa.chunked_array([["x"], pa.array([None], pa.string())]), "b": (1, 2)},
        pa.table({"a": ["x", None], "b": [1, 2]}),
        pa.record_batch({"a": ["x", None], "b": [1, 2]}),
    ],
    ids=["DataFrame", "dicts", "columns", "arrays", "chunks", "Table", "RecordBatch"],
)
def test_records_come_in_any_common_form(records: Any) -> None:
    assert as_table(records).to_pydict() == {"a": ["x", None], "b": [1, 2]}


@pytest.mark.parametrize(
    "records",
    [
        [{"a": 12.5}, {"a": "N/A"}, {"a": float("nan")}, {"a": None}],
        {"a": [12.5, "N/A", float("nan"), None]},
        pd.DataFrame({"a": [12.5, "N/A", float("nan"), None]}, dtype=object),
        pd.DataFrame({"a": [Decimal("12.5"), "N/A", pd.NA, pd.NaT]}, dtype=object),
    ],
    ids=["dicts", "columns", "DataFrame", "NA"],
)
def test_values_of_mixed_types_become_text_and_holes_stay_holes(records: Any) -> None:
    assert as_table(records)["a"].to_pylist() == ["12.5", "N/A", None, None]


@pytest.mark.parametrize("records", [None, 5, "sony", [1, 2], [{"a": 1}, "b"]])
def test_other_types_are_named(records: Any) -> None:
    with pytest.raises(DataError, match=rf"records came as {type(records).__name__}: give a DataFrame"):
        as_table(records)


def test_one_record_is_not_taken_for_columns() -> None:
    with pytest.raises(DataError, match=r"column 'title' is one value.*\[record\]"):
        as_table({"title": "sony"})


def test_columns_of_unequal_length_are_named() -> None:
    with pytest.raises(DataError, match=r"'a' 1, 'b' 2"):
        as_table({"a": ["x"], "b": ["y", "z"]})
