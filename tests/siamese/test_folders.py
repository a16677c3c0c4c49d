"""Folders: whole or not at all, and what was changed is told."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from siamese import folders
from siamese.errors import ArtifactError, OutputError
from siamese.folders import MANIFEST, check_manifest, new_folder, read_json, sha256, write_json, write_manifest


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def make(out: Path, text: str = "hello") -> dict:
    with new_folder(out) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.txt").write_text(text)
        write_json(folder / "notes.json", {"ü": 1})
        return write_manifest(folder, "model", {"settings": {"x": 1}}, unsigned=frozenset({"notes.json"}))


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "model"
    with new_folder(out) as folder:
        (folder / "a.txt").write_text("x")
        assert not out.exists()
    assert tree(tmp_path) == {"deep/model/a.txt": b"x"}


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="boom"), new_folder(tmp_path / "model") as folder:
        (folder / "a.txt").write_text("x")
        raise RuntimeError("boom")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_an_earlier_folder_as_it_was(tmp_path: Path) -> None:
    make(tmp_path / "model")
    before = tree(tmp_path)
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "model") as folder:
        (folder / "sub").mkdir()
        raise KeyboardInterrupt
    assert tree(tmp_path) == before


def test_a_failed_rename_leaves_an_earlier_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "model")
    before = tree(tmp_path)
    rename = os.replace

    def failing(source: Path, target: Path) -> None:
        if str(source).endswith(".partial") and Path(source).is_dir():
            raise OSError("no")
        rename(source, target)

    monkeypatch.setattr(folders.os, "replace", failing)
    with pytest.raises(OSError, match="no"):
        make(tmp_path / "model", "other")
    assert tree(tmp_path) == before


def test_an_earlier_folder_is_replaced_whole(tmp_path: Path) -> None:
    make(tmp_path / "model")
    with new_folder(tmp_path / "model") as folder:
        (folder / "b.txt").write_text("y")
    assert tree(tmp_path) == {"model/b.txt": b"y"}


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    make(tmp_path / "model")
    assert (tmp_path / "model" / MANIFEST).is_file()


@pytest.mark.parametrize("manifest", [None, '{"name": "my web page", "icons": []}', "[1]", "no json"])
def test_a_folder_of_others_is_refused_before_any_work(tmp_path: Path, manifest: str | None) -> None:
    out = tmp_path / "theirs"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    if manifest:
        (out / MANIFEST).write_text(manifest)
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=r"theirs' holds files that siamese did not write"), new_folder(out):
        pytest.fail("work was begun")
    assert tree(tmp_path) == before


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("x")
    with pytest.raises(OutputError, match=r"model': it is a file"), new_folder(tmp_path / "model"):
        pytest.fail("work was begun")
    with pytest.raises(OutputError, match="cannot write"), new_folder(tmp_path / "model" / "inside"):
        pytest.fail("work was begun")


def test_the_manifest_names_every_file_with_its_digest(tmp_path: Path) -> None:
    manifest = make(tmp_path / "model")
    assert manifest["files"] == {
        name: hashlib.sha256(content).hexdigest()
        for name, content in tree(tmp_path / "model").items()
        if name != MANIFEST
    }
    assert set(manifest["files"]) == {"notes.json", "sub/a.txt"}
    assert manifest["settings"] == {"x": 1}
    assert manifest["versions"]["torch"]
    assert check_manifest(tmp_path / "model", "model") == manifest


def test_the_fingerprint_is_of_the_signed_contents(tmp_path: Path) -> None:
    first = make(tmp_path / "one")
    assert make(tmp_path / "two")["fingerprint"] == first["fingerprint"]
    assert make(tmp_path / "three", "other")["fingerprint"] != first["fingerprint"]
    with new_folder(tmp_path / "four") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.txt").write_text("hello")
        write_json(folder / "notes.json", {"measured": 2})
        unsigned = write_manifest(folder, "model", {}, unsigned=frozenset({"notes.json"}))
    assert unsigned["fingerprint"] == first["fingerprint"]


def test_damage_is_told_with_the_file(tmp_path: Path) -> None:
    make(tmp_path / "model")
    changed = tmp_path / "model" / "sub" / "a.txt"
    changed.write_text("hellO")
    with pytest.raises(ArtifactError, match=r"sub/a\.txt' was changed or damaged"):
        check_manifest(tmp_path / "model", "model")
    changed.unlink()
    with pytest.raises(ArtifactError, match=r"lacks its file 'sub/a\.txt'"):
        check_manifest(tmp_path / "model", "model")


def test_another_kind_version_or_no_folder_is_told(tmp_path: Path) -> None:
    make(tmp_path / "model")
    with pytest.raises(ArtifactError, match=r"holds a model, expected an? index"):
        check_manifest(tmp_path / "model", "index")
    with pytest.raises(ArtifactError, match=r"no model folder at '.*gone'"):
        check_manifest(tmp_path / "gone", "model")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match=r"manifest\.json' is missing"):
        check_manifest(tmp_path / "empty", "model")
    path = tmp_path / "model" / MANIFEST
    write_json(path, {**read_json(path), "format_version": 99})
    with pytest.raises(ArtifactError, match=r"format version 99, this version of siamese reads 2"):
        check_manifest(tmp_path / "model", "model")


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"', '{"format": "model", "format_version": 1}', "\xff"])
def test_a_damaged_manifest_is_told(tmp_path: Path, content: str) -> None:
    make(tmp_path / "model")
    (tmp_path / "model" / MANIFEST).write_bytes(content.encode("latin-1"))
    with pytest.raises(ArtifactError, match="model"):
        check_manifest(tmp_path / "model", "model")


def test_json_is_readable_and_ends_with_a_line_break(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"name": "Ü"})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert "Ü" in text
    assert json.loads(text) == read_json(tmp_path / "x.json") == {"name": "Ü"}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
    assert sha256(tmp_path / "x.json") == hashlib.sha256(text.encode()).hexdigest()
