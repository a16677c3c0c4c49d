"""Reasons: why the clusters of a corpus are what they are: what holds each together, what was parted, and which record stands for which."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.bonds import Bonds
from pipeline.clustering import Clusters, label_records, number
from pipeline.dropped import DROPPED, least_sure, write_dropped
from pipeline.embedding import Corpus
from pipeline.linkage import split_loose
from pipeline.parting import Parting
from pipeline.paths import Paths
from siamese.folders import read_json, write_json

PARTED = "parted.parquet"
FACTS = "bonds.json"


@dataclass(frozen=True)
class Reasons:
    """What ties the n distinct contents of a corpus, and what became of it.

    Attributes:
        component: (n,) of each content, tied by matches, directly or through others.
        group: (n,) its part.
        bonds: the candidates within components.
        equal: probability of two records that hold the same.
        least_mean: probability over all pairs between two groups that are one.
    """

    component: NDArray[np.int64]
    group: NDArray[np.int64]
    bonds: Bonds
    equal: float
    least_mean: float

    @classmethod
    def of(cls, component: NDArray[np.int64], candidates: Bonds, equal: float, least_mean: float) -> "Reasons":
        bonds = candidates.within(component)
        return cls(component, split_loose(component, bonds, least_mean), bonds, equal, least_mean)

    def save(self, work: Path) -> None:
        self.bonds.save(work / "bonds.npy")
        np.save(work / "components.npy", np.stack([self.component, self.group]))
        write_json(work / FACTS, {"equal": self.equal, "least_mean": self.least_mean})

    @classmethod
    def load(cls, work: Path) -> "Reasons":
        component, group = np.load(work / "components.npy")
        return cls(component, group, Bonds.load(work / "bonds.npy"), **read_json(work / FACTS))

    def write(self, run: Path, corpus: Corpus, clusters: Clusters) -> tuple[dict[str, pa.Array], dict[str, Any]]:
        """Write ``dropped.parquet`` and ``parted.parquet``.

        Returns:
            Columns for ``clusters.parquet`` and figures for the summary.
        """
        copies = np.diff(corpus.members[1])
        bonds = self.bonds.within(self.group)
        roots = np.unique(corpus.rows[clusters.representative[clusters.size > 1]])
        paths = Paths.of(bonds, roots, len(self.group))
        dropped = write_dropped(run / DROPPED, corpus, clusters, paths, self.equal)
        parted = self._write_parted(run / PARTED, corpus, copies)

        ids, of_record = np.unique(clusters.cluster_id, return_inverse=True)
        weakest = np.ones(len(ids))
        np.minimum.at(
            weakest, np.searchsorted(ids, dropped["cluster_id"].to_numpy()), dropped["weakest_link"].to_numpy()
        )
        cohesion = np.append(
            bonds.cohesion(self.group, copies, self.equal), np.nan
        )  # the last for records without content
        columns = {
            "component_id": pa.array(number(label_records(self.component, corpus.rows))[0]),
            "cohesion": pa.array(cohesion[label_records(self.group, corpus.rows)], from_pandas=True),
            "weakest_link": pa.array(weakest[of_record], mask=clusters.size == 1),
        }
        links = dropped["links"].to_numpy()
        figures = {
            "parted_components": parted,
            "least_mean_between": self.least_mean,
            "dropped": {
                "tied_directly": int((links == 1).sum()),
                "tied_through_others": int((links > 1).sum()),
                "longest_path": int(links.max(initial=0)),
                "weakest_link": float(dropped["weakest_link"].to_numpy().min()) if len(links) else None,
                "least_sure": least_sure(run / DROPPED, dropped),
            },
        }
        return columns, figures

    def _write_parted(self, path: Path, corpus: Corpus, copies: NDArray[np.int64]) -> int:
        n = int(self.component.max(initial=-1)) + 1
        label = label_records(self.component, corpus.rows)
        component_id = np.zeros(n, np.int64)
        component_id[label[label >= 0]] = number(label)[0][label >= 0]
        records = np.bincount(self.component, copies, minlength=n).astype(np.int64)
        cohesion = self.bonds.cohesion(self.component, copies, self.equal)
        parting = Parting.of(self.component, self.group, self.bonds, copies)
        pq.write_table(parting.table(component_id, records, cohesion, self.least_mean), path, compression="zstd")
        return len(parting)
