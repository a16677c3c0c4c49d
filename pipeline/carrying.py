"""Carrying on: the shards of an earlier run that are still of use, as they are, beside shards of all that is new."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.contents import SHARD_ROWS
from pipeline.embedding import PLACES, Embeddings, save_array, shard_path, shard_paths
from pipeline.spelled import Spelled
from siamese.folders import link


def carry_on(
    known: Embeddings | Spelled,
    before: Path,
    old: NDArray[np.int64],
    folder: Path,
    write: Callable[[Path, NDArray[np.int64]], None],
) -> None:
    """Shards of the earlier run as they are, and all rows that are in none of these in further shards.

    Args:
        known: what lies in the folder ``before``.
        write: writes a shard of some rows, ascending.
    """
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed meanwhile
    folder.mkdir()
    places = np.full(len(old), -1)
    places[old >= 0] = known.at(old[old >= 0])
    stays = np.append(_stay(known.sizes, places), False)[places // SHARD_ROWS]  # the last is of those that are nowhere
    paths = shard_paths(before)
    shards, shard = np.unique(places[stays] // SHARD_ROWS, return_inverse=True)
    for number, one in enumerate(shards):
        link(paths[one], shard_path(folder, number))
    places[stays] = shard * SHARD_ROWS + places[stays] % SHARD_ROWS
    written = np.flatnonzero(~stays)
    places[written] = len(shards) * SHARD_ROWS + np.arange(len(written))
    for start in range(0, max(len(written), 1 - len(shards)), SHARD_ROWS):  # one shard at least
        write(shard_path(folder, len(shards) + start // SHARD_ROWS), written[start : start + SHARD_ROWS])
    if len(shards):  # else all are in order
        save_array(folder / PLACES, places)


def _stay(rows: list[int], places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(shards,) which shards are worth a link: those of which half is still there, and more than is written anew otherwise.

    So shards are few, what is gone takes no more room than what is there, and a row is copied as often as the corpus doubles.

    Args:
        rows: of each shard.
        places: of rows of now among the known ones; -1 of those that are new.
    """
    there = np.bincount(places[places >= 0] // SHARD_ROWS, minlength=len(rows))
    sizes = np.array(rows, np.int64)
    stays, written = np.ones(len(sizes), bool), int((places < 0).sum())
    for shard in np.argsort(there, kind="stable"):
        stays[shard] = there[shard] > written and 2 * there[shard] >= sizes[shard]
        written += 0 if stays[shard] else int(there[shard])
    return stays
