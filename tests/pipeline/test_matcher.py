"""The matcher on a corpus whose every distance is known, beside brute force over what is there."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.embedding import Corpus, Embeddings, embed_block, read_corpus
from pipeline.index import IndexKind, VectorIndex
from pipeline.live import Live
from pipeline.matcher import Matcher
from pipeline.records import Records
from siamese.distances import Energy
from siamese.errors import DataError, SchemaError, SettingsError
from tests.pipeline.fakes import FakeEncoder

TEXTS = ("a", "b", "a~0.1", "a~0.2", "b~0.3", "c", "a~0.1 ", None, "  ")  # repeated, near each other, or saying nothing
Said = dict[str, str | None]  # by id, in the order of an index made again


def live_of(said: Said, encoder: FakeEncoder, kind: IndexKind = IndexKind.FLAT) -> Live:
    """An index made of some records."""
    folder = Path(mkdtemp(prefix="siamese-tests-"))
    pd.DataFrame({"record_id": list(said), "name": list(said.values())}).to_csv(folder / "records.csv", index=False)
    for number in range(read_corpus(encoder.schema, Records.open(str(folder / "records.csv")), folder)["blocks"]):
        embed_block(encoder, folder, number)
    corpus = Corpus.open(folder, encoder.dim)
    index = VectorIndex.build(corpus.embeddings, encoder.energy, kind=kind, radius=0.5)
    return Live.of(encoder, corpus, index, {"fingerprint": "", "inputs": []})


@cache
def base(size: int, energy: Energy, kind: IndexKind = IndexKind.FLAT) -> tuple[Said, Live]:
    random = np.random.default_rng(size)
    said = {f"r{number}": random.choice(np.array(TEXTS)) for number in range(size)} | {"r0": "a"}
    return said, live_of(said, FakeEncoder(energy=energy), kind)


def table(said: Said) -> pd.DataFrame:
    return pd.DataFrame({"record_id": list(said), "name": list(said.values())})


def neighbours(said: Said, text: str, encoder: FakeEncoder) -> list[tuple[str, float]]:
    """All records by distance and then place."""
    apart = {each: distance(text, each, encoder.energy) for each in set(said.values())}
    found = [(each, apart[said[each]]) for each in said if apart[said[each]] is not None]
    return sorted(found, key=lambda each: each[1])


@cache
def distance(one: str, other: str | None, energy: Energy) -> float | None:
    """None: one says nothing."""
    vectors = [FakeEncoder(energy=energy).encode([{"name": each}]) for each in (one, other)]
    return float(FakeEncoder(energy=energy).energies(*vectors)[0]) if vectors[1].any() else None


def test_nothing_to_ask_or_to_add_is_nothing() -> None:
    said, live = base(3, Energy.EUCLIDEAN)
    matcher = Matcher(live)
    for nothing in ([], pd.DataFrame(), pd.DataFrame({"name": []})):
        assert len(matcher.nearest(nothing, 2)) == 0
        assert list(matcher.nearest(nothing, 2).columns) == list(matcher.nearest({"name": "a"}, 2).columns)
    matcher.add([])
    assert len(matcher) == len(said)


def assert_agrees(matcher: Matcher, said: Said, encoder: FakeEncoder) -> None:
    assert len(matcher) == len(said)
    queries = ["a", "b~0.3", "new"]
    expected = [neighbours(said, text, encoder) for text in queries]
    for k in (1, 3, 100):
        found = matcher.nearest([{"name": text} for text in queries], k)
        assert found["record_id"].tolist() == [each[0] for some in expected for each in some[:k]]
        assert found["query"].tolist() == [number for number, some in enumerate(expected) for _ in some[:k]]
        assert np.allclose(found["distance"], [each[1] for some in expected for each in some[:k]], atol=1e-6)
    found = matcher.within({"name": "a"}, max_distance=0.5)
    assert found["record_id"].tolist() == [each[0] for each in expected[0] if each[1] <= 0.5 * encoder.margin]


IDS = st.sampled_from([f"{kind}{number}" for kind in "rn" for number in range(8)])
CHANGES = st.one_of(
    st.tuples(st.just("add"), st.dictionaries(IDS, st.sampled_from(TEXTS), min_size=1, max_size=4)),
    st.tuples(st.just("replace"), st.dictionaries(IDS, st.sampled_from(TEXTS), min_size=1, max_size=4)),
    st.tuples(st.just("remove"), st.sets(IDS, min_size=1, max_size=5)),
)


@settings(max_examples=60)
@given(size=st.sampled_from([1, 9, 60]), energy=st.sampled_from(list(Energy)), changes=st.lists(CHANGES, max_size=6))
def test_whatever_is_added_and_removed_the_results_are_those_of_an_index_made_again(size, energy, changes):
    said, live = base(size, energy)
    said, matcher = dict(said), Matcher(live)
    for what, which in changes:
        known = set(said)
        if what == "remove":
            if not which <= known:
                with pytest.raises(DataError, match="nothing was removed"):
                    matcher.remove(which)
                continue
            matcher.remove(which)
        elif what == "add" and known & set(which):
            with pytest.raises(DataError, match="replace=True"):
                matcher.add(table(which))
            continue
        else:
            matcher.add(table(which), replace=what == "replace")
        said = {each: text for each, text in said.items() if each not in which}
        said |= which if what != "remove" else {}
    assert_agrees(matcher, said, live.encoder)
    assert_agrees(Matcher(live), base(size, energy)[0], live.encoder)  # what was opened is as it was


@pytest.mark.parametrize("kind", [IndexKind.IVF, IndexKind.IVFPQ])
def test_removed_records_cost_no_others_their_place(kind):
    """All near ones are removed: those that are left lie far beyond what the index looks at for so few."""
    encoder = FakeEncoder()
    said = {f"near{n}": f"a~{n / 1e4:.4f}" for n in range(900)} | {f"far{n}": f"x{n}" for n in range(300)}
    matcher = Matcher(live_of(said, encoder, kind))
    matcher.remove(f"near{n}" for n in range(900))
    left = {each: text for each, text in said.items() if each.startswith("far")}
    assert set(matcher.nearest({"name": "a"}, 300)["record_id"]) == set(left)
    nearest = matcher.nearest({"name": "x7"}, 5)
    assert nearest["record_id"][0] == "far7" and len(nearest) == 5
    assert len(matcher.within({"name": "a"}, max_distance=0.1)) == 0


def test_each_query_is_answered_from_one_whole_state():
    _, live = base(60, Energy.EUCLIDEAN)
    matcher = Matcher(live)
    batch = {f"n{number}": f"a~0.0{number + 1}" for number in range(6)}
    before = matcher.nearest({"name": "a"}, 40)
    matcher.add(table(batch))
    after = matcher.nearest({"name": "a"}, 40)
    assert not before.equals(after)
    ended, seen = threading.Event(), [0, 0]

    def ask() -> None:
        while not ended.is_set():
            found = matcher.nearest({"name": "a"}, 40)
            which = [found.equals(each) for each in (before, after)]
            assert any(which), found
            seen[which.index(True)] += 1

    with ThreadPoolExecutor(6) as pool:
        asking = [pool.submit(ask) for _ in range(6)]
        try:
            for _ in range(30):
                matcher.remove(batch)
                matcher.add(table(batch))
        finally:
            ended.set()
        for each in asking:
            each.result()
    assert min(seen) > 0


def test_threads_that_change_it_at_once_lose_nothing():
    said, live = base(9, Energy.EUCLIDEAN)
    matcher = Matcher(live)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: matcher.add({"record_id": f"n{n}", "name": f"a~0.{n:02d}"}), range(64)))
        list(pool.map(lambda n: matcher.remove(f"n{n}"), range(0, 64, 2)))
    left = {f"n{n}" for n in range(1, 64, 2)} | {each for each, text in said.items() if (text or "").strip()}
    assert set(matcher.nearest({"name": "a"}, 100)["record_id"]) == left


def test_an_index_takes_no_memory_of_its_size_when_it_is_opened(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(30_000, 128)).astype(np.float32)
    (tmp_path / "embeddings").mkdir()
    np.save(tmp_path / "embeddings" / "000000.npy", vectors)
    for kind in (IndexKind.FLAT, IndexKind.IVF):
        embeddings = Embeddings.open(tmp_path / "embeddings", 128)
        made = VectorIndex.build(embeddings, Energy.EUCLIDEAN, kind=kind, radius=0.1)
        made.save(tmp_path)
        facts = made.describe()
        del made
        before = held()
        opened = VectorIndex.load(tmp_path, embeddings, Energy.EUCLIDEAN, facts)
        assert len(opened.nearest(vectors[:1], 3)[0]) == 3
        assert held() - before < vectors.nbytes / 4


def held() -> int:
    """Bytes of memory that no file stands behind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


@pytest.mark.parametrize(
    ("records", "error", "says"),
    [
        ([{"name": "x"}], DataError, "no column 'record_id', they have 'name': name the one that names a record"),
        (
            [{"record_id": "n", "name": "x"}, {"record_id": " ", "name": "y"}],
            DataError,
            "record 2 .* empty 'record_id'",
        ),
        ([{"record_id": "n", "name": "x"}] * 3, DataError, "'n' occurs 3 times"),
        ([{"record_id": "n", "title": "x"}], SchemaError, "lack 'name'"),
        ([{"record_id": "r0", "name": "x"}, {"record_id": "n", "name": "x"}], DataError, "1 of 2 records .* 'r0'"),
        ("/no/such.csv", DataError, "/no/such.csv"),
        (5, DataError, "came as int"),
    ],
    ids=["no id", "empty id", "an id twice", "no field", "there already", "no file", "no records"],
)
def test_what_cannot_be_added_changes_nothing(records, error, says):
    _, live = base(9, Energy.EUCLIDEAN)
    matcher = Matcher(live)
    with pytest.raises(error, match=says):
        matcher.add(records)
    assert matcher.live is live


def test_what_cannot_be_removed_or_asked():
    _, live = base(9, Energy.EUCLIDEAN)
    matcher = Matcher(live)
    with pytest.raises(DataError, match="1 of 2 ids to remove are not in the index, the first of them 'nobody'"):
        matcher.remove(["r1", "nobody"])
    with pytest.raises(DataError, match="7 is no id"):
        matcher.remove([7])
    with pytest.raises(SettingsError, match="k is 0"):
        matcher.nearest({"name": "a"}, 0)
    assert matcher.live is live
    matcher.remove(f"r{number}" for number in range(9))
    assert len(matcher) == len(matcher.nearest({"name": "a"})) == len(matcher.within({"name": "a"})) == 0


def test_ids_may_be_in_another_column_and_numbers():
    _, live = base(9, Energy.EUCLIDEAN)
    matcher = Matcher(live)
    matcher.add({"sku": [17, 18], "name": ["new", "new~0.1"], "record_id": ["x", "y"]}, id_column="sku")
    assert matcher.nearest({"name": "new"}, 2)["record_id"].tolist() == ["17", "18"]
