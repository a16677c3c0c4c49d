"""Folders that an earlier version wrote load, are queried, scored, reported and updated, and give what they gave then."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from siamese.manifest import FORMAT_VERSION, MANIFEST, SEAL, seal
from tests.flows.command import Answer, assert_refused, call
from tests.frozen.figures import figures

HERE = Path(__file__).parent
VERSIONS = sorted(path.name for path in HERE.iterdir() if path.name.isdigit())


def thaw(version: str, place: Path) -> Path:
    with tarfile.open(HERE / version / "folders.tar.xz") as archive:
        archive.extractall(place, filter="data")
    return place


@pytest.fixture(scope="module")
def thawed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return thaw(str(FORMAT_VERSION), tmp_path_factory.mktemp("thawed"))


def test_the_format_of_this_version_is_frozen() -> None:
    assert str(FORMAT_VERSION) in VERSIONS, "python -m tests.frozen.freeze"


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_written_then_gives_what_it_gave(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(thaw(version, tmp_path))
    then = json.loads((HERE / version / "figures.json").read_text(encoding="utf-8"))
    for name, said in figures().items():
        for what, value in said.items():
            numbers = isinstance(value, list) and value and isinstance(value[0], float)
            expected = then[name][what]
            assert value == (pytest.approx(expected, abs=2e-3) if numbers else expected), f"{name}: {what}"


USES = {
    "model": (
        ("evaluate", "{}", "records.parquet", "pairs.parquet"),
        ("score", "{}", "records.parquet", "pairs.parquet"),
        ("index", "{}", "records.parquet", "--out", "new"),
        ("dedupe", "{}", "records.parquet", "--out", "new"),
        ("explain", "{}", "records.parquet", "a", "b"),
    ),
    "index": (("query", "{}", "--json", '{"name": "x"}'),),
    "run": (
        ("verify", "{}"),
        ("report", "{}"),
        ("export", "{}", "--out", "new"),
        ("compare", "{}", "link"),
        ("compare", "link", "{}"),
        ("audit", "{}", "--out", "new.csv"),
        ("update", "{}", "today.parquet", "--out", "new"),
        ("dedupe", "model", "records.parquet", "--previous", "{}", "--out", "new"),
    ),
}


@pytest.mark.parametrize(("kind", "command"), [(kind, each) for kind, commands in USES.items() for each in commands])
def test_a_newer_format_is_refused(
    kind: str,
    command: tuple[str, ...],
    thawed: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(thawed)
    newer = Path(f"newer-{kind}")
    if not newer.exists():
        shutil.copytree(kind, newer)
        manifest = json.loads((newer / MANIFEST).read_text()) | {"format_version": 99}
        (newer / MANIFEST).write_text(json.dumps({**manifest, SEAL: seal(manifest)}))
    code = call(*(each.replace("{}", str(newer)) for each in command))
    assert_refused(
        Answer(code, *capsys.readouterr()),
        f"the {kind} '",
        "has format version 99",
        f"this version of siamese reads {FORMAT_VERSION}",
        f"make the {kind} again, or install the version of siamese that made it",
    )
    assert not list(Path().glob("new")) and not list(Path().glob(".new*"))
