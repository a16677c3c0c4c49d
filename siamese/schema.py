"""Schema: which columns take part in the comparison, and what kind of thing each one holds."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, model_validator

from siamese.errors import DataError, SchemaError, SettingsError, reason
from siamese.text import as_text, text_of

INFERENCE_SAMPLE = 50_000  # records looked at to tell a column's kind; kinds do not change with more of them


class Kind(StrEnum):
    """What a field holds, and so how it is read."""

    TEXT = "text"  # words in any order: titles, descriptions
    NAME = "name"  # few words, of people, places, brands
    NUMBER = "number"  # an amount: near values are nearly alike
    DATE = "date"  # a day: read as its eight digits
    US_DATE = "us_date"  # the same where 3/4/2020 is the fourth of March
    CODE = "code"  # an identifier: punctuation and spaces mean nothing (phones, model numbers)
    CATEGORY = "category"  # one of few values: alike or not


DATES = (Kind.DATE, Kind.US_DATE)


class Field(BaseModel):
    """A column that takes part."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    kind: Kind


class Schema(BaseModel):
    """The fields of a record, in order, the columns left out with the reason, and the other names that columns go by.

    Example:
        >>> schema = Schema.infer(as_table([{"title": "sony turntable pslx350h"}, {"title": "bose acoustimass 5"}]))
        >>> [(field.name, field.kind.value) for field in schema.fields]
        [('title', 'text')]
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    fields: tuple[Field, ...]
    ignored: dict[str, str] = {}
    also: dict[str, tuple[str, ...]] = {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [field.name for field in self.fields]
        if not names:
            why = "; ".join(f"'{name}': {reason}" for name, reason in self.ignored.items())
            raise SchemaError(
                "no column is left to compare" + (f" ({why})" if why else "") + ": give records with text in them"
            )
        if len(set(names)) < len(names):
            raise SchemaError(f"the schema names a field twice: {', '.join(names)}")
        return self

    @property
    def names(self) -> list[str]:
        return [field.name for field in self.fields]

    @classmethod
    def infer(
        cls, records: pa.Table, *, exclude: Iterable[str] = (), kinds: Mapping[str, Kind | str] | None = None
    ) -> Self:
        """Tell the kind of every column from its values; one of the same value in every record is left out where there are others.

        Args:
            records: the records, or a sample of them.
            exclude: columns that are not compared (the record id).
            kinds: kinds set by hand, by column; ``"ignore"`` leaves a column out.

        Raises:
            SchemaError: ``kinds`` names a column that is not there or a kind that does not exist, or no column is left.
        """
        kinds = dict(kinds or {})
        for name, kind in kinds.items():
            if name not in records.column_names:
                raise SchemaError(
                    f"the schema names column '{name}', which the records lack: they have {listed(records.column_names)}"
                )
            if kind != "ignore" and kind not in list(Kind):
                raise SchemaError(f"column '{name}' has kind '{kind}': expected one of {listed([*Kind, 'ignore'])}")
        excluded = set(exclude)
        fields: list[Field] = []
        ignored: dict[str, str] = {}
        sample = records.slice(0, INFERENCE_SAMPLE)
        for name in records.column_names:
            if name in excluded:
                continue
            kind = kinds.get(name) or _kind_of(sample[name])
            if kind == "ignore":
                ignored[name] = "set by hand"
            elif kind in list(Kind):
                fields.append(Field(name=name, kind=Kind(kind)))
            else:
                ignored[name] = kind
        if not fields:  # a table of one record over and over: what is the same in all is all that there is to compare
            fields = [Field(name=name, kind=Kind.TEXT) for name, why in ignored.items() if why == _CONSTANT]
            ignored = {name: why for name, why in ignored.items() if why != _CONSTANT}
        return cls(fields=tuple(fields), ignored=ignored)

    def without(self, names: Mapping[str, str]) -> "Schema":
        """The schema less some fields, each with the reason."""
        fields = tuple(field for field in self.fields if field.name not in names)
        return Schema(fields=fields, ignored={**self.ignored, **names}, also=self.also)

    def select(self, records: pa.Table) -> pa.Table:
        """The records' fields as text columns in this schema's order.

        Raises:
            SchemaError: a field is missing from the records, by any of its names.
            DataError: one holds bytes that are no text.
        """
        records = renamed(records, self.also)
        missing = [name for name in self.names if name not in records.column_names]
        if missing:
            raise SchemaError(
                f"the records lack {listed(missing)}: this schema needs {listed(self.names)}, "
                f"and the records have {listed(records.column_names)}"
            )
        return pa.table({name: _text_of(records, name) for name in self.names})


Also = Mapping[str, Sequence[str]]  # other names that a column goes by, in tables that lack its own


def check_also(also: Also) -> None:
    """Refuse other names of which it could not be told what they are the names of.

    Raises:
        SettingsError: one is of two columns, or is a column's own.
    """
    meant = dict.fromkeys(also, "itself")
    for name, others in also.items():
        for other in others:
            if other in meant:
                raise SettingsError(
                    f"'{other}' cannot be another name of '{name}': it stands for {meant[other]} already, and a name is of one column"
                )
            meant[other] = f"'{name}'"


def own_names(columns: Sequence[str], also: Also) -> dict[str, str]:
    """The name that each column of a table is read by.

    Raises:
        SchemaError: two of them are the same one by other names.
    """
    own = {column: column for column in columns}
    for name, others in also.items():
        there = [other for other in others if other in own]
        if name in own or not there:
            continue
        if len(there) > 1:
            raise SchemaError(f"{listed(there)} are all other names of '{name}', and one table has them: leave one out")
        own[there[0]] = name
    return own


def renamed(table: pa.Table, also: Also) -> pa.Table:
    """A table with its columns by their own names. Raises as :func:`own_names`."""
    if not also:
        return table
    own = own_names(table.column_names, also)
    return table.rename_columns([own[column] for column in table.column_names])


def _text_of(records: pa.Table, name: str) -> pa.Array:
    try:
        return as_text(records[name])
    except pa.ArrowInvalid as error:
        raise DataError(
            f"column '{name}' holds what is no text in UTF-8 ({reason(error)}): mend it, or ignore it in the schema"
        ) from error


def as_table(records: Any) -> pa.Table:
    """Records in any common form as an Arrow table: a Table, a DataFrame, a list of dicts, or a dict of columns.

    Raises:
        DataError: the object is none of these, or holds what is no text (half a character).
    """
    try:
        return _as_table(records)
    except UnicodeEncodeError as error:
        raise DataError(f"the records hold what is no text in UTF-8 ({reason(error)}): mend it") from error


def _as_table(records: Any) -> pa.Table:
    if isinstance(records, pa.Table):
        return records
    if isinstance(records, pa.RecordBatch):
        return pa.Table.from_batches([records])
    if hasattr(records, "columns") and hasattr(records, "index"):
        try:
            return pa.Table.from_pandas(records, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            return pa.table({str(name): _loose_array(records[name].tolist()) for name in records.columns})
    if isinstance(records, Mapping):
        return _from_columns(records)
    if isinstance(records, Sequence) and all(isinstance(record, Mapping) for record in records):
        names = dict.fromkeys(name for record in records for name in record)
        return pa.table({name: _loose_array([record.get(name) for record in records]) for name in names})
    raise DataError(
        f"records came as {type(records).__name__}: give a DataFrame, an Arrow table, a list of dicts or a dict of columns"
    )


def _from_columns(columns: Mapping[str, Any]) -> pa.Table:
    for name, values in columns.items():
        if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
            raise DataError(f"column '{name}' is one value, expected a list of them: for one record give [record]")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"'{name}' {length}" for name, length in lengths.items())
        raise DataError(f"the columns differ in length ({said}): give each one value a record")
    return pa.table({name: _loose_array(values) for name, values in columns.items()})


def _loose_array(values: Any) -> pa.Array | pa.ChunkedArray:
    """An Arrow array of values whose types may differ from one to the next (as JSON's do): then all become text."""
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        texts = [text_of(value) for value in values]
        holes = ("nan", "NaT", "<NA>")  # how pandas's missing values print, which are no strings
        missing = [text in holes and not isinstance(value, str) for text, value in zip(texts, values, strict=True)]
        return pa.array(texts, pa.large_string(), mask=np.array(missing, bool))


# A whole value that is an amount: a currency sign or word before or after, a sign, grouped digits, decimals, a percent sign.
_MONEY = r"(?:[$€£¥₹]|usd|eur|gbp|chf)?"
_NUMBER = rf"(?i)^\s*{_MONEY}\s*[-+]?(?:\d+|\d{{1,3}}(?:[,. ']\d{{3}})+)(?:[.,]\d+)?\s*(?:{_MONEY}|%)\s*$"
_DATE = (
    r"(?i)^\s*(?:(?:19|20)\d{2}[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])(?:[T ][\d:.+Z-]*)?"
    r"|(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
    r"|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{2}|\d{4})"
    r"|\d{1,2}[- ](?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[-, ]+\d{2,4}"
    r"|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+\d{1,2},?\s+\d{4})\s*$"
)
_US_DATE = r"^\s*\d{1,2}[-/.](?:1[3-9]|2\d|3[01])[-/.]\d{4}"  # what can only be a month, then a day
_DAY_FIRST = r"^\s*(?:1[3-9]|2\d|3[01])[-/.]\d{1,2}[-/.]\d{4}"
_MOSTLY = 0.85  # share of a column's values that must look like a kind: real columns have strays
_CONSTANT = "the same value in every record"


def _kind_of(sample: pa.ChunkedArray) -> str:
    """A kind's name, or the reason why the column is left out."""
    try:
        column = as_text(sample)
    except pa.ArrowInvalid:
        return "bytes that are no text"
    values = column.drop_null()
    if len(values) == 0:
        return "empty"
    distinct = pc.count_distinct(values).as_py()
    if distinct == 1 and len(column) > 1 and len(values) == len(column):
        return _CONSTANT

    def share(pattern: str) -> float:
        return pc.mean(pc.match_substring_regex(values, pattern).cast(pa.float64())).as_py()

    words = pc.mean(pc.add(pc.count_substring_regex(values, r"\S\s+\S"), 1)).as_py()
    if share(_DATE) >= _MOSTLY:
        return Kind.US_DATE if share(_US_DATE) > share(_DAY_FIRST) else Kind.DATE
    leading_zero = share(r"^0\d") > 0.02  # amounts are not written so: a postcode, a phone
    if share(_NUMBER) >= _MOSTLY:
        long_digits = share(r"^\s*\d{6,}\s*$") > 0.5
        return Kind.CODE if leading_zero or long_digits else Kind.NUMBER
    if share(r"^[\d\s()+./x-]{6,}$") >= _MOSTLY:
        return Kind.CODE
    if words < 1.5 and share(r"\d") >= 0.5:
        return Kind.CODE
    if distinct <= max(2, min(50, 0.02 * len(values))) and words < 4:
        return Kind.CATEGORY
    if words < 4 and share(r"\d") < 0.3:
        return Kind.NAME
    return Kind.TEXT


def listed(names: Iterable[str]) -> str:
    """Names as a sentence has them."""
    return ", ".join(f"'{name}'" for name in names)
