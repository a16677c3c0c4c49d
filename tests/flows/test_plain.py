"""What the data and paths hold is printed as it is: no markup of theirs is followed, and no character acts on the terminal."""

import io
from pathlib import Path

import pandas as pd
import pytest
import typer
from rich.console import Console
from rich.text import Text

from flows import compared, listed, show
from flows.cli import app
from flows.label_terminal import marked
from flows.plain import plain
from tests.flows.command import Made, call

WILD = [
    "[bold]x[/nosuch]",
    "[/]",
    "[red]",
    "a[/x]b\\[y",
    "\x1b[31mred\x07\u202e",
    "[link=https://example.org]x[/link]",
    "x" * 5000,
]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    out = io.StringIO()
    for module in (show, compared, listed):
        monkeypatch.setattr(module, "_console", lambda: Console(file=out, width=4000, highlight=False))
    return out


def assert_plain(out: io.StringIO, *texts: str) -> None:
    shown = out.getvalue()
    assert not set(shown) & set("\x1b\x07\u202e")
    for text in texts:
        assert (text[:100] if text.isprintable() else text[5:8]) in shown


@pytest.mark.parametrize("text", WILD, ids=lambda text: repr(text[:12]))
def test_tables_of_figures_and_neighbours(printed: io.StringIO, text: str) -> None:
    show.figures(text, [(text, text)])
    show.neighbours(pd.DataFrame({text: [text], "record_id": [text], "distance": [0.5]}))
    show.demo_made(Path(text), 3)
    listed.show({"runs": [run_that_is(text)], "removed": [text]})
    assert printed.getvalue().count(text[:100] if text.isprintable() else text[5:8]) >= 8
    assert_plain(printed, text)


def run_that_is(text: str) -> dict[str, object]:
    return {"name": text, "latest": True, "fault": text, "held": text, "origin": {}, "counts": {}, "quality": {}}


def test_examples_of_a_run(printed: io.StringIO, made: Made, tmp_path: Path) -> None:
    records = pd.read_parquet(made.records)
    title = records.columns[1]
    records[title] = [f"{WILD[number % 6]} {text}" for number, text in enumerate(records[title])]
    records["record_id"] = [f"{WILD[number % 4]}{number}" for number in range(len(records))]
    records.to_parquet(tmp_path / "records.parquet")
    assert call("dedupe", made.model, tmp_path / "records.parquet", "--out", tmp_path / "run") == 0
    show.examples(tmp_path / "run", str(tmp_path / "records.parquet"))
    assert_plain(printed)
    assert printed.getvalue().count("distance") >= 4 and "[/nosuch]" in printed.getvalue()


@pytest.mark.parametrize("text", WILD[:-1])
def test_records_that_are_labelled_in_the_terminal(text: str) -> None:
    for side in (*marked(text, None), *marked(f"{text} a", f"{text} b")):
        assert not set(side.plain) & set("\x1b\x07\u202e") and not any(span.style == "red" for span in side.spans)


def test_what_is_long_says_how_much_more_there_is() -> None:
    assert plain("x" * 130).plain == "x" * 120 + " … 10 more characters"
    assert plain("x" * 120).plain == "x" * 120


def test_no_word_of_a_help_text_is_taken_for_markup() -> None:
    texts = [
        text
        for name, command in typer.main.get_command(app).commands.items()
        for text in (command.help, *(getattr(param, "help", None) for param in command.params))
        if text
    ]
    assert len(texts) > 100
    assert [text for text in texts if Text.from_markup(text).plain != text] == []
