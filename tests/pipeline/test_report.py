"""The report shows the run's figures and its pairs, and nothing in the data can act."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.differences import SHOWN, differences
from pipeline.report import (
    Example,
    Histogram,
    group_sizes,
    pick_examples,
    read_histogram,
    render_report,
    write_report,
)
from siamese.errors import ArtifactError

SUMMARY: dict[str, Any] = {
    "kind": "dedupe",
    "records": 50_000,
    "distinct_contents": 49_000,
    "empty_records": 3,
    "pairs": 8_000,
    "matches": 1_471,
    "clusters": 590,
    "duplicates": 1_204,
    "largest_cluster": 14,
    "max_distance": 0.5,
    "candidate_distance": 1.5,
    "threshold_from": "best F1 on held-out pairs",
    "margin": 1.25,
    "energy": "euclidean",
    "calibration": {"pairs": 412, "matches": 130},
    "evaluation": {
        "pairs": {"precision": 0.973, "recall": 1.0, "f1": 0.986, "true_pairs": 1_530},
        "clusters": {"f1": 0.9},
    },
    "search": {"cells": 1, "recall": 0.99999},
    "promises": [{"what": "precision", "share": 0.95, "confidence": 0.9}],
    "expected_precision": 0.981,
    "review": 77,
    "prior": {"share": 0.31, "evidence_share": 0.62, "imposite_weight": 3.63, "at_most": 4.5, "candidates": 900},
    "false_positive_rate": {"at_most": 0.012, "confidence": 0.9, "imposites": 282, "flagged": 1, "independent": 200.0},
    "recall_lost": {
        "not_flagged": {"share": 0.04, "interval": [0.02, 0.08], "pairs": 5},
        "genuine": 130,
        "independent": 90.5,
    },
    "seconds": {"encode": 41.25, "search": 8.5},
    "model": "models/customers",
    "records_path": "customers.parquet",
    "created_at": "2025-03-04T10:20:30+00:00",
}
CHART = Histogram(edges=[0, 0.5, 1], matches=[3, 0], others=[0, 9], threshold=0.5)
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "</td></table><style>body{display:none}</style>",
    "{{ 7 * 7 }}{% raw %}",
    "a\0b\x1bc\u202egnp\ud800",
    "x" * 100_000,
]


class Page(HTMLParser):
    """The elements, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data if self.tags[-1:] != ["style"] else ""


def words(page: str) -> str:
    return " ".join(Page(page).text.split())


def example(kind: Any = "certain", **fields: tuple[str | None, str | None]) -> Example:
    return Example("a", "b", 0.25, 0.9, kind != "beyond", kind, [(name, *pair) for name, pair in fields.items()])


def make_run(folder: Path, pairs: list[tuple[str, str, float]], sizes: list[int], **summary: Any) -> Path:
    """A run with threshold 0.5 and seven pairs to a row group."""
    folder.mkdir(exist_ok=True)
    frame = pd.DataFrame(
        {
            "left_id": pa.array([p[0] for p in pairs], pa.string()).to_pandas(),
            "right_id": pa.array([p[1] for p in pairs], pa.string()).to_pandas(),
            "distance": [1.25 * p[2] for p in pairs],
            "margin_distance": [p[2] for p in pairs],
            "probability": [1 - p[2] / 2 for p in pairs],
            "is_match": [p[2] <= 0.5 for p in pairs],
        }
    )
    types = [pa.string(), pa.string(), *[pa.float32()] * 3, pa.bool_()]
    schema = pa.schema(list(zip(frame.columns, types, strict=True)))
    pq.write_table(
        pa.Table.from_pandas(frame, schema, preserve_index=False), folder / "pairs.parquet", row_group_size=7
    )
    rows = [(f"r{i}-{k}", i, size, k == 0, 0.0) for i, size in enumerate(sizes) for k in range(size)]
    names = ["record_id", "cluster_id", "cluster_size", "is_representative", "distance_to_representative"]
    types = [pa.string(), pa.int64(), pa.int64(), pa.bool_(), pa.float64()]
    columns = [pa.array([row[i] for row in rows], types[i]) for i in range(5)]
    pq.write_table(pa.table(columns, names), folder / "clusters.parquet", row_group_size=3)
    (folder / "summary.json").write_text(json.dumps(SUMMARY | summary))
    return folder


def test_the_figures_are_on_the_page() -> None:
    page = render_report(SUMMARY, CHART, [example(name=("Ann", None))], [(1, 48_206), (2, 400), (3, 190)])
    text = words(page)
    assert "1,204 of 50,000 records are duplicates, in 590 groups" in text
    for figure in (
        "1,471",
        "14",
        "97.3%",
        "100.0%",
        "1,530",
        "412 held-out pairs",
        "48,206 records stand alone",
        "41.2",
        "models/customers",
    ):
        assert figure in text
    assert "corrected for the share of matches in this corpus" in text
    assert "3 flagged as the same, 9 not flagged; the threshold is at 0.5" in text
    assert 'class="missing"' in page and "None" not in text
    parsed = Page(page)
    assert {"h1", "h2", "caption", "svg", "title", "desc"} <= set(parsed.tags)
    assert parsed.tags.count("rect") == 2 and ("scope", "row") in parsed.attributes


def test_nothing_in_the_data_acts() -> None:
    calm = [example(**{f"f{i}": ("text", "other") for i in range(len(HOSTILE))})]
    fields: list[tuple[str, str | None, str | None]] = [
        (f"f{i}{text[:200]}", text, "other") for i, text in enumerate(HOSTILE)
    ]
    wild = [Example(HOSTILE[0], HOSTILE[2], 0.25, 0.9, True, "certain", fields)]
    said = {"model": HOSTILE[0], "records_path": HOSTILE[2], "energy": HOSTILE[3], "seconds": {HOSTILE[1]: 1.0}}
    said |= {"evaluation": {"pairs": {HOSTILE[0]: HOSTILE[1]}}, "created_at": HOSTILE[1], "threshold_from": HOSTILE[3]}
    page = render_report(SUMMARY | said, CHART, wild, [(2, 3)])
    parsed, plain = Page(page), Page(render_report(SUMMARY, CHART, calm, [(2, 3)]))
    assert "script" not in parsed.tags and "img" not in parsed.tags and "link" not in parsed.tags
    assert parsed.tags.count("style") == plain.tags.count("style") == 1
    assert {name for name, _ in parsed.attributes} <= {name for name, _ in plain.attributes}
    assert not [name for name, _ in parsed.attributes if name.startswith("on") or name == "src"]
    assert all(str(value).startswith("#") for name, value in parsed.attributes if name == "href")
    assert "<script>alert(1)</script>" in parsed.text and "{{ 7 * 7 }}" in parsed.text
    assert "a⟨U+0000⟩b⟨U+001B⟩c⟨U+202E⟩gnp⟨U+D800⟩" in parsed.text
    assert not {"\0", "\x1b", "\u202e", "\ud800"} & set(page)
    assert "… 99,600 more characters, not the same" in parsed.text and len(page) < 100_000
    page.encode()


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = render_report(SUMMARY, CHART, [], [])
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    assert "http:" not in page and "https:" not in page and "url(" not in page and "@import" not in page


def test_differing_characters_are_marked() -> None:
    left, right = differences("Jonathan Smith", "Jonathon Smith")
    assert left == ([("Jonath", False), ("a", True), ("n", False), (" Smith", False)], 0, False)
    assert right is not None and [part for part, differs in right[0] if differs] == ["o"]
    assert differences("12 High Street", "12 Oak Road")[0] is not None
    assert differences("same", "same") == [([("same", False)], 0, False)] * 2
    assert differences(None, "there") == [None, ([("there", False)], 0, False)]
    hidden = differences("x" * SHOWN + "1", "x" * SHOWN + "22")
    assert [side and side[1:] for side in hidden] == [(1, True), (2, True)]


def test_the_picks_are_right_whatever_the_order_of_the_rows(tmp_path: Path) -> None:
    pairs = [(f"l{i:03}", f"r{i:03}", i / 100) for i in range(101)] + [
        (f"same{i}", f"same{i}x", 0.0) for i in range(20)
    ]
    pairs += [("tie", "b", 0.5), ("tie", "a", 0.5)]
    picks = pick_examples(make_run(tmp_path / "one", pairs, [2]), 3)
    assert picks == pick_examples(make_run(tmp_path / "other", sorted(pairs, key=lambda p: p[0][::-1]), [2]), 3)
    chosen = {
        kind: [(p.left_id, p.right_id) for p in picks if p.kind == kind] for kind in ("certain", "inside", "beyond")
    }
    assert chosen["certain"] == [("l001", "r001"), ("l002", "r002"), ("l003", "r003")]
    assert chosen["inside"] == [("l050", "r050"), ("tie", "a"), ("tie", "b")]
    assert chosen["beyond"] == [("l051", "r051"), ("l052", "r052"), ("l053", "r053")]
    assert all(p.is_match == (p.kind != "beyond") for p in picks)


def test_few_matches_are_shared_out_and_equal_contents_are_the_last_resort(tmp_path: Path) -> None:
    few = make_run(tmp_path / "few", [("a", "b", 0.1), ("c", "d", 0.2), ("e", "f", 0.3), ("g", "h", 0.0)], [2])
    assert [(p.left_id, p.kind) for p in pick_examples(few)] == [("a", "certain"), ("c", "certain"), ("e", "inside")]
    equal = make_run(tmp_path / "equal", [("a", "b", 0.0), ("c", "d", 0.9), ("e", "f", float("nan"))], [2])
    assert [(p.left_id, p.kind) for p in pick_examples(equal)] == [("a", "certain"), ("c", "beyond")]
    assert [p.left_id for p in pick_examples(equal, least=0.0)] == [
        "a"
    ]  # what is parted above the threshold lies not beyond it


@pytest.mark.parametrize("threshold", [0.5, 0.37, 0.001, 5.0, 0.0, None])
def test_the_histogram_counts_every_pair_once(tmp_path: Path, threshold: float | None) -> None:
    run = make_run(tmp_path, [("a", "b", i / 50) for i in range(51)] + [("a", "b", float("nan"))], [2])
    histogram = read_histogram(run, threshold)
    assert (sum(histogram.matches), sum(histogram.others)) == (26, 25)
    assert len(histogram.edges) == len(histogram.matches) + 1 == len(histogram.others) + 1 <= 60
    assert histogram.edges[0] == 0 and histogram.edges[-1] >= 1
    if threshold == 0.5:
        assert not [i for i in range(len(histogram.matches)) if histogram.matches[i] and histogram.others[i]]


def test_groups_are_counted_across_row_groups(tmp_path: Path) -> None:
    sizes = [1, 1, 2, 2, 2, 5, *range(6, 20)]
    run = make_run(tmp_path, [], sizes)
    assert group_sizes(run)[:3] == [(1, 2), (2, 3), (5, 1)]
    assert "8\u201315" in words(render_report({}, CHART, [], group_sizes(run)))


def test_a_run_is_written(tmp_path: Path) -> None:
    run = make_run(tmp_path, [("a", "b", 0.25), ("a", "c", 0.75)], [2, 1])
    records: dict[str, dict[str, str | None]] = {
        "a": {"name": "Ann Lee", "city": None},
        "b": {"name": "Anne Lee", "city": "Ulm"},
    }
    write_report(run, pick_examples(run), records)
    page = (run / "report.html").read_text()
    assert "Ann<mark>e</mark>" in page and "Ulm" in page
    assert "distance 0.250, probability 87.5%" in words(page)
    assert sorted(path.name for path in run.iterdir()) == [
        "clusters.parquet",
        "pairs.parquet",
        "report.html",
        "summary.json",
    ]


def test_an_empty_run(tmp_path: Path) -> None:
    run = make_run(tmp_path, [], [1, 1], records=2, duplicates=0, clusters=0, matches=0, evaluation=None)
    assert pick_examples(run) == []
    write_report(run, [], {})
    text = words((run / "report.html").read_text())
    assert "None of 2 records is a duplicate" in text
    assert "No two records were near enough" in text and "There are no pairs." in text and "was not measured" in text


def test_a_summary_of_nothing_is_shown_as_missing() -> None:
    page = render_report({}, Histogram([0, 1], [0], [0]), [], [])
    assert page.count('class="missing"') > 10 and "None" not in words(page)


def test_a_link_run_tells_its_sides_apart(tmp_path: Path) -> None:
    run = make_run(
        tmp_path, [("1", "1", 0.25)], [2], kind="link", records={"left": 3_000, "right": 4_000}, duplicates=None
    )
    write_report(run, pick_examples(run), {"1": {"name": "from the left"}}, {"1": {"name": "from the right"}})
    text = words((run / "report.html").read_text())
    assert "1,471 pairs of records match, 3,000 on the left with 4,000 on the right" in text
    assert "from the left" in text and "from the right" in text and "Left 1" in text


def test_probabilities_are_never_certain() -> None:
    sure = Example("a", "b", 0.0, 1.0, True, "certain")
    never = Example("a", "c", 9.0, 0.0, False, "beyond")
    text = words(render_report({}, CHART, [sure, never], []))
    assert "probability > 99.9%" in text and "probability < 0.1%" in text


def test_a_damaged_run_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, [("a", "b", 0.25)], [2])
    (run / "pairs.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(ArtifactError, match=r"pairs\.parquet"):
        pick_examples(run)


def test_what_is_promised_is_said_with_what_it_rests_on() -> None:
    text = " ".join(Page(render_report(SUMMARY, CHART, [], [])).text.split())
    assert "A precision of at least 95.0% for the flagged pairs, with confidence 90.0%" in text
    assert "98.1% of the flagged pairs are expected to be right, and 77 written pairs are for a person" in text
    assert "3.63 times as many" in text and "< 1.2%" in text and "95% interval: 2.0% to 8.0%" in text
    nothing = " ".join(Page(render_report({**SUMMARY, "promises": []}, CHART, [], [])).text.split())
    assert "Nothing: the threshold was chosen for best F1 on held-out pairs." in nothing
