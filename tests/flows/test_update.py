"""Updates of a run by the command line, beside whole runs over the same records."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.flows.command import Made, Run, assert_refused

SAME = ("pairs.parquet", "beyond.parquet", "unique.parquet")


def changed(records: Path, out: Path) -> Path:
    """Records of which some are gone, some edited and some new."""
    frame = pd.read_parquet(records)
    random = np.random.default_rng(0)
    name = next(column for column in frame.columns if column != "record_id")
    frame = frame[random.random(len(frame)) > 0.05].copy()
    edited = random.random(len(frame)) < 0.05
    frame.loc[edited, name] = frame.loc[edited, name].fillna("") + " zz"
    added = frame.sample(12, random_state=0).assign(record_id=lambda some: "new-" + some["record_id"])
    added[name] = added[name].fillna("") + " b"
    pd.concat([frame, added], ignore_index=True).to_parquet(out)
    return out


@pytest.mark.parametrize("asked", [(), ("--max-distance", 0.5)], ids=["verifier", "distance"])
def test_an_update_gives_what_a_run_from_scratch_gives(run: Run, made: Made, tmp_path: Path, asked: tuple) -> None:
    base, updated, whole = (tmp_path / name for name in ("base", "updated", "whole"))
    assert run("dedupe", made.model, made.records, "--out", base, "--keep-state", *asked).code == 0
    records = changed(made.records, tmp_path / "now.parquet")
    answer = run("update", base, records, "--out", updated, "--json")
    assert answer.code == 0, answer.err
    assert run("dedupe", made.model, records, "--out", whole, *asked).code == 0
    plans = [json.loads((folder / "summary.json").read_text())["search"] for folder in (updated, whole)]
    assert all(plans[0][name] == plans[1][name] for name in ("radius", "reach", "neighbours", "cells"))
    for name in SAME:
        assert (updated / name).read_bytes() == (whole / name).read_bytes(), name
    found, expected = (pq.read_table(folder / "clusters.parquet").to_pandas() for folder in (updated, whole))
    pd.testing.assert_frame_equal(found.drop(columns="cluster_id"), expected.drop(columns="cluster_id"))
    ids = pd.MultiIndex.from_arrays([found["cluster_id"], expected["cluster_id"]])
    assert ids.nunique() == found["cluster_id"].nunique() == expected["cluster_id"].nunique()

    manifest = json.loads((updated / "manifest.json").read_text())
    before = json.loads((base / "manifest.json").read_text())
    assert manifest["updates"] == {"path": str(base), "fingerprint": before["fingerprint"]}
    facts = manifest["stages"]
    assert 0 < facts["embed"]["encoded"] < 40 and facts["score"]["scored"] < facts["gather"]["looked_at"] / 2
    summary = json.loads(answer.out)
    old, changes = (
        pq.read_table(base / "clusters.parquet").to_pandas(),
        pq.read_table(updated / "changes.parquet").to_pandas(),
    )
    kept = old.merge(found, on="record_id")
    assert (kept["cluster_id_x"] == kept["cluster_id_y"]).mean() > 0.9
    moved = kept[kept["cluster_id_x"] != kept["cluster_id_y"]][["cluster_id_x", "cluster_id_y"]].drop_duplicates()
    told = changes.dropna(subset=["old_id", "new_id"])[["old_id", "new_id"]].astype("int64")
    assert sorted(map(tuple, moved.to_numpy())) == sorted(map(tuple, told.to_numpy()))
    assert sum(summary["id_changes"].values()) == len(changes)
    assert found["cluster_id"].max() < summary["next_cluster_id"]

    again = run("update", updated, records, "--out", tmp_path / "again", "--json")
    assert json.loads(again.out)["id_changes"] == {}
    for name in SAME:
        assert (tmp_path / "again" / name).read_bytes() == (updated / name).read_bytes()
    assert run("verify", updated).code == 0 and run("report", updated).code == 0


def test_what_an_update_has_links_to_outlives_its_base_and_is_found_damaged(
    run: Run, made: Made, tmp_path: Path
) -> None:
    base, updated, again = (tmp_path / name for name in ("base", "updated", "again"))
    assert run("dedupe", made.model, made.records, "--out", base, "--keep-state").code == 0
    records = changed(made.records, tmp_path / "now.parquet")
    assert run("update", base, records, "--out", updated).code == 0
    shard = Path("state/left/embeddings/000000.npy")
    assert (base / shard).samefile(updated / shard) and (updated / shard).with_name("places.npy").is_file()
    shutil.rmtree(base)
    assert run("verify", updated).code == 0
    assert run("update", updated, records, "--out", again).code == 0
    for name in SAME:
        assert (again / name).read_bytes() == (updated / name).read_bytes()
    damaged = bytearray((again / shard).read_bytes())
    damaged[-1] ^= 1
    with (again / shard).open("r+b") as file:  # in place, of all that have it
        file.write(damaged)
    for folder in (updated, again):
        assert_refused(run("verify", folder), "000000.npy", "was changed or damaged")
    assert_refused(run("update", again, records, "--out", tmp_path / "third"), "000000.npy", "was changed or damaged")


def test_a_whole_run_may_take_the_ids_over(run: Run, made: Made, tmp_path: Path) -> None:
    base, later = tmp_path / "base", tmp_path / "later"
    assert run("dedupe", made.model, made.records, "--out", base).code == 0
    assert run("dedupe", made.other, made.records, "--out", later, "--previous", base).code == 0
    compared = json.loads(run("compare", base, later, "--json").out)
    assert compared["same_inputs"] and not compared["same_model"]
    old, new = (pq.read_table(folder / "clusters.parquet").to_pandas() for folder in (base, later))
    same = old.merge(new, on="record_id")
    assert (same["cluster_id_x"] == same["cluster_id_y"]).mean() > 0.5
    page = tmp_path / "page.html"
    assert run("compare", base, later, "--out", page).code == 0 and "<h1>" in page.read_text()
    assert_refused(run("compare", base, later, "--out", tmp_path / "page.txt"), ".html")


def test_what_cannot_be_gone_on_from_is_refused(run: Run, made: Made, tmp_path: Path) -> None:
    base, out = tmp_path / "base", tmp_path / "out"
    assert run("dedupe", made.model, made.records, "--out", base).code == 0
    assert_refused(run("update", base, made.records, "--out", out), "kept nothing to go on from", "--keep-state")
    assert run("dedupe", made.model, made.records, "--out", base, "--keep-state").code == 0
    assert_refused(
        run("update", base, made.records, "--out", out, "--model", made.other), "another model", "--previous"
    )
    assert_refused(run("update", tmp_path / "no", made.records, "--out", out), "there is no run folder")
    (base / "state" / "plan.json").write_text("{}")
    assert_refused(run("update", base, made.records, "--out", out), "was changed or damaged")
    assert not out.exists()
