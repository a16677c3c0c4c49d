"""Plots: SVG that needs nothing from elsewhere."""

from typing import Any

from pipeline.pages import render
from siamese.promise import interval


def draw_reliability(reliability: dict[str, Any], *, titled: bool = True) -> str:
    """Probability against the share of matches, as an SVG: on the diagonal, probabilities are what they say.

    Args:
        reliability: what :meth:`siamese.reliability.Reliability.describe` says.
        titled: whether the number of pairs and the calibration error stand above; in a page they stand in its text.
    """
    most = max(each["pairs"] for each in reliability["bins"])
    bins = []
    for each in reliability["bins"]:
        low, high = interval(each["matches"], each["pairs"], 0.95)
        bins.append(
            {
                "x": round(100 * each["probability"], 2),
                "y": round(100 - 100 * each["matches"], 2),
                "low": round(100 - 100 * low, 2),
                "high": round(100 - 100 * high, 2),
                "r": round(0.8 + 2.2 * (each["pairs"] / most) ** 0.5, 2),
                "title": f"{each['pairs']:,} pairs: probability {each['probability']:.3f}, matches {each['matches']:.3f}",
            }
        )
    pairs = sum(each["pairs"] for each in reliability["bins"])
    low, high = reliability["expected_calibration_error_interval"]
    label = f"{pairs:,} pairs: calibration error {reliability['expected_calibration_error']:.3f} (95%: {low:.3f} to {high:.3f})"
    return render("reliability.svg.jinja", bins=bins, label=label, titled=titled, ticks=[0, 0.2, 0.4, 0.6, 0.8, 1])
