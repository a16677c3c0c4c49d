"""Folders at a URL, on fsspec's filesystem in memory: whole by their manifest, and fetched once."""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from siamese.errors import ArtifactError, OutputError
from siamese.folders import check_manifest, check_writable, edited_folder, local_folder, new_folder, write_manifest
from siamese.manifest import AUDIT, MANIFEST
from siamese.remote import PARTIAL, RemoteFolder

URL = "memory://runs/one"


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache and a place for temporary folders, and nothing in memory."""
    monkeypatch.setenv("SIAMESE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    forget()  # what other tests of the process put there
    yield
    forget()


def forget() -> None:
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def there() -> dict[str, bytes]:
    return {name.removeprefix("/runs/one/"): bytes(file.getvalue()) for name, file in MemoryFileSystem.store.items()}


def put(name: str, content: bytes) -> None:
    MemoryFileSystem().pipe_file(f"/runs/one/{name}", content)


def make(text: str = "hello", names: tuple[str, ...] = ("a.txt", "sub/b.txt"), url: str = URL) -> dict[str, Any]:
    with new_folder(url) as folder:
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        return write_manifest(folder, "run", {})


def left_over(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "temporary").rglob("*") if path.is_file()]


def interrupt(monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Let the storage fail at a file."""
    write = MemoryFileSystem.open

    def failing(self: MemoryFileSystem, path: str, mode: str = "rb", **how: Any) -> Any:
        if mode == "wb" and path.endswith(at):
            raise ConnectionError("the line went dead")
        return write(self, path, mode, **how)

    monkeypatch.setattr(MemoryFileSystem, "open", failing)


def test_a_folder_comes_back_as_it_was_put(tmp_path: Path) -> None:
    manifest = make()
    assert there().keys() == {"a.txt", "sub/b.txt", MANIFEST}
    folder = local_folder(URL, "run")
    assert check_manifest(folder, "run") == manifest
    assert (folder / "sub" / "b.txt").read_text() == "hello"
    assert left_over(tmp_path) == []


def test_a_folder_within_the_folder_keeps_its_manifest() -> None:
    """As the model in an index."""
    make(names=("a.txt", "model/manifest.json"))
    assert (local_folder(URL, "run") / "model" / "manifest.json").read_text() == "hello"


def test_a_failure_before_the_end_puts_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="boom"), new_folder(URL) as folder:
        (folder / "a.txt").write_text("x")
        raise RuntimeError("boom")
    assert there() == {} and left_over(tmp_path) == []


def test_an_earlier_folder_is_replaced_and_what_it_alone_had_goes() -> None:
    make()
    put(AUDIT, b"{}")
    make("other", ("a.txt", "c.txt"))
    assert there().keys() == {"a.txt", "c.txt", MANIFEST}
    assert (local_folder(URL, "run") / "a.txt").read_text() == "other"


@pytest.mark.parametrize("at", ["a.txt", "sub/b.txt", MANIFEST])
def test_an_interrupted_upload_is_told_keeps_the_work_and_can_be_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    make("old", ("a.txt", "old.txt"))
    with monkeypatch.context() as patch:
        interrupt(patch, at)
        with pytest.raises(OutputError, match=r"the line went dead.*what was to go there is in '(.*)'"):
            make()
    assert MANIFEST not in there() and PARTIAL in there()
    assert {path.name for path in left_over(tmp_path)} == {"a.txt", "b.txt", MANIFEST}
    with pytest.raises(ArtifactError, match=r"'memory://runs/one' is not whole .*; wait, or make the run again"):
        local_folder(URL, "run")
    make()
    assert there().keys() == {"a.txt", "sub/b.txt", MANIFEST}


@pytest.mark.parametrize("manifest", [None, b'{"name": "my web page", "icons": []}', b"[1]", b"\xff"])
def test_a_place_of_others_is_refused(manifest: bytes | None) -> None:
    put("thesis.txt", b"years of work")
    if manifest is not None:
        put(MANIFEST, manifest)
    before = there()
    with pytest.raises(OutputError, match=r"files that siamese did not write, such as '.*': give --out a new folder"):
        make()
    assert there() == before


def test_a_file_of_others_within_a_folder_of_ours_is_not_lost() -> None:
    make()
    put("sub/thesis.txt", b"years of work")
    with pytest.raises(OutputError, match=r"did not write, such as 'sub/thesis.txt'"):
        make("other")
    assert (local_folder(URL, "run") / "a.txt").read_text() == "hello"


def test_looking_whether_it_can_be_written_leaves_no_trace() -> None:
    check_writable(URL)
    assert there() == {}
    make()
    before = there()
    check_writable(URL)
    assert there() == before


def test_no_such_filesystem() -> None:
    with pytest.raises(OutputError, match=r"cannot write to 'nosuch://runs' \(Protocol not known: nosuch\)"):
        check_writable("nosuch://runs")
    with pytest.raises(ArtifactError, match=r"cannot read the run at 'nosuch://runs' \(Protocol not known: nosuch\)"):
        local_folder("nosuch://runs", "run")


def test_a_filesystem_whose_package_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(OutputError, match=r"cannot write to 'gs://runs': .*install gcsfs .* with pip"):
        check_writable("gs://runs")


def test_files_are_fetched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    make()
    first = local_folder(URL, "run")
    make(url="memory://runs/two")
    with monkeypatch.context() as patch:
        patch.setattr(RemoteFolder, "_download", lambda *_: pytest.fail("fetched again"))
        assert local_folder(URL, "run") == first
    make("other")
    assert local_folder(URL, "run") != first
    assert (first / "a.txt").read_text() == "hello"  # someone may have it open


def test_a_damaged_copy_is_fetched_again() -> None:
    make()
    copy = local_folder(URL, "run")
    (copy / "a.txt").write_text("hellO")
    (copy / "sub" / "b.txt").unlink()
    assert local_folder(URL, "run") == copy
    check_manifest(copy, "run")


def test_damage_is_told_and_not_kept(tmp_path: Path) -> None:
    make()
    put("a.txt", b"hellO")
    with pytest.raises(ArtifactError, match=r"'memory://runs/one/a.txt' is not what the manifest says"):
        local_folder(URL, "run")
    MemoryFileSystem().rm_file("/runs/one/a.txt")
    with pytest.raises(ArtifactError, match=r"cannot fetch the run at 'memory://runs/one' \(.*a.txt\): make the run"):
        local_folder(URL, "run")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("name", ["../escaped.txt", "/tmp/escaped.txt", "sub/../../escaped.txt"])
def test_a_manifest_reaches_nothing_outside_its_folder(tmp_path: Path, name: str) -> None:
    manifest = make()
    put(MANIFEST, json.dumps({**manifest, "files": {name: "0" * 64}}).encode())
    with pytest.raises(ArtifactError, match="which is not in the folder"):
        local_folder(URL, "run")
    assert not list(tmp_path.rglob("escaped.txt"))


def test_another_kind_version_or_no_folder_is_told() -> None:
    with pytest.raises(ArtifactError, match=r"there is no run folder at 'memory://runs/one'"):
        local_folder(URL, "run")
    put("thesis.txt", b"")
    with pytest.raises(ArtifactError, match=r"'memory://runs/one' is no run folder: it holds no manifest.json"):
        local_folder(URL, "run")
    MemoryFileSystem.store.clear()
    manifest = make()
    with pytest.raises(ArtifactError, match=r"'memory://runs/one' holds a run, expected an index"):
        local_folder(URL, "index")
    put(MANIFEST, json.dumps({**manifest, "format_version": 99}).encode())
    with pytest.raises(ArtifactError, match=r"'memory://runs/one' has format version 99"):
        local_folder(URL, "run")
    put(MANIFEST, b"{")
    with pytest.raises(ArtifactError, match=r"'memory://runs/one/manifest.json' is damaged"):
        local_folder(URL, "run")


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make()
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("SIAMESE_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"cannot keep 'memory://runs/one' in '.*file' \(.*\): set SIAMESE_CACHE"):
        local_folder(URL, "run")


def test_an_edited_folder_keeps_its_audit_and_sends_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    make()
    put(AUDIT, b"{}")
    copy = local_folder(URL, "run")
    with monkeypatch.context() as patch:
        interrupt(patch, "sub/b.txt")
        with edited_folder(URL, "run") as folder:
            (folder / "a.txt").write_text("edited")
            write_manifest(folder, "run", {})
    assert there().keys() == {"a.txt", "sub/b.txt", AUDIT, MANIFEST}
    assert (local_folder(URL, "run") / "a.txt").read_text() == "edited"
    assert (copy / "a.txt").read_text() == "hello"


def test_an_audit_comes_and_goes_without_a_new_manifest() -> None:
    make()
    copy = local_folder(URL, "run")
    with edited_folder(URL, "run") as folder:
        (folder / AUDIT).write_text("judged")
    assert there()[AUDIT] == b"judged"
    assert local_folder(URL, "run") == copy and (copy / AUDIT).read_text() == "judged"
    MemoryFileSystem().rm_file(f"/runs/one/{AUDIT}")
    assert not (local_folder(URL, "run") / AUDIT).exists()
