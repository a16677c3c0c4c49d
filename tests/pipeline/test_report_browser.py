"""Reports of made runs in a real browser."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipeline.pages import share
from pipeline.records import Records
from pipeline.report import write_report
from tests.pages import assert_works, opened
from tests.pipeline.made_runs import make_run

HOSTILE = {
    "script": "</script><script>alert(1)</script>",
    "image": "<img src=x onerror=alert(1)>",
    "style": "</style></td></table><style>body{display:none}</style>",
    "rtl": "שלום \u202egnp.exe",
    "null": "a\0b",
    "formula": '=HYPERLINK("http://evil.example","x")',
    "huge": "x" * 100_000,
    "jinja": "{{ 7 * 7 }}",
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("made") / "run"
    write_report(run, make_run(run, 3_000, 2_500))
    return run / "report.html"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])
def test_the_report_works(browser: Any, report: Path, width: int, scheme: str) -> None:
    with opened(browser, report, width, scheme) as tab:
        assert_works(tab)
        dark = tab.evaluate("getComputedStyle(document.documentElement).backgroundColor") != "rgb(255, 255, 255)"
        assert dark == (scheme == "dark")


def test_the_slider_says_what_the_thresholds_file_says(browser: Any, report: Path) -> None:
    rows = pd.read_parquet(report.parent / "thresholds.parquet")
    with opened(browser, report) as tab:
        for place in (0, 30, len(rows) - 1):
            tab.locator("#threshold").fill(str(place))
            row = rows.iloc[place]
            for name in ("flagged", "duplicates", "clusters"):
                assert tab.locator(f"[data-figure={name}]").inner_text() == f"{row[name]:,}"
            assert tab.locator("[data-figure=expected_recall]").inner_text() == share(row["expected_recall"])
        tab.locator("#threshold").fill("0")
        tab.get_by_label("Show").select_option("flagged")
        assert "would be flagged" in tab.locator("#found").inner_text()


def test_it_can_be_used_by_keyboard_and_prints(browser: Any, report: Path) -> None:
    with opened(browser, report) as tab:
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.textContent") == "Skip to the content"
        tab.evaluate("addEventListener('focusin', (e) => (window.reached ??= []).push(e.target.id))")
        for _ in range(40):
            tab.keyboard.press("Tab")
        reached = set(tab.evaluate("window.reached"))
        assert {"threshold", "search", "kind", "order"} <= reached
        unnamed = (
            "[...document.querySelectorAll('input, select, button')].filter((e) => !e.labels?.length && !e.textContent)"
        )
        assert tab.evaluate(f"{unnamed}.length") == 0
        tab.emulate_media(media="print")
        assert not tab.locator("#slider").is_visible() and tab.locator("#found").is_visible()


def test_hostile_content_is_text(browser: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    make_run(run, 40, 20)
    ids = pq.read_table(run / "clusters.parquet")["record_id"].to_pylist()
    odd = {one: f"{one}{text[:60]}" for one, text in zip(ids, list(HOSTILE.values()) * 5, strict=False)}
    for name in ("pairs", "clusters"):
        frame = pd.read_parquet(run / f"{name}.parquet")
        for column in frame.columns.intersection(["record_id", "left_id", "right_id"]):
            frame[column] = frame[column].map(odd)
        frame.to_parquet(run / f"{name}.parquet")
    records = [
        {"record_id": one, **{f"{name}{text[:60]}": f"{text}{i % 3}" for name, text in HOSTILE.items()}}
        for i, one in enumerate(odd.values())
    ]
    pd.DataFrame(records).to_parquet(tmp_path / "records.parquet")
    summary = json.loads((run / "summary.json").read_text()) | {
        "model": HOSTILE["script"],
        "records_path": HOSTILE["image"],
    }
    (run / "summary.json").write_text(json.dumps(summary))
    write_report(run, Records.open(str(tmp_path / "records.parquet")))
    with opened(browser, run / "report.html") as tab:
        tab.locator("#found > tbody > tr").first.get_by_role("button").click()
        assert (
            tab.locator("img").count() == 0 and tab.locator("script").count() == 3 and tab.locator("style").count() == 1
        )
        text = tab.locator("#found table.pair").inner_text()
        for said in (
            "<img src=x onerror=alert(1)>",
            "{{ 7 * 7 }}",
            "a⟨U+0000⟩b",
            "⟨U+202E⟩gnp",
            "</script>",
            "=HYPERLINK(",
        ):
            assert said in text
        tab.get_by_label("Words in either record").fill("</script><script>")
        assert tab.locator("#found > tbody > tr").count() > 0
    assert (run / "report.html").stat().st_size < 2_000_000


def test_a_report_of_a_hundred_thousand_records(browser: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_report(run, make_run(run, 100_000, 50_000))
    assert (run / "report.html").stat().st_size < 8_000_000
    with opened(browser, run / "report.html") as tab:
        assert_works(tab)
        assert "48,000 are not" in tab.locator("#search-section").inner_text()
