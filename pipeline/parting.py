"""Parting: which components became several clusters, and why."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.bonds import Bonds


@dataclass(frozen=True)
class Parting:
    """The components that were parted.

    Attributes:
        component: (p,) labels.
        clusters: (p,) parts.
        matches: (p,) flagged pairs of records between two parts.
        strongest: (p,) the greatest probability among these.
        mean: (p,) the greatest mean probability over all pairs of contents between two parts: too little for one cluster.
    """

    component: NDArray[np.int64]
    clusters: NDArray[np.int64]
    matches: NDArray[np.int64]
    strongest: NDArray[np.float64]
    mean: NDArray[np.float64]

    @classmethod
    def of(
        cls, component: NDArray[np.int64], group: NDArray[np.int64], bonds: Bonds, copies: NDArray[np.int64]
    ) -> "Parting":
        """
        Args:
            component, group: (n,) of each row, from 0; groups lie within components.
            copies: (n,) records that hold each row.
        """
        n = int(component.max(initial=-1)) + 1
        home = component[np.unique(group, return_index=True)[1]]  # of each group
        clusters = np.bincount(home, minlength=n)
        cut = bonds.take((group[bonds.left] != group[bonds.right]) & (component[bonds.left] == component[bonds.right]))
        one, other = (group[ends] for ends in (cut.left, cut.right))
        key = np.minimum(one, other) * len(home) + np.maximum(one, other)
        key, inverse = np.unique(key, return_inverse=True)
        one, other = key // len(home), key % len(home)
        contents = np.bincount(group)
        mean = np.bincount(inverse, cut.probability, minlength=len(key)) / (contents[one] * contents[other])
        highest, strongest = np.zeros(n), np.zeros(n)
        np.maximum.at(highest, home[one], mean)
        flagged = cut.take(cut.is_match)
        where = component[flagged.left]
        np.maximum.at(strongest, where, flagged.probability)
        matches = np.bincount(where, copies[flagged.left] * copies[flagged.right], minlength=n).astype(np.int64)
        parted = np.flatnonzero(clusters > 1)
        return cls(parted, clusters[parted], matches[parted], strongest[parted], highest[parted])

    def __len__(self) -> int:
        return len(self.component)

    def table(
        self,
        component_id: NDArray[np.int64],
        records: NDArray[np.int64],
        cohesion: NDArray[np.float64],
        least_mean: float,
    ) -> pa.Table:
        """Rows of ``parted.parquet``, by component_id.

        Args:
            component_id, records, cohesion: (components,) what each is called in the run, how many records it has, and the mean
                probability over all pairs of them.
            least_mean: between groups that are one.
        """
        table = pa.table(
            {
                "component_id": component_id[self.component],
                "records": records[self.component],
                "clusters": self.clusters,
                "cohesion": cohesion[self.component],
                "matches_parted": self.matches,
                "strongest_parted": self.strongest,
                "highest_mean_between": self.mean,
                "reason": pa.array(
                    [
                        f"loosely bound: over all pairs between any two of its {clusters:,} clusters the mean probability is at most "
                        f"{mean:.3f}, below {least_mean:.3f}"
                        for clusters, mean in zip(self.clusters.tolist(), self.mean.tolist(), strict=True)
                    ],
                    pa.string(),
                ),
            }
        )
        return table.sort_by("component_id")
