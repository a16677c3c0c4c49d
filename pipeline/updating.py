"""Updating: the candidates of a corpus that has changed since an earlier run, from that run's state, as far as it searched.

- A row that is new is compared with all others, or with those of its buckets where these are enough.
- A row that was there keeps what it found, less what is gone, and looks among the new rows only: its nearest are the nearest of the two.
- A row that has lost one of its nearest, so that another may come up from beyond what it kept, asks again.

Of a corpus in one cell, where all is compared with all, the candidates are those of a run from scratch. In a larger one, whose candidates
are estimates of these, the rows that were there have what buckets and cells found then, and do not ask again. Where buckets were enough,
what is new has those of buckets as great as were taken then; else it is found surer than from scratch. Where much is new, or the corpus
has outgrown its plan, candidates are sought from scratch. Either way a content that was embedded, and a pair that was scored, is not again.

Each step works from files to files in the run's work folder, as those of :mod:`pipeline.proposing` do, which go on from there.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import proposing
from pipeline.buckets import Sizes, pairs_of_rows
from pipeline.carrying import carry_on
from pipeline.cells import cell_count
from pipeline.contents import Contents
from pipeline.decision import Threshold
from pipeline.embedding import (
    CONTENTS,
    DIGESTS,
    EMBEDDINGS,
    Corpus,
    Embeddings,
    Encoder,
    measure,
    near,
    save_array,
    save_blocks,
)
from pipeline.proposing import (
    BUCKETS,
    COLUMNS,
    COUNTS,
    FOUND,
    GLANCE,
    LEFT,
    LET_BY,
    MOST_BLOCKS,
    PLAN,
    POOL,
    QUERIES,
    SCORED_PAIRS,
    SPELLED,
)
from pipeline.rowpairs import RowPairs
from pipeline.search import Scope, farthest_neighbour, nearest, search_exactly, within_scope
from pipeline.spelled import Spelled
from pipeline.state import POOL_ROWS, State
from siamese.folders import link, read_json, write_json
from siamese.spellings import BANDS, WORDS, spell
from siamese.threads import side_by_side

COMPARED_ON = 4096  # rows that may be new: to compare so many with all takes as long as to seek candidates from scratch
SHARED_ON = 0.2  # of the rows, how many may be new where buckets are enough
OUTGROWN = 1.5  # times the rows that a plan was made for
COPIED = 4096  # embeddings at once
OLD_ROWS = "old_rows.npy"  # (n,) of each row of the corpus: its row in the earlier run, -1 where it is new


def embed(encoder: Encoder, work: Path, run: Path) -> dict[str, Any]:
    """Embeddings of a corpus that was read: those of the earlier run where it has the content, and of all others fresh ones."""
    state, folder = State.open(run, encoder.dim), work / LEFT
    old = state.rows_of(np.load(folder / DIGESTS))
    save_array(work / OLD_ROWS, old)
    _embed(encoder, Contents.open(folder / CONTENTS), state.corpus, old, folder / EMBEDDINGS)
    kept = int((old >= 0).sum())
    encoded, gone = len(old) - kept, len(state.corpus.embeddings) - kept
    searches_on = _searches_on(state, encoded, len(old))
    if searches_on and state.sizes is not None:
        for name in (BUCKETS, COUNTS):
            _link_anew(state.folder / name, work / name)
        _spell(encoder, Contents.open(folder / CONTENTS), state, old, folder / SPELLED)
    return {"kept": kept, "encoded": encoded, "gone": gone, "searches_on": searches_on}


def _embed(encoder: Encoder, contents: Contents, before: Corpus, old: NDArray[np.int64], folder: Path) -> None:
    known = before.embeddings

    def write(path: Path, rows: NDArray[np.int64]) -> None:
        new = rows[old[rows] < 0]
        fresh = encoder.encode(contents.take(new)) if len(new) else None
        save_blocks(path, (len(rows), encoder.dim), _filled(known, old[rows], fresh))

    carry_on(known, before.folder / EMBEDDINGS, old, folder, write)


def _spell(encoder: Encoder, contents: Contents, state: State, old: NDArray[np.int64], folder: Path) -> None:
    known, counts = state.spelled, np.load(state.folder / COUNTS)

    def write(path: Path, rows: NDArray[np.int64]) -> None:
        is_new = old[rows] < 0
        block = np.empty((BANDS, len(rows), WORDS), np.uint32)
        block[:, ~is_new] = known.take(old[rows[~is_new]])
        block[:, is_new] = spell(contents.take(rows[is_new]), encoder.schema, counts)
        save_array(path, block)

    carry_on(known, state.folder / LEFT / SPELLED, old, folder, write)


def _filled(
    known: Embeddings, rows: NDArray[np.int64], fresh: NDArray[np.float32] | None
) -> Iterator[NDArray[np.float32]]:
    """The known embeddings of some rows, block by block; in the place of each row -1 the next fresh one."""
    for start in range(0, len(rows), COPIED):
        here = rows[start : start + COPIED]
        block = known.take(np.maximum(here, 0)) if len(known) else np.empty((len(here), known.dim), np.float32)
        is_new = here < 0
        if fresh is not None and is_new.any():
            count = int(is_new.sum())
            block[is_new], fresh = fresh[:count], fresh[count:]
        yield block


def _searches_on(state: State, fresh: int, rows: int) -> bool:
    """Whether the earlier run's search is gone on with."""
    if state.plan["cells"] == 1:
        return bool(state.manifest["settings"]["exact"]) or cell_count(rows) == 1
    return rows <= OUTGROWN * _planned_for(state) and fresh <= (
        COMPARED_ON if state.sizes is None else SHARED_ON * rows
    )


def _planned_for(state: State) -> int:
    return int(state.plan.get("planned_for", state.plan["queries"]))


def propose(encoder: Encoder, work: Path, run: Path) -> dict[str, Any]:
    """Search as far as the earlier run did."""
    state = State.open(run, encoder.dim)
    queries = len(Corpus.open(work / LEFT, encoder.dim).embeddings)
    facts = {**state.plan, "queries": queries, "block": max(QUERIES, -(-queries // MOST_BLOCKS))}
    facts["planned_for"] = _planned_for(state)
    write_json(work / PLAN, facts)
    return {**facts, "blocks": 1}


def search(encoder: Encoder, work: Path, run: Path) -> dict[str, Any]:
    """What each row finds, as ``found/``; of a large corpus what the new ones do, and what the earlier run had found beyond its pool."""
    state, old = State.open(run, encoder.dim), np.load(work / OLD_ROWS)
    facts, fresh = read_json(work / PLAN), np.flatnonzero(old < 0)
    embeddings = Corpus.open(work / LEFT, encoder.dim).embeddings
    scope, again = _scope(facts, encoder.margin), 0
    if facts["cells"] == 1:
        pairs, again = _among_all(encoder, state, embeddings, old, scope)
    else:
        beyond = _there(state.found, _new_rows(state, old)) if state.has_pool else RowPairs.concat([])
        if state.sizes is not None:
            found = _shared(encoder, work, embeddings, fresh, state.sizes, scope)
        elif facts["probes"] == 0:
            found = _compared(encoder, embeddings, fresh, scope)
        else:
            held = _held(encoder, state, embeddings, old)
            found = _met(encoder, embeddings, fresh, RowPairs.concat([held, held.turned()]), old >= 0, scope)
        pairs = RowPairs.concat([beyond, found])
    proposing.save_found(work / FOUND, 0, pairs)
    return {"pairs": len(pairs), "asked": len(fresh), "asked_again": again}


def _among_all(
    encoder: Encoder, state: State, embeddings: Embeddings, old: NDArray[np.int64], scope: Scope
) -> tuple[RowPairs, int]:
    """What each row finds in a corpus of one cell, and how many asked again."""
    kept, disturbed = _kept(state, old, scope)
    resting = (old >= 0) & ~disturbed
    met = _met(encoder, embeddings, np.flatnonzero(old < 0), kept, resting, scope)
    again = _compared(encoder, embeddings, np.flatnonzero(disturbed), scope)
    return nearest(RowPairs.concat([kept.take(resting[kept.left]), met, again]), scope), int(disturbed.sum())


def _met(
    encoder: Encoder,
    embeddings: Embeddings,
    fresh: NDArray[np.int64],
    known: RowPairs,
    resting: NDArray[np.bool_],
    scope: Scope,
) -> RowPairs:
    """What fresh rows find among all, and what those that are ``resting`` and have known pairs find among the fresh."""
    wanted = np.where(resting, _wanted(known, len(resting), scope), np.float32(0))
    pairs = _compared(encoder, embeddings, fresh, scope, wanted)
    return RowPairs.concat([pairs, pairs.take(resting[pairs.right]).turned()])


def _compared(
    encoder: Encoder,
    embeddings: Embeddings,
    asking: NDArray[np.int64],
    scope: Scope,
    wanted: NDArray[np.float32] | None = None,
) -> RowPairs:
    """What some rows find among all, with :func:`pipeline.search.search_exactly`."""
    blocks = [asking[start : start + QUERIES] for start in range(0, len(asking), QUERIES)]
    found = [search_exactly(embeddings, embeddings, some, encoder.energy, scope, wanted) for some in blocks]
    return RowPairs.concat(found)


def _shared(
    encoder: Encoder, work: Path, embeddings: Embeddings, fresh: NDArray[np.int64], sizes: list[Sizes], scope: Scope
) -> RowPairs:
    """Pairs of some rows and any others that share a bucket and are not too far apart."""
    spelled = Spelled.open(work / LEFT / SPELLED)

    def share(band: int) -> RowPairs:
        left, right = pairs_of_rows(spelled.band(band), fresh, sizes[band])
        some, apart = near(embeddings, left, embeddings, right, encoder.energy, scope.farthest)
        return RowPairs(left[some], right[some], apart)

    pairs = RowPairs.concat(list(side_by_side(share, range(len(sizes))))).once()
    return replace(pairs, distances=measure(embeddings, pairs.left, embeddings, pairs.right, encoder.energy))


def gather(encoder: Encoder, work: Path, run: Path) -> dict[str, Any]:
    """The candidates, as :func:`pipeline.proposing.gather` gives them."""
    facts = read_json(work / PLAN)
    if facts["cells"] == 1:
        return proposing.gather(encoder, work)
    state, old = State.open(run, encoder.dim), np.load(work / OLD_ROWS)
    embeddings = Corpus.open(work / LEFT, encoder.dim).embeddings
    found = proposing.found_in(work / FOUND)
    pairs = RowPairs.concat([_held(encoder, state, embeddings, old), found]).once()
    pairs = pairs.take(within_scope(pairs, _scope(facts, encoder.margin), len(old), both=True))
    _hand_on(state, work, _new_rows(state, old))
    return proposing.save_looked_at(work, pairs)


def _hand_on(state: State, work: Path, new: NDArray[np.int64]) -> None:
    """The pool of the earlier run, as it is, and where its rows are now."""
    pool, rows = state.pool
    if state.has_pool:
        (work / POOL).mkdir(exist_ok=True)
        for name in COLUMNS:
            _link_anew(state.folder / POOL / f"{name}.npy", work / POOL / f"{name}.npy")
    else:
        proposing.save_pool(work, pool)
    save_array(work / POOL_ROWS, np.where(rows >= 0, new[rows], -1))


def _link_anew(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)  # of a run that was killed meanwhile
    link(source, target)


def score(encoder: Encoder, work: Path, run: Path, threshold: Threshold) -> dict[str, Any]:
    """Scores of all candidates, as ``scores/``: those that the earlier run gave where it looked at the same two contents."""
    state, old = State.open(run, encoder.dim), np.load(work / OLD_ROWS)
    if state.glance is not None:
        write_json(work / GLANCE, state.glance)
        save_array(work / LET_BY, proposing.let_by_sample(state.folder))
    judge = proposing.planned_judge(encoder, threshold, work)
    corpus = Corpus.open(work / LEFT, encoder.dim)
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
        same = keys[place] == wanted  # inf too: what the earlier run held for not worth a second look is not now
        scores[asked[same]] = known[place[same]]
    order = proposing.order_of(work, len(pairs))
    fresh = order[np.isnan(scores[order])]
    for start in range(0, len(fresh), SCORED_PAIRS):
        here = fresh[start : start + SCORED_PAIRS]
        some = pairs.take(here)
        apart = encoder.margin_distance(some.distances)
        scores[here] = judge.score_rows(apart, corpus.contents, some.left, corpus.contents, some.right)
    proposing.save_scores(work, scores)
    return {"pairs": len(pairs), "scored": len(fresh)}


def _scope(facts: dict[str, Any], margin: float) -> Scope:
    return Scope(facts["radius"] * margin, facts["reach"] * margin, facts["neighbours"])


def _kept(state: State, old: NDArray[np.int64], scope: Scope) -> tuple[RowPairs, NDArray[np.bool_]]:
    """What rows found in the earlier run and is still there, in rows of now; (n,) which of the rows have to ask again.

    What a row found is all within the radius, and beyond it the nearest. So where it found fewer than the number of nearest, it
    found all that there is; and where as many are left, the nearest are among them.
    """
    new, found = _new_rows(state, old), state.found
    asks = new[found.left] >= 0
    there = _there(found, new)
    before = np.bincount(new[found.left[asks]], minlength=len(old))
    after = np.bincount(there.left, minlength=len(old))
    return there, (before >= scope.neighbours) & (after < np.minimum(before, scope.neighbours))


def _held(encoder: Encoder, state: State, embeddings: Embeddings, old: NDArray[np.int64]) -> RowPairs:
    """Of a large corpus, what the earlier run held and may be a candidate now, in rows of now, measured: what was one, and all that it
    held of the rows that have lost one. The nearest of all others are among their candidates."""
    new, (looked, _) = _new_rows(state, old), state.scored
    left, right = new[looked.left], new[looked.right]
    has_lost = np.zeros(len(old), bool)
    for rows, others in ((left, right), (right, left)):
        has_lost[rows[(rows >= 0) & (others < 0)]] = True
    pairs = _there(looked, new)
    if not has_lost.any():
        return pairs
    pool, rows = state.pool
    now = np.where(rows >= 0, new[rows], -1)
    asks = np.append(has_lost, False)[now]  # the last is of those that are gone
    pool = _there(pool.take(np.flatnonzero(asks[pool.left] | asks[pool.right])), now)
    apart = measure(embeddings, pool.left, embeddings, pool.right, encoder.energy)
    again = _there(state.found, new) if state.has_pool else pool.take(slice(0))
    return RowPairs.concat([pairs, replace(pool, distances=apart), again]).once()


def _there(pairs: RowPairs, new: NDArray[np.int64]) -> RowPairs:
    """Pairs of rows of the earlier run, in rows of now: those of which both are still there."""
    left, right = new[pairs.left], new[pairs.right]
    there = (left >= 0) & (right >= 0)
    return RowPairs(left[there], right[there], pairs.distances[there])


def _new_rows(state: State, old: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row of now of each row of the earlier run, -1 where its content is gone."""
    new = np.full(len(state.corpus.embeddings), -1, np.int64)
    new[old[old >= 0]] = np.flatnonzero(old >= 0)
    return new


def _wanted(kept: RowPairs, n: int, scope: Scope) -> NDArray[np.float32]:
    """(n,) distance beyond which a new row is no candidate of each: the radius or, where that is more, that of the last of its nearest."""
    if not scope.neighbours:
        return np.full(n, scope.farthest, np.float32)
    last = farthest_neighbour(kept.left, kept.distances, n, scope.neighbours, few=scope.farthest)
    return np.maximum(last, np.float32(scope.radius))
