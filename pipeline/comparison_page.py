"""Comparison page: two runs side by side with examples of what changed, as one HTML file that fetches nothing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.changes import Fate
from pipeline.comparing import Comparison
from pipeline.pages import render
from pipeline.pairchanges import OneSided
from pipeline.partitions import ABSENT
from pipeline.stages import fetch_records, records_of
from siamese.errors import DataError
from siamese.folders import write_text

TEMPLATE = "comparison.html.jinja"
SHOWN_FATES = (
    Fate.MERGED,
    Fate.SPLIT,
    Fate.REGROUPED,
    Fate.EXCHANGED,
    Fate.NEW,
    Fate.GONE,
    Fate.GROWN,
    Fate.SHRUNK,
)
CHANGES, MEMBERS, PAIRS = 3, 8, 6  # examples: changes of a fate, records of a change, pairs gained or lost

Fields = dict[str, str | None]


@dataclass(frozen=True)
class Member:
    """A record of a change: its groups in words ("1", "alone", "not there"), and what it says."""

    record: str
    old: str
    new: str
    fields: Fields


@dataclass(frozen=True)
class GroupExample:
    """A change to look at; ``records`` is how many it has, of which ``members`` are shown."""

    records: int
    members: list[Member]


@dataclass(frozen=True)
class PairExample:
    """A pair that one run flags and the other does not; a probability is None in a run that did not write it."""

    left_id: str
    right_id: str
    old: float | None
    new: float | None
    fields: list[tuple[str, str | None, str | None]]


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write the page.

    Fields are read from the records that the manifests name, as they are now; where these are gone, ids stand alone.

    Raises:
        OutputError: it cannot be written there.
    """
    write_text(path, render_comparison(comparison))


def render_comparison(comparison: Comparison) -> str:
    """The page, whole; whatever the data hold is shown as text."""
    chosen = {fate: comparison.changes.largest(fate, CHANGES) for fate in SHOWN_FATES}
    rows = {change: _pick(comparison, change) for changes in chosen.values() for change in changes}
    shown = [row for some in rows.values() for row in some.tolist()]
    for pairs in (comparison.pairs.gained, comparison.pairs.lost):
        shown += [*pairs.left[:PAIRS].tolist(), *pairs.right[:PAIRS].tolist()]
    fields, unread = _fields(comparison, sorted(set(shown)))
    examples = {
        fate.value: [_group(comparison, change, rows[change], fields) for change in changes]
        for fate, changes in chosen.items()
        if changes
    }
    return render(
        TEMPLATE,
        result=comparison.to_dict(),
        kind=comparison.new.kind,
        examples=examples,
        gained=_pairs(comparison, comparison.pairs.gained, fields, is_gained=True),
        lost=_pairs(comparison, comparison.pairs.lost, fields, is_gained=False),
        unread=unread,
    )


def _pick(comparison: Comparison, change: int) -> np.ndarray:
    """The records of a change to show: of each old and new group in turn, so that none is left out."""
    members = comparison.changes.members(change)
    old, new = comparison.changes.old_group[members], comparison.changes.new_group[members]
    order = np.lexsort((new, old))
    members, old, new = members[order], old[order], new[order]
    starts = np.append(True, (old[1:] != old[:-1]) | (new[1:] != new[:-1]))
    turn = np.arange(len(members)) - np.flatnonzero(starts)[np.cumsum(starts) - 1]
    return members[np.sort(np.argsort(turn, kind="stable")[:MEMBERS])]


def _group(comparison: Comparison, change: int, rows: np.ndarray, fields: dict[int, Fields]) -> GroupExample:
    changes, partitions = comparison.changes, comparison.partitions
    sides = []
    for groups, clusters in ((changes.old_group, partitions.old), (changes.new_group, partitions.new)):
        names = {ABSENT: "alone"}
        for group in groups[rows].tolist():
            names.setdefault(group, str(len(names)))
        sides.append(["not there" if clusters[row] == ABSENT else names[int(groups[row])] for row in rows])
    members = [
        Member(partitions.ids[row].as_py(), old, new, fields.get(row, {}))
        for row, old, new in zip(rows.tolist(), *sides, strict=True)
    ]
    return GroupExample(int(changes.records[change]), members)


def _pairs(comparison: Comparison, pairs: OneSided, fields: dict[int, Fields], *, is_gained: bool) -> list[PairExample]:
    found = []
    for left, right, here, there in zip(
        *(each[:PAIRS].tolist() for each in (pairs.left, pairs.right, pairs.probability, pairs.otherwise)), strict=True
    ):
        other = None if np.isnan(there) else there
        one, two = fields.get(left, {}), fields.get(right, {})
        left_id, right_id = (comparison.partitions.ids[row].as_py() for row in (left, right))
        before, after = (other, here) if is_gained else (here, other)
        texts = [(name, one.get(name), two.get(name)) for name in dict.fromkeys([*one, *two])]
        found.append(PairExample(left_id, right_id, before, after, texts))
    return found


def _fields(comparison: Comparison, rows: list[int]) -> tuple[dict[int, Fields], list[str]]:
    """Of each row what its record says, in the new run where it is there; and why those of an input could not be read."""
    found: dict[int, Fields] = {}
    unread: list[str] = []
    partitions = comparison.partitions
    for side, clusters in ((comparison.new, partitions.new), (comparison.old, partitions.old)):
        names = {partitions.ids[row].as_py(): row for row in rows if row not in found and clusters[row] != ABSENT}
        for number, source in enumerate(side.manifest["inputs"]):
            prefix = f"{('left', 'right')[number]}:" if side.kind == "link" else ""
            wanted = {name.removeprefix(prefix): row for name, row in names.items() if name.startswith(prefix)}
            if not wanted:
                continue
            try:
                texts = fetch_records(records_of(source, side.manifest), set(wanted))
            except DataError as error:
                unread.append(str(error))
                continue
            found |= {wanted[name]: text for name, text in texts.items()}
    return found, list(dict.fromkeys(unread))
