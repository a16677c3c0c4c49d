"""The report: one page about a run, and the same in words for those who do not open it."""

from pipeline.report.examples import ZERO, Example, pick_examples
from pipeline.report.page import write_report
from pipeline.report.words import assurance, drift_said, headline, judge_said, markdown

__all__ = [
    "ZERO",
    "Example",
    "assurance",
    "drift_said",
    "headline",
    "judge_said",
    "markdown",
    "pick_examples",
    "write_report",
]
