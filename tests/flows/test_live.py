"""A matcher that lives on: changed beside an index made again, saved, and its folder replaced under it."""

import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.matcher import Matcher
from siamese.encoder import SiameseEncoder
from siamese.errors import ArtifactError, DataError, OutputError, SettingsError
from siamese.folders import check_manifest
from tests.flows.command import Made, call


@pytest.fixture(scope="module")
def records(made: Made) -> pd.DataFrame:
    return pd.read_parquet(made.records)


@pytest.fixture(scope="module")
def changed(made: Made, records: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> tuple[Matcher, Path]:
    """A matcher that was changed, and an index made of what is there now."""
    folder = tmp_path_factory.mktemp("changed")
    matcher = Matcher.load(made.index)
    added = records.iloc[:30].assign(record_id=[f"new-{number}" for number in range(30)])
    edited = records.iloc[40:50].assign(**{records.columns[1]: "another"})
    matcher.remove(records["record_id"].iloc[20:40])
    matcher.add(added)
    matcher.add(edited, replace=True)
    pd.concat([records.drop(range(20, 50)), added, edited]).to_parquet(folder / "now.parquet")
    assert call("index", made.model, folder / "now.parquet", "--out", folder / "index") == 0
    return matcher, folder / "index"


def assert_same(one: Matcher, other: Matcher, queries: pd.DataFrame) -> None:
    for found, expected in (
        (one.nearest(queries, 7), other.nearest(queries, 7)),
        (one.within(queries, 0.8), other.within(queries, 0.8)),
    ):
        assert len(found) > len(queries)
        pd.testing.assert_frame_equal(found, expected)


def test_a_changed_matcher_gives_what_an_index_made_again_gives(changed, records) -> None:
    matcher, remade = changed
    assert_same(matcher, Matcher.load(remade), records)
    left, right = "new-0", records["record_id"][45]
    pd.testing.assert_frame_equal(matcher.explain(left, right), Matcher.load(remade).explain(left, right))
    with pytest.raises(DataError, match="no record"):
        matcher.explain(records["record_id"][25], left)


def test_what_is_saved_gives_the_same_again(changed, records, tmp_path: Path) -> None:
    matcher, _ = changed
    matcher.save(tmp_path / "saved")
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    saved = Matcher.load(tmp_path / "saved")
    assert_same(saved, matcher, records)
    manifest = check_manifest(tmp_path / "saved", "index")
    base = check_manifest(matcher.corpus.folder, "index")
    assert manifest["live"] == {"index": base["fingerprint"], "added": 40, "removed": 30}
    assert (manifest["model"], manifest["inputs"]) == (base["model"], base["inputs"])
    saved.save(tmp_path / "again")
    assert check_manifest(tmp_path / "again", "index")["fingerprint"] == manifest["fingerprint"]


def test_embeddings_for_other_stores(changed, records, tmp_path: Path) -> None:
    matcher, _ = changed
    count = matcher.export(tmp_path / "vectors.parquet")
    table = pq.read_table(tmp_path / "vectors.parquet")
    ids = table["record_id"].to_pylist()
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), matcher.encoder.dim)
    assert count == len(ids) == len(set(ids)) == len(matcher) == 310 and "new-3" in ids
    vectors = table["embedding"].combine_chunks().flatten().to_numpy().reshape(count, -1)
    asked = records.iloc[[7]]
    found = matcher.nearest(asked, 5)
    apart = np.linalg.norm(vectors - matcher.encoder.encode(asked), axis=1)
    assert [ids[place] for place in np.argsort(apart, kind="stable")[:5]] == found["record_id"].tolist()
    with pytest.raises(SettingsError, match="parquet"):
        matcher.export(tmp_path / "vectors.npy")
    with pytest.raises(OutputError, match="no folder"):
        matcher.export(tmp_path / "no" / "vectors.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["vectors.parquet"]


def test_saved_where_it_was_opened_it_goes_on_from_there(made: Made, records, tmp_path: Path) -> None:
    shutil.copytree(made.index, tmp_path / "index")
    matcher = Matcher.load(tmp_path / "index")
    matcher.remove(records["record_id"].iloc[:5])
    matcher.save(tmp_path / "index")
    assert len(matcher.live.gone) == 0 and len(matcher) == 295
    matcher.add(records.iloc[:5])
    assert len(matcher) == 300 and len(Matcher.load(tmp_path / "index")) == 295


def test_what_cannot_be_saved(made: Made, records, tmp_path: Path) -> None:
    matcher = Matcher.load(made.index)
    (tmp_path / "link").symlink_to(made.index)
    with pytest.raises(OutputError, match="is a link"):
        matcher.save(tmp_path / "link")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(OutputError, match="did not write"):
        matcher.save(tmp_path / "mine")
    matcher.remove(records["record_id"])
    with pytest.raises(DataError, match="no record that says anything is left"):
        matcher.save(tmp_path / "empty")
    assert {path.name for path in tmp_path.iterdir()} == {"link", "mine"}


@pytest.fixture
def two(made: Made, changed: tuple[Matcher, Path], tmp_path: Path) -> tuple[Path, Path]:
    """Two indices and a link to the first."""
    shutil.copytree(made.index, tmp_path / "one")
    shutil.copytree(changed[1], tmp_path / "two")
    (tmp_path / "latest").symlink_to("one")
    return tmp_path / "latest", tmp_path / "two"


def switch(link: Path, to: Path) -> None:
    beside = link.with_name("beside")
    beside.symlink_to(to.name)
    os.replace(beside, link)


def test_a_matcher_follows_a_link_and_its_changes_stand(two, records) -> None:
    latest, other = two
    matcher, stays = Matcher.load(latest), Matcher.load(latest, follow=False)
    gone, query = records["record_id"][0], records.iloc[[0]]
    matcher.remove(gone)
    matcher.add({"record_id": "live", **records.iloc[0].drop("record_id").to_dict()})
    in_flight = matcher.live
    switch(latest, other)
    shutil.rmtree(latest.with_name("one"))
    found = matcher.nearest(query, 400)["record_id"].tolist()
    assert "live" in found and "new-0" in found and gone not in found and len(matcher) == 310
    assert matcher.live is not in_flight and matcher.live is matcher.live
    assert len(in_flight.nearest(matcher.encoder.encode(query), 3)[0]) >= 3
    assert stays.nearest(query, 1)["record_id"].tolist() == [gone]


def test_an_index_made_again_in_its_place_is_taken(two, records) -> None:
    latest, other = two
    index = latest.with_name("one")
    matcher = Matcher.load(index)
    assert len(matcher) == 300
    Matcher.load(other).save(index)
    assert len(matcher) == 310


def test_an_index_that_cannot_be_taken_is_warned_of_once(two, records, monkeypatch) -> None:
    latest, other = two
    matcher = Matcher.load(latest)
    warned: list[str] = []
    monkeypatch.setattr(logging.getLogger("siamese"), "warning", lambda text, *args: warned.append(text % args))
    damaged = latest.with_name("three")
    shutil.copytree(other, damaged)
    (damaged / "ids.parquet").write_bytes(b"no ids")
    switch(latest, damaged)
    for _ in range(3):
        assert len(matcher.nearest(records.iloc[:1], 1)) == 1 and len(matcher) == 300
    [sentence] = warned
    assert "still answering from the old index" in sentence and "changed or damaged" in sentence
    with pytest.raises(ArtifactError, match="changed or damaged"):
        Matcher.load(latest)
    switch(latest, other)
    assert len(matcher) == 310


def test_records_come_in_any_form(made: Made, records, tmp_path: Path) -> None:
    matcher = Matcher.load(made.index)
    asked = records.iloc[:3]
    expected = matcher.nearest(asked, 3)
    dicts = [{name: value for name, value in row.items() if pd.notna(value)} for row in asked.to_dict("records")]
    files = [tmp_path / "asked.parquet", tmp_path / "asked.csv", tmp_path / "asked.jsonl"]
    asked.to_parquet(files[0])
    asked.to_csv(files[1], index=False)
    asked.to_json(files[2], orient="records", lines=True)
    arrow = pa.Table.from_pandas(asked)
    forms = [dicts, asked.to_dict("list"), arrow, arrow.to_batches()[0], *files, str(files[0]), files[0].as_uri()]
    for form in forms:
        pd.testing.assert_frame_equal(matcher.nearest(form, 3), expected)
        pd.testing.assert_frame_equal(matcher.score(form, asked), matcher.score(asked, asked))
    one = matcher.nearest(asked.iloc[:1], 3)
    asked.iloc[:1].to_parquet(tmp_path / "one.parquet")
    for form in (dicts[0], asked.iloc[0]):
        pd.testing.assert_frame_equal(matcher.nearest(form, 3), one)
        pd.testing.assert_frame_equal(matcher.within(form), matcher.within(asked.iloc[:1]))
    explained = matcher.explain(dicts[0], records["record_id"][7])
    pd.testing.assert_frame_equal(matcher.explain(tmp_path / "one.parquet", records["record_id"][7]), explained)
    for wrong, says in (("nobody.csv", "nobody.csv"), (7, "came as int"), ([7], "came as list")):
        with pytest.raises(DataError, match=says):
            matcher.nearest(wrong)


def test_an_index_without_texts_lives_too(made: Made, records, tmp_path: Path) -> None:
    replace(SiameseEncoder.load(made.model), verifier=None).save(tmp_path / "model")
    assert call("index", tmp_path / "model", made.records, "--out", tmp_path / "index") == 0
    matcher = Matcher.load(tmp_path / "index")
    matcher.add(records.iloc[:3].assign(record_id=["x", "y", "z"]))
    matcher.remove(records["record_id"].iloc[:2])
    matcher.save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "contents").exists()
    assert_same(Matcher.load(tmp_path / "saved"), matcher, records)
