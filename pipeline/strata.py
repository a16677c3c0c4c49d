"""Strata: the pairs of a finished run in groups of like doubt, and how many of each to judge.

Flagged pairs and others are never in one stratum. Among either, pairs of equal contents are one, and the others are cut by
probability p so that each stratum has the same sum of sqrt(p (1 - p)): the rule of Dalenius and Hodges (1959, "Minimum variance
stratification", J. Amer. Statist. Assoc. 54) with the doubt that the model itself has. Pairs that the run did not write are known
by a weighted sample (``beyond.parquet``); a stratum of them holds weights within a factor of two.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.candidates import BEYOND
from pipeline.matching import PAIRS
from pipeline.report import ZERO
from siamese.errors import ArtifactError, SettingsError

CUTS = 3  # strata by probability on either side of the threshold; with more, each is judged too little to say anything
SUREST = 0.01  # no pair is taken as surer than this, or its inverse: the model's word is what the audit tests
BY_DOUBT = 0.5  # of the judged pairs, the share that follows doubt; the rest follows numbers, whatever the model says


class Kind(StrEnum):
    """What the run made of a pair."""

    FLAGGED = "flagged"
    WRITTEN = "written"  # and not flagged
    BEYOND = "beyond"  # not written


SHARES = {Kind.FLAGGED: 0.5, Kind.WRITTEN: 0.3, Kind.BEYOND: 0.2}  # of the pairs judged, while a kind has enough


@dataclass(frozen=True)
class Strata:
    """Every pair that can be drawn, in h strata.

    Attributes:
        of_pair: (rows,) stratum of each row of ``pairs.parquet``, then of ``beyond.parquet``.
        weight: (rows,) float64, the pairs that each row stands for: 1 for those written.
        written: rows of ``pairs.parquet``.
        kind: (h,) what the run made of the pairs of each.
        rows: (h,) int64, rows in each.
        size: (h,) float64, pairs that they stand for.
        doubt: (h,) mean of sqrt(p (1 - p)).
    """

    of_pair: NDArray[np.int64]
    weight: NDArray[np.float64]
    written: int
    kind: tuple[Kind, ...]
    rows: NDArray[np.int64]
    size: NDArray[np.float64]
    doubt: NDArray[np.float64]

    @classmethod
    def of_run(cls, run: Path) -> "Strata":
        """The strata of a run folder, the same whenever they are asked for.

        Raises:
            ArtifactError: ``beyond.parquet`` holds a weight below 1; its rows stand for themselves at least.
        """
        columns = ["margin_distance", "probability", "is_match"]
        pairs = pq.read_table(run / PAIRS, columns=columns)
        probability, flagged = pairs["probability"].to_numpy(), pairs["is_match"].to_numpy().astype(bool)
        weight = np.ones(len(flagged))
        if (run / BEYOND).is_file():
            beyond = pq.read_table(run / BEYOND, columns=["probability", "weight"])
            probability = np.concatenate([probability, beyond["probability"].to_numpy()])
            weight = np.concatenate([weight, beyond["weight"].to_numpy().astype(np.float64)])
            if not (np.isfinite(weight) & (weight >= 1)).all():
                raise ArtifactError(f"'{run / BEYOND}' holds a weight below 1: make the run again")
        return cls.of(probability, flagged, pairs["margin_distance"].to_numpy() <= ZERO, weight)

    @classmethod
    def of(
        cls,
        probability: NDArray[np.float64],
        flagged: NDArray[np.bool_],
        equal: NDArray[np.bool_],
        weight: NDArray[np.float64],
    ) -> "Strata":
        """Strata of rows of which the first ``len(flagged)`` are written, with their contents equal or not; the rest are beyond."""
        n, written = len(probability), len(flagged)
        p = np.clip(probability, SUREST, 1 - SUREST)
        doubt = np.sqrt(p * (1 - p))
        groups: list[tuple[Kind, NDArray[np.int64]]] = []
        for kind, chosen in ((Kind.FLAGGED, flagged), (Kind.WRITTEN, ~flagged)):
            groups.append((kind, np.flatnonzero(chosen & equal)))
            unlike = np.flatnonzero(chosen & ~equal)
            groups += [(kind, rows) for rows in _cut(unlike, probability, doubt)]
        power = np.floor(np.log2(weight[written:])).astype(np.int64)
        groups += [(Kind.BEYOND, written + np.flatnonzero(power == each)) for each in np.unique(power)]
        groups = [(kind, rows) for kind, rows in groups if len(rows)]
        of_pair = np.empty(n, np.int64)
        for number, (_, rows) in enumerate(groups):
            of_pair[rows] = number
        return cls(
            of_pair,
            weight,
            written,
            tuple(kind for kind, _ in groups),
            np.array([len(rows) for _, rows in groups], np.int64),
            np.array([weight[rows].sum() for _, rows in groups]),
            np.array([doubt[rows].mean() for _, rows in groups]),
        )

    def are(self, *kinds: Kind) -> NDArray[np.bool_]:
        """(h,) whether each stratum is of one of these kinds."""
        return np.array([kind in kinds for kind in self.kind], bool)

    def allocate(self, sample: int) -> NDArray[np.int64]:
        """(h,) rows of each stratum to judge, ``sample`` together, or all where there are fewer.

        Half of a kind's share follows the number of pairs, half that number times their doubt (Neyman 1934): no stratum is
        neglected because the model is sure of it. A small stratum is judged whole.

        Raises:
            SettingsError: there are not two for each stratum.
        """
        least = int(np.minimum(self.rows, 2).sum())
        if sample < least:
            raise SettingsError(
                f"a sample of {sample} is too small for a run of {len(self.rows)} strata: expected {least} or more (--sample)"
            )
        share = np.zeros(len(self.rows))
        for kind, of_kind in SHARES.items():
            here = self.are(kind)
            if here.any():
                size, doubt = self.size[here], (self.size * self.doubt)[here]
                share[here] = of_kind * ((1 - BY_DOUBT) * size / size.sum() + BY_DOUBT * doubt / doubt.sum())
        low = np.minimum(self.rows, max(2, sample // (4 * max(len(self.rows), 1))))
        return _fill(share, low, self.rows, min(sample, int(self.rows.sum())))

    def draw(self, counts: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
        """``counts`` rows of each stratum, every row of one equally likely, all in random order."""
        drawn = [
            random.choice(np.flatnonzero(self.of_pair == number), count, replace=False, shuffle=False)
            for number, count in enumerate(counts)
        ]
        return random.permutation(np.concatenate([*drawn, np.empty(0, np.int64)]))


def _cut(
    rows: NDArray[np.int64], probability: NDArray[np.float64], doubt: NDArray[np.float64]
) -> list[NDArray[np.int64]]:
    """The rows in runs of probability, each of about the same sum of doubt."""
    if len(rows) == 0:
        return []
    rows = rows[np.argsort(probability[rows], kind="stable")]
    before = np.cumsum(doubt[rows]) - doubt[rows] / 2
    cut = np.searchsorted(before, doubt[rows].sum() * np.arange(1, CUTS) / CUTS)
    return [part for part in np.split(rows, cut) if len(part)]


def _fill(share: NDArray[np.float64], low: NDArray[np.int64], high: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Whole numbers in [low, high] that add up to ``total``, in proportion to ``share`` as far as that goes (Sainte-Laguë)."""
    counts = low.copy()
    for _ in range(total - int(counts.sum())):
        counts[np.argmax(np.where(counts < high, share / (counts + 0.5), -1))] += 1
    return counts
