"""Runs that go on from another, beside runs from scratch: the same candidates, the same scores, the same bytes."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import carrying, cells, contents, embedding, proposing, rowpairs, stages, updating
from pipeline.buckets import pairs_of_rows
from pipeline.cells import Cells
from pipeline.decision import Threshold
from pipeline.embedding import DIGESTS, EMBEDDINGS, Corpus
from pipeline.rowpairs import RowPairs
from pipeline.search import Scope, within_scope
from pipeline.state import STATE, State, keep_state
from siamese.errors import ArtifactError
from siamese.folders import read_json, write_json, write_manifest
from siamese.spellings import spell
from tests.pipeline.fakes import FakeEncoder, embed

THRESHOLD = Threshold()


@pytest.fixture(params=[0, 1, 3], ids=["radius only", "nearest", "three nearest"])
def neighbours(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> FakeEncoder:
    fake = FakeEncoder(dim=5)
    monkeypatch.setattr(stages, "load_encoder", lambda model: fake)
    return fake


class Bench:
    """Runs of a changing corpus in a folder."""

    def __init__(self, folder: Path, encoder: FakeEncoder, neighbours: int) -> None:
        self.folder, self.encoder, self.number = folder, encoder, 0
        self.facts = {"cells": 1, "probes": 1, "radius": 0.25, "reach": 0.9, "neighbours": neighbours}

    def work(self, frame: pd.DataFrame) -> Path:
        self.number += 1
        work = self.folder / f"work{self.number}"
        work.mkdir(parents=True)
        self.records = work / "records.parquet"
        frame.to_parquet(self.records)
        return work

    def scratch(self, frame: pd.DataFrame) -> Path:
        work = self.work(frame)
        embed(self.records, work / proposing.LEFT)
        vectors = Corpus.open(work / proposing.LEFT, self.encoder.dim).embeddings
        made = Cells.build(vectors, self.encoder.energy, work / proposing.CELLS)
        queries = len(made.order)
        write_json(work / proposing.PLAN, {**self.facts, "queries": queries, "block": max(queries, 1)})
        proposing.search_block(self.encoder, work, 0)
        proposing.gather(self.encoder, work)
        proposing.glance(self.encoder, work, THRESHOLD)
        proposing.score_block(self.encoder, work, THRESHOLD, 0)
        return self.kept(work)

    def shared(self, frame: pd.DataFrame) -> Path:
        """A run from scratch of what a plan takes for a large corpus."""
        work = self.work(frame)
        embed(self.records, work / proposing.LEFT)
        blocks = proposing.prepare(self.encoder, work)
        for number in range(blocks["spelled"]):
            proposing.spell_block(self.encoder, work, number)
        for number in range(blocks["shared"]):
            proposing.share_block(self.encoder, work, THRESHOLD, number)
        proposing.plan(self.encoder, work, THRESHOLD)
        write_json(work / proposing.PLAN, {**read_json(work / proposing.PLAN), **self.facts, "cells": 2, "probes": 0})
        proposing.gather(self.encoder, work)
        proposing.glance(self.encoder, work, THRESHOLD)
        proposing.score_block(self.encoder, work, THRESHOLD, 0)
        return self.kept(work)

    def update(self, frame: pd.DataFrame, run: Path) -> Path:
        work = self.work(frame)
        stages.read("m", str(self.records), "record_id", work / proposing.LEFT)
        self.said = updating.embed(self.encoder, work, run)
        updating.propose(self.encoder, work, run)
        self.said |= updating.search(self.encoder, work, run)
        updating.gather(self.encoder, work, run)
        self.said |= updating.score(self.encoder, work, run, THRESHOLD)
        return self.kept(work)

    def sought(self, frame: pd.DataFrame, run: Path) -> Path:
        """An update of a large corpus that seeks its candidates from scratch."""
        work = self.work(frame)
        stages.read("m", str(self.records), "record_id", work / proposing.LEFT)
        updating.embed(self.encoder, work, run)
        vectors = Corpus.open(work / proposing.LEFT, self.encoder.dim).embeddings
        queries = len(Cells.build(vectors, self.encoder.energy, work / proposing.CELLS).order)
        write_json(work / proposing.PLAN, {**self.facts, "cells": 2, "queries": queries, "block": max(queries, 1)})
        proposing.search_block(self.encoder, work, 0)
        proposing.gather(self.encoder, work)
        self.said = updating.score(self.encoder, work, run, THRESHOLD)
        return self.kept(work)

    def kept(self, work: Path) -> Path:
        run = self.folder / f"run{self.number}"
        run.mkdir()
        keep_state(work, run)
        write_json(run / "manifest.json", {"settings": {"exact": False}})
        return run


def same(one: Path, other: Path) -> None:
    """The state of two runs, byte by byte: ids, contents, embeddings, digests, candidates and scores."""
    one, other = one / STATE, other / STATE
    (files, theirs), vectors = (_files(state) for state in (one, other)), [named(state)[0] for state in (one, other)]
    assert files == theirs and np.array_equal(*vectors)
    for file in files:
        if file.parts[0] == proposing.FOUND:  # in whatever order
            assert np.array_equal(*(np.sort(np.load(run / file)) for run in (one, other)))
        elif file.suffix != ".json":
            assert (one / file).read_bytes() == (other / file).read_bytes(), file


def _files(state: Path) -> list[Path]:
    """But those of embeddings, whose order is their own."""
    files = (path.relative_to(state) for path in state.rglob("*") if path.is_file())
    return sorted(file for file in files if EMBEDDINGS not in file.parts)


def corpus(random: np.random.Generator, n: int) -> pd.DataFrame:
    ids = [f"r{i}" for i in range(n)]
    return pd.DataFrame(
        {"record_id": pd.Series(ids, dtype="str"), "name": pd.Series([thing(random) for _ in ids], dtype="str")}
    )


def thing(random: np.random.Generator) -> str | None:
    kind = random.integers(20)
    return None if kind == 0 else f"{random.integers(12)}" + ("" if kind < 5 else f"~{random.integers(1, 90) / 100}")


def changed(random: np.random.Generator, frame: pd.DataFrame, step: int) -> pd.DataFrame:
    """Some records gone, some edited where they stand, some added at the end."""
    frame = frame[random.random(len(frame)) > random.choice([0, 0.1, 0.3])].copy()
    edited = random.random(len(frame)) < random.choice([0, 0.1, 0.3])
    frame.loc[edited, "name"] = [thing(random) for _ in range(int(edited.sum()))]
    added = corpus(random, int(random.integers(0, 12)))
    added["record_id"] = [f"s{step}-{i}" for i in range(len(added))]
    return pd.concat([frame, added], ignore_index=True)


@pytest.mark.parametrize("seed", range(4))
def test_a_chain_of_updates_is_a_run_from_scratch_each_time(
    tmp_path: Path, encoder: FakeEncoder, neighbours: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    bench = Bench(tmp_path, encoder, neighbours)
    frame = corpus(random, 90)
    run = bench.scratch(frame)
    for step in range(3):
        frame = changed(random, frame, step)
        run = bench.update(frame, run)
        same(run, bench.scratch(frame))


def test_shards_of_embeddings_are_linked_and_stay_few_and_full(
    tmp_path: Path, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (contents, embedding, carrying):
        monkeypatch.setattr(module, "SHARD_ROWS", 32)
    random, bench = np.random.default_rng(0), Bench(tmp_path, encoder, 3)
    frame = pd.DataFrame({"record_id": [f"r{i}" for i in range(100)], "name": [f"{i}~0.5" for i in range(100)]})
    run, linked = bench.scratch(frame), 0
    for step in range(20):
        gone = random.random(len(frame)) < 0.05
        added = pd.DataFrame({"record_id": [f"s{step}-{i}" for i in range(6)]})
        added["name"] = [f"{random.integers(100)}~{random.integers(1, 900) / 1000}" for _ in range(6)]
        frame = pd.concat([added.iloc[:3], frame[~gone], added.iloc[3:]], ignore_index=True)  # rows move
        before, run = shards_of(run), bench.update(frame, run)
        after = shards_of(run)
        linked += len(before.keys() & after.keys())
        rows = len(named(run / STATE)[1])
        assert max(after.values()) <= 32 and sum(after.values()) <= 2 * rows and len(after) <= 2 * rows / 32 + 6
        same(run, bench.scratch(frame))
        shutil.rmtree(tmp_path / f"run{bench.number}")
    assert linked > 20
    shutil.rmtree(tmp_path / "run1")  # what later runs have links to
    same(bench.update(frame, run), bench.scratch(frame))


@pytest.mark.parametrize("seed", range(3))
def test_what_is_sought_from_scratch_has_its_own_scores_in_whatever_order_it_is_scored(
    tmp_path: Path, encoder: FakeEncoder, neighbours: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rowpairs, "DENSE", 0)
    random, bench, frame, run = begun(tmp_path, encoder, neighbours, seed)
    for step in range(2):  # the second goes on from scores in another order
        frame = changed(random, frame, step)
        run = bench.sought(frame, run)
        pairs, scores = State.open(run, encoder.dim).scored
        assert (run / STATE / proposing.LOOKED / proposing.ORDER).is_file() or not len(pairs)
        assert np.array_equal(scores, encoder.margin_distance(pairs.distances))
    assert 0 < bench.said["scored"] < bench.said["pairs"]


def shards_of(run: Path) -> dict[int, int]:
    """Rows of each shard of embeddings, by its place on the disk."""
    paths = embedding.shard_paths(run / STATE / "left" / EMBEDDINGS)
    return {path.stat().st_ino: len(np.load(path)) for path in paths}


def begun(
    tmp_path: Path, encoder: FakeEncoder, neighbours: int, seed: int
) -> tuple[np.random.Generator, Bench, pd.DataFrame, Path]:
    """A corpus and its run from scratch."""
    random, bench = np.random.default_rng(seed), Bench(tmp_path, encoder, neighbours)
    frame = corpus(random, 90)
    return random, bench, frame, bench.scratch(frame)


def take_for_large(state: Path, held: RowPairs, **plan: int) -> None:
    """Make a state that of a corpus of several cells, whose buckets held some pairs and whose cells none."""
    write_json(state / proposing.PLAN, {**read_json(state / proposing.PLAN), "cells": 2, **plan})
    proposing.save_found(state / proposing.SHARED, 0, held)
    (state / proposing.FOUND / "000000.npy").unlink()


@pytest.mark.parametrize("seed", range(3))
def test_in_a_large_corpus_what_buckets_held_goes_on_and_new_rows_miss_nothing(
    tmp_path: Path, encoder: FakeEncoder, neighbours: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where buckets held every pair, the candidates are those of all compared with all."""
    monkeypatch.setattr(updating, "COMPARED_ON", 1000)
    random, bench, frame, run = begun(tmp_path, encoder, neighbours, seed)
    state = run / STATE
    vectors = named(state)[0]
    left, right = np.triu_indices(len(vectors), 1)
    held = RowPairs(left, right, encoder.energies(vectors[left], vectors[right]))
    take_for_large(state, held.take(held.distances <= 0.9 * encoder.margin))
    frame = changed(random, frame, 0)
    found, whole = (proposing.looked_at(each / STATE) for each in (bench.update(frame, run), bench.scratch(frame)))
    assert bench.said["searches_on"] and bench.said["asked_again"] == 0
    for one, other in ((found.left, whole.left), (found.right, whole.right), (found.distances, whole.distances)):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("probes", [0, 1])
@pytest.mark.parametrize("seed", range(3))
def test_a_chain_of_updates_of_a_large_corpus_forgets_nothing_that_was_held(
    tmp_path: Path, encoder: FakeEncoder, neighbours: int, seed: int, probes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The candidates are those among all that was ever held and is still there."""
    monkeypatch.setattr(updating, "COMPARED_ON", 1000)
    monkeypatch.setattr(updating, "OUTGROWN", 9.0)
    random, bench, frame, run = begun(tmp_path, encoder, neighbours, seed)
    vectors, names = named(run / STATE)
    left, right = np.triu_indices(len(vectors), 1)
    some = random.random(len(left)) < 0.5
    pairs = RowPairs(left[some], right[some], encoder.energies(vectors[left[some]], vectors[right[some]]))
    pairs = pairs.take(pairs.distances <= 0.9 * encoder.margin)
    scope = Scope(0.25 * encoder.margin, 0.9 * encoder.margin, neighbours)
    take_for_large(run / STATE, pairs, probes=probes)
    kept = pairs.take(within_scope(pairs, scope, len(names), both=True))
    proposing.save_looked_at(run / STATE, kept)
    np.save(run / STATE / proposing.SCORES / "000000.npy", np.full(len(kept), 7.0))
    held = {frozenset((names[a], names[b])) for a, b in zip(pairs.left, pairs.right, strict=True)}
    pools = []
    for step in range(4):  # from what an earlier version kept, and then from what is handed on
        frame = changed(random, frame, step)
        run = bench.update(frame, run)
        vectors, names = named(run / STATE)
        found = proposing.found_in(run / STATE / proposing.FOUND)
        held = {pair for pair in held if pair <= set(names)}  # what comes back was gone
        held |= {frozenset((names[a], names[b])) for a, b in zip(found.left, found.right, strict=True)}
        place = {name: row for row, name in enumerate(names)}
        rows = np.array(sorted(sorted(place[n] for n in pair) for pair in held)).reshape(-1, 2)
        apart = encoder.energies(vectors[rows[:, 0]], vectors[rows[:, 1]])
        there = RowPairs(rows[:, 0], rows[:, 1], apart)
        wanted, looked = there.take(within_scope(there, scope, len(names), both=True)), proposing.looked_at(run / STATE)
        for one, other in zip(columns(looked), columns(wanted), strict=True):
            assert np.array_equal(one, other)
        pools.append((run / STATE / proposing.POOL / "left.npy").stat().st_ino)
    assert len(set(pools)) == 1  # one file, whatever it is called


def columns(pairs: RowPairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return pairs.left, pairs.right, pairs.distances


@pytest.mark.parametrize("seed", range(3))
def test_where_buckets_were_enough_the_nearest_of_new_rows_come_to_what_was_held(
    tmp_path: Path, encoder: FakeEncoder, neighbours: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updating, "COMPARED_ON", 1000)
    random, bench, frame, run = begun(tmp_path, encoder, neighbours, seed)
    state = run / STATE
    take_for_large(state, proposing.looked_at(state), probes=0)
    held = named_pairs(state)
    frame = changed(random, frame, 0)
    found, vectors, names = named_pairs((again := bench.update(frame, run)) / STATE), *named(again / STATE)
    was, scale = set(named(state)[1]), encoder.margin
    radius, reach = bench.facts["radius"] * scale, bench.facts["reach"] * scale
    there = {pair for pair in held if pair <= set(names)}
    wanted = set(there)
    apart = np.array([encoder.energies(np.repeat(one[None], len(vectors), 0), vectors) for one in vectors])
    for row in (row for row, name in enumerate(names) if name not in was):
        others = [other for other in np.lexsort((np.arange(len(names)), apart[row])) if other != row]
        near = [
            other for rank, other in enumerate(others) if apart[row, other] <= (reach if rank < neighbours else radius)
        ]
        wanted |= {frozenset((names[row], names[other])) for other in near}
    assert found - there == wanted - there and found <= wanted  # what was held may no longer be among the nearest


@pytest.mark.parametrize("seed", range(3))
def test_where_buckets_were_enough_new_rows_find_those_of_their_buckets(
    tmp_path: Path, encoder: FakeEncoder, neighbours: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside all rows spelled at once, by the counts of the first run, whatever shards they came to lie in."""
    for module in (contents, embedding, carrying):
        monkeypatch.setattr(module, "SHARD_ROWS", 32)
    monkeypatch.setattr(cells, "ONE_CELL", 10)
    monkeypatch.setattr(cells, "CELL_ROWS", 10)
    monkeypatch.setattr(updating, "SHARED_ON", 1.0)
    monkeypatch.setattr(updating, "OUTGROWN", 9.0)
    monkeypatch.setattr(proposing.Survey, "probes", lambda *_: (0, 1.0))
    random, bench = np.random.default_rng(seed), Bench(tmp_path, encoder, neighbours)
    frame = worded(random, "r", 90)
    run = bench.shared(frame)
    assert State.open(run, encoder.dim).sizes is not None
    some = 0
    for step in range(4):
        before, was = named_pairs(run / STATE), set(named(run / STATE)[1])
        frame = pd.concat([frame[random.random(len(frame)) > 0.2], worded(random, f"s{step}", 40)], ignore_index=True)
        run = bench.update(frame, run)
        state = State.open(run, encoder.dim)
        vectors, names = named(run / STATE)
        texts, counts = state.corpus.contents.take(np.arange(len(names))), np.load(run / STATE / proposing.COUNTS)
        numbers = spell(texts, encoder.schema, counts)
        assert np.array_equal(state.spelled.take(np.arange(len(names))), numbers)
        assert all(np.array_equal(state.spelled.band(band), numbers[band]) for band in range(len(numbers)))
        fresh = np.array([row for row, name in enumerate(names) if name not in was])
        held = [pairs_of_rows(*each) for each in zip(numbers, [fresh] * len(numbers), state.sizes or [], strict=True)]
        left, right = np.concatenate(held, axis=1)
        found = RowPairs(left, right, encoder.energies(vectors[left], vectors[right]))
        wanted = found.take(found.distances <= max(bench.facts["radius"], bench.facts["reach"]) * encoder.margin).once()
        now = named_pairs(run / STATE)
        of_new = {pair for pair in now if not pair <= was}
        assert of_new <= {frozenset((names[a], names[b])) for a, b in zip(wanted.left, wanted.right, strict=True)}
        close = wanted.take(wanted.distances <= bench.facts["radius"] * encoder.margin)
        assert of_new >= {frozenset((names[a], names[b])) for a, b in zip(close.left, close.right, strict=True)}
        assert {pair for pair in before if pair <= set(names)} - now == set() or neighbours
        some += len(close)
    assert some > 10 and bench.said["searches_on"]


def worded(random: np.random.Generator, prefix: str, n: int) -> pd.DataFrame:
    """Records of a few words, some of them nearly alike."""
    words = [" ".join(f"w{random.integers(30)}" for _ in range(random.integers(1, 5))) for _ in range(n)]
    names = [f"{random.choice(words)}~{random.integers(1, 90) / 100}" for _ in range(n)]
    return pd.DataFrame({"record_id": [f"{prefix}{i}" for i in range(n)], "name": names})


def named(state: Path) -> tuple[np.ndarray, list[str]]:
    """Embeddings and contents by row."""
    opened = Corpus.open(state / proposing.LEFT, 5)
    names = [name for shard in opened.contents.shards for name in shard["name"].to_pylist()]
    return opened.embeddings.take(np.arange(len(opened.embeddings))), names


def named_pairs(state: Path) -> set[frozenset[str]]:
    """What is looked at, by contents."""
    pairs, names = proposing.looked_at(state), named(state)[1]
    return {frozenset((names[a], names[b])) for a, b in zip(pairs.left, pairs.right, strict=True)}


def test_what_is_known_is_not_done_again(tmp_path: Path, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, encoder, 3)
    frame = corpus(np.random.default_rng(0), 90)
    run = bench.scratch(frame)
    asked: list[str] = []
    encode = encoder.encode
    monkeypatch.setattr(encoder, "encode", lambda texts: asked.extend(texts["name"].to_pylist()) or encode(texts))
    again = bench.update(frame, run)
    same(run, again)
    assert asked == [] and (bench.said["asked"], bench.said["asked_again"], bench.said["scored"]) == (0, 0, 0)
    more = pd.concat([frame, pd.DataFrame({"record_id": ["new", "twin"], "name": ["7~0.123", frame["name"][3]]})])
    bench.update(more, again)
    assert (
        asked == ["7~0.123"]
        and bench.said["asked"] == 1
        and bench.said["kept"] == len(np.load(run / STATE / "left" / DIGESTS))
    )
    assert bench.said["scored"] < 90


def test_an_empty_record_and_an_empty_state(tmp_path: Path, encoder: FakeEncoder) -> None:
    bench = Bench(tmp_path, encoder, 3)
    nothing = pd.DataFrame(
        {"record_id": pd.Series(["a", "b"], dtype="str"), "name": pd.Series([None, " "], dtype="str")}
    )
    run = bench.scratch(nothing)
    same(bench.update(nothing, run), run)
    frame = corpus(np.random.default_rng(1), 20)
    full = bench.update(frame, run)
    same(full, bench.scratch(frame))
    same(bench.update(nothing, full), run)


def test_contents_are_found_by_both_halves_of_their_digests(tmp_path: Path, encoder: FakeEncoder) -> None:
    known = np.array([[5, 1], [3, 9], [5, 0], [5, 7]], np.uint64)
    (tmp_path / STATE / "left").mkdir(parents=True)
    np.save(tmp_path / STATE / "left" / DIGESTS, known)
    state = State(tmp_path, {}, None, {})  # type: ignore[arg-type]
    asked = np.array([[5, 7], [5, 2], [4, 1], [3, 9], [9, 9], [5, 0]], np.uint64)
    assert state.rows_of(asked).tolist() == [3, -1, -1, 1, -1, 2]


def test_a_run_without_state_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "summary.json", {"kind": "dedupe"})
    write_manifest(tmp_path, "run", {})
    with pytest.raises(ArtifactError, match="--keep-state"):
        State.check(tmp_path)
    write_json(tmp_path / "summary.json", {"kind": "link"})
    write_manifest(tmp_path, "run", {})
    with pytest.raises(ArtifactError, match="links two corpora"):
        State.check(tmp_path)
