"""Pair changes: the pairs that one run flags and another does not, and what the other made of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.matching import PAIRS
from pipeline.partitions import Partitions, places, record_names
from siamese.errors import ArtifactError

COLUMNS = ["left_id", "right_id", "probability", "is_match"]


@dataclass(frozen=True)
class WrittenPairs:
    """The pairs that a run wrote, all (m,), by key: the places of a pair's records among N names, as lesser * N + greater."""

    key: NDArray[np.int64]
    probability: NDArray[np.float64]
    is_match: NDArray[np.bool_]

    @classmethod
    def read(cls, run: Path, names: pa.Array) -> Self:
        """Raises ArtifactError: the file cannot be read, or names a record that the clusters lack."""
        try:
            table = pq.read_table(run / PAIRS, columns=COLUMNS).combine_chunks()
            link = "side" in pq.read_schema(run / "clusters.parquet").names
        except (pa.ArrowException, OSError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise ArtifactError(f"'{run / PAIRS}' cannot be read ({reason}): make the run again") from error
        left, right = (
            places(record_names(table[f"{side}_id"].combine_chunks(), side if link else None), names)
            for side in ("left", "right")
        )
        if min(left.min(initial=0), right.min(initial=0)) < 0:
            raise ArtifactError(
                f"'{run / PAIRS}' names a record that '{run / 'clusters.parquet'}' lacks: make the run again"
            )
        key = np.minimum(left, right) * len(names) + np.maximum(left, right)
        order = np.argsort(key, kind="stable")
        probability, is_match = table["probability"].to_numpy(), table["is_match"].to_numpy()
        return cls(key[order], probability[order], is_match[order].astype(bool))

    def find(self, keys: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(k,) probability of each key here, NaN where it is not written; whether it is flagged."""
        if len(self.key) == 0:
            return np.full(len(keys), np.nan), np.zeros(len(keys), bool)
        at = np.minimum(np.searchsorted(self.key, keys), len(self.key) - 1)
        written = self.key[at] == keys
        return np.where(written, self.probability[at], np.nan), written & self.is_match[at]


@dataclass(frozen=True)
class OneSided:
    """Pairs that one run flags and the other does not, all (m,), the surest first.

    Attributes:
        left, right: places of the records, in the order of the names.
        probability: where they are flagged.
        otherwise: in the other run; NaN where that did not write them.
        lacks: whether the other run lacks one of the records.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    probability: NDArray[np.float64]
    otherwise: NDArray[np.float64]
    lacks: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.left)

    @classmethod
    def of(cls, here: WrittenPairs, there: WrittenPairs, is_there: NDArray[np.bool_]) -> Self:
        """Args: is_there: (N,) whether the other run has each record."""
        key, probability = here.key[here.is_match], here.probability[here.is_match]
        otherwise, flagged = there.find(key)
        key, probability, otherwise = key[~flagged], probability[~flagged], otherwise[~flagged]
        left, right = np.divmod(key, max(len(is_there), 1))
        order = np.lexsort((key, -probability))
        lacks = ~(is_there[left] & is_there[right])
        return cls(left[order], right[order], probability[order], otherwise[order], lacks[order])

    def counts(self) -> dict[str, int]:
        """How many, by what the other run made of them."""
        refused = ~np.isnan(self.otherwise)
        return {
            "pairs": len(self),
            "record_not_there": int(self.lacks.sum()),
            "written_not_flagged": int(refused.sum()),
            "not_written": int((~self.lacks & ~refused).sum()),
        }


@dataclass(frozen=True)
class PairChanges:
    """Attributes: kept: pairs that both runs flag; gained, lost: those of the new run only, and of the old one only."""

    kept: int
    gained: OneSided
    lost: OneSided

    @classmethod
    def between(cls, old_run: Path, new_run: Path, partitions: Partitions) -> Self:
        old, new = (WrittenPairs.read(run, partitions.ids) for run in (old_run, new_run))
        gained = OneSided.of(new, old, partitions.old >= 0)
        lost = OneSided.of(old, new, partitions.new >= 0)
        return cls(int(old.is_match.sum()) - len(lost), gained, lost)
