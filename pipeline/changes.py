"""Changes: what became of the groups of one run in another. A group is a cluster of two records or more.

Groups of either run are tied where they share records, and what hangs together is one change: an old group that became two is one
split, whichever way its records went. So every group of either run is in one change, and no more.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.partitions import ABSENT, Partitions
from siamese.components import components


class Fate(StrEnum):
    """What became of the groups in a change."""

    UNCHANGED = "unchanged"
    GROWN = "grown"
    SHRUNK = "shrunk"
    EXCHANGED = "exchanged"  # one group that gained records and lost others
    MERGED = "merged"  # several into one
    SPLIT = "split"  # one into several
    REGROUPED = "regrouped"  # several into several
    NEW = "new"
    GONE = "gone"


FATES = tuple(Fate)


@dataclass(frozen=True)
class Changes:
    """All c changes between two partitions of n records.

    Attributes:
        old_group, new_group: (n,) group of each record in either run, numbered from 0; ABSENT where it is in none.
        of_record: (n,) change that these groups are in; ABSENT where it is in none in either run.
        fate: (c,) int8 places in FATES.
        old_groups, new_groups: (c,) int64 how many groups there are.
        records: (c,) int64 records in them.
    """

    old_group: NDArray[np.int64]
    new_group: NDArray[np.int64]
    of_record: NDArray[np.int64]
    fate: NDArray[np.int8]
    old_groups: NDArray[np.int64]
    new_groups: NDArray[np.int64]
    records: NDArray[np.int64]

    @classmethod
    def between(cls, partitions: Partitions) -> Self:
        old, olds = _groups(partitions.old)
        new, news = _groups(partitions.new)
        both = (old >= 0) & (new >= 0)
        tied = components(old[both], new[both] + olds, olds + news)
        of_record = np.where(old >= 0, old, np.where(new >= 0, new + olds, ABSENT))
        of_record[of_record >= 0] = tied[of_record[of_record >= 0]]
        count = int(tied.max(initial=-1)) + 1

        def records(which: NDArray[np.bool_]) -> NDArray[np.int64]:
            return np.bincount(of_record[which], minlength=count)

        old_groups = np.bincount(tied[:olds], minlength=count)
        new_groups = np.bincount(tied[olds:], minlength=count)
        shared, before, after = records(both), records(old >= 0), records(new >= 0)
        fate = np.full(count, FATES.index(Fate.EXCHANGED), np.int8)
        for each, here in (  # of those that hold for a change, the last one counts
            (Fate.SHRUNK, shared == after),
            (Fate.GROWN, shared == before),
            (Fate.UNCHANGED, (shared == before) & (shared == after)),
            (Fate.SPLIT, new_groups > 1),
            (Fate.MERGED, old_groups > 1),
            (Fate.REGROUPED, (old_groups > 1) & (new_groups > 1)),
            (Fate.NEW, old_groups == 0),
            (Fate.GONE, new_groups == 0),
        ):
            fate[here] = FATES.index(each)
        return cls(old, new, of_record, fate, old_groups, new_groups, before + after - shared)

    def counts(self) -> dict[str, dict[str, int]]:
        """Of each fate: changes, the groups of either run in them, and their records."""
        return {
            fate: {
                "changes": int(here.sum()),
                "old_groups": int(self.old_groups[here].sum()),
                "new_groups": int(self.new_groups[here].sum()),
                "records": int(self.records[here].sum()),
            }
            for number, fate in enumerate(FATES)
            for here in [self.fate == number]
        }

    def largest(self, fate: Fate, count: int) -> list[int]:
        """Changes of a fate, those of most records first; of equals those whose records come first."""
        here = np.flatnonzero(self.fate == FATES.index(fate))
        first = self._by_record[1][here]
        return here[np.lexsort((first, -self.records[here]))][:count].tolist()

    def members(self, change: int) -> NDArray[np.int64]:
        """Ascending records of a change."""
        order, _, starts = self._by_record
        return order[starts[change] : starts[change + 1]]

    @cached_property
    def _by_record(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Records by change; the first record of each; where each begins."""
        order = np.argsort(self.of_record, kind="stable")
        order = order[np.searchsorted(self.of_record[order], 0) :]
        starts = np.searchsorted(self.of_record[order], np.arange(len(self.fate) + 1))
        return order, order[starts[:-1]], starts


def _groups(cluster: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
    """(n,) groups from 0, ABSENT for records that stand alone or are not there; and how many groups there are."""
    _, inverse, counts = np.unique(cluster, return_inverse=True, return_counts=True)
    together = (counts[inverse] > 1) & (cluster != ABSENT)
    group = np.full(len(cluster), ABSENT, np.int64)
    numbers, group[together] = np.unique(cluster[together], return_inverse=True)
    return group, len(numbers)
