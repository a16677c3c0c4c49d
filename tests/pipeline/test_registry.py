"""A folder of runs: listing, what ``latest`` names at any moment, and what is removed."""

import threading
from pathlib import Path

import pytest

from pipeline.registry import latest_run, list_runs, prune_runs, publish_run
from siamese.errors import ArtifactError, OutputError, SettingsError
from siamese.folders import read_json, write_json, write_manifest
from siamese.manifest import SEAL, seal


def make_run(folder: Path, name: str, day: int, **summary: object) -> Path:
    run = folder / name
    run.mkdir()
    write_json(run / "summary.json", {"kind": "dedupe", "records": 10 * day, "matches": 3, "clusters": 2, **summary})
    write_manifest(run, "run", {"model": "m", "inputs": [{"path": "r", "files": {"r": "d"}}]})
    manifest = read_json(run / "manifest.json") | {"created_at": f"2026-01-{day:02d}T00:00:00+00:00"}
    write_json(run / "manifest.json", {**manifest, SEAL: seal(manifest)})
    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, day in (("c", 1), ("a", 2), ("b", 3), ("d", 4)):
        make_run(tmp_path, name, day)
    (tmp_path / ".e.0123456789abcdef.partial").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "manifest.json").write_text('{"name": "a web page"}')
    (tmp_path / "file.txt").write_text("")
    return tmp_path


def test_runs_are_listed_with_counts_quality_and_origin(folder: Path) -> None:
    judged = make_run(
        folder,
        "judged",
        9,
        expected_precision=0.9,
        evaluation={"pairs": {"precision": 1.0, "recall": 0.5, "f1": 2 / 3}},
    )
    write_json(judged / "audit.json", {"precision": {"estimate": 0.8}, "recall": None})
    entries = list_runs(folder)
    assert [entry.name for entry in entries] == ["judged", "d", "b", "a", "c"]
    assert entries[0].quality == {
        "expected_precision": 0.9,
        "true_precision": 1.0,
        "true_recall": 0.5,
        "true_f1": 2 / 3,
        "audited_precision": 0.8,
    }
    assert entries[1].counts == {"records": 40, "matches": 3, "clusters": 2}
    assert entries[1].origin["inputs"] == [{"path": "r", "files": {"r": "d"}}] and entries[1].origin["model"] == "m"
    assert not any(entry.latest or entry.fault for entry in entries)


def test_a_damaged_run_is_listed_and_neither_published_nor_removed(folder: Path) -> None:
    (folder / "b" / "manifest.json").write_text("{")
    (folder / "a" / "summary.json").write_text("{}\n")  # not what the manifest says
    faults = {entry.name for entry in list_runs(folder) if entry.fault}
    assert "b" in faults
    for name in ("a", "b", "notes", "nosuch", "../x", "latest", ".e.0123456789abcdef.partial", ""):
        with pytest.raises(ArtifactError):
            publish_run(folder, name)
    assert latest_run(folder) is None
    prune_runs(folder, 1)
    assert (folder / "b").is_dir() and (folder / "notes").is_dir() and (folder / "d").is_dir()


def test_latest_is_switched_and_kept_when_old_ones_go(folder: Path) -> None:
    publish_run(folder, "d")
    publish_run(folder, "c")
    assert latest_run(folder) == "c" and str((folder / "latest").readlink()) == "c"
    assert read_json(folder / "latest" / "summary.json")["records"] == 10
    assert prune_runs(folder, 2) == ["b", "a"]
    assert [(entry.name, entry.latest) for entry in list_runs(folder)] == [("d", False), ("c", True)]
    assert prune_runs(folder, 5) == []
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == [
        ".e.0123456789abcdef.partial"
    ]
    with pytest.raises(SettingsError):
        prune_runs(folder, 0)


def test_whoever_follows_latest_finds_a_whole_run_at_any_moment(folder: Path) -> None:
    publish_run(folder, "a")
    seen: set[int] = set()
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            seen.add(read_json(folder / "latest" / "summary.json")["records"])

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(200):
        publish_run(folder, "ab"[number % 2])
    ended.set()
    reader.join()
    assert seen <= {20, 30} and seen


def test_what_is_no_folder_of_runs_is_refused(folder: Path) -> None:
    with pytest.raises(ArtifactError, match="there is no folder"):
        list_runs(folder / "nosuch")
    with pytest.raises(ArtifactError, match="is a URL"):
        list_runs("s3://bucket/runs")
    (folder / "latest").mkdir()
    with pytest.raises(OutputError, match="no link"):
        publish_run(folder, "a")
