"""State: what a run keeps, in ``state/``, so that another can go on from it: its corpus embedded, what its search found, and every score.

    left/         the embedded corpus, and ``digests.npy``: (n, 2) uint64 of each distinct content; of an update most shards of embeddings
                  are files of the run before, and ``embeddings/places.npy`` says where each row lies. Where buckets hold all candidates
                  that are worth it, ``spelled/`` likewise: what their keys are made of
    counts.npy    how often words occurred when it was spelled
    buckets.json  how great buckets were taken
    plan.json     how far was searched
    glance.json   what was let go by at a glance, and ``let_by.npy``: the scores of some of it
    pool/         of a large corpus: pairs that buckets and cells held, and ``rows.npy``, where its rows are now: the files of the run that
                  made it, which updates hand on
    found/        pairs of rows, from whichever row found them; of a large corpus what updates found beyond the pool
    looked/       all candidates
    scores/       of those

About 1.7 kB a record with 256 dimensions, most of it embeddings.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline import proposing
from pipeline.buckets import Sizes
from pipeline.embedding import DIGESTS, Corpus
from pipeline.rowpairs import RowPairs
from pipeline.spelled import Spelled
from siamese.errors import ArtifactError
from siamese.folders import Place, check_manifest, link, local_folder, read_json

STATE = "state"
KEPT = (proposing.LEFT, proposing.POOL, proposing.LOOKED, proposing.SCORES)
POOL_ROWS = f"{proposing.POOL}/rows.npy"  # (p,) row of now of each row that the pool names, -1 where it is gone; missing: the same ones


def keep_state(work: Path, run: Path) -> dict[str, Any]:
    """Lay what the stages left in the work folder beside a run's outputs; nothing is copied where it can be linked."""
    state = run / STATE
    shutil.rmtree(state, ignore_errors=True)  # of a run that was killed meanwhile
    state.mkdir()
    goes_on = (work / POOL_ROWS).is_file()  # else the pool holds what was found
    shares = (work / proposing.BUCKETS).is_file()  # else what is new is compared with all
    left_out = shutil.ignore_patterns(*[] if shares else [proposing.SPELLED])
    for name in (*KEPT, *[proposing.FOUND] * (goes_on or not (work / proposing.POOL).is_dir())):
        if (work / name).is_dir():
            shutil.copytree(work / name, state / name, copy_function=link, ignore=left_out)
    for name in (proposing.PLAN, proposing.GLANCE, proposing.LET_BY, *[proposing.BUCKETS, proposing.COUNTS] * shares):
        if (work / name).is_file():
            link(work / name, state / name)
    return {"bytes": sum(path.stat().st_size for path in state.rglob("*") if path.is_file())}


@dataclass(frozen=True)
class State:
    """The state of a run.

    Attributes:
        run: its folder.
        manifest: what it says.
        corpus: its embedded records.
        plan: how far was searched.
    """

    run: Path
    manifest: dict[str, Any]
    corpus: Corpus
    plan: dict[str, Any]

    @classmethod
    def check(cls, place: Place) -> tuple[Path, dict[str, Any]]:
        """A run folder that can be gone on from, with its manifest.

        Raises:
            ArtifactError: it is damaged, a link, or kept no state.
        """
        run = local_folder(place, "run").resolve()
        manifest = check_manifest(run, "run")
        if read_json(run / "summary.json")["kind"] != "dedupe":
            raise ArtifactError(
                f"'{place}' links two corpora: expected a dedupe run to update; link them again instead"
            )
        if f"{STATE}/{proposing.PLAN}" not in manifest["files"]:
            raise ArtifactError(
                f"the run '{place}' kept nothing to go on from: make it again with --keep-state, and update that one"
            )
        return run, manifest

    @classmethod
    def open(cls, run: Path, dim: int) -> Self:
        """The state of a run that :meth:`check` was asked about."""
        state = run / STATE
        plan = read_json(state / proposing.PLAN)
        return cls(run, read_json(run / "manifest.json"), Corpus.open(state / proposing.LEFT, dim), plan)

    @property
    def folder(self) -> Path:
        return self.run / STATE

    @property
    def glance(self) -> dict[str, Any] | None:
        """What was let go by at a glance; None of a run that settled nothing of the kind."""
        path = self.folder / proposing.GLANCE
        return read_json(path) if path.is_file() else None

    @property
    def sizes(self) -> list[Sizes] | None:
        """How great buckets were taken of each band; None where what is new has to be compared with all."""
        path = self.folder / proposing.BUCKETS
        return read_json(path)["sizes"] if path.is_file() else None

    @property
    def spelled(self) -> Spelled:
        """Of a state that has ``sizes``."""
        return Spelled.open(self.folder / proposing.LEFT / proposing.SPELLED)

    def rows_of(self, digests: NDArray[np.uint64]) -> NDArray[np.int64]:
        """(n,) row of each content here, -1 where it is none of these."""
        known = np.load(self.folder / proposing.LEFT / DIGESTS)
        order = np.lexsort((known[:, 1], known[:, 0]))
        known = known[order]
        row = np.full(len(digests), -1, np.int64)
        place = np.searchsorted(known[:, 0], digests[:, 0])
        open_ = np.arange(len(digests))
        while len(open_):  # once, but for contents that share the first half of their digests
            open_ = open_[place[open_] < len(known)]
            open_ = open_[known[place[open_], 0] == digests[open_, 0]]
            same = known[place[open_], 1] == digests[open_, 1]
            row[open_[same]] = order[place[open_[same]]]
            open_ = open_[~same]
            place[open_] += 1
        return row

    @property
    def found(self) -> RowPairs:
        """What each row found, in no order."""
        return proposing.found_in(self.folder / proposing.FOUND)

    @property
    def pool(self) -> tuple[RowPairs, NDArray[np.int64]]:
        """Of a large corpus, what buckets and cells held when it was last searched from scratch, and (p,) the row here of each row that it
        names, -1 where that is gone."""
        here = np.arange(len(self.corpus.embeddings))
        if not self.has_pool:  # of a run that was made before there was one
            return proposing.found_in(self.folder / proposing.SHARED, self.folder / proposing.FOUND).once(), here
        columns = (np.load(self.folder / proposing.POOL / f"{name}.npy", mmap_mode="r") for name in proposing.COLUMNS)
        rows = self.folder / POOL_ROWS
        return RowPairs(*columns), np.load(rows) if rows.is_file() else here

    @property
    def has_pool(self) -> bool:
        return (self.folder / proposing.POOL).is_dir()

    @property
    def scored(self) -> tuple[RowPairs, NDArray[np.float64]]:
        """All pairs that were looked at, and their scores."""
        return proposing.looked_at(self.folder), proposing.scores_of(self.folder)
