"""The encoder: what is saved is what is loaded, and damage is told; and the package's front door."""

import errno
import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import siamese
from siamese import encoder as encoder_module
from siamese.calibration import Calibration
from siamese.distances import Energy
from siamese.encoder import SiameseEncoder
from siamese.errors import ArtifactError, OutputError, SchemaError
from siamese.folders import MANIFEST, write_manifest
from siamese.schema import Field, Kind, Schema, as_table
from siamese.settings import TrainingConfig
from siamese.towers import base, build_tower

SCHEMA = Schema(fields=(Field(name="title", kind=Kind.TEXT), Field(name="price", kind=Kind.NUMBER)), ignored={"x": "y"})
RECORDS = [
    {"title": "sony turntable ps-lx350h", "price": "$149.00"},
    {"title": "Sony Turntable PSLX350H", "price": 149},
    {"title": "bose acoustimass 5", "price": None},
    {"title": None, "price": None},
]
SETTINGS = {"ngram": {"dim": 32}, "lstm": {"dim": 16, "token_dim": 12, "hidden_dim": 10, "vocabulary": 1024}}
FILES = ["encoder.json", "weights.safetensors", "calibration.json", "metrics.json"]


def make(name: str, energy: Energy = Energy.MANHATTAN) -> SiameseEncoder:
    tower = build_tower(name, SCHEMA, SETTINGS[name], seed=11)
    tower.fit_corpus(tower.featurise(SCHEMA.select(as_table(RECORDS))))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in tower.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    calibration = Calibration.fit([0.1, 0.4, 0.35, 0.9], [1, 1, 0, 0])
    return SiameseEncoder(
        tower.eval(), energy, 1.25, calibration, TrainingConfig(epochs=3, energy=energy), {"valid": {"f1": 0.5}}
    )


@pytest.fixture(scope="module", params=list(SETTINGS))
def encoder(request: pytest.FixtureRequest) -> SiameseEncoder:
    return make(request.param)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    make("lstm").save(tmp_path / "model")
    return tmp_path / "model"


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_is_loaded_embeds_bit_for_bit_as_what_was_saved(encoder: SiameseEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "model")
    loaded = SiameseEncoder.load(tmp_path / "model")
    assert loaded.encode(RECORDS).tobytes() == encoder.encode(RECORDS).tobytes()
    assert encoder.encode(RECORDS).any()
    assert loaded.fingerprint == encoder.fingerprint != ""
    assert (loaded.schema, loaded.energy, loaded.margin) == (SCHEMA, Energy.MANHATTAN, 1.25)
    assert (loaded.calibration, loaded.training) == (encoder.calibration, encoder.training)
    assert (loaded.metrics, loaded.dim) == ({"valid": {"f1": 0.5}}, encoder.dim)
    assert not loaded.tower.training


def test_saving_again_gives_the_same_fingerprint_and_other_weights_another(tmp_path: Path) -> None:
    encoder = make("lstm")
    encoder.save(tmp_path / "one")
    first = encoder.fingerprint
    loaded = SiameseEncoder.load(tmp_path / "one")
    loaded.metrics = {"measured": "later"}
    loaded.save(tmp_path / "two")
    assert loaded.fingerprint == first
    with torch.no_grad():
        next(loaded.tower.parameters())[0, 0] += 1e-3
    loaded.save(tmp_path / "two")
    assert loaded.fingerprint != first
    assert SiameseEncoder.load(tmp_path / "two").fingerprint == loaded.fingerprint


def test_the_folder_holds_safetensors_and_json_only(encoder: SiameseEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "model")
    files = tree(tmp_path / "model")
    assert set(files) == {*FILES, MANIFEST}
    assert sum(map(len, files.values())) < 3_000_000  # without the projection, which its seed gives again
    for name, content in files.items():
        if name.endswith(".json"):
            json.loads(content)
        else:
            assert json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        pickles = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
        assert not content.startswith((*pickles, b"PK"))  # and torch's zipped ones


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_in_any_file_is_told(saved: Path, name: str) -> None:
    content = bytearray((saved / name).read_bytes())
    content[-5] ^= 1
    (saved / name).write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match=rf"{name}' was changed or damaged"):
        SiameseEncoder.load(saved)


@pytest.mark.parametrize("name", FILES)
def test_a_lost_file_is_told(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(ArtifactError, match=rf"lacks its file '{name}'"):
        SiameseEncoder.load(saved)


def test_a_lost_manifest_is_told(saved: Path) -> None:
    (saved / MANIFEST).unlink()
    with pytest.raises(ArtifactError, match=r"manifest\.json' is missing"):
        SiameseEncoder.load(saved)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"format_version": 99}, "format version 99"), ({"format": "index"}, "holds a index|holds an index")],
)
def test_another_version_or_kind_is_told(saved: Path, change: dict[str, Any], sentence: str) -> None:
    manifest = json.loads((saved / MANIFEST).read_text())
    (saved / MANIFEST).write_text(json.dumps({**manifest, **change}))
    with pytest.raises(ArtifactError, match=sentence) as caught:
        SiameseEncoder.load(saved)
    assert str(saved) in str(caught.value)


def test_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no model folder at '.*nowhere'"):
        SiameseEncoder.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        ("encoder.json", "margin", None),
        ("encoder.json", "energy", "hamming"),
        ("encoder.json", "tower", {"name": "cnn", "config": {}, "seed": 0}),
        ("encoder.json", "tower", {"name": "lstm", "config": {"dim": 5}, "seed": 0}),
        ("encoder.json", "tower", {}),
        ("encoder.json", "training", {"no such setting": 1}),
        ("encoder.json", "schema", {"fields": [{"name": "title", "kind": "no such kind"}]}),
        ("calibration.json", "slope", "steep"),
        ("weights.safetensors", None, b"not tensors"),
    ],
)
def test_files_that_do_not_fit_together_are_told(saved: Path, file: str, key: str | None, value: Any) -> None:
    """With a manifest that agrees: as another version of siamese may write it."""
    path = saved / file
    if key is None:
        path.write_bytes(value)
    else:
        path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    write_manifest(saved, "model", {})
    with pytest.raises(ArtifactError, match=r"the model '.*model'"):
        SiameseEncoder.load(saved)


@pytest.mark.parametrize("step", ["save_file", "write_json", "write_manifest"])
def test_a_failed_save_leaves_nothing_new_and_the_earlier_model_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    encoder = make("lstm")
    encoder.save(tmp_path / "earlier")
    before, fingerprint = tree(tmp_path), encoder.fingerprint

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(encoder_module, step, full)
    for name in ("earlier", "new"):
        with pytest.raises(OutputError, match="No space left on device"):
            encoder.save(tmp_path / name)
    assert tree(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["earlier"]
    assert SiameseEncoder.load(tmp_path / "earlier").fingerprint == fingerprint == encoder.fingerprint


def test_a_folder_of_others_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="holds files that siamese did not write"):
        make("lstm").save(tmp_path)
    assert tree(tmp_path) == {"thesis.txt": b"years of work"}


def test_an_empty_record_is_all_zeros_and_missing_is_one_thing(encoder: SiameseEncoder) -> None:
    ways = [{"title": missing, "price": price} for missing in (None, "", "  ", "?!") for price in (None, "", math.nan)]
    assert encoder.encode(ways).tolist() == [[0.0] * encoder.dim] * len(ways)
    partly = [{"title": "sony", "price": missing} for missing in (None, "", math.nan, " ")]
    embedded = encoder.encode(partly)
    assert (embedded == embedded[0]).all()
    assert np.linalg.norm(embedded[0]) == pytest.approx(1)
    frame = pd.DataFrame({"title": ["sony", None], "price": [np.nan, np.nan]})
    assert np.array_equal(encoder.encode(frame), encoder.encode([{"title": "sony", "price": None}, RECORDS[3]]))


def test_records_in_any_form_embed_alike(encoder: SiameseEncoder) -> None:
    texts = [{name: None if value is None else str(value) for name, value in record.items()} for record in RECORDS]
    expected = encoder.encode(texts)
    assert expected.dtype == np.float32
    assert expected.shape == (4, encoder.dim)
    columns = {name: [record[name] for record in texts] for name in SCHEMA.names}
    for records in (RECORDS, columns, pd.DataFrame(texts), as_table(texts), pd.DataFrame(RECORDS).assign(other=1)):
        assert np.array_equal(encoder.encode(records), expected)


def test_the_number_of_threads_changes_nothing(encoder: SiameseEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = encoder.encode(RECORDS * 3)
    threads = torch.get_num_threads()
    monkeypatch.setattr(base, "BATCH", 2)
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            encoder.tower.train()
            found = encoder.encode(RECORDS * 3)
            assert (encoder.tower.training, torch.get_num_threads()) == (True, count)
            np.testing.assert_allclose(found, expected, atol=0 if encoder.tower.threaded else 1e-6)
    finally:
        torch.set_num_threads(threads)
        encoder.tower.eval()


def test_a_missing_column_is_named(encoder: SiameseEncoder) -> None:
    with pytest.raises(SchemaError, match="the records lack 'price'"):
        encoder.encode([{"title": "sony"}])


@pytest.mark.parametrize("energy", list(Energy))
def test_distances_are_those_of_the_embeddings(energy: Energy) -> None:
    encoder = make("lstm", energy)
    left, right = encoder.encode(RECORDS[:2]).astype(float), encoder.encode(RECORDS[1:3]).astype(float)
    expected = {
        Energy.EUCLIDEAN: np.linalg.norm(left - right, axis=1),
        Energy.MANHATTAN: np.abs(left - right).sum(axis=1),
        Energy.COSINE: 1 - (left * right).sum(axis=1),
    }[energy]
    found = encoder.distance(RECORDS[:2], RECORDS[1:3])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(encoder.margin_distance(found), found.astype(float) / 1.25)
    assert encoder.distance(RECORDS, RECORDS).tolist() == [0, 0, 0, 0]


def test_every_exported_name_is_there_and_sorted() -> None:
    assert siamese.__all__ == sorted(siamese.__all__)
    assert len(set(siamese.__all__)) == len(siamese.__all__)
    module = importlib.import_module("siamese")
    for name in siamese.__all__:
        assert getattr(module, name).__name__ == name


STEP = """
import sys, torch, siamese.encoder, siamese.training, siamese.mining
weight = torch.nn.Parameter(torch.ones(3))
adam = siamese.training.Adam([weight], 0.1)
weight.square().sum().backward()
adam.step()
print(*sorted(sys.modules))
"""


def test_training_imports_nothing_of_the_layers_above_nor_torch_s_compiler() -> None:
    loaded = subprocess.run([sys.executable, "-c", STEP], capture_output=True, text=True, check=True).stdout.split()
    assert "siamese.encoder" in loaded
    assert "torch" in loaded
    unwanted = {
        "prefect",
        "faiss",
        "pyarrow.parquet",
        "pandas",
        "pipeline",
        "flows",
        "sentence_transformers",
        "torch._dynamo",
    }
    assert not unwanted & set(loaded)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_child_of_a_fork_encodes_as_its_parent_did() -> None:
    """In a process of its own: OpenMP's threads stay behind in a fork, and a child that asked for them would wait for ever."""
    script = """
import multiprocessing, os, sys, torch
torch.set_num_threads(2)
from tests.siamese.test_encoder import RECORDS, make
encoder = make("ngram")
records = 2000 * RECORDS
expected = encoder.encode(records)
def check():
    os._exit(0 if (encoder.encode(records) == expected).all() else 1)
child = multiprocessing.get_context("fork").Process(target=check)
child.start()
child.join(60)
child.kill()
sys.exit(child.exitcode != 0)
"""
    assert subprocess.run([sys.executable, "-c", script], timeout=120, cwd=Path(__file__).parents[2]).returncode == 0
