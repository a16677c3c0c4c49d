"""What the labelling page shows, as HTML: a pair with its differences, a whole field, how the labelling stands."""

from typing import Any

from pipeline.labelling import Progress, Proposal
from pipeline.pages import environment, render


def page(nonce: str, by: str) -> str:
    return render("label.html.jinja", script="label.js", nonce=nonce, by=by)


def pair(proposal: Proposal | None) -> str:
    sides = {} if proposal is None else sides_of(proposal)
    silent = [] if proposal is None else [name for name in _names(proposal) if name not in sides]
    fields = [(name, *both) for name, both in sides.items()] + [(name, None, None) for name in silent]
    return render("label_pair.html.jinja", proposal=proposal, fields=fields)


def standing(progress: Progress) -> str:
    return render("label_standing.html.jinja", progress=progress)


def whole_field(left: str | None, right: str | None) -> list[str]:
    """The HTML of either side of a field, nothing left out; what lies between their common start and end is marked."""
    value: Any = environment().get_template("macros.html.jinja").module.value  # type: ignore[attr-defined]
    if left is None or right is None:
        return [str(value(None if one is None else ([(one, False)], 0, False))) for one in (left, right)]
    start = _shared(left, right)
    end = _shared(left[start:][::-1], right[start:][::-1])
    cells = []
    for one in (left, right):
        stop = len(one) - end
        parts = [(one[:start], False), (one[start:stop], True), (one[stop:], False)]
        cells.append(str(value(([part for part in parts if part[0]], 0, False))))
    return cells


def sides_of(proposal: Proposal) -> dict[str, tuple[str | None, str | None]]:
    """Left and right value of every field that one of the two has."""
    sides = {name: (proposal.left.get(name), proposal.right.get(name)) for name in _names(proposal)}
    return {name: both for name, both in sides.items() if any(both)}


def _names(proposal: Proposal) -> list[str]:
    return list(dict.fromkeys([*proposal.left, *proposal.right]))


def _shared(one: str, other: str) -> int:
    """How many characters both begin with, by halving: a megabyte takes milliseconds."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low
