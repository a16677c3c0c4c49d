"""Folders: whole or not at all, and what was changed is told."""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from siamese import folders, publishing
from siamese.errors import ArtifactError, OutputError
from siamese.folders import (
    MANIFEST,
    check_manifest,
    edited_folder,
    link,
    new_folder,
    read_json,
    sha256,
    write_json,
    write_manifest,
    write_text,
)
from siamese.manifest import SEAL, seal
from siamese.publishing import staged_file, sweep


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

    monkeypatch.setattr(publishing, "exchange", cannot)
    monkeypatch.setattr(publishing.os, "replace", failing)
    with pytest.raises(OSError, match="no"):
        make(tmp_path / "model", "other")
    assert tree(tmp_path) == before


def cannot(*_: Path) -> None:
    raise OSError(errno.EINVAL, "this filesystem exchanges nothing")


@pytest.mark.parametrize("exchange", [publishing.exchange, cannot], ids=["in one step", "in two"])
def test_an_earlier_folder_is_there_until_the_new_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: Callable[..., None]
) -> None:
    """Killed before and after every change of a name, the place holds one folder or the other, or what brings the earlier one back."""
    monkeypatch.setattr(publishing, "exchange", exchange)
    steps = 0
    for killed_at in range(20):
        out = tmp_path / str(killed_at) / "model"
        make(out)
        earlier, left = tree(out), iter(range(killed_at))

        def step(function: Callable[..., None], *args: object, left: Iterator[int] = left, **how: object) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            function(*args, **how)

        with monkeypatch.context() as patch:
            for module, name in ((publishing, "exchange"), (publishing.os, "replace"), (publishing.shutil, "rmtree")):
                patch.setattr(module, name, partial(step, getattr(module, name)))
            with suppress(KeyboardInterrupt):
                make(out, "other")
                steps = killed_at
        if steps:
            break
        sweep(out)
        assert [path.name for path in out.parent.iterdir()] == ["model"]
        assert tree(out) == earlier or (out / "sub" / "a.txt").read_text() == "other"
        check_manifest(out, "model")
    assert steps > 1


def test_what_a_killed_process_left_goes_and_what_another_writes_stays(tmp_path: Path) -> None:
    (tmp_path / ".model.0123abcd.partial").mkdir()
    with new_folder(tmp_path / "model") as one, new_folder(tmp_path / "model") as other:
        assert {path.name for path in tmp_path.iterdir()} == {one.name, other.name}
        (other / "b.txt").write_text("y")
    assert tree(tmp_path) == {}  # the last that ended wrote nothing
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_files_of_two_writers_are_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    (tmp_path / ".a.csv.0123abcd.partial").write_text("of a process that was killed")
    with staged_file(path) as one, staged_file(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert tree(tmp_path) == {"a.csv": b"one"}  # the last that ended
    with suppress(KeyboardInterrupt), staged_file(path) as one:
        one.write_text("half")
        raise KeyboardInterrupt
    assert tree(tmp_path) == {"a.csv": b"one"}


def test_what_others_put_into_a_folder_of_ours_is_not_lost(tmp_path: Path) -> None:
    make(tmp_path / "model")
    (tmp_path / "model" / ".DS_Store").write_text("")
    make(tmp_path / "model")
    (tmp_path / "model" / "judged.csv").write_text("years of work")
    check_manifest(tmp_path / "model", "model")
    with pytest.raises(OutputError, match=r"holds files that siamese did not write, such as 'judged.csv'"):
        make(tmp_path / "model")


def test_a_manifest_written_again_claims_nothing_of_others(tmp_path: Path) -> None:
    make(tmp_path / "model")
    before = check_manifest(tmp_path / "model", "model")
    (tmp_path / "model" / "judged.csv").write_text("years of work")
    write_manifest(tmp_path / "model", "model", {}, names=before["files"])
    assert check_manifest(tmp_path / "model", "model")["files"] == before["files"]
    with pytest.raises(OutputError, match=r"judged\.csv"):
        make(tmp_path / "model")


def test_a_file_that_is_linked_from_a_whole_folder_has_the_digest_that_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "base")
    known, new = check_manifest(tmp_path / "base", "model")["files"], tmp_path / "new"
    (new / "sub").mkdir(parents=True)
    link(tmp_path / "base" / "sub" / "a.txt", new / "linked.txt")
    (new / "sub" / "a.txt").write_text("another of the same name")
    hashed: list[str] = []
    monkeypatch.setattr(folders, "sha256", lambda path: hashed.append(path.name) or sha256(path))
    write_manifest(new, "model", {}, base=tmp_path / "base")
    assert hashed == ["a.txt"]
    found = check_manifest(new, "model")["files"]
    assert found["linked.txt"] == known["sub/a.txt"] != found["sub/a.txt"]


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "model").symlink_to("elsewhere")
    for text in ("one", "two"):
        make(tmp_path / "model", text)
        assert (tmp_path / "model").is_symlink() and (tmp_path / "elsewhere" / "sub" / "a.txt").read_text() == text


def test_files_that_a_manifest_does_not_name_are_not_read(tmp_path: Path) -> None:
    make(tmp_path / "model")
    (tmp_path / "model" / "sub" / "b.txt").write_text("y")
    with pytest.raises(ArtifactError, match=r"sub/b.txt' is no file of the model .*: take it out"):
        check_manifest(tmp_path / "model", "model")


def test_a_manifest_with_any_bit_changed_is_refused_or_says_the_same(tmp_path: Path) -> None:
    make(tmp_path / "model")
    path = tmp_path / "model" / MANIFEST
    content = path.read_bytes()
    unsealed = {name: each for name, each in check_manifest(tmp_path / "model", "model").items() if name != SEAL}
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 7]) + content[place + 1 :])
        with suppress(ArtifactError):
            found = check_manifest(tmp_path / "model", "model")
            assert {name: found[name] for name in unsealed} == unsealed


def test_a_manifest_names_nothing_outside_its_folder(tmp_path: Path) -> None:
    make(tmp_path / "model")
    manifest = read_json(tmp_path / "model" / MANIFEST)
    for name in ("../secret", "/etc/hostname", "sub/../../secret"):
        changed = {**manifest, "files": {name: "0" * 64}}
        write_json(tmp_path / "model" / MANIFEST, {**changed, SEAL: seal(changed)})
        with pytest.raises(ArtifactError, match=f"names the file '{name}', which is not in the folder"):
            check_manifest(tmp_path / "model", "model")


def test_an_edit_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    make(tmp_path / "model")
    before = tree(tmp_path)
    with pytest.raises(KeyboardInterrupt), edited_folder(tmp_path / "model", "model") as folder:
        write_text(folder / "sub" / "a.txt", "half an edit")
        raise KeyboardInterrupt
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
