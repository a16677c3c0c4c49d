"""A page in a real browser, with whatever it complained of."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def opened(browser: Any, page: Path, width: int = 1280, scheme: str = "light") -> Iterator[Any]:
    """The page of a file; a console message, an error or a request for anything but the file is a failure."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    said: list[str] = []
    tab = context.new_page()
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    tab.on("request", lambda request: request.url == page.as_uri() or said.append(f"asked for {request.url}"))
    try:
        tab.goto(page.as_uri())
        yield tab
        assert said == []
    finally:
        context.close()


def assert_works(tab: Any) -> None:
    """Charts, slider, search and pages of a report do what they should, at any width."""
    assert tab.locator("svg[role=img]").count() >= 2
    assert tab.locator("#quality polyline").count() in (2, 4)
    assert tab.locator("#distance-chart rect").count() > 1
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
        "the page is wider than the screen"
    )

    flagged = tab.locator("[data-figure=flagged]")
    own = flagged.inner_text()
    tab.locator("#threshold").focus()
    tab.keyboard.press("End")
    fewer = flagged.inner_text()
    tab.keyboard.press("Home")
    more = flagged.inner_text()
    assert _number(fewer) < _number(own) <= _number(more)
    assert not tab.locator("#own").is_disabled()
    tab.locator("#own").press("Enter")
    assert flagged.inner_text() == own and tab.locator("#own").is_disabled()

    rows = tab.locator("#found > tbody > tr")
    assert 0 < rows.count() <= 25
    button = rows.first.get_by_role("button")
    button.press("Enter")
    assert button.get_attribute("aria-expanded") == "true" and tab.locator("#found table.pair").count() == 1
    button.press("Enter")
    assert tab.locator("#found table.pair").count() == 0
    one = rows.first.locator(".id").first.inner_text()
    tab.get_by_label("Words in either record").fill(one)
    assert rows.count() > 0
    assert all(one.lower() in text.lower() for text in rows.all_inner_texts())
    tab.get_by_label("Words in either record").fill("no such word anywhere")
    assert rows.count() == 0 and tab.locator("#status").inner_text() == "No pair is like that."
    tab.get_by_label("Words in either record").fill("")
    if not tab.locator("#next").is_disabled():
        first = rows.first.inner_text()
        tab.locator("#next").press("Enter")
        assert rows.first.inner_text() != first and tab.locator("#status").inner_text().startswith("26–")
    tab.get_by_label("Show").select_option("not")
    assert all(text.split("\n")[0].strip() in ("not flagged", "parted") for text in rows.all_inner_texts())


def _number(text: str) -> int:
    return int(text.replace(",", ""))
