"""Stages: the steps of a run, each from files to files, so that a flow passes paths and not arrays."""

import resource
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pipeline import cold_start, embedding, proposing
from pipeline.assignment import expected_right, of_winners, one_to_one
from pipeline.bonds import Bonds
from pipeline.candidates import Candidates
from pipeline.certificate import Certificate
from pipeline.clustering import cluster_records
from pipeline.decision import Threshold, region_of
from pipeline.embedding import read_corpus
from pipeline.evaluation import evaluate_run, where_lost
from pipeline.fields import Fields, fields_of
from pipeline.identity import NEXT_ID, carry_ids
from pipeline.index import IndexKind
from pipeline.indexing import MODEL, index_corpus
from pipeline.matching import PairWriter
from pipeline.opening import load_encoder
from pipeline.reasons import Reasons
from pipeline.records import Records, conformed
from pipeline.report import headline as headline
from pipeline.report import write_report
from pipeline.rules import GoldenRules
from pipeline.runfiles import CLUSTERS
from pipeline.survivorship import write_golden
from pipeline.tables import DISTINCT
from pipeline.thresholds import Truth, write_thresholds
from siamese.components import components
from siamese.encoder import SiameseEncoder
from siamese.errors import SiameseError
from siamese.folders import (
    MANIFEST,
    OWN,
    Place,
    edited_folder,
    read_json,
    write_json,
    write_manifest,
)
from siamese.prior import Histogram

UNIQUE, SUMMARY = "unique.parquet", "summary.json"
FACTS, GROUPS, IS_TRUE = "facts.json", "groups.npy", "is-true.npy"  # between stages only


def first_model(records: Sequence[Records], out: Path) -> None:
    """Write the model that there is before any label."""
    with tempfile.TemporaryDirectory(prefix="siamese-") as folder:
        cold_start.first_model(records, Path(folder)).save(out)


def read(model: str, records: str, id_column: str, folder: Path) -> dict[str, Any]:
    """A corpus to ``ids.parquet`` and ``contents/`` in a folder."""
    shutil.rmtree(folder / embedding.CONTENTS, ignore_errors=True)  # of a run that was killed meanwhile
    schema = load_encoder(model).schema
    return read_corpus(schema, Records.open(records, id_column, schema.also), folder)


def embed_block(model: str, folder: Path, number: int) -> dict[str, Any]:
    """The embeddings of one shard of contents."""
    with one_thread():
        return embedding.embed_block(load_encoder(model), folder, number)


def build_index(model: str, folder: Path, kind: str = "auto") -> dict[str, Any]:
    """The index of an embedded corpus, beside it."""
    index = index_corpus(load_encoder(model), folder, IndexKind(kind))
    write_json(folder / FACTS, index.describe())
    return index.describe()


def complete_index(model: str, folder: Path) -> dict[str, Any]:
    """Add a copy of the model, so that the index folder can be queried wherever it goes; what its manifest says."""
    shutil.copytree(model, folder / MODEL)
    facts = read_json(folder / FACTS)
    (folder / FACTS).unlink()
    (folder / embedding.DIGESTS).unlink()
    return {"index": facts, "model": load_encoder(model).fingerprint}


def prepare(model: str, work: Path, exact: bool = False) -> dict[str, Any]:
    """Count words, and how many blocks there are to spell and to share."""
    return proposing.prepare(load_encoder(model), work, exact=exact)


def spell_block(model: str, work: Path, number: int) -> dict[str, Any]:
    """Spellings of one shard of contents."""
    return proposing.spell_block(load_encoder(model), work, number)


def share_block(model: str, work: Path, threshold: Threshold, number: int) -> dict[str, Any]:
    """Candidates of the buckets of one band."""
    with one_thread():
        return proposing.share_block(load_encoder(model), work, threshold, number)


def propose(model: str, work: Path, threshold: Threshold, exact: bool = False) -> dict[str, Any]:
    """Plan how far to search, and part the searched side into cells where they are worth it."""
    return proposing.plan(load_encoder(model), work, threshold, exact=exact)


def search_block(model: str, work: Path, number: int) -> dict[str, Any]:
    """Candidates of one block of queries."""
    with one_thread():
        return proposing.search_block(load_encoder(model), work, number)


def gather(model: str, work: Path) -> dict[str, Any]:
    """The candidates of all blocks, each once."""
    return proposing.gather(load_encoder(model), work)


def glance(model: str, work: Path, threshold: Threshold) -> dict[str, Any]:
    """Settle which candidates are let go by at a glance."""
    with one_thread():
        return proposing.glance(load_encoder(model), work, threshold)


def score_block(model: str, work: Path, threshold: Threshold, number: int) -> dict[str, Any]:
    """Scores of one block of candidates."""
    with one_thread():
        return proposing.score_block(load_encoder(model), work, threshold, number)


def match(model: str, run: Path, work: Path, threshold: Threshold) -> dict[str, Any]:
    """Decide about the scored candidates, and write ``pairs.parquet``, ``beyond.parquet`` and ``certificate.json``."""
    encoder, plan = load_encoder(model), read_json(work / proposing.PLAN)
    judge, sides = proposing.planned_judge(encoder, threshold, work), proposing.Sides(encoder, work)
    left_corpus, right_corpus = sides.left, sides.right
    looked_at, scores = proposing.looked_at(work), proposing.scores_of(work)
    let_by, sample = int(np.isinf(scores).sum()), proposing.let_by_sample(work)
    scores = judge.among(scores, looked_at.ends, looked_at.ends, scores)
    candidates = Candidates.of(looked_at, scores, judge.cut)
    calibration, horizon, worth = judge.calibration, judge.cut, None
    if threshold.one_to_one and right_corpus is not None:
        # A pair that loses to a better one is no candidate, here and among the evidence.
        candidates = candidates.of_records(left_corpus, right_corpus)
        worth = expected_right(calibration, candidates.scores)
        standing = one_to_one(candidates.pairs, np.ones(len(worth), bool), worth)
        calibration = of_winners(calibration)
        scores = candidates.scores[standing]
    elif judge.verifier is not None and (len(sample) or not let_by):  # else the state of a version that kept no sample
        horizon = max(judge.cut, region_of(calibration))
    histogram = Histogram.of(scores, horizon, let_by, sample)
    decision = threshold.decide(calibration, histogram, judge.cut)
    judgement = decision.judge(candidates.scores)
    if worth is not None:
        judgement = replace(judgement, is_match=one_to_one(candidates.pairs, judgement.is_match, worth))
    # One-to-one ties records, not contents.
    sizes = [len(c.ids if worth is not None else c.embeddings) for c in (left_corpus, right_corpus) if c is not None]
    left_rows, right_rows = candidates.pairs.left, candidates.pairs.right + sum(sizes[:-1])
    tied = judgement.is_match
    group = components(left_rows[tied], right_rows[tied], sum(sizes))
    equal = float(encoder.calibration.probability(0.0, decision.imposite_weight))  # of records with the same content
    if right_corpus is None:  # across two corpora, pairs of one side are no candidates
        bonds = Bonds(left_rows, right_rows, judgement.probability, tied)
        reasons = Reasons.of(group, bonds, equal, decision.least_mean)
        reasons.save(work)
        group = reasons.group
        if threshold.is_free:  # else what was asked for is of pairs one by one
            judgement = replace(judgement, is_match=tied & (group[left_rows] == group[right_rows]))
    with PairWriter(run, encoder, left_corpus, right_corpus) as writer:
        if right_corpus is None:
            writer.write_equal_contents(equal)
        if worth is not None:
            writer.write_records(candidates.pairs, judgement)
        else:
            writer.write(candidates.pairs, judgement)
    candidates.refused.write(run, encoder, left_corpus, right_corpus, decision)
    certificate = Certificate.of(threshold, judge, decision, histogram, encoder.fingerprint, plan)
    certificate.write(run)
    np.save(work / GROUPS, group)
    return {
        "pairs": writer.pairs,
        "matches": writer.matches,
        "review": writer.review,
        "expected_precision": writer.expected / writer.matches if writer.matches else None,
        "looked_at": candidates.looked_at,
        "let_by": let_by,
        **decision.describe(judge),
        **certificate.headline(),
    }


def cluster(
    model: str, run: Path, work: Path, records: Records, one_to_one_only: bool = False, previous: Path | None = None
) -> dict[str, Any]:
    """Write ``clusters.parquet`` and, for one corpus, ``unique.parquet``, ``dropped.parquet`` and ``parted.parquet``; with a previous run,
    whose ids go on, ``changes.parquet`` too."""
    encoder = load_encoder(model)
    sides = proposing.Sides(encoder, work)
    right, corpora = sides.right, [each for each in (sides.left, sides.right) if each is not None]
    clusters = cluster_records(encoder, corpora, np.load(work / GROUPS), of_records=one_to_one_only)
    table = clusters.table(pa.concat_arrays([corpus.ids for corpus in corpora]))
    if right is not None:
        side = np.repeat(["left", "right"], [len(corpus.ids) for corpus in corpora])
        table = table.append_column("side", pa.array(side))
    identities: dict[str, Any] = {NEXT_ID: int(clusters.cluster_id.max(initial=-1)) + 1}
    if previous is not None:
        table, identities = carry_ids(table, previous, run)
        clusters = replace(clusters, cluster_id=table["cluster_id"].to_numpy())
    reasons: dict[str, Any] = {}
    if right is None:
        columns, reasons = Reasons.load(work).write(run, sides.left, clusters)
        for name, column in columns.items():
            table = table.append_column(name, column)
        _write_unique(records, clusters.is_representative, run / UNIQUE)
    pq.write_table(table, run / CLUSTERS, **DISTINCT)
    return {
        "clusters": int((clusters.is_representative & (clusters.size > 1)).sum()),
        "duplicates": int((~clusters.is_representative).sum()),
        "largest_cluster": int(clusters.size.max()),
        **identities,
        **reasons,
    }


def golden(run: Path, records: Records, rules: GoldenRules) -> dict[str, Any]:
    """Write ``golden.parquet`` and ``lineage.parquet``."""
    return write_golden(run, records, rules)


def _write_unique(records: Records, kept: np.ndarray, path: Path) -> None:
    schema, start = records.schema(), 0
    with pq.ParquetWriter(path, schema, **DISTINCT) as writer:
        for batch in records.batches():
            chosen = batch.filter(pa.array(kept[start : start + batch.num_rows]))
            start += batch.num_rows
            writer.write_table(conformed(chosen, schema))


def evaluate(model: str, run: Path, truth: str, work: Path, threshold: Threshold) -> dict[str, Any]:
    """The run against a complete list of true pairs, and where those that it missed were lost."""
    encoder = load_encoder(model)
    sides = proposing.Sides(encoder, work)
    left, right = (None if side is None else pd.Index(side.ids.to_pandas()) for side in (sides.left, sides.right))
    clusters = pq.read_table(run / CLUSTERS, columns=["cluster_id"])["cluster_id"].to_numpy()
    scores, missed, is_true = evaluate_run(run, truth, left, right, clusters)
    np.save(work / IS_TRUE, is_true)
    judge = proposing.planned_judge(encoder, threshold, work)
    met = proposing.looked_at(work), proposing.scores_of(work)
    lost = where_lost(missed, encoder, judge, Certificate.read(run).limit, sides.left, sides.right, met)
    return {**scores, "recall_lost": lost}


@contextmanager
def one_thread() -> Iterator[None]:
    """Blocks are done side by side: within one, more threads than one would only get in each other's way. The last block that ends gives
    back what the first one found."""
    with _ALONE.lock:
        if _ALONE.blocks == 0:
            _ALONE.threads = torch.get_num_threads()
        _ALONE.blocks += 1
    torch.set_num_threads(1)
    try:
        yield
    finally:
        with _ALONE.lock:
            _ALONE.blocks -= 1
            if _ALONE.blocks == 0:
                torch.set_num_threads(_ALONE.threads)


@dataclass
class _Alone:
    """Blocks that are being done in this process, and the threads that torch had before the first."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    blocks: int = 0
    threads: int = 1


_ALONE = _Alone()


def timed(function: Callable[..., dict[str, Any]], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """What a stage gives, with the seconds that it took and the process's peak memory so far."""
    started = time.perf_counter()
    result = function(*args, **kwargs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {**result, "seconds": round(time.perf_counter() - started, 3), "peak_mb": peak}


def write_summary(
    model: str, run: Path, summary: dict[str, Any], left: Records, right: Records | None, work: Path
) -> dict[str, Any]:
    """Write ``thresholds.parquet``, ``summary.json`` and ``report.html``."""
    truth = None
    if summary["evaluation"]:
        truth = Truth(np.load(work / IS_TRUE), summary["evaluation"]["pairs"]["true_pairs"])
    write_thresholds(run, summary["min_probability"], summary["one_to_one"], truth)
    write_json(run / SUMMARY, summary)
    write_report(run, left, right, load_encoder(model))
    return {}


def fetch_records(records: Records, ids: set[str]) -> dict[str, Fields]:
    """The fields, as text, of a few records."""
    wanted = pa.array(sorted(ids), pa.large_string())
    found: dict[str, Fields] = {}
    for batch in records.batches():
        found |= fields_of(batch, records.id_column, wanted)
        if len(found) == len(ids):
            break
    return found


def records_of(source: Mapping[str, Any], manifest: Mapping[str, Any]) -> Records:
    """One of the ``inputs`` of a run's manifest, as the run read it. Raises as :meth:`pipeline.records.Records.open`."""
    return Records.open(source["path"], manifest["settings"]["id_column"], source.get("also"))


def count_rows(path: Path) -> int:
    return pq.ParquetFile(path).metadata.num_rows


def rewrite_report(place: Place) -> None:
    """Write ``report.html`` again from the files of a run and its corpus.

    Raises:
        ArtifactError: the run is damaged; DataError: its records are gone.
    """
    with edited_folder(place, "run") as run:
        manifest = read_json(run / MANIFEST)
        sources = [records_of(each, manifest) for each in manifest["inputs"]]
        write_report(run, sources[0], sources[1] if len(sources) > 1 else None, _encoder_of(run, manifest["model"]))
        said = {name: each for name, each in manifest.items() if name not in OWN}
        write_run_manifest(run, said, names=manifest["files"])


def write_run_manifest(
    run: Path, content: dict[str, Any], names: Iterable[str] | None = None, base: Path | None = None
) -> None:
    """The manifest of a run, whose fingerprint does not change when its report is written again."""
    write_manifest(run, "run", content, unsigned=frozenset({"report.html"}), names=names, base=base)


def _encoder_of(run: Path, fingerprint: str) -> SiameseEncoder | None:
    """The model of a run where it still is; None where it is not, or is another by now."""
    try:
        encoder = load_encoder(read_json(run / SUMMARY)["model"])
    except SiameseError:
        return None
    return encoder if encoder.fingerprint == fingerprint else None
