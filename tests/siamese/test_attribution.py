"""Attribution: shares add up to the distance, exactly where a tower says that it is additive, and by definition where not."""

from functools import cache
from itertools import permutations
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.synthetic import make_corpus
from siamese import attribution
from siamese.attribution import field_shares, word_shares
from siamese.distances import Energy, distance
from siamese.features import Group, feature_of, hash_words
from siamese.schema import Field, Kind, Schema, as_table
from siamese.text import split_words
from siamese.towers import TOWERS, Tower, build_tower
from siamese.towers.ngram import PLACES, NgramTower

SCHEMA = Schema(
    fields=(
        Field(name="title", kind=Kind.TEXT),
        Field(name="brand", kind=Kind.NAME),
        Field(name="price", kind=Kind.NUMBER),
        Field(name="day", kind=Kind.DATE),
    )
)
RECORDS = [
    {"title": "sony turntable ps-lx350h black sony", "brand": "sony", "price": "$149.00", "day": "2024-03-01"},
    {"title": "turntable, Sony PSLX350H", "brand": None, "price": "150", "day": "01.03.2024"},
    {"title": "bose acoustimass 5 series iii", "brand": "bose", "price": None, "day": None},
    {"title": None, "brand": None, "price": None, "day": None},
    {"title": "…", "brand": "Ångström", "price": "N/A", "day": "-"},
]
TEXTS = SCHEMA.select(as_table(RECORDS))
ADDITIVE = [name for name, tower in TOWERS.items() if tower.additive]


def trained(name: str, schema: Schema, texts: pa.Table, **settings: Any) -> Tower:
    """A tower whose weights are as if trained: weights that are all alike would hide a mistake in which one is used."""
    tower = build_tower(name, schema, settings, seed=3).eval()
    tower.fit_corpus(tower.featurise(texts))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in tower.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    return tower


def sums_to(tower: Tower, texts: pa.Table, left: np.ndarray, right: np.ndarray, energy: Energy) -> np.ndarray:
    """What the shares of each pair must sum to, from the embeddings that are stored."""
    embedded = tower.encode(texts)
    apart = distance(embedded[left], embedded[right], energy).double().numpy()
    return apart**2 if energy is Energy.EUCLIDEAN else apart


@pytest.fixture(scope="module")
def ngram() -> Tower:
    return trained("ngram", SCHEMA, TEXTS, dim=48)


@pytest.mark.parametrize(("energy", "pairs"), [("euclidean", 10_000), ("cosine", 500), ("manhattan", 500)])
@pytest.mark.parametrize("name", ADDITIVE)
def test_shares_of_fields_sum_to_the_distance(name: str, energy: str, pairs: int) -> None:
    corpus = as_table(make_corpus(1200, seed=4, n_pairs=10).records)
    schema = Schema.infer(corpus, exclude=["record_id"])
    texts = schema.select(corpus)
    tower = trained(name, schema, texts, dim=64)
    left, right = np.random.default_rng(0).integers(0, texts.num_rows, (2, pairs))
    shares = field_shares(tower, texts, left, right, Energy(energy))
    assert shares.shape == (pairs, len(schema.fields)) and len(schema.fields) > 5
    expected = sums_to(tower, texts, left, right, Energy(energy))
    assert np.ptp(expected) > 0.5  # near and far pairs
    np.testing.assert_allclose(shares.sum(axis=1), expected, atol=1e-5)


def test_all_towers_are_additive_or_say_that_they_are_not() -> None:
    assert ADDITIVE == ["ngram"]
    with pytest.raises(NotImplementedError, match="'lstm' is not additive"):
        build_tower("lstm", SCHEMA).fields(None)


@pytest.mark.parametrize("energy", list(Energy))
def test_shares_of_fields_and_words_are_sums_over_their_features(ngram: NgramTower, energy: Energy) -> None:
    """All of it again, one feature at a time."""
    weight = (ngram.idf * ngram.feature_weight.exp()).detach().double().numpy()
    group = ngram.group_weight.exp().detach().double().numpy()
    projection = ngram.projection.floats().double().numpy() / ngram.dim**0.5
    field_weight = ngram.field_weight.exp().detach().double().numpy()
    place_weight = ngram.place_weight.exp().detach().double().numpy()
    pair = TEXTS.take(pa.array([0, 1])).combine_chunks()
    bags, spelled = ngram.featurise(pair), iter(ngram.spell(pair))
    vectors: dict[tuple[int, int, str], np.ndarray] = {}  # by side, field and word
    for cell in range(2 * len(SCHEMA.fields)):
        side, field = divmod(cell, len(SCHEMA.fields))
        summed: dict[str, np.ndarray] = {}
        words = bags.words[bags.offsets[cell] : bags.offsets[cell + 1]]
        places = np.arange(len(words))
        places[bags.groups[words] >= Group.JOINED] -= (bags.groups[words] < Group.JOINED).sum()
        for word, place in zip(words, places, strict=True):
            itself, *grams = bags.feature_ids[bags.feature_offsets[word] : bags.feature_offsets[word + 1]]
            vector = group[field, bags.groups[word]] * weight[itself] * projection[itself]
            if SCHEMA.fields[field].kind is not Kind.NUMBER:
                of_gram = Group.GRAM_CODE if bags.groups[word] == Group.CODE else Group.GRAM
                vector = vector + sum(group[field, of_gram] * weight[gram] * projection[gram] for gram in grams)
            name = next(spelled)
            summed[name] = summed.get(name, 0) + place_weight[field, PLACES[min(place, len(PLACES) - 1)]] * vector
        if summed:
            scale = field_weight[field] / np.linalg.norm(sum(summed.values())) ** ngram.config.field_norm
            vectors |= {(side, field, name): scale * vector for name, vector in summed.items()}
    lengths = [np.linalg.norm(sum(v for (s, _, _), v in vectors.items() if s == side)) for side in (0, 1)]
    parts: dict[tuple[int, str], np.ndarray] = {}
    for (side, field, name), vector in vectors.items():
        parts[field, name] = parts.get((field, name), 0) + (-1) ** side * vector / lengths[side]
    difference = sum(parts.values())
    towards = {"euclidean": difference, "cosine": difference / 2, "manhattan": np.sign(difference)}[energy.value]

    found, again = word_shares(ngram, pa.concat_tables([pair, pair]), energy)
    assert again.words == found.words and np.array_equal(again.shares, found.shares)
    assert {(field, word) for field, word in zip(found.fields.tolist(), found.words, strict=True)} == set(parts)
    for field, word, share, left, right in zip(
        found.fields.tolist(), found.words, found.shares, found.on_left, found.on_right, strict=True
    ):
        assert share == pytest.approx(parts[field, word] @ towards, abs=1e-5)
        assert (left, right) == ((0, field, word) in vectors, (1, field, word) in vectors)
    shares = field_shares(ngram, TEXTS, np.array([0]), np.array([1]), energy)[0]
    np.testing.assert_allclose(np.bincount(found.fields, found.shares, len(SCHEMA.fields)), shares, atol=1e-6)


def test_words_are_spelled_in_the_order_of_the_bags(ngram: Tower) -> None:
    bags, spelled = ngram.featurise(TEXTS), ngram.spell(TEXTS)
    assert len(spelled) == len(bags.words)
    cell = np.repeat(np.arange(len(bags.offsets) - 1), np.diff(bags.offsets))
    for place, word in enumerate(spelled):
        kind = SCHEMA.fields[cell[place] % len(SCHEMA.fields)].kind
        if kind in (Kind.TEXT, Kind.NAME):  # the others are spelled for people
            hashed = hash_words(split_words(pa.array([word.replace(" ", "")], pa.large_string())))
            assert bags.feature_ids[bags.feature_offsets[bags.words[place]]] == feature_of(hashed)[0]
    assert {"ps lx350h", "lx350h", "149", "2024-03-01", "angstrom", "n", "na"} & set(spelled) >= {
        "ps lx350h",
        "lx350h",
        "149",
    }
    assert spelled.count("2024-03-01") == 2
    sizes = [word.split(" to ") for word in spelled if " to " in word]
    near = [
        (float(low) <= 149 * 1.01 and float(high) >= 149 * 0.99) or (float(low) <= 152 and float(high) >= 148)
        for low, high in sizes
    ]
    assert len(sizes) == 8 and all(near)


def test_without_a_field_of_negative_share_a_pair_is_farther_apart(ngram: Tower) -> None:
    fields = ngram.fields(ngram.featurise(TEXTS)).detach().double().numpy()
    left, right = (side.ravel() for side in np.meshgrid([0, 1, 2, 4], [0, 1, 2, 4]))
    units = fields / np.linalg.norm(fields.sum(axis=1), axis=1).clip(1e-12)[:, None, None]
    parts = units[left] - units[right]
    total = np.linalg.norm(parts.sum(axis=1), axis=1)
    shares = field_shares(ngram, TEXTS, left, right, Energy.EUCLIDEAN)
    assert (shares < -1e-6).any()
    for pair, field in np.argwhere(shares < -1e-6):
        assert np.linalg.norm(np.delete(parts[pair], field, axis=0).sum(axis=0)) > total[pair]


@pytest.mark.parametrize("name", ["ngram", "lstm"])
def test_equal_and_empty_records(name: str) -> None:
    tower = trained(name, SCHEMA, TEXTS, **({"dim": 48} if name == "ngram" else {"dim": 16}))
    left, right = np.array([0, 3, 3]), np.array([0, 3, 2])
    shares = field_shares(tower, TEXTS, left, right, Energy.EUCLIDEAN)
    np.testing.assert_allclose(shares[:2], 0, atol=1e-9)
    assert shares[2].sum() == pytest.approx(1, abs=1e-6)  # all that the other says
    assert field_shares(tower, TEXTS, left[:0], right[:0], Energy.EUCLIDEAN).shape == (0, 4)


def test_other_towers_shares_are_shapley_values() -> None:
    """By definition: each field's marginal distance, on average over all orders, a field that is not there yet being missing."""
    tower = trained("lstm", SCHEMA, TEXTS, dim=16, token_dim=12, hidden_dim=10, vocabulary=1024)
    names = SCHEMA.names

    @cache
    def apart(some: frozenset[str]) -> float:
        pair = [{name: record[name] if name in some else None for name in names} for record in RECORDS[:2]]
        return float(sums_to(tower, SCHEMA.select(as_table(pair)), np.array([0]), np.array([1]), Energy.EUCLIDEAN)[0])

    expected = dict.fromkeys(names, 0.0)
    for order in permutations(names):
        for count, name in enumerate(order):
            expected[name] += (apart(frozenset(order[: count + 1])) - apart(frozenset(order[:count]))) / 24
    shares = field_shares(tower, TEXTS, np.array([0]), np.array([1]), Energy.EUCLIDEAN)
    np.testing.assert_allclose(shares[0], list(expected.values()), atol=1e-5)
    assert shares.sum() == pytest.approx(apart(frozenset(names)), abs=1e-5)


def test_of_many_fields_some_orders_are_drawn_and_the_shares_still_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    tower = trained("lstm", SCHEMA, TEXTS, dim=16, token_dim=12, hidden_dim=10, vocabulary=1024)
    left, right = np.array([0, 0]), np.array([1, 2])
    exact = field_shares(tower, TEXTS, left, right, Energy.EUCLIDEAN)
    monkeypatch.setattr(attribution, "ALL_SETS", 3)
    drawn = [field_shares(tower, TEXTS, left, right, Energy.EUCLIDEAN, seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.allclose(drawn[0], drawn[2], atol=1e-4)
    for each in drawn:
        np.testing.assert_allclose(each.sum(axis=1), exact.sum(axis=1), atol=1e-6)
        np.testing.assert_allclose(each, exact, atol=0.15)  # this tower is as wild as random weights are
