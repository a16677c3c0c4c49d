"""Fuzzed inputs: what a file, a setting or a query may hold, from a seed; and what is asked of each.

A check takes random bytes' worth of choices and a folder to write into, gives what was read, or raises an error of ours. Whatever else it
raises is a defect, and so is a result that is not what went in.
"""

import bz2
import csv
import datetime
import decimal
import gzip
import io
import json
import lzma
import math
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from flows import config
from flows.serving import ServeConfig
from pipeline.labelling.answers import AnswerFile
from pipeline.pairs import LabelledPairs
from pipeline.records import Records
from pipeline.rules import GoldenRules
from pipeline.survivorship import check_rules
from siamese.schema import Schema

TEXTS = (
    "", " ", "a", "0", "1", "-1", "007", "1e999", "nan", "NaN", "None", "null", "true", "café", "Kőszegák",
    "\u0000", "\ufeff", "\u202e", "🜨" * 3,
    "a\tb", "a,b", 'a"b', "a'b", "line\nbreak", "\r", "\\", "=1+1", "../../x", "/etc/passwd", "é" * 5000,
    "x" * 70_000, "ß", "İ", "١٢٣", "\x1b[31m",
)  # fmt: skip
NAMES = (
    "record_id",
    "name",
    "city",
    "left_id",
    "right_id",
    "label",
    "split",
    "unsure",
    "weight",
    "",
    " ",
    "a,b",
    "é",
    "__index_level_0__",
    "x" * 300,
)


def text(drawn: Random) -> str:
    if drawn.random() < 0.6:
        return drawn.choice(TEXTS)
    return "".join(
        chr(drawn.choice((drawn.randrange(32, 127), drawn.randrange(1, 0xD7FF)))) for _ in range(drawn.randrange(12))
    )


def value(drawn: Random, deep: int = 2) -> Any:
    """Any value that JSON can hold."""
    kind = drawn.randrange(9 if deep else 6)
    simple = (
        None,
        True,
        drawn.choice((0, 1, -1, 2**63, 2**70, -(10**25))),
        drawn.choice((0.5, 1e300, -0.0)),
        text(drawn),
        text(drawn),
    )
    if kind < 6:
        return simple[kind]
    if kind == 6:
        return [value(drawn, deep - 1) for _ in range(drawn.randrange(4))]
    return {text(drawn)[:20]: value(drawn, deep - 1) for _ in range(drawn.randrange(4))}


def good(name: str, row: int) -> Any:
    """What a column of this name holds where all is well."""
    return {"label": row % 2, "split": "train", "unsure": False, "weight": 1.5}.get(name, f"{name}{row}")


def others(drawn: Random, names: tuple[str, ...]) -> list[str]:
    """More columns; now and then one that is there already."""
    return [name for name in drawn.sample(NAMES, drawn.randrange(3)) if name not in names or drawn.random() < 0.05]


def damaged(content: bytes, drawn: Random) -> bytes:
    """Now and then with bytes changed, lost, doubled or added."""
    if drawn.random() < 0.7 or not content:
        return content
    data = bytearray(content)
    for _ in range(drawn.choice((1, 1, 3, 20))):
        place, kind = drawn.randrange(len(data) + 1), drawn.randrange(5)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << drawn.randrange(8)
        elif kind == 1:
            del data[place : place + drawn.choice((1, 4, 50))]
        elif kind == 2:
            data[place:place] = drawn.choice(
                (b"\0", b"\xff", b'"', b"\n", b"\r", b",", b"{", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"PAR1")
            )
        elif kind == 3:
            data = data[:place]
        else:
            data[place:place] = data[place : place + drawn.randrange(1, 40)]
        if not data:
            break
    return bytes(data)


def table(drawn: Random, names: tuple[str, ...]) -> pa.Table:
    """Columns of any type, some of them nested, with names that may come twice."""
    rows = drawn.choice((0, 1, 2, 5, 30))
    columns, labels = [], []
    for name in [*names, *others(drawn, names)]:
        labels.append(name)
        fine = pa.array([good(name, row) for row in range(rows)])
        columns.append(fine if drawn.random() < (0.85 if name in names else 0.3) else column(drawn, rows))
    return pa.Table.from_arrays(columns, names=labels)


def column(drawn: Random, rows: int) -> pa.Array:
    def some(one: Callable[[], Any]) -> list[Any]:
        return [None if drawn.random() < 0.1 else one() for _ in range(rows)]

    def day() -> datetime.date:
        return datetime.date(drawn.randrange(1, 9999), 1, 1)

    makers: tuple[Callable[[], pa.Array], ...] = (
        lambda: pa.array(some(lambda: text(drawn)), pa.large_string()),
        lambda: pa.array(some(lambda: text(drawn)), pa.string_view()),
        lambda: pa.array(some(lambda: text(drawn)), pa.string()).dictionary_encode(),
        lambda: pa.array(some(lambda: drawn.randrange(-(2**63), 2**63)), pa.int64()),
        lambda: pa.array(some(lambda: drawn.randrange(2)), pa.uint8()),
        lambda: pa.array(some(lambda: drawn.choice((0.0, math.nan, math.inf, -1.5, 1e308))), pa.float64()),
        lambda: pa.array(some(lambda: drawn.random() < 0.5), pa.bool_()),
        lambda: pa.array(some(lambda: decimal.Decimal(drawn.randrange(10**9)) / 100), pa.decimal128(20, 2)),
        lambda: pa.array(some(day), pa.date32()),
        lambda: pa.array(some(lambda: drawn.randrange(2**40)), pa.timestamp("us", tz="Europe/Berlin")),
        lambda: pa.array(some(lambda: drawn.randrange(2**40)), pa.duration("ms")),
        lambda: pa.array(some(lambda: drawn.randrange(86_400)), pa.time32("s")),
        lambda: pa.array(some(lambda: drawn.randbytes(3)), pa.binary()),
        lambda: pa.array(some(lambda: [text(drawn)]), pa.list_(pa.string())),
        lambda: pa.array(
            some(lambda: {"a": drawn.randrange(9), "b": text(drawn)}),
            pa.struct([("a", pa.int32()), ("b", pa.string())]),
        ),
        lambda: pa.array(some(lambda: [("k", 1)]), pa.map_(pa.string(), pa.int32())),
        lambda: pa.nulls(rows),
    )
    return drawn.choice(makers)()


def file_of(drawn: Random, folder: Path, names: tuple[str, ...]) -> tuple[Path, list[Any] | None]:
    """A file of records or pairs in any format, more or less whole; what its first column holds, where nothing was damaged."""
    kind = drawn.choice((".parquet", ".csv", ".csv", ".jsonl", ".jsonl", ".csv.gz", ".jsonl.gz", ".csv.bz2", ".csv.xz"))
    whole, first = {"p": _parquet, "c": _csv, "j": _json}[kind[1]](drawn, names)
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}.get(Path(kind).suffix)
    content = damaged(whole, drawn)
    path = folder / f"fuzzed{kind}"
    path.write_bytes(damaged(pack(content), drawn) if pack else content)
    return path, first if content == whole and not pack else None


def _parquet(drawn: Random, names: tuple[str, ...]) -> tuple[bytes, list[Any] | None]:
    made = table(drawn, names)
    stream = io.BytesIO()
    try:
        pq.write_table(made, stream, compression=drawn.choice(("zstd", "none", "snappy")))
    except pa.ArrowException:  # a type that Parquet has not
        made = pa.table({name: [text(drawn)] for name in names})
        pq.write_table(made, stream)
    return stream.getvalue(), made.column(0).to_pylist()


def _csv(drawn: Random, names: tuple[str, ...]) -> tuple[bytes, list[Any] | None]:
    stream = io.StringIO()
    writer = csv.writer(
        stream, delimiter=drawn.choice(",,,,;\t"), lineterminator=drawn.choice(("\n", "\n", "\r\n", "\r"))
    )
    head = [*names, *others(drawn, names)]
    writer.writerow(head)
    first: list[Any] | None = []
    for row in range(drawn.randrange(12)):
        ragged = drawn.random() < 0.01
        values = [good(name, row) if drawn.random() < 0.9 and name in names else text(drawn) for name in head[ragged:]]
        writer.writerow(values)
        first.append(values[0])
    encoding = drawn.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"))
    return stream.getvalue().encode(encoding, "replace"), first if encoding.startswith("utf-8") else None


def _json(drawn: Random, names: tuple[str, ...]) -> tuple[bytes, list[Any] | None]:
    lines, first = [], []
    for row in range(drawn.randrange(12)):
        record = {name: good(name, row) if drawn.random() < 0.97 else value(drawn) for name in names}
        record |= {name: value(drawn) for name in others(drawn, names)}
        lines.append(json.dumps(record if drawn.random() < 0.99 else value(drawn), ensure_ascii=drawn.random() < 0.5))
        first.append(record[names[0]])
    if drawn.random() < 0.05:
        lines.append(
            drawn.choice(
                ('{"record_id": ' + "[" * 100_000, "1" * 5000, '{"record_id": "\\ud800"}', '{"record_id": NaN}')
            )
        )
    return "\n".join(lines).encode("utf-8", "surrogatepass"), first if len(lines) == len(first) else None


# What is asked of each kind of input


def records(drawn: Random, folder: Path) -> None:
    """All readers of a corpus see the same records, as many and with ids as they are in the file."""
    path, given = file_of(drawn, folder, ("record_id", "name"))
    opened = Records.open(str(path))
    ids = opened.ids()
    batches = list(opened.batches())
    assert sum(batch.num_rows for batch in batches) == len(ids)
    assert all(batch.column_names == list(opened.columns) for batch in batches)
    whole = pa.concat_tables(batches, promote_options="permissive") if len(batches) > 1 else batches[0]
    assert whole["record_id"].combine_chunks().equals(ids)
    assert given is None or len(given) == len(ids)
    if given is not None and all(isinstance(each, str) for each in given):
        assert ids.to_pylist() == given
    schema = Schema.infer(whole, exclude=["record_id"])
    assert schema.select(whole).num_rows == len(ids)
    assert opened.take(ids.to_pylist()[:2])["record_id"].to_pylist() == ids.to_pylist()[:2]


def pairs(drawn: Random, folder: Path) -> None:
    path, _ = file_of(drawn, folder, ("left_id", "right_id", "label"))
    frame = LabelledPairs.read(str(path)).frame
    assert frame["label"].isin((0, 1)).all() and (frame["left_id"] != "").all() and frame["left_id"].notna().all()


def labels(drawn: Random, folder: Path) -> None:
    path = folder / "labels.parquet"
    whole, given = _parquet(drawn, ("left_id", "right_id", "label"))
    content = damaged(whole, drawn)
    path.write_bytes(content)
    answers = AnswerFile(path).answers
    assert path.read_bytes() == content and (content != whole or len(answers) == len(given or ()))


def toml(drawn: Random, content: Any) -> str:
    """TOML of a nested dict, as far as TOML can say it."""

    def said(one: Any) -> str:
        if isinstance(one, dict):
            return "{" + ", ".join(f"{json.dumps(name)} = {said(each)}" for name, each in one.items()) + "}"
        if isinstance(one, list):
            return "[" + ", ".join(map(said, one)) + "]"
        return json.dumps("none" if one is None else one)

    return "\n".join(f"{json.dumps(name)} = {said(each)}" for name, each in content.items())


GOOD_JOB = {
    "schema": {"sku": "code", "comment": "ignore"},
    "tower": {"name": "ngram", "dim": 128},
    "training": {"epochs": 10, "margin": 1.0},
    "golden": {"default": "newest", "newest_by": "updated", "fields": {"price": "longest"}},
}
GOOD_SERVE = {
    "port": 4200,
    "limit": 1,
    "jobs": {
        "nightly": {"flow": "dedupe", "cron": "0 2 * * *", "parameters": {"model": "m", "records": "r", "out": "o"}}
    },
}


def changed(content: dict[str, Any], drawn: Random) -> dict[str, Any]:
    """A good config with something else in some of its places."""
    found = json.loads(json.dumps(content))
    for _ in range(drawn.randrange(3)):
        place = found
        while True:
            name = drawn.choice([*place, text(drawn)[:10]])
            if isinstance(place.get(name), dict) and drawn.random() < 0.7:
                place = place[name]
                continue
            if drawn.random() < 0.2:
                place.pop(name, None)
            else:
                place[name] = value(drawn)
            break
    return found


def _config_file(good: dict[str, Any], drawn: Random, path: Path) -> Path:
    content = changed(good, drawn)
    written = json.dumps(content) if path.suffix == ".json" else toml(drawn, content)
    if drawn.random() < 0.03:
        written = "a = " + "[" * 100_000
    path.write_bytes(
        damaged(written.encode("utf-8", "surrogatepass"), drawn)
        if drawn.random() < 0.3
        else written.encode("utf-8", "surrogatepass")
    )
    return path


def job_config(drawn: Random, folder: Path) -> None:
    read = config.read(_config_file(GOOD_JOB, drawn, folder / f"job{drawn.choice(('.toml', '.json'))}"))
    config.training(read.training)


def serve_config(drawn: Random, folder: Path) -> None:
    path = _config_file(GOOD_SERVE, drawn, folder / "serve.toml")
    names = (
        "SIAMESE_SERVE_PORT",
        "SIAMESE_SERVE_JOBS",
        "SIAMESE_SERVE_JOBS__NIGHTLY__CRON",
        "SIAMESE_SERVE_JOBS__NIGHTLY",
        "SIAMESE_SERVE_LIMIT",
    )
    chosen = {
        name: json.dumps(value(drawn)) if drawn.random() < 0.5 else text(drawn)[:100]
        for name in drawn.sample(names, drawn.choice((0, 0, 1, 2)))
    }
    with patch.dict(
        os.environ, {name: each.replace("\0", "").encode("utf-8", "replace").decode() for name, each in chosen.items()}
    ):
        read = ServeConfig.read(path)
    assert 0 <= read.port <= 65535 and read.jobs


def golden(drawn: Random, folder: Path) -> None:
    """Rules against a corpus."""
    path = folder / "records.csv"
    path.write_text("record_id,price,updated,shop\na,1,2020-01-01,crm\nb,2,2021-02-03,web\n")
    good = {
        "default": "newest",
        "newest_by": "updated",
        "source": "shop",
        "source_priority": ["crm", "web"],
        "fields": {"price": "longest"},
    }
    read = config.read(_config_file({"golden": good}, drawn, folder / "golden.json"))
    assert isinstance(read.golden, GoldenRules)
    check_rules(Records.open(str(path)), read.golden)


def query(drawn: Random, folder: Path, matcher: Any) -> None:
    """JSON of a query, to an index."""
    from flows.commands.query import parsed

    asked: Any = {
        name: value(drawn) for name in drawn.sample(["name", "city", "street", "phone", "x"], drawn.randrange(5))
    }
    if drawn.random() < 0.3:
        asked = [asked, {"name": value(drawn)}]
    if drawn.random() < 0.1:
        asked = value(drawn)
    said = json.dumps(asked)
    said = damaged(said.encode(), drawn).decode("utf-8", "surrogateescape") if drawn.random() < 0.2 else said
    queries = parsed(said)
    found = matcher.nearest(queries, 3)
    assert isinstance(found, pd.DataFrame) and len(found) <= 3 * (
        len(queries) if isinstance(queries, list) else max(1, len(found))
    )
    assert found["distance"].between(0, 3).all() and found["probability"].between(0, 1).all()


CHECKS: dict[str, Callable[[Random, Path], None]] = {
    "records": records,
    "pairs": pairs,
    "labels": labels,
    "job config": job_config,
    "serve config": serve_config,
    "golden rules": golden,
}
