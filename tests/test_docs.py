"""Every command and every line of Python in README and docs/ is run, in a folder like the one that ``siamese demo`` makes."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from flows.config import JobConfig
from flows.serving import ServeConfig
from tests.flows.command import call

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:<!-- not run here: (?P<why>[^>]+) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)```", re.DOTALL)
TRANSCRIPT = (0, 2)  # of what was printed on the larger corpus: on this small one a promise may be refused


@dataclass(frozen=True)
class Command:
    line: str
    codes: tuple[int, ...]


def blocks(page: Path, *kinds: str) -> list[str]:
    return [found["text"] for found in BLOCK.finditer(page.read_text()) if found["kind"] in kinds and not found["why"]]


def commands(page: Path) -> list[Command]:
    found = [Command(line, (0,)) for text in blocks(page, "sh") for line in text.splitlines()]
    said = [line for text in blocks(page, "") for line in text.splitlines() if line.startswith("$ ")]
    return [each for each in [*found, *(Command(line[2:], TRANSCRIPT) for line in said)] if each.line.strip()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, made) -> Path:
    """What the pages speak of: a corpus, its labels, a model, and the corpus a day later."""
    place = tmp_path_factory.mktemp("docs")
    for name in ("records.parquet", "pairs.parquet", "true_pairs.parquet"):
        shutil.copy(made.records.with_name(name), place / name)
    for name in ("model", "index"):
        shutil.copytree(getattr(made, name), place / name)
    shutil.copy(place / "pairs.parquet", place / "labels.parquet")
    records = pd.read_parquet(place / "records.parquet")
    records.iloc[5:].to_parquet(place / "records-today.parquet")
    records.iloc[:2].to_csv(place / "today.csv", index=False)
    records.iloc[2:4][["record_id"]].to_csv(place / "gone.csv", index=False)
    (place / "demo").symlink_to(place)
    return place


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_says_can_be_done(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    done = folder / "done.txt"
    before = done.read_text().splitlines() if done.is_file() else []
    for command in commands(page):
        words = shlex.split(command.line, comments=True)
        if not words or shlex.join(words) in before:
            continue
        if words[0] == "siamese":
            code = call(*words[1:])
        else:
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            assert words[0] == "python", f"neither siamese nor python: {command.line}"
            code = subprocess.run([sys.executable, *words[1:]], env=environment).returncode
        assert code in command.codes, command.line
        before.append(shlex.join(words))
    done.write_text("\n".join(before))
    names: dict[str, object] = {"records": pd.read_parquet("records.parquet")}
    for text in blocks(page, "python"):
        exec(text, names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_on_a_page_are_settings(page: Path) -> None:
    for text in blocks(page, "toml"):
        settings = tomllib.loads(text)
        (ServeConfig if "jobs" in settings else JobConfig)(**settings)


def test_what_is_not_run_says_why_and_where_it_is_tested() -> None:
    reasons = [found["why"] for page in PAGES for found in BLOCK.finditer(page.read_text()) if found["why"]]
    assert reasons
    for why in reasons:
        tested = re.findall(r"(?:tests/[\w/]+\.py|\.ci/run)", why)
        assert tested and all((ROOT / path).exists() for path in tested), why


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*PAGES, ROOT / "benchmarks" / "README.md"]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
