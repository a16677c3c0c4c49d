"""The command that writes a report again, and what Prefect keeps of a run."""

import json
import webbrowser
from pathlib import Path

import pytest

from flows.embedded import embedded_server
from tests.flows.command import Made, Run


def test_the_report_is_written_again_and_opened(
    run: Run, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("dedupe", made.model, made.records, "--out", tmp_path / "run").code == 0
    page, shown = tmp_path / "run" / "report.html", []
    first = page.read_text()
    page.unlink()
    monkeypatch.setattr(webbrowser, "open", lambda url: shown.append(url) or True)
    assert run("report", tmp_path / "run").code == 2  # a file of the manifest is lost
    page.write_text(first)
    answer = run("report", tmp_path / "run", "--open")
    assert answer.code == 0 and answer.out == f"{page}\n" and shown == [page.as_uri()]
    assert page.read_text() == first
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    assert "no browser could be started here" in run("report", tmp_path / "run", "--open").err


def test_artifacts_say_what_the_summary_says(made: Made, tmp_path: Path) -> None:
    with embedded_server():
        from prefect.artifacts import Artifact

        from flows.dedupe import dedupe

        summary = dedupe(str(made.model), str(made.records), str(tmp_path / "run"))
        text = Artifact.get("dedupe-headline").data
        table = json.loads(Artifact.get("dedupe-thresholds").data)
    assert (
        f"{summary['duplicates']:,} of 300 records" in text
        and f"{summary['matches']:,} of {summary['pairs']:,} written" in text
    )
    assert next(row["flagged"] for row in table if row["is_chosen"]) == summary["matches"]
