"""Records: a corpus in Parquet, CSV or JSON lines, read in batches."""

import codecs
import hashlib
import json
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from siamese.errors import DataError, SchemaError, SiameseError, reason
from siamese.schema import Also, Schema, as_table, listed, own_names, renamed
from siamese.text import as_text, text_of

BATCH_RECORDS = 65_536
CSV_BLOCK = 16 * 2**20  # bytes; a record must fit in one
CSV_HEAD = 2**16  # of it, in which the names of the columns are
DELIMITERS = ",;\t|"
SUFFIXES = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
}
_ONE_NAME = "what is the same needs one name in both, or --also NAME=OTHER"
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")  # a row number that pandas left in the file: no record says it
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")

Filesystem: TypeAlias = Any  # fsspec's

log = logging.getLogger("siamese")


@dataclass(frozen=True)
class Records:
    """A corpus on disk or at a URL: the files that make it up, in order.

    Example:
        >>> records = Records.open("customers/*.parquet")           # doctest: +SKIP
        >>> sum(batch.num_rows for batch in records.batches())      # doctest: +SKIP
        50000

    Attributes:
        path: as it was given.
        id_column: unique text for each record.
        files: paths within ``filesystem``.
        columns: names, the id among them.
        also: other names of columns, which are read by their own.
    """

    path: str
    id_column: str
    filesystem: Filesystem
    files: tuple[str, ...]
    columns: tuple[str, ...]
    also: Also

    @classmethod
    def open(cls, path: str, id_column: str = "record_id", also: Also | None = None) -> "Records":
        """Find the files of a file, folder, glob or fsspec URL.

        Args:
            also: other names of columns, the id's too, by which files may have them that lack their own: ``{"name": ["title"]}``.

        Raises:
            DataError: nothing is there, a file cannot be read or has no known suffix, or the id column is missing.
            SchemaError: a file has a column by two other names.
        """
        path, also = str(path), also or {}
        filesystem, files = _find(path)
        columns = list(dict.fromkeys(name for file in files for name in _header(filesystem, file, also)))
        columns = [name for name in columns if not _PANDAS_INDEX.fullmatch(name)]
        if not columns:
            raise DataError(f"'{path}' has no records")
        if id_column not in columns:
            have = listed(columns)
            raise DataError(f"'{path}' has no column '{id_column}', it has {have}: name the id column with --id")
        return cls(path, id_column, filesystem, tuple(files), tuple(columns), also)

    def batches(self, columns: Iterable[str] | None = None) -> Iterator[pa.Table]:
        """Tables of at most 65,536 records, in file order; the id column is text, whatever it was in the file.

        Args:
            columns: those to read beside the id; all when None.

        Raises:
            DataError: a file is damaged, or an id is empty; the sentence gives the row.
        """
        wanted = list(self.columns) if columns is None else list(dict.fromkeys([self.id_column, *columns]))
        row = 0
        for file in self.files:
            for table in read_batches(self.filesystem, file, wanted, self.also):
                ids = as_ids(table[self.id_column], self.path, self.id_column)
                empty = pc.fill_null(pc.equal(pc.utf8_length(ids), 0), True)
                if pc.any(empty).as_py():
                    first = row + pc.index(empty, True).as_py() + 1
                    raise DataError(
                        f"row {first} of '{self.path}' has an empty '{self.id_column}': every record needs one"
                    )
                yield table.set_column(table.column_names.index(self.id_column), self.id_column, ids)
                row += table.num_rows

    def schema(self) -> pa.Schema:
        """One type for each column, whatever the files have: one that holds numbers here and text there is text, for 0323 is no number."""
        types: dict[str, dict[pa.DataType, None]] = {name: {} for name in self.columns}
        for file in self.files:
            for table in read_batches(self.filesystem, file, also=self.also):
                for field in table.schema:
                    types.get(field.name, {})[field.type] = None
                if _format(file) != "json":
                    break  # all of one file are alike
        types[self.id_column] = {pa.large_string(): None}
        return pa.schema([(name, _one_type(list(found))) for name, found in types.items()])

    def ids(self) -> pa.Array:
        """(n,) large_string ids of all records, in order.

        Raises:
            DataError: there are no records, or an id occurs twice.
        """
        chunks = [batch[self.id_column] for batch in self.batches([])]
        ids = pa.chunked_array(
            [chunk for column in chunks for chunk in column.chunks], pa.large_string()
        ).combine_chunks()
        check_ids(ids, self)
        return ids

    def take(self, ids: Iterable[str]) -> pa.Table:
        """The records of these ids that are there, with all their columns, in file order.

        Raises:
            DataError: there are no records, or an id occurs twice, be it wanted or not.
        """
        wanted = pa.array(ids, pa.large_string())
        kept, chunks = [], []
        for batch in self.batches():
            column = batch[self.id_column]
            chunks.extend(column.chunks)
            kept.append(batch.filter(pc.is_in(column, value_set=wanted)))
        check_ids(pa.chunked_array(chunks, pa.large_string()).combine_chunks(), self)
        return stacked(kept)

    def digests(self) -> dict[str, str]:
        """sha256 of each file.

        Raises:
            DataError: one is gone, or cannot be read.
        """
        found = {}
        for file in self.files:
            try:
                with self.filesystem.open(file, "rb") as stream:
                    found[file] = hashlib.file_digest(stream, "sha256").hexdigest()
            except Exception as error:  # every filesystem has errors of its own kinds
                raise DataError(f"cannot read '{file}': {reason(error)}") from error
        return found


def as_ids(column: pa.ChunkedArray, path: str, name: str) -> pa.ChunkedArray:
    """A column of ids as large_string.

    Raises:
        DataError: it holds what is no text and no number.
    """
    try:
        return column.cast(pa.large_string())
    except pa.ArrowException as error:
        raise DataError(
            f"the column '{name}' of '{path}' holds {column.type}, which is no id: expected text"
        ) from error


def stacked(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables end to end; a column that they lack is null there, and one that holds numbers here and text there is text."""
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowTypeError:
        types: dict[str, set[pa.DataType]] = {}
        for field in (field for table in tables for field in table.schema):
            types.setdefault(field.name, set()).add(field.type)
        mixed = {name for name, found in types.items() if len(found) > 1}
        texts = [
            pa.table({name: as_text(table[name]) if name in mixed else table[name] for name in table.column_names})
            for table in tables
        ]
        return pa.concat_tables(texts, promote_options="permissive")


def conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """A batch with the columns and types of :meth:`Records.schema`."""
    columns = [
        as_text(table[field.name])
        if field.type == pa.large_string() and not _is_text(table[field.name].type)
        else table[field.name].cast(field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _one_type(types: list[pa.DataType]) -> pa.DataType:
    try:
        schemas = [pa.schema([("column", each)]) for each in types]
        found = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return pa.large_string()
    return pa.large_string() if pa.types.is_null(found) else found


def _is_text(found: pa.DataType) -> bool:
    return bool(pa.types.is_string(found) or pa.types.is_large_string(found))


def check_fields(schema: Schema, *sources: Records | None) -> None:
    """Refuse a corpus that lacks a field: in a table beside others, it would read as missing.

    Raises:
        SchemaError: one does.
    """
    for source in sources:
        lacking = [] if source is None else [name for name in schema.names if name not in source.columns]
        if source is not None and lacking:
            raise SchemaError(
                f"'{source.path}' lacks {listed(lacking)}: the model reads {listed(schema.names)}, and it has "
                f"{listed(source.columns)}; what is the same needs one name, or a model trained with --also"
            )


def of_all(schema: Schema, sources: Sequence[Records]) -> Schema:
    """The schema less the columns that not all of some corpora have, which are said; with the other names that columns go by there.

    Raises:
        SchemaError: no column is left, or a corpus lacks one by all the names that were given for it.
    """
    for source in sources:
        for name in source.also.keys() - set(source.columns):
            raise SchemaError(
                f"'{source.path}' has no column '{name}', nor {listed(source.also[name])}, which were said to be the same: "
                f"it has {listed(source.columns)}"
            )
    schema = schema.model_copy(update={"also": {name: tuple(others) for name, others in sources[0].also.items()}})
    lacking = [name for name in schema.names if any(name not in source.columns for source in sources)]
    if lacking == schema.names:
        have = " and ".join(f"'{source.path}' has {listed(source.columns)}" for source in sources)
        raise SchemaError(f"no column is in all tables: {have}; {_ONE_NAME}")
    schema = schema.without(dict.fromkeys(lacking, "one table lacks it: equal columns need one name"))
    if lacking:
        log.warning("not compared, for one table lacks them: %s (%s)", listed(lacking), _ONE_NAME)
    return schema


def check_ids(ids: pa.Array, records: Records) -> None:
    """Refuse an empty corpus and an id that occurs twice."""
    if len(ids) == 0:
        raise DataError(f"'{records.path}' has no records")
    index = pd.Index(ids.to_pandas())
    if index.has_duplicates:
        second = int(index.duplicated().argmax())
        first = int((index == index[second]).argmax())
        raise DataError(
            f"'{records.id_column}' must be unique, but '{index[second]}' is in rows {first + 1} and {second + 1} "
            f"of '{records.path}': name another column with --id, or make the ids unique"
        )


def read_batches(
    filesystem: Filesystem, file: str, columns: list[str] | None = None, also: Also | None = None
) -> Iterator[pa.Table]:
    """The rows of one file as tables, columns by their own names; those that it lacks come as nulls.

    Raises:
        DataError: it is damaged, wrongly encoded, of no known format, or names a column twice.
    """
    also = also or {}
    reader = {"parquet": _parquet, "csv": _csv, "json": _json}[_format(file)]
    wanted = columns and [*columns, *(other for name in columns for other in also.get(name, ()))]
    with _whole(file), _opened(filesystem, file) as stream:
        for table in reader(stream, wanted):
            check_names(table.column_names, file)
            table = _without_views(renamed(table, also))
            yield table if columns is None else pa.table({name: _column(table, name) for name in columns})


def _without_views(table: pa.Table) -> pa.Table:
    """Columns of string views, for which Arrow lacks most functions, as text."""
    for number, field in enumerate(table.schema):
        if pa.types.is_string_view(field.type):
            table = table.set_column(number, field.name, table[number].cast(pa.large_string()))
        elif pa.types.is_binary_view(field.type):
            table = table.set_column(number, field.name, table[number].cast(pa.large_binary()))
    return table


@contextmanager
def _whole(file: str) -> Iterator[None]:
    """Filesystems, compressions and formats fail with errors of their own kinds: tell them all as one of ours."""
    try:
        yield
    except (SiameseError, MemoryError):
        raise
    except Exception as error:
        raise DataError(f"'{file}' is not a whole {_format(file).upper()} file: {reason(error)}") from error


def check_names(names: list[str], file: str) -> None:
    """Refuse a file that names a column twice."""
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"'{file}' names the column '{twice}' twice: give every column a name of its own")


def read_table(path: str) -> pa.Table:
    """A small table (pairs, truth, queries) in any of the formats, whole.

    Raises:
        DataError: it cannot be read, or has no rows.
    """
    filesystem, files = _find(str(path))
    tables = [table for file in files for table in read_batches(filesystem, file)]
    table = stacked(tables) if tables else pa.table({})
    if table.num_rows == 0:
        raise DataError(f"'{path}' has no rows")
    return table


def _find(path: str) -> tuple[Filesystem, list[str]]:
    """The filesystem of a path or URL, and the files there."""
    try:
        filesystem, inner = fsspec.core.url_to_fs(path)
        filesystem.invalidate_cache()  # a process that lives long sees new files
        return filesystem, _files_of(filesystem, inner, path)
    except SiameseError:
        raise
    except Exception as error:  # every filesystem has errors of its own kinds
        raise DataError(f"cannot open '{path}': {reason(error)}") from error


def _files_of(filesystem: Filesystem, inner: str, path: str) -> list[str]:
    if filesystem.isdir(inner):
        files = [file for file in sorted(filesystem.find(inner)) if _format(file, known=False)]
        if not files:
            raise DataError(f"the folder '{path}' holds no Parquet, CSV or JSON lines file")
        return files
    is_glob = any(sign in inner for sign in "*?[")
    files = sorted(filesystem.glob(inner)) if is_glob else [inner] * filesystem.exists(inner)
    if not files:
        raise DataError(f"there is no file at '{path}'")
    for file in files:
        _format(file)
    return files


def _opened(filesystem: Filesystem, file: str) -> BinaryIO:
    """A file to read. Of Parquet only the parts asked for are fetched; other formats are read ahead.

    Raises:
        DataError: it cannot be opened.
    """
    how = {"cache_type": "none"} if _format(file) == "parquet" else {"compression": "infer"}
    try:
        stream: BinaryIO = filesystem.open(file, "rb", **how)
    except Exception as error:  # every filesystem has errors of its own kinds
        raise DataError(f"cannot open '{file}': {reason(error)}") from error
    return stream


def _format(file: str, known: bool = True) -> str:
    name = file.lower()
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    for suffix, format_ in SUFFIXES.items():
        if name.endswith(suffix):
            return format_
    if known:
        raise DataError(f"'{file}' has no known suffix: expected one of {', '.join(SUFFIXES)}")
    return ""


def _header(filesystem: Filesystem, file: str, also: Also) -> list[str]:
    if _format(file) == "parquet":
        with _whole(file), _opened(filesystem, file) as stream:
            names = list(pq.read_schema(stream).names)
            check_names(names, file)
            return list(own_names(names, also).values())
    tables = read_batches(filesystem, file, also=also)
    if _format(file) == "csv":
        return next((table.column_names for table in tables), [])
    # A JSON line names only the fields that it has: all lines are needed to know all fields.
    return list(dict.fromkeys(name for table in tables for name in table.column_names))


def _parquet(stream: BinaryIO, columns: list[str] | None) -> Iterator[pa.Table]:
    file = pq.ParquetFile(stream)
    if columns is not None:
        columns = [name for name in file.schema_arrow.names if name in columns]
    for batch in file.iter_batches(BATCH_RECORDS, columns=columns):
        batch.validate(full=True)  # Arrow takes any bytes of a damaged file for text
        yield pa.Table.from_batches([batch])


def _csv(stream: BinaryIO, _: list[str] | None) -> Iterator[pa.Table]:
    """Every column is text: a postcode keeps its leading zero."""
    parse = pyarrow.csv.ParseOptions(delimiter=_delimiter(stream.read(CSV_HEAD)), newlines_in_values=True)
    stream.seek(0)
    read = pyarrow.csv.ReadOptions(block_size=CSV_BLOCK)
    head = pyarrow.csv.open_csv(stream, read_options=read, parse_options=parse).schema.names
    stream.seek(0)
    options = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(head, pa.large_string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
    )
    reader = pyarrow.csv.open_csv(stream, read_options=read, parse_options=parse, convert_options=options)
    empty = True
    for batch in reader:
        table = pa.Table.from_batches([batch])
        empty &= table.num_rows == 0
        for start in range(0, table.num_rows, BATCH_RECORDS):
            yield table.slice(start, BATCH_RECORDS)
    if empty:  # a header and no rows: the columns are known all the same
        yield reader.schema.empty_table()


def _delimiter(head: bytes) -> str:
    """What parts the columns of a CSV file: of a comma, a semicolon, a tab and a bar the one that its first line has most of."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("it is text in UTF-16: save it as UTF-8")
    lines = re.sub(rb'"[^"]*"', b'""', head.removeprefix(codecs.BOM_UTF8)).lstrip(b"\r\n").splitlines()
    names = next(iter(lines), b"")
    return max(DELIMITERS, key=lambda each: names.count(each.encode()))  # of equals the first


def _json(stream: BinaryIO, _: list[str] | None) -> Iterator[pa.Table]:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if isinstance(row, dict):
                row = {name: text_of(v) if isinstance(v, dict | list) else v for name, v in row.items()}
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number} is not JSON ({reason(error)})") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is {type(row).__name__}, expected an object")
        rows.append(row)
        if len(rows) == BATCH_RECORDS:
            yield as_table(rows)
            rows = []
    if rows:
        yield as_table(rows)


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    return (
        table[name] if name in table.column_names else pa.chunked_array([pa.nulls(table.num_rows, pa.large_string())])
    )
