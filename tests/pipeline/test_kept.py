"""The report's section on what was kept: the figures, the least sure records, and text that stays text."""

from pipeline.pages import render

SUMMARY = {
    "kind": "dedupe",
    "duplicates": 2,
    "parted_components": 1,
    "dropped": {
        "tied_directly": 1,
        "tied_through_others": 1,
        "longest_path": 7,
        "weakest_link": 0.51,
        "least_sure": [
            {
                "record_id": "<b>a</b>",
                "kept_record_id": "z",
                "weakest_link": 0.51,
                "path": ["<b>a</b>", *"bcdefg", "z"],
            },
            {"record_id": "y", "kept_record_id": "z", "weakest_link": 1.0, "path": ["y", "z"]},
        ],
    },
    "golden": {"merged_cells": 30, "disputed": 8, "tied": 4, "taken_from_others": 5},
}


def test_what_was_kept_is_said() -> None:
    page = render("kept.html.jinja", summary=SUMMARY)
    assert "1 match it themselves and 1 through other records" in page
    assert "1 set of records that matches tie was too loosely bound" in page
    assert "30 cells, of which 8 had different values to choose from, 4 were decided by a tie and 5 come" in page
    assert "&lt;b&gt;a&lt;/b&gt;" in page and "<b>a</b>" not in page
    assert "51.0%" in page and "&gt; 99.9%" in page and "… <bdi>z</bdi>" in page


def test_a_run_without_duplicates_and_a_link_have_no_such_section() -> None:
    for summary in ({**SUMMARY, "duplicates": 0}, {"kind": "link"}):
        assert "What was kept" not in render("kept.html.jinja", summary=summary)
