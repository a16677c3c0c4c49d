"""Charts: numbers as places on a plane, in percent, for ``charts.html.jinja`` to draw as SVG.

By hand, not by a plotting library: a bundled one is 0.8 MB (Vega, which must also be let evaluate strings as code) to 4 MB (Plotly) in
each report, and draws after the page has loaded; these are some kilobytes that stay text, follow light and dark by CSS, print, and are
there without a script.
"""

import math
from dataclasses import dataclass, field
from typing import Any

from pipeline.pages import show
from pipeline.report.histogram import Histogram

LEAST = 0.6  # percent of the height: what is there is seen, however little


@dataclass(frozen=True)
class Line:
    """A vertical line with its label, which stands on the side where there is room."""

    x: float
    label: str
    kind: str


@dataclass(frozen=True)
class Chart:
    """A plane of 100 by 100, y downwards.

    Attributes:
        x_ticks, y_ticks: (place, label).
        bars: (x, width, y, height, kind, what it says).
        curves: (kind, points of a polyline).
        lines: vertical.
    """

    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    bars: list[tuple[float, float, float, float, str, str]] = field(default_factory=list)
    curves: list[tuple[str, str]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)


def distance_chart(histogram: Histogram, searched: float | None) -> Chart:
    """Pairs by distance: flagged ones below, others on top of them; the axis reaches to the margin at least."""
    stacks = [sum(pair) for pair in zip(histogram.matches, histogram.others, strict=True)]
    top = max(histogram.edges[-1], 1.0)
    y_ticks = ticks(max(stacks, default=0), whole=True)
    height = y_ticks[-1] or 1
    bars = []
    for i, (matches, others) in enumerate(zip(histogram.matches, histogram.others, strict=True)):
        low, high = histogram.edges[i], histogram.edges[i + 1]
        x, wide, base = 100 * low / top, 88 * (high - low) / top, 100.0
        for kind, count in (("match", matches), ("other", others)):
            if count:
                tall = max(100 * count / height, LEAST)
                base -= tall
                said = f"{low:.3g} to {high:.3g} margins: {count:,} {'flagged' if kind == 'match' else 'not flagged'}"
                bars.append((x, wide, base, tall, kind, said))
    lines = [Line(100 / top, "margin", "margin")]
    if histogram.threshold is not None:
        lines.append(Line(100 * histogram.threshold / top, f"threshold {histogram.threshold:.3g}", "cut"))
    elif searched is not None and searched <= top:
        lines.append(Line(100 * searched / top, f"searched to {searched:.3g}", "margin"))
    return Chart(
        [(100 * tick / top, f"{tick:g}") for tick in ticks(top)],
        [(100 - 100 * tick / height, show(tick)) for tick in y_ticks],
        bars=bars,
        lines=lines,
    )


def quality_chart(thresholds: list[dict[str, Any]]) -> Chart:
    """Precision and recall against the least probability that is flagged, as expected and, where it is known, as is true."""
    curves = []
    for name in ("expected_precision", "expected_recall", "precision", "recall"):
        known = [(row["min_probability"], row[name]) for row in thresholds if row[name] is not None]
        if known:
            points = " ".join(f"{100 * p:.2f},{100 - 100 * min(value, 1):.2f}" for p, value in known)
            curves.append((name.replace("_", " "), points))
    chosen = next((row["min_probability"] for row in thresholds if row["is_chosen"]), None)
    return Chart(
        [(20 * i, f"{i / 5:g}") for i in range(6)],
        [(100 - 25 * i, f"{25 * i}%") for i in range(5)],
        curves=curves,
        lines=[] if chosen is None else [Line(100 * chosen, f"threshold {chosen:.3g}", "cut")],
    )


def ticks(top: float, whole: bool = False) -> list[float]:
    """Round values from 0, about five; for counts they are whole and reach ``top``."""
    if top <= 0:
        return [0]
    size = 10 ** math.floor(math.log10(top / 4))
    step = next(size * k for k in (1, 2, 5, 10) if size * k * 5 >= top)
    step = max(1, round(step)) if whole else step
    return [step * k for k in range((math.ceil(top / step) if whole else math.floor(top / step + 1e-9)) + 1)]
