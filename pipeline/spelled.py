"""Spelled: the spellings of a corpus on disk, in shards of at most 65,536 rows that are mapped into memory when read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.embedding import PLACES, by_shard, shard_paths
from siamese.spellings import BANDS, WORDS


@dataclass(frozen=True)
class Spelled:
    """What :func:`siamese.spellings.spell` gives of n contents.

    Attributes:
        shards: (BANDS, rows, WORDS) uint32 each.
        places: (n,) int64 where each row lies: 65,536 times the number of its shard, and its row there. None: in order.
    """

    shards: tuple[NDArray[np.uint32], ...]
    places: NDArray[np.int64] | None = None

    @classmethod
    def open(cls, folder: Path) -> Self:
        places = folder / PLACES
        shards = tuple(np.load(path, mmap_mode="r") for path in shard_paths(folder))
        return cls(shards, np.load(places) if places.is_file() else None)

    @property
    def sizes(self) -> list[int]:
        """Rows of each shard."""
        return [shard.shape[1] for shard in self.shards]

    def at(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """(r,) place of any rows."""
        return rows if self.places is None else self.places[rows]

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.uint32]:
        """(BANDS, r, WORDS) of any rows."""
        taken = np.empty((BANDS, len(rows), WORDS), np.uint32)
        for number, here, row in by_shard(self.at(rows)):
            taken[:, here] = np.take(self.shards[number], row, axis=1)
        return taken

    def band(self, number: int) -> NDArray[np.uint32]:
        """(n, WORDS) of all rows in one band."""
        if self.places is None:
            return np.concatenate([shard[number] for shard in self.shards])
        rows = np.empty((len(self.places), WORDS), np.uint32)
        for shard, here, row in by_shard(self.places):
            rows[here] = np.take(self.shards[shard][number], row, axis=0)
        return rows
