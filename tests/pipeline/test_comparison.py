"""Two runs compared: the figures, and a page in which nothing that the data hold can act."""

import json
from pathlib import Path

import pandas as pd
import pytest

from pipeline.changes import Fate
from pipeline.comparing import compare_runs
from pipeline.comparison_page import MEMBERS, render_comparison, write_comparison
from siamese.errors import ArtifactError, DataError
from siamese.folders import write_json, write_manifest

HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"></td><script>document.title='owned'</script>\u202e&amp;{{ 7*7 }}"
)
CHROMIUM = Path("/usr/bin/chromium")


def make_run(
    folder: Path,
    clusters: dict[str, int],
    pairs: list[tuple[str, str, float, bool]],
    *,
    kind: str = "dedupe",
    model: str = "m" * 64,
    **settings: object,
) -> Path:
    run = folder / f"run{len(list(folder.iterdir()))}"
    run.mkdir()
    records = folder / "records.parquet"
    names = sorted({*clusters})
    pd.DataFrame({"record_id": names, "name": [f"{HOSTILE} of {one}" for one in names]}).to_parquet(records)
    pd.DataFrame({"record_id": list(clusters), "cluster_id": list(clusters.values())}).to_parquet(
        run / "clusters.parquet"
    )
    columns = ["left_id", "right_id", "probability", "is_match"]
    pd.DataFrame(pairs, columns=columns).to_parquet(run / "pairs.parquet")
    flagged = sum(is_match for *_, is_match in pairs)
    n = len(clusters) if kind == "dedupe" else {"left": 1, "right": len(clusters) - 1}
    write_json(
        run / "summary.json", {"kind": kind, "records": n, "matches": flagged, "min_probability": 0.5, "model": "m"}
    )
    content = {
        "model": model,
        "settings": {"id_column": "record_id", "max_distance": None, **settings},
        "inputs": [{"path": str(records), "files": {str(records): "0"}}],
    }
    write_manifest(run, "run", content)
    return run


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    evil = HOSTILE[:30]
    old = make_run(
        tmp_path,
        {"a": 0, "b": 0, evil: 1, "d": 1, "e": 2, "f": 3, "g": 4, "h": 4},
        [("a", "b", 0.9, True), (evil, "d", 0.8, True), ("e", "f", 0.2, False), ("g", "h", 0.7, True)],
    )
    new = make_run(
        tmp_path,
        {"a": 0, "b": 0, evil: 0, "d": 0, "e": 1, "f": 1, "g": 2, "i": 3},
        [("a", "b", 0.9, True), (evil, "d", 0.9, True), ("a", evil, 0.6, True), ("e", "f", 0.7, True)],
        model="n" * 64,
        max_distance=0.4,
    )
    return old, new


def test_figures(two: tuple[Path, Path]) -> None:
    found = compare_runs(*two).to_dict()
    json.dumps(found, allow_nan=False)
    assert found["records"] == {"both": 7, "old_only": 1, "new_only": 1}
    assert found["pairs"] == {
        "kept": 2,
        "gained": {"pairs": 2, "record_not_there": 0, "written_not_flagged": 1, "not_written": 1},
        "lost": {"pairs": 1, "record_not_there": 1, "written_not_flagged": 0, "not_written": 0},
    }
    changes = {fate: counts["changes"] for fate, counts in found["clusters"].items() if counts["changes"]}
    assert changes == {"merged": 1, "new": 1, "gone": 1}
    assert found["settings"] == {"max_distance": {"old": None, "new": 0.4}}
    assert found["figures"]["matches"] == {"old": 3, "new": 4}
    assert not found["same_model"] and found["versions"] == {}


def test_what_cannot_be_compared(two: tuple[Path, Path], tmp_path: Path) -> None:
    link = make_run(tmp_path, {"a": 0, "b": 1}, [], kind="link")
    with pytest.raises(DataError, match=r"is a dedupe run and .* a link run"):
        compare_runs(two[0], link)
    other = make_run(tmp_path, {"x": 0, "y": 1}, [])
    with pytest.raises(DataError, match="no record in common"):
        compare_runs(two[0], other)
    (other / "clusters.parquet").write_bytes(b"no")
    with pytest.raises(ArtifactError, match="changed or damaged"):
        compare_runs(two[0], other)


def test_every_group_of_a_change_is_shown(tmp_path: Path) -> None:
    many = {f"r{i:03d}": i // 40 for i in range(80)}
    old, new = make_run(tmp_path, many, []), make_run(tmp_path, dict.fromkeys(many, 0), [])
    page = render_comparison(compare_runs(old, new))
    assert f"80 records, {MEMBERS} of them here" in page
    assert compare_runs(old, new).changes.counts()[Fate.MERGED]["records"] == 80
    assert page.count("r00") >= MEMBERS // 2 and page.count("r04") >= MEMBERS // 2


def test_where_the_records_are_gone_the_page_says_so(two: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "records.parquet").unlink()
    page = render_comparison(compare_runs(*two))
    assert "there is no file at" in page and "The fields of some records are not shown" in page


@pytest.mark.skipif(not CHROMIUM.is_file(), reason="there is no Chromium here")
def test_the_page_is_inert_and_fits_a_telephone(two: tuple[Path, Path], tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    write_comparison(compare_runs(*two), tmp_path / "page.html")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 375, "height": 800}, color_scheme="dark")
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.goto((tmp_path / "page.html").as_uri())
        assert page.title() == "Two runs compared"
        assert len(asked) == 1 and said == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        assert page.locator("img, script").count() == 0
        assert "<img src=x onerror=" in page.locator(".change").first.inner_text()
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != "rgb(255, 255, 255)"
        browser.close()
