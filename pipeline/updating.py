"""Updating: the candidates of a corpus that has changed since an earlier run, from that run's state.

A corpus that is searched as one cell, all rows with all, is searched on, as far as the earlier run did:

- A row that is new asks for its candidates as in any search.
- A row that was there keeps what it found, less what is gone, and looks among the new rows only: its nearest are the nearest of the two.
- A row that has lost one of its nearest, so that another may come up from beyond what it kept, asks again.

So its candidates are those of a search from scratch. In a larger corpus they are sought from scratch, for which of its records share a
bucket depends on all of them. Either way a content that was embedded and a pair that was scored is not again.

Each step works from files to files in the run's work folder, as those of :mod:`pipeline.proposing` do, which go on from there.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pipeline import proposing
from pipeline.cells import Cells, cell_count
from pipeline.contents import Contents
from pipeline.decision import Threshold
from pipeline.embedding import CONTENTS, Corpus, Embeddings, Encoder, measure, save_array
from pipeline.products import QUERY_ROWS, least_likeness, likeness, reaches
from pipeline.proposing import CELLS, FOUND, FOUND_TYPE, LEFT, LOOKED, MOST_BLOCKS, PLAN, QUERIES, SCORED_PAIRS, SCORES
from pipeline.rowpairs import RowPairs
from pipeline.search import Queries, Scope
from pipeline.search import search as find
from pipeline.state import DIGESTS, State, digests_of
from siamese.folders import read_json, write_json

OLD_ROWS = "old_rows.npy"  # (n,) of each row of the corpus: its row in the earlier run, -1 where it is new


def embed(encoder: Encoder, work: Path, run: Path) -> dict[str, Any]:
    """Embeddings of a corpus that was read: those of the earlier run where it has the content, and of all others fresh ones."""
    state, folder = State.open(run, encoder.dim), work / LEFT
    contents = Contents.open(folder / CONTENTS)
    digests = digests_of(contents)
    old = state.rows_of(digests)
    save_array(folder / DIGESTS, digests)
    start = 0
    for number, texts in enumerate(contents.shards):
        rows = old[start : start + texts.num_rows]
        start += texts.num_rows
        embedded = np.empty((len(rows), encoder.dim), np.float32)
        embedded[rows >= 0] = state.corpus.embeddings.take(rows[rows >= 0])
        if (rows < 0).any():
            embedded[rows < 0] = encoder.encode(texts.filter(pa.array(rows < 0)))
        save_array(folder / "embeddings" / f"{number:06d}.npy", embedded)
    save_array(work / OLD_ROWS, old)
    kept = int((old >= 0).sum())
    one_cell = state.plan["cells"] == 1 and (state.manifest["settings"]["exact"] or cell_count(len(old)) == 1)
    gone = len(state.corpus.embeddings) - kept
    return {"kept": kept, "encoded": len(old) - kept, "gone": gone, "searches_on": one_cell}


def plan(encoder: Encoder, work: Path, run: Path) -> dict[str, Any]:
    """Lay the corpus out as one cell, and search as far as the earlier run did."""
    state, embeddings = State.open(run, encoder.dim), Corpus.open(work / LEFT, encoder.dim).embeddings
    cells = Cells.build(embeddings, encoder.energy, work / CELLS, exact=True)
    queries = len(cells.order)
    facts = {**state.plan, "queries": queries, "block": max(QUERIES, -(-queries // MOST_BLOCKS))}
    facts["planned_for"] = state.plan.get("planned_for", state.plan["queries"])
    write_json(work / PLAN, facts)
    return {**facts, "blocks": 1}


def search(encoder: Encoder, work: Path, run: Path) -> dict[str, Any]:
    """What each row finds, as ``found/``."""
    state, old = State.open(run, encoder.dim), np.load(work / OLD_ROWS)
    facts, cells = read_json(work / PLAN), Cells.open(work / CELLS, encoder.energy)
    embeddings = Corpus.open(work / LEFT, encoder.dim).embeddings
    scope = Scope(facts["radius"] * encoder.margin, facts["reach"] * encoder.margin, facts["neighbours"])
    kept, disturbed = _kept(state, old, scope)
    asking = np.flatnonzero((old < 0) | disturbed)
    found = []
    for start in range(0, len(asking), QUERIES):
        queries = Queries.of_rows(cells, embeddings, asking[start : start + QUERIES])
        found.append(find(cells, embeddings, queries, embeddings, scope, probes=None))
    resting = (old >= 0) & ~disturbed
    near = [kept.take(resting[kept.left])]
    near += _among(cells, old < 0, resting, _wanted(near[0], len(old), scope), embeddings)
    found.append(_nearest(RowPairs.concat(near), scope))
    pairs = RowPairs.concat(found)
    rows = np.empty(len(pairs), FOUND_TYPE)
    rows["left"], rows["right"], rows["distance"] = pairs.left, pairs.right, pairs.distances
    save_array(work / FOUND / "000000.npy", rows)
    return {"pairs": len(pairs), "asked": int((old < 0).sum()), "asked_again": int(disturbed.sum())}


def score(encoder: Encoder, work: Path, run: Path, threshold: Threshold) -> dict[str, Any]:
    """Scores of all candidates, as ``scores/``: those that the earlier run gave where it looked at the same two contents."""
    state, old = State.open(run, encoder.dim), np.load(work / OLD_ROWS)
    judge, corpus = (
        proposing.planned_judge(encoder, threshold, read_json(work / PLAN)),
        Corpus.open(work / LEFT, encoder.dim),
    )
    pairs = proposing.looked_at(work)
    scores = np.full(len(pairs), np.nan)
    before, known = state.scored
    n = max(len(state.corpus.embeddings), 1)
    keys = before.left * n + before.right
    order = np.argsort(keys)
    keys, known = keys[order], known[order]
    left, right = old[pairs.left], old[pairs.right]
    # A pair that comes the other way round is scored again: the verifier's last digits may depend on it.
    asked = np.flatnonzero((left >= 0) & (left < right))
    if len(keys):
        wanted = left[asked] * n + right[asked]
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        same = keys[place] == wanted
        scores[asked[same]] = known[place[same]]
    fresh = np.flatnonzero(np.isnan(scores))
    for start in range(0, len(fresh), SCORED_PAIRS):
        here = fresh[start : start + SCORED_PAIRS]
        some = pairs.take(here)
        apart = encoder.margin_distance(some.distances)
        scores[here] = judge.score_rows(apart, corpus.contents, some.left, corpus.contents, some.right)
    save_array(work / SCORES / "000000.npy", scores)
    write_json(work / LOOKED / proposing.FACTS, {"block": max(len(pairs), 1)})
    return {"pairs": len(pairs), "scored": len(fresh)}


def _kept(state: State, old: NDArray[np.int64], scope: Scope) -> tuple[RowPairs, NDArray[np.bool_]]:
    """What rows found in the earlier run and is still there, in rows of now; (n,) which of the rows have to ask again.

    What a row found is all within the radius, and beyond it the nearest. So where it found fewer than the number of nearest, it
    found all that there is; and where as many are left, the nearest are among them.
    """
    new = np.full(len(state.corpus.embeddings), -1, np.int64)
    new[old[old >= 0]] = np.flatnonzero(old >= 0)
    found = state.found
    left, right = new[found["left"]], new[found["right"]]
    asks = left >= 0
    left, right, distances = left[asks], right[asks], found["distance"][asks]
    there = right >= 0
    before, after = (np.bincount(each, minlength=len(old)) for each in (left, left[there]))
    disturbed = (before >= scope.neighbours) & (after < np.minimum(before, scope.neighbours))
    return RowPairs(left[there], right[there], distances[there]), disturbed


def _wanted(kept: RowPairs, n: int, scope: Scope) -> NDArray[np.float32]:
    """(n,) distance beyond which a new row is no candidate of each: the radius or, where that is more, that of the last of its nearest."""
    wanted = np.full(n, scope.farthest, np.float32)
    if scope.neighbours and len(kept):
        order = np.lexsort((kept.distances, kept.left))
        left, distances = kept.left[order], kept.distances[order]
        last = np.minimum(np.searchsorted(left, np.arange(n)) + scope.neighbours - 1, len(left) - 1)
        has = left[last] == np.arange(n)
        wanted[has] = np.maximum(distances[last[has]], np.float32(scope.radius))
    return wanted


def _among(
    cells: Cells,
    fresh: NDArray[np.bool_],
    resting: NDArray[np.bool_],
    wanted: NDArray[np.float32],
    embeddings: Embeddings,
) -> list[RowPairs]:
    """What the resting rows find among the new ones."""
    found = []
    asking, new = (np.flatnonzero(which[cells.order]) for which in (resting, fresh))
    for start in range(0, len(asking), QUERY_ROWS):
        query = asking[start : start + QUERY_ROWS]
        vectors = cells.vectors[torch.from_numpy(query)]
        least = least_likeness(wanted[cells.order[query]], cells.energy, embeddings.dim).astype(np.float32)
        for first in range(0, len(new), QUERY_ROWS):
            some = new[first : first + QUERY_ROWS]
            alike = likeness(vectors, cells.vectors[torch.from_numpy(some)], cells.energy)
            row, column = np.divmod(np.flatnonzero(reaches(alike, least)), len(some))
            left, right = cells.order[query[row]], cells.order[some[column]]
            apart = measure(embeddings, left, embeddings, right, cells.energy)
            near = apart <= wanted[left]
            found.append(RowPairs(left[near], right[near], apart[near]))
    return found


def _nearest(pairs: RowPairs, scope: Scope) -> RowPairs:
    """Of what rows found in two parts of a corpus, what they find in the whole."""
    if not scope.neighbours:
        return pairs
    order = np.lexsort((pairs.right, pairs.distances, pairs.left))
    pairs = pairs.take(order)
    rank = np.arange(len(pairs)) - np.searchsorted(pairs.left, pairs.left)
    return pairs.take((pairs.distances <= scope.radius) | (rank < scope.neighbours))
