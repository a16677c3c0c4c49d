"""Groups: how large the clusters of a run are, and which to look at."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.fields import Fields
from pipeline.forest import Forest
from pipeline.matching import PAIRS
from pipeline.runfiles import CLUSTERS, Nodes, batches

SHOWN_GROUPS = 5
SHOWN_RECORDS = 4  # of a group, side by side


@dataclass(frozen=True)
class Group:
    """A cluster to look at.

    Attributes:
        size: records in it.
        weakest: probability of the link whose loss would part it; None where nothing but equal contents holds it.
        members: those shown, as (side, record_id): first the one that the others are compared with.
        fields: of each member; filled in by the page.
    """

    cluster_id: int
    size: int
    weakest: float | None
    members: list[tuple[str, str]]
    fields: list[Fields] = field(default_factory=list)

    @property
    def rows(self) -> list[tuple[str, list[str | None]]]:
        """(name, value of each member) of each field."""
        names = dict.fromkeys(name for record in self.fields for name in record)
        return [(name, [record.get(name) for record in self.fields]) for name in names]

    @property
    def missing(self) -> list[tuple[str, list[str | None]]]:
        """The rows that hold nothing."""
        return [(name, values) for name, values in self.rows if not any(value is not None for value in values)]


@dataclass(frozen=True)
class Groups:
    """The clusters of a run.

    Attributes:
        sizes: (records in a group, number of such groups), ascending; records that stand alone are groups of 1.
        largest: with the representative and the records farthest from it.
        least_certain: of three or more records, with the two ends of the weakest link first.
    """

    sizes: list[tuple[int, int]]
    largest: list[Group]
    least_certain: list[Group]


def read_groups(run: Path, shown: int = SHOWN_GROUPS) -> Groups:
    """Measure the clusters, and choose those to show.

    Raises:
        ArtifactError: a file of the run is missing or damaged.
    """
    nodes = Nodes(run)
    columns = ["cluster_id", "cluster_size", "is_representative", "distance_to_representative"]
    table = pa.concat_tables(batches(run / CLUSTERS, columns))
    cluster, size, first, apart = (table[name].to_numpy() for name in columns)
    values, counts = np.unique(size, return_counts=True)
    sizes = [(int(n), int(count // n)) for n, count in zip(values, counts, strict=True)]

    heads = np.flatnonzero(first & (size > 1))
    heads = heads[np.lexsort((cluster[heads], -size[heads]))][:shown]
    forest = _strongest_ties(run, nodes)
    tied = cluster[forest.left]
    order = np.lexsort((tied, forest.strength))
    order = order[(size[forest.left[order]] > 2) & (forest.strength[order] < 1)]
    unsure = order[np.sort(np.unique(tied[order], return_index=True)[1])][:shown]  # the first of each cluster

    def group(*seen: int) -> Group:
        """The group of these records, with others of it, farthest from the representative first."""
        number = int(cluster[seen[0]])
        others = np.setdiff1d(np.flatnonzero(cluster == number), seen)
        others = others[np.lexsort((others, -apart[others]))][: SHOWN_RECORDS - len(seen)]
        members = [
            ("left" if row < nodes.right_from or not nodes.right_from else "right", nodes.ids[row].as_py())
            for row in [*seen, *others.tolist()]
        ]
        weakest = float(forest.strength[tied == number].min(initial=1.0))
        return Group(number, int(size[seen[0]]), weakest if weakest < 1 else None, members)

    largest = [group(head) for head in heads.tolist()]
    return Groups(sizes, largest, [group(int(forest.left[edge]), int(forest.right[edge])) for edge in unsure.tolist()])


def _strongest_ties(run: Path, nodes: Nodes) -> Forest:
    """What holds the clusters together: of flagged pairs, by probability; equal contents are the strongest."""
    forest = Forest(len(nodes))
    for pairs in batches(run / PAIRS, ["left_id", "right_id", "probability", "is_match", "score"]):
        flagged = pairs.filter(pairs["is_match"])
        equal = pc.is_null(flagged["score"], nan_is_null=True).to_numpy()
        forest.add(*nodes.of(flagged), np.where(equal, 1.0, flagged["probability"].to_numpy()))
    return forest


def size_bands(sizes: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """(least, greatest, number) of groups of two or more; by powers of two (2 to 3, 4 to 7, ...) where there are many sizes."""
    bands = [(size, size, count) for size, count in sizes if size > 1]
    if len(bands) <= 10:
        return bands
    powers: dict[int, int] = {}
    for size, _, count in bands:
        power = 1 << size.bit_length() - 1
        powers[power] = powers.get(power, 0) + count
    return [(low, 2 * low - 1, count) for low, count in powers.items()]
