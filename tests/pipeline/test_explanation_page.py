"""The waterfall on a page: bars that join, and nothing in the data can act."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, FileSystemLoader

import pipeline
from siamese.explanation import Explanation, FieldPart, Step, WordPart
from siamese.lessons import Lesson

TEMPLATES = Path(pipeline.__file__).parent / "templates"
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "</section></p></style><style>body{display:none}</style>",
    "{{ 7 * 7 }}{% raw %}",
    "x" * 100_000,
]


def explanation(text: str) -> Explanation:
    """Every text of it is ``text``; the shares and steps go up and down."""
    fields = (
        FieldPart(text, text, None, "right", 0.5, (WordPart(text, "left", 0.6),), 1, -0.1),
        FieldPart(text, text, text, None, -0.25),
        FieldPart(text, None, text, "left", 0.75),
        FieldPart(text, None, None, "both", 0.0),
    )
    steps = (Step("start", "the distance alone", -1.0), Step("field", text, 3.0), Step("field", text, -0.5))
    values = {text: text}
    lessons = (Lesson(text, text, True, False, 0.1, values, values), Lesson(text, text, False, True, 0.2))
    return Explanation(
        1.0, 0.8, "squared distance", 1.0, True, fields, "verifier", steps, 1.5, 0.5, 0.8, True, (text,), lessons, text, text
    )  # fmt: skip


def rendered(explained: Explanation) -> str:
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    module: Any = environment.get_template("explanation.html.jinja").module
    return f"<style>{module.styles()}</style>{module.explanation(explained.to_dict())}"


class Page(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:12])
def test_nothing_in_the_data_can_act(text: str) -> None:
    page, plain = Page(rendered(explanation(text))), Page(rendered(explanation("plain")))
    assert page.tags == plain.tags and page.attributes == plain.attributes == {"class", "style", "scope", "aria-hidden"}
    assert page.open == []
    assert text[:240] in page.text
    assert len(page.text) < 20_000 and ("99,760 more characters" in page.text) == (len(text) > 240)


def test_bars_join_and_stay_inside() -> None:
    bars = re.findall(r'x-bar (x-\w+)" style="left:([\d.]+)%;width:([\d.]+)%', rendered(explanation("plain")))
    found = [(kind, float(left), float(width)) for kind, left, width in bars]
    # Ends 0.5, 0.25, 1 of 0 to 1; then -1, 2, 1.5 of -1 to 2.
    fields = [("x-against", 0, 50), ("x-for", 25, 25), ("x-against", 25, 75)]
    steps = [("x-against", 0, 33.33), ("x-for", 0, 100), ("x-against", 83.33, 16.67)]
    assert found == fields + steps
    assert rendered(explanation("plain")).count("left:50.00%") == 3  # what is needed, beside every step


def test_missing_fields_and_pairs_that_are_not_in_the_corpus_are_named() -> None:
    text = " ".join(Page(rendered(explanation("plain"))).text.split())
    assert "Missing on both sides: plain" in text and "plain ↔ missing on the right" in text
    assert "missing on the left ↔ plain" in text and "plain (left) +0.6000 · 1 more -0.1000" in text
    assert "labelled genuine, 0.10 from this pair" in text
    assert "drawn in training as imposite, 0.20 from this pair; what its records say is not in this corpus" in text
    assert "approximation" not in text


def test_an_explanation_of_nothing_but_equal_fields_has_no_width() -> None:
    same = explanation("plain")
    flat = Explanation(
        **{**same.__dict__, "total": 0.0, "fields": (FieldPart("name", "a", "a", None, 0.0),), "lessons": ()}
    )
    assert "left:0.00%;width:0.00%" in rendered(flat)
