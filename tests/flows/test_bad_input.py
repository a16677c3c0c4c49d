"""Bad input at the command line: one sentence, exit code 2, and nothing half-written."""

import gzip
import io
import json
import lzma
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("prefect")

from pipeline.records import Records
from tests.flows.command import Answer, Made, Run, assert_refused

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder that --out is in."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.fixture
def earlier(place: Path, made: Made) -> Path:
    """An --out that holds an earlier result."""
    return Path(shutil.copytree(made.model, place / "out"))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


class Refuse:
    """Runs a command with --out in ``place`` and checks that it changes nothing there."""

    def __init__(self, run: Run, place: Path, out: Path) -> None:
        self.run, self.place, self.out = run, place, out

    def __call__(self, *args: object, says: tuple[str, ...], warnings: int = 0) -> None:
        before = tree(self.place)
        assert_refused(self.run(*args, "--out", self.out), *says, warnings=warnings)
        assert tree(self.place) == before


@pytest.fixture
def refuse(run: Run, place: Path, earlier: Path) -> Refuse:
    return Refuse(run, place, earlier)


@pytest.fixture
def records(made: Made) -> pd.DataFrame:
    return pd.read_parquet(made.records)


@pytest.fixture
def pairs(made: Made) -> pd.DataFrame:
    return pd.read_parquet(made.pairs)


# Records


def test_records_lack_the_id_column(refuse: Refuse, made: Made, records: pd.DataFrame, tmp_path: Path) -> None:
    bad = tmp_path / "bad.parquet"
    records.rename(columns={"record_id": "key"}).to_parquet(bad)
    says = (f"'{bad}'", "no column 'record_id'", "'key'", "--id")
    refuse("train", bad, made.pairs, says=says)
    refuse("index", made.model, bad, says=says)
    refuse("link", made.model, made.records, bad, says=says)


def test_records_and_pairs_are_refused_before_a_server_is_started(
    refuse: Refuse, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.embedded.embedded_server", lambda: pytest.fail("a server was started"))
    gone, says = tmp_path / "gone.parquet", (f"'{tmp_path / 'gone.parquet'}'",)
    refuse("train", gone, made.pairs, says=says)
    refuse("train", made.records, gone, says=says)
    refuse("index", made.model, gone, says=says)
    refuse("dedupe", made.model, gone, says=says)
    refuse("link", made.model, made.records, gone, says=says)


@pytest.mark.parametrize("command", ["dedupe", "index"])
def test_records_lack_a_column_of_the_schema(
    refuse: Refuse, made: Made, records: pd.DataFrame, tmp_path: Path, command: str
) -> None:
    name = json.loads((made.model / "encoder.json").read_text())["schema"]["fields"][0]["name"]
    bad = tmp_path / "bad.parquet"
    records.drop(columns=name).to_parquet(bad)
    refuse(command, made.model, bad, says=(f"'{bad}' lacks '{name}': the model reads '", "and it has '"))


@pytest.mark.parametrize("command", ["train", "dedupe"])
def test_record_id_twice(refuse: Refuse, made: Made, records: pd.DataFrame, tmp_path: Path, command: str) -> None:
    twice = records.loc[3, "record_id"]
    records.loc[7, "record_id"] = twice
    bad = tmp_path / "bad.parquet"
    records.to_parquet(bad)
    args = (bad, made.pairs) if command == "train" else (made.model, bad)
    refuse(command, *args, says=("must be unique", f"'{twice}'", "rows 4 and 8", f"'{bad}'", "--id"))


@pytest.mark.parametrize(("command", "empty"), [("train", ""), ("dedupe", None)])
def test_record_id_empty(
    refuse: Refuse, made: Made, records: pd.DataFrame, tmp_path: Path, command: str, empty: str | None
) -> None:
    records.loc[4, "record_id"] = empty
    bad = tmp_path / "bad.parquet"
    records.to_parquet(bad)
    args = (bad, made.pairs) if command == "train" else (made.model, bad)
    refuse(command, *args, says=("row 5", f"'{bad}'", "empty 'record_id'", "every record needs one"))


def test_files_with_nothing_in_them(
    refuse: Refuse, run: Run, made: Made, records: pd.DataFrame, tmp_path: Path
) -> None:
    csv, parquet, lines = tmp_path / "empty.csv", tmp_path / "empty.parquet", tmp_path / "empty.jsonl"
    csv.write_bytes(b"")
    lines.write_bytes(b"")
    records.head(0).to_parquet(parquet)
    for bad in (csv, parquet, lines):
        refuse("dedupe", made.model, bad, says=(str(bad),))
        assert_refused(run("evaluate", made.model, made.records, bad), str(bad))
    header = tmp_path / "header.csv"
    header.write_text(",".join(records.columns) + "\n")
    refuse("dedupe", made.model, header, says=(f"'{header}' has no records",))


def test_parquet_corrupt_and_truncated(refuse: Refuse, made: Made, tmp_path: Path) -> None:
    content = made.records.read_bytes()
    truncated, corrupt = tmp_path / "truncated.parquet", tmp_path / "corrupt.parquet"
    truncated.write_bytes(content[: len(content) // 2])
    corrupt.write_bytes(content[:4] + bytes(len(content) // 2) + content[4 + len(content) // 2 :])
    for bad in (truncated, corrupt):
        refuse("dedupe", made.model, bad, says=(str(bad), "not a whole PARQUET file"))
    refuse("train", made.records, truncated, says=(str(truncated), "not a whole PARQUET file"))


def test_csv_in_latin_1(refuse: Refuse, made: Made, records: pd.DataFrame, tmp_path: Path) -> None:
    column = records.columns.drop("record_id")[0]
    records[column] = records[column].astype(object)
    records.loc[2, column] = "café"
    bad = tmp_path / "latin.csv"
    records.to_csv(bad, index=False, encoding="latin-1", errors="replace")
    says = (str(bad), "UTF")
    refuse("dedupe", made.model, bad, says=says)


def test_csv_with_ragged_rows(refuse: Refuse, made: Made, records: pd.DataFrame, tmp_path: Path) -> None:
    bad = tmp_path / "ragged.csv"
    lines = records.to_csv(index=False).splitlines()
    lines[3] += ",one,too,many"
    bad.write_text("\n".join(lines) + "\n")
    refuse("dedupe", made.model, bad, says=(str(bad), "columns"))


@pytest.mark.parametrize(("line", "why"), [('{"record_id": "x",', "not JSON"), ("[1]", "list"), ("\xff", "not JSON")])
def test_bad_json_line(refuse: Refuse, made: Made, records: pd.DataFrame, tmp_path: Path, line: str, why: str) -> None:
    bad = tmp_path / "bad.jsonl"
    lines = records.head(5).to_json(orient="records", lines=True).splitlines()
    bad.write_text("\n".join([*lines[:2], line, *lines[2:]]) + "\n", encoding="latin-1")
    refuse("dedupe", made.model, bad, says=(str(bad), "line 3", why))


def deep(_: pd.DataFrame) -> bytes:
    return b'{"record_id": "x", "name": ' + b"[" * 100_000


def broken(pack: Callable[[bytes], bytes]) -> Callable[[pd.DataFrame], bytes]:
    def content(records: pd.DataFrame) -> bytes:
        packed = pack(records.to_csv(index=False).encode())
        return packed[:60] + bytes(30) + packed[90:]

    return content


def typed(name: str, values: list[object]) -> Callable[[pd.DataFrame], bytes]:
    def content(records: pd.DataFrame) -> bytes:
        table = pa.Table.from_pandas(records.head(2))
        stream = io.BytesIO()
        pq.write_table(table.set_column(table.column_names.index(name), name, pa.array(values)), stream)
        return stream.getvalue()

    return content


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("deep.jsonl", deep, "line 1 is not JSON"),
        (
            "nested.jsonl",
            lambda _: b'{"record_id": "a", "n": ' + b"[" * 900 + b"1" + b"]" * 900 + b"}",
            "line 1 is not JSON",
        ),
        ("broken.csv.gz", broken(gzip.compress), "not a whole CSV file"),
        ("broken.csv.xz", broken(lzma.compress), "not a whole CSV file"),
        ("twice.csv", lambda _: b"record_id,name,name\n1,2,3\n", "names the column 'name' twice"),
        ("lists.parquet", typed("record_id", [["a"], ["b"]]), "holds list<element: string>, which is no id"),
        ("bytes.parquet", typed("record_id", [b"\xff", b"a"]), "holds binary, which is no id"),
        ("blob.parquet", typed("name", [b"\xff", b"a"]), "column 'name' holds what is no text in UTF-8"),
    ],
)
def test_files_that_no_reader_can_read(
    refuse: Refuse, made: Made, records: pd.DataFrame, tmp_path: Path, name: str, content: Callable, says: str
) -> None:
    (tmp_path / name).write_bytes(content(records))
    refuse("dedupe", made.model, tmp_path / name, says=(says,))


@pytest.mark.parametrize("said", ['{"name": "\\ud800"}', '{"\\udc00": "x", "name": "y"}', '{"name": "\udced"}'])
def test_a_query_of_half_a_character(run: Run, made: Made, said: str) -> None:
    assert_refused(run("query", made.index, "--json", said), "no text in UTF-8")


def test_numbers_beyond_64_bits_and_views_of_text_are_read(tmp_path: Path) -> None:
    (tmp_path / "big.jsonl").write_text('{"record_id": "a", "n": 123456789012345678901234567890}\n')
    assert Records.open(str(tmp_path / "big.jsonl")).take(["a"])["n"].to_pylist() == ["123456789012345678901234567890"]
    views = pa.table({"record_id": pa.array(["a", "b"], pa.string_view())})
    pq.write_table(views, tmp_path / "views.parquet")
    assert Records.open(str(tmp_path / "views.parquet")).take(["b"]).num_rows == 1


@pytest.mark.parametrize("name", ["nowhere.csv", "nowhere/*.parquet", "records.xlsx", "folder"])
def test_no_such_file(refuse: Refuse, run: Run, made: Made, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "records.xlsx").write_bytes(b"x")
    bad = tmp_path / name
    refuse("dedupe", made.model, bad, says=(f"'{bad}'",))
    assert_refused(run("evaluate", made.model, made.records, bad), f"'{bad}'")


# Pairs


@pytest.mark.parametrize("column", ["left_id", "right_id"])
def test_pairs_lack_a_column(
    refuse: Refuse, run: Run, made: Made, pairs: pd.DataFrame, tmp_path: Path, column: str
) -> None:
    bad = tmp_path / "bad.csv"
    pairs.rename(columns={column: "a"}).to_csv(bad, index=False)
    says = (f"'{bad}'", f"no column '{column}'", "'a'", "pairs need")
    refuse("train", made.records, bad, says=says)
    assert_refused(run("evaluate", made.model, made.records, bad), *says)


def test_truth_names_unknown_records(refuse: Refuse, made: Made, pairs: pd.DataFrame, tmp_path: Path) -> None:
    """The last thing that a run may refuse: all its work is done by then, and goes."""
    pairs.loc[pairs["label"].idxmax(), "right_id"] = "nobody"
    bad = tmp_path / "bad.parquet"
    pairs.to_parquet(bad)
    refuse("dedupe", made.model, made.records, "--truth", bad, says=(f"'{bad}'", "'nobody'"))


def test_pairs_name_unknown_records(refuse: Refuse, run: Run, made: Made, pairs: pd.DataFrame, tmp_path: Path) -> None:
    pairs.loc[[1, 5], "right_id"] = "nobody"
    bad = tmp_path / "bad.parquet"
    pairs.to_parquet(bad)
    says = (f"2 of {len(pairs)} pairs", f"'{bad}'", "right_id", "'nobody'", "row 2", "give the records")
    refuse("train", made.records, bad, says=says)
    assert_refused(run("evaluate", made.model, made.records, bad), *says)


def test_label_neither_0_nor_1(refuse: Refuse, run: Run, made: Made, pairs: pd.DataFrame, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    says = ("row 7", f"'{bad}'", "label", "1 (the same) or 0")
    for label in ("0.5", "maybe", "", "2"):
        pairs["label"] = pairs["label"].astype(str)
        pairs.loc[6, "label"] = label
        pairs.to_csv(bad, index=False)
        assert_refused(run("evaluate", made.model, made.records, bad), *says, f"'{label}'" if label else "label")
    refuse("train", made.records, bad, says=says)


def test_only_one_class(refuse: Refuse, made: Made, pairs: pd.DataFrame, tmp_path: Path) -> None:
    matches, imposites, bare = (tmp_path / f"{name}.parquet" for name in ("matches", "imposites", "bare"))
    pairs[pairs["label"] == 1].to_parquet(matches)
    pairs[pairs["label"] == 0].to_parquet(imposites)
    pairs[pairs["label"] == 1].drop(columns="label").to_parquet(bare)
    refuse("train", made.records, matches, says=("--negatives mined",))
    refuse("train", made.records, bare, says=("--negatives mined",))
    refuse("train", made.records, imposites, says=("genuine",))


def test_labelled_both_ways(
    refuse: Refuse, run: Run, made: Made, pairs: pd.DataFrame, tmp_path: Path, place: Path
) -> None:
    again = pairs.iloc[[0]].assign(label=1 - pairs["label"].iloc[0])
    bad = tmp_path / "both.parquet"
    pd.concat([pairs, again], ignore_index=True).to_parquet(bad)
    both = f"2 rows of '{bad}' label the same pair both ways"
    refuse("train", made.records, bad, "--strict", says=(both, "settle them", "--strict"))
    answer = run("train", made.records, bad, "--out", place / "new", "--epochs", 1)
    assert answer.code == 0
    [warning] = answer.err.splitlines()
    assert warning.startswith(f"siamese: {both}: left out of training")
    assert (place / "new" / "manifest.json").is_file()


def test_unknown_split(refuse: Refuse, run: Run, made: Made, pairs: pd.DataFrame, tmp_path: Path) -> None:
    says = ("'nosuch'", "train, valid or test")
    assert_refused(run("evaluate", made.model, made.records, made.pairs, "--split", "nosuch"), *says)
    pairs["split"] = "train"
    pairs.loc[3, "split"] = "nosuch"
    bad = tmp_path / "bad.parquet"
    pairs.to_parquet(bad)
    refuse("train", made.records, bad, says=("row 4", f"'{bad}'", "split", *says))


def test_split_without_pairs(run: Run, made: Made, pairs: pd.DataFrame, tmp_path: Path) -> None:
    pairs["split"] = "train"
    bad = tmp_path / "train_only.parquet"
    pairs.to_parquet(bad)
    assert_refused(run("evaluate", made.model, made.records, bad), f"'{bad}'", "test")


# Places


OUT_COMMANDS = {
    "train": lambda made: ("train", made.records, made.pairs),
    "index": lambda made: ("index", made.model, made.records),
    "dedupe": lambda made: ("dedupe", made.model, made.records),
    "link": lambda made: ("link", made.model, made.records, made.records),
}


@pytest.mark.parametrize("command", ["train", "dedupe"])
def test_out_is_in_the_way(run: Run, made: Made, place: Path, command: str) -> None:
    file, foreign = place / "file", place / "foreign"
    file.write_text("mine")
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("mine")
    args = OUT_COMMANDS[command](made)
    Refuse(run, place, file)(*args, says=(f"'{file}'", "it is a file"))
    Refuse(run, place, foreign)(*args, says=(f"'{foreign}'", "did not write", "--out"))
    below = file / "below"
    Refuse(run, place, below)(*args, says=(f"'{below}'", "--out"))


@pytest.mark.parametrize("command", OUT_COMMANDS)
def test_nothing_is_left_at_a_new_out(
    run: Run, made: Made, records: pd.DataFrame, tmp_path: Path, place: Path, command: str
) -> None:
    records.loc[7, "record_id"] = records.loc[3, "record_id"]
    bad = tmp_path / "bad.parquet"
    records.to_parquet(bad)
    args = OUT_COMMANDS[command](made._replace(records=bad))
    Refuse(run, place, place / "new")(*args, says=("must be unique",))
    assert list(place.iterdir()) == []


def test_demo_below_a_file(run: Run, place: Path) -> None:
    (place / "file").write_text("mine")
    Refuse(run, place, place / "file" / "below")("demo", "--records", 200, says=("file/below'", "--out"))
    Refuse(run, place, place / "file")("demo", "--records", 200, says=("file'", "--out"))


@pytest.mark.parametrize("out", ["nowhere/found.parquet", "file/found.parquet"])
def test_query_out_without_a_folder(run: Run, made: Made, place: Path, out: str) -> None:
    (place / "file").write_text("mine")
    refuse = Refuse(run, place, place / out)
    refuse("query", made.index, "--json", '{"title": "x"}', "--format", "parquet", says=("found",))


# Models and indexes


def copy(made: Made, name: str, to: Path) -> Path:
    return Path(shutil.copytree(getattr(made, name), to / name))


def flip(path: Path) -> None:
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    content[len(content) // 2] ^= 1
    path.write_bytes(content.tobytes())


@pytest.mark.parametrize("command", ["dedupe", "index"])
def test_model_of_another_format_version(refuse: Refuse, made: Made, tmp_path: Path, command: str) -> None:
    model = copy(made, "model", tmp_path)
    manifest = json.loads((model / "manifest.json").read_text())
    (model / "manifest.json").write_text(json.dumps({**manifest, "format_version": 99}))
    refuse(command, model, made.records, says=(f"'{model}'", "format version 99", "reads 2", "make the model again"))


@pytest.mark.parametrize("name", ["weights.safetensors", "encoder.json", "calibration.json", "metrics.json"])
def test_model_damaged(refuse: Refuse, run: Run, made: Made, tmp_path: Path, name: str) -> None:
    model = copy(made, "model", tmp_path)
    flip(model / name)
    refuse("dedupe", model, made.records, says=(f"'{model / name}'", "damaged", "make the model again"))
    (model / name).unlink()
    answer = run("evaluate", model, made.records, made.pairs)
    assert_refused(answer, f"'{name}'", f"'{model}'", "make the model again")


def test_model_that_is_none(run: Run, made: Made, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for model, says in (
        (tmp_path / "nowhere", "no model folder"),
        (made.records, "no model folder"),
        (bare, "manifest.json' is missing"),
        (made.index, "expected a model"),
    ):
        assert_refused(run("evaluate", model, made.records, made.pairs), str(model), says)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "model", "format_version": 1}'])
def test_model_manifest_damaged(run: Run, made: Made, tmp_path: Path, text: str) -> None:
    model = copy(made, "model", tmp_path)
    (model / "manifest.json").write_text(text)
    assert_refused(run("evaluate", model, made.records, made.pairs), str(model))


QUERY = ("--json", '{"title": "x"}')


def test_index_of_another_model(run: Run, made: Made) -> None:
    answer = run("query", made.index, *QUERY, "--model", made.other)
    assert_refused(answer, f"'{made.index}'", f"'{made.other}'", "another model", "make the index again")


@pytest.mark.parametrize("name", ["index.faiss", "ids.parquet", "model/weights.safetensors"])
def test_index_damaged(run: Run, made: Made, tmp_path: Path, name: str) -> None:
    index = copy(made, "index", tmp_path)
    flip(index / name)
    assert_refused(run("query", index, *QUERY), f"'{index / name}'", "damaged", "make the index again")
    (index / name).unlink()
    assert_refused(run("query", index, *QUERY), f"'{name}'", f"'{index}'", "make the index again")


def test_index_that_is_none(run: Run, made: Made, tmp_path: Path) -> None:
    assert_refused(run("query", made.model, *QUERY), f"'{made.model}'", "expected a")
    assert_refused(run("query", tmp_path / "nowhere", *QUERY), "nowhere'", "no index folder")


# Options


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--tower", "nosuch"), ("nosuch", "ngram")),
        (("--energy", "nosuch"), ("'energy'", "'nosuch'", "euclidean")),
        (("--negatives", "nosuch"), ("'negatives'", "'nosuch'", "mined")),
        (("--epochs", 0), ("'epochs'", "greater than or equal to 1", "got 0")),
        (("--margin", -1), ("'margin'", "greater than 0")),
        (("--seed", -1), ("'seed'", "-1")),
        (("--device", "nosuch"), ("nosuch", "device")),
        (("--config", "nowhere.toml"), ("'nowhere.toml'", "config")),
    ],
)
def test_training_options(refuse: Refuse, made: Made, options: tuple[str, object], says: tuple[str, ...]) -> None:
    refuse("train", made.records, made.pairs, *options, says=says)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("[training]\nepoch = 3", ("'epoch' is not a setting",)),
        ("[nosuch]\na = 1", ("'nosuch' is not a setting", "schema, tower, training, golden and drift")),
        ("[schema]\nnosuch = 'text'", ("'nosuch'", "the records lack")),
        ("[schema]\n{column} = 'nosuch'", ("'{column}'", "'nosuch'", "'code'")),
        ("[tower]\nname = 'nosuch'", ("nosuch", "ngram")),
        ("[tower]\nnosuch = 1", ("nosuch",)),
        ("[tower]\ndim = 'wide'", ("dim", "'wide'")),
        ("not toml", ("cannot read the config",)),
    ],
)
def test_config(
    refuse: Refuse, made: Made, records: pd.DataFrame, tmp_path: Path, config: str, says: tuple[str, ...]
) -> None:
    column = records.columns.drop("record_id")[0]
    file = tmp_path / "config.toml"
    file.write_text(config.replace("{column}", column))
    says = tuple(part.replace("{column}", column) for part in says)
    refuse("train", made.records, made.pairs, "--config", file, says=says)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--max-distance", 0.5, "--min-precision", 0.9), ("max_distance and min_precision", "give one")),
        (("--min-precision", 1.5), ("min_precision is 1.5", "above 0 and below 1")),
        (("--max-distance", 0.5, "--min-recall", 0.9), ("max_distance and min_recall", "give one")),
        (("--min-recall", 1), ("min_recall is 1", "above 0 and below 1")),
        (("--confidence", 0), ("confidence is 0", "above 0 and below 1")),
        (("--min-precision", 0.9999), ("a precision of 0.9999 cannot be promised", "ask for less")),
        (("--min-precision", 0), ("min_precision is 0", "above 0 and below 1")),
        (("--min-precision", "nan"), ("min_precision is nan", "above 0 and below 1")),
        (("--max-distance", -1), ("max_distance is -1", "0 or more")),
        (("--max-distance", "nan"), ("max_distance is nan", "0 or more")),
    ],
)
def test_run_options(refuse: Refuse, made: Made, options: tuple[object, ...], says: tuple[str, ...]) -> None:
    refuse("dedupe", made.model, made.records, *options, says=says)


def test_index_kind(refuse: Refuse, made: Made) -> None:
    refuse("index", made.model, made.records, "--kind", "nosuch", says=("'nosuch'", "auto", "flat", "ivfpq"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), ("--json", "--file")),
        ((*QUERY, "--file", "x.csv"), ("--json", "--file")),
        (("--json", '{"title": '), ("--json is not JSON",)),
        (("--json", "7"), ("--json", "int", "expected an object")),
        (("--json", "[7]"), ("--json", "list", "expected an object")),
        (("--json", "[]"), ("--json", "asks nothing")),
        (("--json", "{}"), ("--json", "asks nothing")),
        (("--json", '{"nosuch": "x"}'), ("lack", "'nosuch'")),
        ((*QUERY, "--k", 0), ("k is 0",)),
        ((*QUERY, "--k", -3), ("k is -3",)),
        ((*QUERY, "--max-distance", -1), ("max_distance is -1",)),
        ((*QUERY, "--max-distance", "nan"), ("max_distance is nan",)),
        ((*QUERY, "--format", "nosuch"), ("'nosuch'", "table, json or parquet")),
        ((*QUERY, "--format", "parquet"), ("--format parquet", "--out")),
        (("--file", "nowhere.csv"), ("'nowhere.csv'",)),
    ],
)
def test_query_options(run: Run, made: Made, options: tuple[object, ...], says: tuple[str, ...]) -> None:
    assert_refused(run("query", made.index, *options), *says)


def test_report_of_no_run(run: Run, made: Made, tmp_path: Path) -> None:
    assert_refused(run("report", tmp_path / "nowhere"), "nowhere'", "no run folder")
    before = tree(made.model)
    assert_refused(run("report", made.model), f"'{made.model}'", "expected a run")
    assert tree(made.model) == before


# The real command


def test_as_a_process(refuse: Refuse, made: Made, records: pd.DataFrame, tmp_path: Path) -> None:
    records.loc[7, "record_id"] = records.loc[3, "record_id"]
    bad = tmp_path / "bad.parquet"
    records.to_parquet(bad)

    def run(*args: object) -> Answer:
        command = [sys.executable, "-m", "flows.cli", *map(str, args)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        return Answer(done.returncode, done.stdout, done.stderr)

    Refuse(run, refuse.place, refuse.out)("dedupe", made.model, bad, says=("must be unique", "rows 4 and 8"))
