"""The report shows the run's figures and its pairs, and nothing in the data can act."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.differences import SHOWN, differences
from pipeline.fields import Fields, Survey
from pipeline.matching import PAIR_SCHEMA
from pipeline.records import Records
from pipeline.report import Example, markdown, pick_examples, write_report
from pipeline.report.groups import Group, Groups, read_groups, size_bands
from pipeline.report.histogram import Histogram, read_histogram
from pipeline.report.page import render_report
from pipeline.report.pairtable import Row, pick_rows, table_data
from pipeline.thresholds import write_thresholds
from siamese.errors import ArtifactError
from tests.pipeline.made_runs import LEAST, SUMMARY, make_run
from tests.pipeline.test_explanation_page import explanation

CHART = Histogram(edges=[0, 0.5, 1], matches=[3, 0], others=[0, 9], threshold=0.5)
NO_GROUPS = Groups([(1, 2)], [], [])
HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "</td></table><style>body{display:none}</style>",
    "{{ 7 * 7 }}{% raw %}",
    "a\0b\x1bc\u202egnp\ud800",
    "=HYPERLINK(1)",
    "x" * 100_000,
]


class Page(HTMLParser):
    """The elements, attributes and text of a page; what scripts hold is apart."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] == ["script"]:
            self.scripts[-1] += data
        elif self.tags[-1:] != ["style"]:
            self.text += data


def words(page: str) -> str:
    return " ".join(Page(page).text.split())


def render(summary: dict[str, Any] = SUMMARY, **content: Any) -> str:
    found = {"a": {"name": "Ann"}, "b": {"name": "Anne"}}
    default: dict[str, Any] = {
        "thresholds": [],
        "histogram": CHART,
        "examples": [],
        "groups": NO_GROUPS,
        "rows": [],
        "surveys": [Survey(2, {"name": 0}, found)],
    }
    return render_report(summary, **(default | content))


def write_run(folder: Path, pairs: list[tuple[str, str, float]], sizes: list[int] = [], **summary: Any) -> Path:  # noqa: B006
    """A run with threshold 0.5 and seven pairs to a row group, whose groups are of these sizes, or of records alone."""
    folder.mkdir(exist_ok=True)
    apart = [p[2] for p in pairs]
    columns = [
        [p[0] for p in pairs],
        [p[1] for p in pairs],
        [1.25 * d for d in apart],
        apart,
        [1 - d / 2 for d in apart],
        [d <= 0.5 for d in apart],
        [d or None for d in apart],
        ["match" if d <= 0.5 else "no match" for d in apart],
    ]
    table = pa.table([pa.array(each, kind.type) for each, kind in zip(columns, PAIR_SCHEMA, strict=True)], PAIR_SCHEMA)
    pq.write_table(table, folder / "pairs.parquet", row_group_size=7)
    pq.write_table(table.slice(0, 0).append_column("weight", pa.array([], pa.float64())), folder / "beyond.parquet")
    rows = [(f"r{i}-{k}", i, size, k == 0, 0.0) for i, size in enumerate(sizes) for k in range(size)]
    ids = sorted({one for p in pairs for one in p[:2]})
    rows += [(one, len(sizes) + i, 1, True, 0.0) for i, one in enumerate(ids)]
    names = ["record_id", "cluster_id", "cluster_size", "is_representative", "distance_to_representative"]
    types = [pa.string(), pa.int64(), pa.int64(), pa.bool_(), pa.float64()]
    made = [pa.array([row[i] for row in rows], types[i]) for i in range(5)]
    pq.write_table(pa.table(made, names), folder / "clusters.parquet", row_group_size=3)
    (folder / "summary.json").write_text(json.dumps(SUMMARY | {"min_probability": 0.75, "pairs": len(pairs)} | summary))
    write_thresholds(folder, 0.75, False)
    return folder


def open_records(path: Path, records: dict[str, Fields]) -> Records:
    pd.DataFrame([{"record_id": name, **fields} for name, fields in records.items()]).to_parquet(path)
    return Records.open(str(path))


def example(kind: Any = "certain") -> Example:
    return Example("a", "b", 0.25, 0.9, kind != "beyond", kind)


def test_the_figures_are_on_the_page() -> None:
    groups = Groups([(1, 48_206), (2, 400), (3, 190)], [Group(7, 3, 0.81, [("left", "a"), ("left", "b")])], [])
    text = words(page := render(examples=[example()], groups=groups))
    assert "1,204 of 50,000 records are duplicates, in 590 groups" in text
    assert "At least 95% of the flagged pairs are expected right, with a confidence of 90%." in text
    for figure in ("1,471", "14", "97.3%", "100.0%", "1,530", "412 held-out pairs", "48,206 records stand alone"):
        assert figure in text
    assert "41.2" in text and "models/customers" in text and "Group of 3 records, weakest link 81.0%; 2 of them" in text
    assert "corrected for the share of matches in this corpus" in text
    assert "3 flagged as the same, 9 not flagged; the threshold is at 0.5" in text
    assert "Ann<mark>e</mark>" in page and "None" not in text
    parsed = Page(page)
    assert {"h1", "h2", "caption", "svg", "title", "desc", "main", "nav", "header"} <= set(parsed.tags)
    assert parsed.tags.count("rect") == 2 and ("scope", "row") in parsed.attributes


def test_an_explained_example_has_its_waterfall() -> None:
    plain, explained = render(examples=[example()]), explanation("a word").to_dict()
    page = render(examples=[example(), replace(example("inside"), explanation=explained)])
    assert page.count('<section class="explanation">') == 1 and ".explanation ol" in page
    assert "What each field adds to the squared distance of 1.0000" in words(page)
    assert "explanation" not in plain


def test_nothing_in_the_data_acts() -> None:
    names = [f"f{i}{text[:200]}" for i, text in enumerate(HOSTILE)]
    wild: dict[str, Fields] = {
        HOSTILE[0]: dict(zip(names, HOSTILE, strict=True)),
        HOSTILE[3]: dict.fromkeys(names, "other"),
    }
    calm: dict[str, Fields] = {one: {f"f{i}": one for i in range(len(HOSTILE))} for one in ("left", "right")}

    def whole(records: dict[str, Fields], **summary: Any) -> str:
        left, right = records
        group = Group(1, 2, 0.6, [("left", left), ("left", right)])
        last = {"record_id": left, "kept_record_id": right, "path": [left, right], "weakest_link": 0.5}
        dropped = {"tied_directly": 1, "tied_through_others": 0, "least_sure": [last]}
        return render(
            SUMMARY | {"dropped": dropped, "duplicates": 1} | summary,
            examples=[Example(left, right, 0.25, 0.9, True, "certain")],
            groups=Groups([(2, 3)], [group], [group]),
            rows=[Row(left, right, 0.25, 0.9, 1)],
            surveys=[Survey(2, dict.fromkeys(records[left], 1), records)],
        )

    said = {"model": HOSTILE[0], "records_path": HOSTILE[3], "energy": HOSTILE[4], "seconds": {HOSTILE[2]: 1.0}}
    said |= {"evaluation": {"pairs": {HOSTILE[0]: HOSTILE[2]}}, "created_at": HOSTILE[2], "threshold_from": HOSTILE[4]}
    page = whole(wild, **said)
    parsed, plain = Page(page), Page(whole(calm))
    assert parsed.tags.count("script") == plain.tags.count("script") == 3
    assert parsed.scripts[2] == plain.scripts[2] and all(json.loads(data) is not None for data in parsed.scripts[:2])
    assert "img" not in parsed.tags and "link" not in parsed.tags and parsed.tags.count("style") == 1
    assert {name for name, _ in parsed.attributes} <= {name for name, _ in plain.attributes}
    assert not [name for name, _ in parsed.attributes if name.startswith("on") or name == "src"]
    assert all(str(value).startswith("#") for name, value in parsed.attributes if name == "href")
    assert "<script>alert(1)</script>" in parsed.text and "{{ 7 * 7 }}" in parsed.text
    assert "a⟨U+0000⟩b⟨U+001B⟩c⟨U+202E⟩gnp⟨U+D800⟩" in parsed.text
    assert not {"\0", "\x1b", "\u202e", "\ud800"} & set(page)
    assert "… 99,600 more characters, not the same" in parsed.text and len(page) < 150_000
    page.encode()


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = render()
    assert "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" in page
    assert "https:" not in page and "url(" not in page and "@import" not in page
    assert page.count("http:") == page.count("http://www.w3.org/2000/svg")  # a name, that nobody fetches


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
    picks = pick_examples(write_run(tmp_path / "one", pairs), 3)
    assert picks == pick_examples(write_run(tmp_path / "other", sorted(pairs, key=lambda p: p[0][::-1])), 3)
    chosen = {
        kind: [(p.left_id, p.right_id) for p in picks if p.kind == kind] for kind in ("certain", "inside", "beyond")
    }
    assert chosen["certain"] == [("l001", "r001"), ("l002", "r002"), ("l003", "r003")]
    assert chosen["inside"] == [("l050", "r050"), ("tie", "a"), ("tie", "b")]
    assert chosen["beyond"] == [("l051", "r051"), ("l052", "r052"), ("l053", "r053")]
    assert all(p.is_match == (p.kind != "beyond") for p in picks)


def test_few_matches_are_shared_out_and_equal_contents_are_the_last_resort(tmp_path: Path) -> None:
    few = write_run(tmp_path / "few", [("a", "b", 0.1), ("c", "d", 0.2), ("e", "f", 0.3), ("g", "h", 0.0)])
    assert [(p.left_id, p.kind) for p in pick_examples(few)] == [("e", "inside"), ("a", "certain"), ("c", "certain")]
    equal = write_run(tmp_path / "equal", [("a", "b", 0.0), ("c", "d", 0.9)])
    assert [(p.left_id, p.kind) for p in pick_examples(equal)] == [("c", "beyond"), ("a", "certain")]
    # What is parted above the threshold lies not beyond it.
    assert [p.left_id for p in pick_examples(equal, least=0.0)] == ["a"]


@pytest.mark.parametrize("threshold", [0.5, 0.37, 0.001, 5.0, 0.0, None])
def test_the_histogram_counts_every_pair_once(tmp_path: Path, threshold: float | None) -> None:
    run = write_run(tmp_path, [("a", "b", i / 50) for i in range(51)])
    histogram = read_histogram(run, threshold)
    assert (sum(histogram.matches), sum(histogram.others)) == (26, 25)
    assert len(histogram.edges) == len(histogram.matches) + 1 == len(histogram.others) + 1 <= 60
    assert histogram.edges[0] == 0 and histogram.edges[-1] >= 1
    if threshold == 0.5:
        assert not [i for i in range(len(histogram.matches)) if histogram.matches[i] and histogram.others[i]]


def test_groups_are_counted_across_row_groups(tmp_path: Path) -> None:
    groups = read_groups(write_run(tmp_path, [], [1, 1, 2, 2, 2, 5, *range(6, 20)]))
    assert groups.sizes[:3] == [(1, 2), (2, 3), (5, 1)] and (8, 15, 8) in size_bands(groups.sizes)
    assert [group.size for group in groups.largest] == [19, 18, 17, 16, 15] and groups.least_certain == []
    assert "8–15" in words(render(groups=groups))


def test_the_least_certain_group_is_the_one_of_the_weakest_link(tmp_path: Path) -> None:
    pairs = [("r0-0", "r0-1", 0.2), ("r0-1", "r0-2", 0.4), ("r0-0", "r0-2", 0.5)]  # loses its 0.5 and still holds
    pairs += [
        ("r1-0", "r1-1", 0.1),
        ("r1-1", "r1-2", 0.45),
        ("r2-0", "r2-1", 0.5),
        ("r3-0", "r3-1", 0.0),
        ("r3-1", "r3-2", 0.0),
    ]
    write_run(tmp_path, pairs, [])
    sizes = [3, 3, 2, 3]
    rows = [(f"r{i}-{k}", i, size, k == 0, k / 10) for i, size in enumerate(sizes) for k in range(size)]
    names = ["record_id", "cluster_id", "cluster_size", "is_representative", "distance_to_representative"]
    pq.write_table(pa.table([pa.array(each) for each in zip(*rows, strict=True)], names), tmp_path / "clusters.parquet")
    groups = read_groups(tmp_path)
    assert [(group.cluster_id, group.weakest) for group in groups.least_certain] == [(1, 0.775), (0, 0.8)]
    assert groups.least_certain[0].members == [("left", "r1-1"), ("left", "r1-2"), ("left", "r1-0")]
    assert groups.largest[2].weakest is None and groups.largest[0].members[1] == ("left", "r0-2")


def test_the_table_holds_the_pairs_nearest_to_the_threshold_and_the_surest(tmp_path: Path) -> None:
    run = write_run(tmp_path, [(f"a{i:02}", f"b{i:02}", i / 50) for i in range(51)])
    rows = pick_rows(run, 0.75, doubtful=5, surest=3)
    assert sorted(row.left_id for row in rows[:5]) == ["a23", "a24", "a25", "a26", "a27"]
    assert [row.left_id for row in rows[5:]] == ["a00", "a01", "a02"] and rows[5].verdict == 2
    assert len(pick_rows(run, 0.75)) == 51
    fields: dict[str, Fields] = {row.left_id: {"name": "x" * 1000, "none": None} for row in rows}
    data = table_data(rows, fields, {}, of_pairs=51)
    assert data["of"] == 51 and data["fields"] == ["name", "none"] and len(data["pairs"]) == 8
    assert data["records"][data["pairs"][0][0]][1:] == ["x" * data["clipped"] + "…", None]
    assert data["records"][data["pairs"][0][1]][1:] == [None, None]


def test_a_run_is_written(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [("a", "b", 0.25), ("a", "c", 0.75)])
    records = open_records(
        tmp_path / "records.parquet",
        {
            "a": {"name": "Ann Lee", "city": None},
            "b": {"name": "Anne Lee", "city": " "},
            "c": {"name": "Cy", "city": "Ulm"},
        },
    )
    write_report(run, records)
    page = (run / "report.html").read_text()
    assert "Ann<mark>e</mark>" in page and "Ulm" in page
    text = words(page)
    assert "distance 0.250, probability 87.5%" in text and "All 2 pairs of the run are in this table." in text
    assert "city266.7%" in text and "Dropped" not in text
    assert {path.name for path in run.iterdir()} == {
        "beyond.parquet", "clusters.parquet", "pairs.parquet", "report.html", "summary.json", "thresholds.parquet",
    }  # fmt: skip


def test_an_empty_run(tmp_path: Path) -> None:
    empty = {"records": 2, "duplicates": 0, "clusters": 0, "matches": 0, "evaluation": None}
    run = write_run(tmp_path / "run", [], [1, 1], **empty)
    assert pick_examples(run) == []
    write_report(run, open_records(tmp_path / "records.parquet", {"r0-0": {"name": "x"}, "r1-0": {"name": "y"}}))
    text = words((run / "report.html").read_text())
    assert "None of 2 records is a duplicate" in text
    assert "No two records were near enough" in text and "There are no pairs." in text and "was not measured" in text


def test_a_link_run_tells_its_sides_apart() -> None:
    summary = SUMMARY | {"kind": "link", "records": {"left": 3_000, "right": 4_000}, "duplicates": None}
    surveys = [
        Survey(1, {"name": 0}, {"1": {"name": "from the left"}}),
        Survey(1, {"name": 0}, {"1": {"name": "from the right"}}),
    ]
    group = Group(0, 2, 0.7, [("left", "1"), ("right", "1")])
    pair = Example("1", "1", 0.25, 0.9, True, "inside")
    text = words(render(summary, examples=[pair], groups=Groups([(2, 1)], [group], []), surveys=surveys))
    assert "1,471 matches between 3,000 and 4,000 records" in text
    assert "from the left" in text and "from the right" in text and "Left 1" in text and "Right 1" in text


def test_probabilities_are_never_certain() -> None:
    sure = Example("a", "b", 0.0, 1.0, True, "certain")
    never = Example("a", "c", 9.0, 0.0, False, "beyond")
    text = words(render(examples=[sure, never]))
    assert "probability > 99.9%" in text and "probability < 0.1%" in text


def test_a_damaged_run_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path, [("a", "b", 0.25)])
    (run / "pairs.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(ArtifactError, match=r"pairs\.parquet"):
        pick_examples(run)


def test_what_is_promised_is_said_with_what_it_rests_on() -> None:
    text = words(render())
    assert "A precision of at least 95.0% for the flagged pairs, with confidence 90.0%" in text
    assert "98.1% of the flagged pairs are expected to be right, and 77 written pairs are for a person" in text
    assert "3.63 times as many" in text and "at most 1.2%" in text and "95% interval: 2.0% to 8.0%" in text
    nothing = words(render(SUMMARY | {"promises": []}))
    assert "Nothing is promised: the threshold was chosen for best F1 on held-out pairs." in nothing
    assert "About 98.1% of the flagged pairs are expected right, by their probabilities." in nothing


def test_the_markdown_says_the_same_and_is_no_markup() -> None:
    page = markdown(SUMMARY | {"model": "a|b\n# `c` <script>"})
    assert page.startswith("# 1,204 of 50,000 records are duplicates, in 590 groups\n")
    assert (
        "At least 95% of the flagged pairs are expected right" in page
        and "| Pairs flagged | 1,471 of 8,000 written |" in page
    )
    assert "| Model | a\\|b \\# \\`c\\` \\<script\\> |" in page


def test_every_number_is_the_same_everywhere(tmp_path: Path) -> None:
    records = make_run(tmp_path / "run", 400, 300)
    write_report(tmp_path / "run", records)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    chosen = pd.read_parquet(tmp_path / "run" / "thresholds.parquet").query("is_chosen").iloc[0]
    assert chosen["flagged"] == summary["matches"] == 150 and chosen["min_probability"] == LEAST
    assert chosen["expected_precision"] == pytest.approx(summary["expected_precision"])
    assert (chosen["duplicates"], chosen["clusters"]) == (summary["duplicates"], summary["clusters"])
    text = words((tmp_path / "run" / "report.html").read_text())
    assert f"{summary['duplicates']:,} of 400 records are duplicates, in {summary['clusters']:,} groups" in text
