"""Answers: the labels file, whole after every answer, and shared by all who label at the same time.

The file is the truth: whoever changes it holds a lock, reads it, changes what was read, and puts that in the file's place. Columns that
others put there stay. Training reads the file as it is and leaves out what a person was unsure of.
"""

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.pairs import label_of, refuse_rows
from pipeline.records import check_names
from pipeline.resuming import is_at
from pipeline.tables import check_table, write_table
from siamese.errors import DataError, OutputError, reason

COLUMNS = pa.schema(
    [
        ("left_id", pa.large_string()),
        ("right_id", pa.large_string()),
        ("label", pa.int8()),  # 1 genuine, 0 imposite, null where unsure
        ("unsure", pa.bool_()),
        ("weight", pa.float64()),
        ("split", pa.large_string()),
        ("why", pa.large_string()),
        ("by", pa.large_string()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("session", pa.large_string()),
    ]
)


TEXTS = ("split", "why", "by", "session")


@dataclass(frozen=True)
class Answer:
    """What somebody, or a rule, said of a pair.

    Attributes:
        label: 1 genuine, 0 imposite; None: unsure.
        weight: candidates that the pair stands for: more than 1 where it was drawn at random, 1 where it was chosen.
        split: ``valid`` of one that was drawn, ``train`` of any other; training reads it.
        why: it was proposed.
        by: who answered.
        at: when.
        session: that it was answered in.
    """

    left_id: str
    right_id: str
    label: int | None
    weight: float | None = None
    split: str = "train"
    why: str = ""
    by: str = ""
    at: datetime | None = None
    session: str = ""

    @property
    def pair(self) -> tuple[str, str]:
        return self.left_id, self.right_id


class AnswerFile:
    """A labels file. ``answers`` are those of the file when it was last read or written, in its order.

    Without a path nothing is kept beyond the process.
    """

    def __init__(self, path: Path | None, *, of_two: bool = False) -> None:
        """Open a file that is there, or one to come.

        Args:
            of_two: left and right are ids of two tables: a pair the other way round is another.

        Raises:
            SettingsError, OutputError: no file can be written there.
            DataError: what is there holds no labelled pairs.
        """
        self.path, self._of_two = path, of_two
        self._stamp: tuple[int, int] | None = None
        self._table = COLUMNS.empty_table()
        self.answers: list[Answer] = []
        if path is not None:
            check_table(path, ".parquet")
            self.refresh()

    def refresh(self) -> bool:
        """Read the file again if somebody changed it; whether they did."""
        if self.path is None or not self.path.is_file():
            return False
        status = self.path.stat()
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp == self._stamp:
            return False
        self._take(_read(self.path))
        self._stamp = stamp
        return True

    def add(self, answers: Sequence[Answer]) -> None:
        """Write answers; one of the same person about the same pair takes the place of the one before."""
        rows = pa.Table.from_pylist([{**asdict(each), "unsure": each.label is None} for each in answers], COLUMNS)

        def change(table: pa.Table) -> pa.Table:
            one = tuple if self._of_two else frozenset
            given = {(one(each.pair), each.by) for each in answers}
            old = zip(*(table[name].to_pylist() for name in ("left_id", "right_id", "by")), strict=True)
            kept = [(one((left, right)), by or "") not in given for left, right, by in old]
            return pa.concat_tables([table.filter(pa.array(kept, pa.bool_())), rows], promote_options="permissive")

        self._change(change)

    def take_back(self, by: str, session: str | None) -> Answer | None:
        """Remove the last answer of a person, in one session or in any; None where there is none."""
        taken: list[Answer] = []

        def change(table: pa.Table) -> pa.Table:
            answers = _answers(table)
            own = [place for place, each in enumerate(answers) if each.by == by and session in (None, each.session)]
            if not own:
                return table
            last = max(own, key=lambda place: (answers[place].at is not None, answers[place].at, place))
            taken.append(answers[last])
            return table.filter(pa.array(np.arange(len(answers)) != last))

        self._change(change)
        return taken[0] if taken else None

    def _change(self, change: Callable[[pa.Table], pa.Table]) -> None:
        if self.path is None:
            self._take(change(self._table))
            return
        with _locked(self.path):
            before = _read(self.path) if self.path.is_file() else COLUMNS.empty_table()
            table = change(before)
            if table is not before:
                write_table(table, self.path)
            self._take(table)
            if self.path.is_file():
                status = self.path.stat()
                self._stamp = (status.st_mtime_ns, status.st_ino)

    def _take(self, table: pa.Table) -> None:
        self._table, self.answers = table, _answers(table)


def _read(path: Path) -> pa.Table:
    """A labels file with all of COLUMNS, whatever others it has."""
    try:
        table = pq.read_table(pa.BufferReader(path.read_bytes()))  # opened once: it may be replaced meanwhile
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"'{path}' is not a whole PARQUET file: {reason(error)}") from error
    check_names(table.column_names, str(path))
    missing = [name for name in ("left_id", "right_id", "label") if name not in table.column_names]
    if missing and table.num_rows:
        raise DataError(f"'{path}' has no column '{missing[0]}': a file of labels has left_id, right_id and label")
    label = table["label"].to_pandas() if "label" in table.column_names else pd.Series(dtype=float)
    known = pd.Series([label_of(each) for each in label], index=label.index, dtype=float)
    refuse_rows(known.isna() & label.notna(), str(path), "label", label, "1 (the same), 0 (not the same) or nothing")
    columns = {"label": pa.array(known.astype("Int8"), pa.int8())}
    for field in COLUMNS:
        if field.name in table.column_names and field.name not in columns:
            try:
                columns[field.name] = table[field.name].cast(field.type)
            except pa.ArrowException as error:
                raise DataError(
                    f"the column '{field.name}' of '{path}' holds {table[field.name].type}: a file of labels has {field.type} there"
                ) from error
    if "unsure" not in columns:
        columns["unsure"] = columns["label"].is_null()
    for name in table.column_names:
        columns.setdefault(name, table[name])
    rest = {each.name: pa.nulls(table.num_rows, each.type) for each in COLUMNS if each.name not in columns}
    names = list(dict.fromkeys([*COLUMNS.names, *columns]))
    return pa.table({name: (columns | rest)[name] for name in names})


def _answers(table: pa.Table) -> list[Answer]:
    names = [name for name in COLUMNS.names if name != "unsure"]
    columns = [pc.fill_null(table[name], "") if name in TEXTS else table[name] for name in names]
    return [Answer(*row) for row in zip(*(column.to_pylist() for column in columns), strict=True)]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file for this process; others wait."""
    place = path.with_name(f".{path.name}.lock")
    while True:
        try:
            lock = place.open("a", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write '{path}': {error.strerror or error}") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_at(lock, place):
                continue  # whoever held it before has removed it
            try:
                yield
            finally:
                place.unlink(missing_ok=True)
            return
