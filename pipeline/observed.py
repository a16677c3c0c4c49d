"""Observed: what a run saw, part by part, in few enough numbers to keep: what the next run is held against."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from pipeline import proposing, updating
from pipeline.embedding import Corpus, Encoder
from pipeline.runfiles import CLUSTERS
from siamese.folders import read_json
from siamese.portrait import Hashed, Portrait, hash_fields, sample

BINS = 80  # of candidates' distances
BIN = 0.025  # margins


class Part(BaseModel):
    """Some records of a run.

    Attributes:
        records: how many; of these ``empty`` have nothing to compare, and ``grouped`` share their cluster with another.
        portrait: of a sample of their distinct contents.
        distances: candidates with one of them, by distance in bins of 0.025 margins.
        paired: distinct contents among them that are in a candidate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    records: int
    empty: int
    grouped: int
    portrait: Portrait
    distances: list[int]
    paired: int


@dataclass(frozen=True)
class Observed:
    """What a run saw.

    Attributes:
        parts: "all", and "new" where there is an earlier run: records that it did not have, or not so. Of a link "left" and "right".
        words: of the contents that each part's portrait is of, field by field.
        reach: in margins: all pairs so near are candidates, or as many of them as the search finds worth it.
        finds_alike: whether near pairs of new records are candidates as those of the others are. In a corpus of several cells, where
            buckets do not hold enough, they are not: all pairs of what is new are measured, of the others what buckets and cells bring.
    """

    parts: dict[str, Part]
    words: dict[str, dict[str, Hashed]]
    reach: float
    finds_alike: bool = True

    @classmethod
    def of_run(cls, encoder: Encoder, run: Path, work: Path, before: Path | None) -> Self:
        """Of a run that is decided and not finished yet.

        Args:
            before: the run that it is compared with.
        """
        sides = proposing.Sides(encoder, work)
        sizes = pq.read_table(run / CLUSTERS, columns=["cluster_size"])["cluster_size"].to_numpy()
        pairs = proposing.looked_at(work)
        bins = np.minimum((encoder.margin_distance(pairs.distances) / BIN).astype(np.int64), BINS - 1)
        parts: dict[str, Part] = {}
        words: dict[str, dict[str, Hashed]] = {}

        def see(name: str, corpus: Corpus, chosen: NDArray[np.bool_], rows: NDArray[np.int64], sizes: NDArray) -> None:
            some = rows[sample(len(rows))]
            texts = corpus.contents.take(some)
            words[name] = hash_fields(texts, encoder.schema)
            among = np.zeros(len(corpus.embeddings), bool)
            among[rows] = True
            left = among[pairs.left] if corpus is sides.left else np.zeros(len(pairs), bool)
            right = among[pairs.right] if sides.right is None or corpus is sides.right else np.zeros(len(pairs), bool)
            paired = np.zeros(len(corpus.embeddings), bool)
            paired[pairs.left[left]] = True
            paired[pairs.right[right]] = True
            parts[name] = Part(
                records=int(chosen.sum()),
                empty=int((corpus.rows[chosen] < 0).sum()),
                grouped=int((sizes[chosen] > 1).sum()),
                portrait=Portrait.of(texts, encoder.schema, words[name]),
                distances=np.bincount(bins[left | right], minlength=BINS).tolist(),
                paired=int(paired.sum()),
            )

        def see_all(name: str, corpus: Corpus, sizes: NDArray) -> None:
            see(name, corpus, np.ones(len(corpus.ids), bool), np.arange(len(corpus.embeddings)), sizes)

        if sides.right is not None:
            see_all("left", sides.left, sizes[: len(sides.left.ids)])
            see_all("right", sides.right, sizes[len(sides.left.ids) :])
        else:
            see_all("all", sides.left, sizes)
            if before is not None:
                is_new, rows = _new(sides.left, work, before)
                see("new", sides.left, is_new, rows, sizes)
        plan = read_json(work / proposing.PLAN)
        finds_alike = plan["cells"] == 1 or (work / proposing.BUCKETS).is_file()
        return cls(parts, words, float(plan["radius"]), finds_alike)


def _new(corpus: Corpus, work: Path, before: Path) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which records the earlier run did not have; rows of their contents, and of those that were edited where the run is an update."""
    known = pq.read_table(before / CLUSTERS, columns=["record_id"])["record_id"].cast(pa.large_string())
    is_new = ~pc.is_in(corpus.ids, value_set=known.combine_chunks()).to_numpy(zero_copy_only=False)
    rows = np.zeros(len(corpus.embeddings), bool)
    rows[corpus.rows[is_new & (corpus.rows >= 0)]] = True
    if (work / updating.OLD_ROWS).is_file():
        rows |= np.load(work / updating.OLD_ROWS) < 0
    return is_new, np.flatnonzero(rows)
