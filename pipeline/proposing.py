"""Proposing: the candidates of a run, from cells to scores, each step from files to files in the run's work folder.

Blocks of queries and of candidates are done by anyone who sees the folder, in any order and more than once, with the same outcome.

    left/, right/     embedded corpora (right: of a link)
    cells/            the searched side, parted: the smaller one, or the only one
    plan.json         how far to search, and what that finds
    found/            a file a block of queries: pairs of rows
    looked/           all of them, each pair once, and how many make a block
    scores/           a file a block of those
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.cells import Cells
from pipeline.decision import Threshold
from pipeline.embedding import Corpus, Encoder, save_array
from pipeline.judging import Judge
from pipeline.rowpairs import RowPairs
from pipeline.search import Queries, Scope, search
from pipeline.survey import Survey
from siamese.folders import read_json, write_json

LEFT, RIGHT, CELLS, PLAN, FOUND, LOOKED, SCORES = "left", "right", "cells", "plan.json", "found", "looked", "scores"
FACTS = "facts.json"
QUERIES = 65_536  # of a block, at least
MOST_BLOCKS = 32  # of queries: with few queries in a block, few of them look into the same cell
SCORED_PAIRS = 131_072  # of a block: the profiles of all its records are in memory together
FOUND_TYPE = np.dtype([("left", np.int64), ("right", np.int64), ("distance", np.float32)])


class Sides:
    """The corpora of a run.

    Attributes:
        left, right: right is None where one corpus is compared with itself.
        searched, asking: whose rows are found, and for which; the same object for one corpus.
    """

    def __init__(self, encoder: Encoder, work: Path) -> None:
        self.left = Corpus.open(work / LEFT, encoder.dim)
        self.right = Corpus.open(work / RIGHT, encoder.dim) if (work / RIGHT).is_dir() else None
        other = self.right or self.left
        by_left = len(self.left.embeddings) > len(other.embeddings)  # the larger side asks
        self.asking, self.searched = (self.left, other) if by_left or self.right is None else (other, self.left)

    @property
    def asks_itself(self) -> bool:
        return self.right is None


def part(encoder: Encoder, work: Path, *, exact: bool = False) -> dict[str, Any]:
    """Part the searched side into cells."""
    cells = Cells.build(Sides(encoder, work).searched.embeddings, encoder.energy, work / CELLS, exact=exact)
    return {"cells": len(cells), "rows": len(cells.order)}


def plan(encoder: Encoder, work: Path, threshold: Threshold) -> dict[str, Any]:
    """Survey the corpus and settle how far to search.

    What was asked for by distance, or as a recall, is searched as far as it says; else not farther than it is worth.
    """
    sides, cells, judge = Sides(encoder, work), Cells.open(work / CELLS, encoder.energy), threshold.judge(encoder)
    scope = Scope(judge.radius * encoder.margin, judge.candidate_distance * encoder.margin, judge.neighbours)
    survey = Survey.of(cells, sides.searched.embeddings, sides.asking.embeddings, scope)
    scores, labels = encoder.calibration.evidence.arrays
    genuine = np.sort(scores[labels == 1]) * encoder.margin
    narrowed = scope
    if threshold.max_distance is None and threshold.min_recall is None:
        narrowed = survey.narrow(scope, genuine)
    probes, recall = survey.probes(genuine, len(cells), len(cells.order) / len(cells))
    queries = len(cells.order) if sides.asks_itself else len(sides.asking.embeddings)
    facts = {
        "cells": len(cells),
        "probes": probes,
        "recall": recall,
        "sample": survey.asked,
        **{name: value / encoder.margin for name, value in asdict(narrowed).items() if name != "neighbours"},
        "neighbours": narrowed.neighbours,
        "queries": queries,
        "block": max(QUERIES, -(-queries // MOST_BLOCKS)),
    }
    write_json(work / PLAN, facts)
    return {**facts, "blocks": -(-queries // facts["block"])}


def planned_judge(encoder: Encoder, threshold: Threshold, facts: dict[str, Any]) -> Judge:
    """What scores the candidates, as far as the plan searches."""
    judge = threshold.judge(encoder)
    if judge.verifier is None:
        return replace(judge, radius=facts["radius"], candidate_distance=facts["radius"], cut=facts["radius"])
    return replace(judge, radius=facts["radius"], candidate_distance=max(facts["radius"], facts["reach"]))


def search_block(encoder: Encoder, work: Path, number: int) -> dict[str, Any]:
    """Search for one block of queries."""
    facts, sides, cells = read_json(work / PLAN), Sides(encoder, work), Cells.open(work / CELLS, encoder.energy)
    start, stop = number * facts["block"], min((number + 1) * facts["block"], facts["queries"])
    if sides.asks_itself:
        queries = Queries.of_cells(cells, start, stop)
    else:
        queries = Queries.of_rows(cells, sides.asking.embeddings, np.arange(start, stop))
    scope = Scope(facts["radius"] * encoder.margin, facts["reach"] * encoder.margin, facts["neighbours"])
    pairs = search(cells, sides.searched.embeddings, queries, sides.asking.embeddings, scope, facts["probes"])
    found = np.empty(len(pairs), FOUND_TYPE)
    found["left"], found["right"], found["distance"] = pairs.left, pairs.right, pairs.distances
    save_array(work / FOUND / f"{number:06d}.npy", found)
    return {"pairs": len(pairs)}


def gather(encoder: Encoder, work: Path) -> dict[str, Any]:
    """All that was found, each pair once: left and right as in the run, ordered so that near records lie near each other."""
    sides, cells = Sides(encoder, work), Cells.open(work / CELLS, encoder.energy)
    found = [np.load(path) for path in sorted((work / FOUND).glob("*.npy"))]
    pairs = RowPairs.concat([RowPairs(each["left"], each["right"], each["distance"]) for each in found])
    if sides.asks_itself:
        pairs = pairs.once()
        place = np.empty(len(sides.searched.embeddings), np.int64)
        place[cells.order] = np.arange(len(cells.order))
        pairs = pairs.take(np.argsort(place[pairs.left], kind="stable"))
    elif sides.asking is not sides.left:
        pairs = pairs.turned()
    for name, column in (("left", pairs.left), ("right", pairs.right), ("distances", pairs.distances)):
        save_array(work / LOOKED / f"{name}.npy", column)
    write_json(work / LOOKED / FACTS, {"block": SCORED_PAIRS})
    return {"looked_at": len(pairs), "blocks": -(-len(pairs) // SCORED_PAIRS)}


def looked_at(work: Path) -> RowPairs:
    """What :func:`gather` wrote, mapped."""
    return RowPairs(*(np.load(work / LOOKED / f"{name}.npy", mmap_mode="r") for name in ("left", "right", "distances")))


def score_block(encoder: Encoder, work: Path, threshold: Threshold, number: int) -> dict[str, Any]:
    """Score one block of the candidates."""
    judge, sides = planned_judge(encoder, threshold, read_json(work / PLAN)), Sides(encoder, work)
    block = read_json(work / LOOKED / FACTS)["block"]
    pairs = looked_at(work).take(slice(number * block, (number + 1) * block))
    apart, right = encoder.margin_distance(pairs.distances), sides.right or sides.left
    scores = judge.score_rows(apart, sides.left.contents, pairs.left, right.contents, pairs.right)
    save_array(work / SCORES / f"{number:06d}.npy", scores)
    return {"pairs": len(scores)}


def scores_of(work: Path) -> NDArray[np.float64]:
    """(m,) scores of all candidates."""
    parts = [np.load(path) for path in sorted((work / SCORES).glob("*.npy"))]
    return np.concatenate(parts) if parts else np.empty(0)
