"""Explanations: everything adds up to what the model decides, and the labelled pairs beside are the nearest."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from siamese.calibration import Calibration
from siamese.comparison import Comparison
from siamese.encoder import SiameseEncoder
from siamese.errors import ArtifactError, DataError
from siamese.explaining import explain_pairs
from siamese.lessons import IDS, Lessons
from siamese.logodds import LogOdds
from siamese.pairs import Pairs
from siamese.profiles import Profiles, document_frequency
from siamese.reasons import Readings, source_of
from siamese.schema import Field, Kind, Schema, as_table
from siamese.settings import TrainingConfig
from siamese.teaching import choose_lessons, teach
from siamese.towers import build_tower
from siamese.training import pair_distances
from siamese.verifier import Verifier

SCHEMA = Schema(
    fields=(
        Field(name="title", kind=Kind.TEXT),
        Field(name="price", kind=Kind.NUMBER),
        Field(name="a: b", kind=Kind.CATEGORY),
    )
)
N = 240


@pytest.fixture(scope="module")
def made() -> tuple[SiameseEncoder, pa.Table, Pairs]:
    """Things listed twice, and a model with a real verifier; an imposite differs in its code or its price."""
    random = np.random.default_rng(5)
    makers, codes = random.choice(["sony", "bose", "canon", "denon"], N), random.integers(100, 999, N)
    prices = random.integers(9, 99, N).astype(float)
    is_match = (np.arange(N) % 2).astype(np.int8)
    other_codes = np.where((is_match == 0) & (np.arange(N) % 4 == 0), random.integers(100, 999, N), codes)
    other_prices = np.where((is_match == 0) & (np.arange(N) % 4 == 2), prices * 1.7, prices)
    records = [
        {"title": f"{m} receiver mx{c}", "price": p, "a: b": "x"} for m, c, p in zip(makers, codes, prices, strict=True)
    ]
    records += [
        {"title": f"{m} mx-{c} receiver black", "price": p if i % 7 else None, "a: b": None}
        for i, (m, c, p) in enumerate(zip(makers, other_codes, other_prices, strict=True))
    ]  # fmt: skip
    texts = SCHEMA.select(as_table(records))
    tower = build_tower("ngram", SCHEMA, {"dim": 64}).eval()
    features = tower.featurise(texts)
    tower.fit_corpus(features)
    pairs = Pairs(np.arange(N), np.arange(N) + N, is_match)
    config = TrainingConfig(lessons=60)
    apart = pair_distances(tower.embed(features), pairs, config.energy).astype(np.float64) / 1.2
    idf = document_frequency(texts, SCHEMA)
    folds = np.arange(N) // 2 % 4
    verifier, doubts = Verifier.fit(
        SCHEMA, idf, Comparison(Profiles.of(texts, SCHEMA, idf), pairs.left, pairs.right), apart, is_match, folds,
        np.arange(N), 0,
    )  # fmt: skip
    encoder = SiameseEncoder(tower, config.energy, 1.2, Calibration.fit(apart, is_match), config, verifier=verifier)
    ids = pa.array([f"r{number}" for number in range(2 * N)])
    encoder.lessons = teach(encoder, texts, ids, pairs, np.arange(N) % 3 == 0, apart, doubts)
    return encoder, texts, pairs


def with_curve(encoder: SiameseEncoder, kind: str) -> SiameseEncoder:
    """The same, the doubts calibrated by another kind of curve."""
    assert encoder.verifier is not None
    calibration = encoder.verifier.calibration
    curve = LogOdds.fit_kind(kind, *calibration.evidence.arrays)  # type: ignore[arg-type]
    return replace(
        encoder, verifier=replace(encoder.verifier, calibration=calibration.model_copy(update={"log_odds": curve}))
    )


@pytest.mark.parametrize("kind", ["given", "logistic", "beta", "isotonic"])
def test_steps_sum_to_the_log_odds_of_the_decision(made, kind: str) -> None:
    encoder, texts, pairs = made
    encoder = with_curve(encoder, kind)
    verifier = encoder.verifier
    distances = encoder.distance(texts.slice(0, N), texts.slice(N))
    doubts = verifier.doubt(verifier.profile(texts), pairs.left, pairs.right, encoder.margin_distance(distances))
    explained = explain_pairs(encoder, texts, pairs.left, pairs.right, words=0, lessons=0)
    expected = verifier.calibration.log_odds(doubts)
    for pair, each in enumerate(explained):
        assert sum(step.log_odds for step in each.steps) == pytest.approx(expected[pair], abs=1e-6)
        assert each.log_odds == pytest.approx(expected[pair], abs=1e-6)
        assert each.probability == pytest.approx(expit(expected[pair]), abs=1e-6)
        assert each.is_match == (doubts[pair] <= verifier.calibration.max_distance)
        first = encoder.calibration.log_odds([each.margin_distance])[0]
        assert each.steps[0].kind == "start" and each.steps[0].log_odds == pytest.approx(first)
        assert (each.steps[-1].kind == "calibration") == (kind in ("beta", "isotonic"))
    assert len({each.is_match for each in explained}) == 2
    assert ("curve" in " ".join(explained[0].notes)) == (kind in ("beta", "isotonic"))


def test_readings_are_sums_over_the_features_of_each_judge(made) -> None:
    """LightGBM's own Shapley values and the linear judge's terms, one feature at a time."""
    encoder, texts, pairs = made
    verifier, few = encoder.verifier, slice(0, 8)
    left, right = pairs.left[few], pairs.right[few]
    apart = encoder.margin_distance(encoder.distance(texts.slice(0, 8), texts.slice(N, 8)))
    readings = Readings.of(verifier, texts, left, right, apart)
    profiles = verifier.profile(texts)
    comparison = Comparison(profiles, left, right)
    features = np.column_stack([comparison.features(SCHEMA), apart, verifier.words.score(comparison)]).astype(
        np.float32
    )
    trees = [booster.predict(features, pred_contrib=True) for booster in verifier._boosters]
    for pair in range(8):
        expected = dict.fromkeys(readings.sources, 0.0)
        for column, name in enumerate(verifier.feature_names):
            value = features[pair, column]
            linear = 0.0 if np.isnan(value) else (value - verifier.linear.fill[column]) * verifier.linear.slope[column]
            parts = [trees[0][pair, column], trees[1][pair, column], linear]
            expected[source_of(name)] += float(np.dot(verifier.weights, parts))
        np.testing.assert_allclose(readings.added[pair], list(expected.values()), atol=1e-9)
    doubts = verifier.doubt(profiles, left, right, apart)
    np.testing.assert_allclose(readings.added.sum(axis=1) + readings.usual, -doubts, atol=1e-6)


def test_features_belong_to_their_fields() -> None:
    assert (source_of("a: b: jaccard").kind, source_of("a: b: jaccard").name) == ("field", "a: b")
    kinds = {name: source_of(name).kind for name in ("shared", "odd_min", "codes", "digits", "margin_distance", "said")}
    assert kinds == dict(zip(kinds, ["record", "record", "codes", "digits", "distance", "words"], strict=True))


def test_shares_sum_to_the_squared_distance_and_words_to_their_field(made) -> None:
    encoder, texts, pairs = made
    for each in explain_pairs(encoder, texts, pairs.left[:20], pairs.right[:20], words=2):
        assert sum(field.share for field in each.fields) == pytest.approx(each.distance**2, abs=1e-5)
        assert each.total == pytest.approx(each.distance**2) and each.is_exact
        for field in each.fields:
            listed = [word.share for word in field.words]
            assert sum(listed) + field.other_share == pytest.approx(field.share, abs=1e-5)
            assert listed == sorted(listed, key=abs, reverse=True) and len(listed) <= 2
        assert each.fields[2].missing == "right" and each.fields[2].right is None
        assert (each.fields[1].missing == "right") == (each.fields[1].right is None)


def test_what_is_said_is_json_and_its_bars_join(made) -> None:
    encoder, texts, pairs = made
    [each] = explain_pairs(encoder, texts, pairs.left[:1], pairs.right[:1])
    said = json.loads(json.dumps(each.to_dict(), allow_nan=False))
    for name, size, total in (("fields", "share", each.total), ("steps", "log_odds", each.log_odds)):
        place = 0.0
        for part in said[name]:
            assert part["start"] == pytest.approx(place)
            place += part[size]
            assert part["end"] == pytest.approx(place)
        assert place == pytest.approx(total, abs=1e-5)


def test_a_runs_prior_is_a_step_and_its_limit_decides(made) -> None:
    encoder, texts, pairs = made
    plain = explain_pairs(encoder, texts, pairs.left[:1], pairs.right[:1])[0]
    run = explain_pairs(encoder, texts, pairs.left[:1], pairs.right[:1], imposite_weight=4.0, limit=-100.0)[0]
    assert run.steps[-1].kind == "prior" and run.steps[-1].log_odds == pytest.approx(-np.log(4))
    assert (
        run.log_odds
        == pytest.approx(plain.log_odds - np.log(4))
        == pytest.approx(np.log(run.probability / (1 - run.probability)))
    )
    assert not run.is_match and run.needed > plain.needed


def test_without_a_verifier_the_distance_decides(made) -> None:
    encoder, texts, pairs = made
    few = (texts, pairs.left[:4], pairs.right[:4])
    for each in [
        *explain_pairs(encoder, *few, verifier=False),
        *explain_pairs(replace(encoder, verifier=None, lessons=None), *few),
    ]:
        assert each.decided_by == "distance" and [step.kind for step in each.steps] == ["start"]
        assert each.probability == pytest.approx(float(encoder.calibration.probability([each.margin_distance])[0]))
        assert each.is_match == (each.margin_distance <= encoder.calibration.max_distance)


def test_what_has_to_be_known_is_said(made) -> None:
    encoder, texts, pairs = made
    far = replace(encoder, verifier=replace(encoder.verifier, candidate_distance=0.0))
    [each] = explain_pairs(far, texts, pairs.left[:1], pairs.right[:1])
    assert (each.probability, each.is_match) == (0.0, False) and "than the verifier looks (0.000 margins)" in " ".join(
        each.notes
    )
    [each] = explain_pairs(replace(encoder, lessons=None), texts, pairs.left[:1], pairs.left[:1])
    assert "the same in every field" in each.notes[0] and "keeps no labelled pairs" in each.notes[1]
    hollow = SCHEMA.select(
        as_table([{"title": "sony", "price": 1, "a: b": "x"}, {"title": "--", "price": None, "a: b": None}])
    )
    with pytest.raises(DataError, match=r"the right record of pair 1 has nothing to compare.*title, price, a: b"):
        explain_pairs(encoder, hollow, np.array([0]), np.array([1]))


def test_other_towers_are_approximated_and_say_so(made) -> None:
    encoder, texts, pairs = made
    tower = build_tower("lstm", SCHEMA, {"dim": 16, "token_dim": 12, "hidden_dim": 10, "vocabulary": 1024}).eval()
    other = replace(encoder, tower=tower)
    [each] = explain_pairs(other, texts, pairs.left[:1], pairs.right[:1])
    assert not each.is_exact and "an approximation" in each.notes[-1] + each.notes[0]
    assert sum(field.share for field in each.fields) == pytest.approx(each.total, abs=1e-5)
    assert all(field.words == () for field in each.fields)


def test_lessons_are_the_nearest_of_either_label(made) -> None:
    encoder, texts, pairs = made
    lessons = encoder.lessons
    assert len(lessons) == 60 and lessons.is_match.sum() == 30
    explained = explain_pairs(encoder, texts, pairs.left[:5], pairs.right[:5], lessons=3)
    apart = encoder.margin_distance(encoder.distance(texts.slice(0, 5), texts.slice(N, 5)))
    points = Readings.of(encoder.verifier, texts, pairs.left[:5], pairs.right[:5], apart).added
    for pair, each in enumerate(explained):
        found = sorted(
            (float(np.sqrt(((lessons.points[row] - points[pair]) ** 2).sum())), row) for row in range(len(lessons))
        )
        for label, some in ((1, each.lessons[:3]), (0, each.lessons[3:])):
            nearest = [row for _, row in found if lessons.is_match[row] == label][:3]
            assert [lesson.left_id for lesson in some] == [lessons.left_ids[row] for row in nearest]
            assert all(lesson.is_match == bool(label) for lesson in some)
        rows = [int(lesson.left_id[1:]) for lesson in each.lessons]
        assert [lesson.is_match for lesson in each.lessons] == [bool(pairs.is_match[row]) for row in rows]
        assert [lesson.is_mined for lesson in each.lessons] == [row % 3 == 0 for row in rows]
        if pair in [int(one[1:]) for one in lessons.left_ids]:
            assert min(lesson.apart for lesson in each.lessons) < 1e-5  # a labelled pair is nearest to itself


def test_lessons_of_models_without_a_verifier_are_near_by_field(made) -> None:
    encoder, texts, pairs = made
    ids, distances = (
        pa.array([f"r{number}" for number in range(2 * N)]),
        encoder.distance(texts.slice(0, N), texts.slice(N)),
    )
    apart = encoder.margin_distance(distances)
    for tower, names in ((encoder.tower, SCHEMA.names), (build_tower("lstm", SCHEMA, {"dim": 8}).eval(), ["distance"])):
        plain = replace(encoder, verifier=None, tower=tower)
        plain.lessons = teach(plain, texts, ids, pairs, np.zeros(N, bool), apart, apart)
        assert plain.lessons.coordinates == names
        if tower is encoder.tower:
            rows = [int(one[1:]) for one in plain.lessons.left_ids]
            np.testing.assert_allclose(plain.lessons.points.sum(axis=1), apart[rows] ** 2, atol=1e-5)
        [each] = explain_pairs(plain, texts, pairs.left[:1], pairs.right[:1])
        assert [lesson.is_match for lesson in each.lessons] == [True, True, False, False]
    with pytest.raises(ArtifactError, match="do not fit the model"):
        encoder.lessons.near(np.zeros(1), ["distance"], 1)


def test_lessons_are_saved_without_text_and_an_older_model_has_none(made, tmp_path: Path) -> None:
    encoder = made[0]
    encoder.save(tmp_path / "model")
    encoder.save(tmp_path / "again")
    replace(encoder, lessons=None).save(tmp_path / "older")
    loaded = SiameseEncoder.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.lessons.points, encoder.lessons.points)
    assert (
        loaded.lessons.left_ids == encoder.lessons.left_ids
        and loaded.lessons.coordinates == encoder.lessons.coordinates
    )
    names = ("lessons.json", "lessons.safetensors")
    assert all((tmp_path / "model" / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)
    assert not any(b"receiver" in (tmp_path / "model" / name).read_bytes() for name in names)
    older = SiameseEncoder.load(tmp_path / "older")
    assert older.lessons is None and not (tmp_path / "older" / IDS).exists()
    assert older.fingerprint == loaded.fingerprint  # lessons change nothing that the model does


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 1), st.floats(-5, 5)), max_size=60),
    st.integers(1, 20),
)
def test_lessons_are_chosen_once_bounded_and_near_the_threshold(
    rows: list[tuple[int, int, int, float]], count: int
) -> None:
    left, right, labels, scores = (np.array([row[column] for row in rows]) for column in range(4))
    pairs = Pairs(left.astype(np.int64), right.astype(np.int64), labels.astype(np.int8))
    kept = choose_lessons(pairs, scores.astype(np.float64), 0.5, count, 0)
    keys = [(min(left[row], right[row]), max(left[row], right[row]), labels[row]) for row in range(len(rows))]
    distinct = set(keys)
    of_label = [sum(key[2] == label for key in distinct) for label in (0, 1)]
    assert len({keys[row] for row in kept}) == len(kept) <= count
    assert len(kept) >= min(len(distinct), count) - 1
    taken = [int((labels[kept] == label).sum()) for label in (0, 1)] if len(kept) else [0, 0]
    assert all(taken[label] >= min(of_label[label], count // 2) for label in (0, 1))
    first = {key: row for row, key in reversed(list(enumerate(keys)))}
    for label in (0, 1):
        near = sorted((abs(scores[row] - 0.5), row) for key, row in first.items() if key[2] == label)
        sure = [row for _, row in near[: round(taken[label] * 0.5)]]
        assert set(sure) <= set(kept.tolist())
    np.testing.assert_array_equal(kept, choose_lessons(pairs, scores.astype(np.float64), 0.5, count, 0))


def test_lessons_load_of_a_folder_without_them(tmp_path: Path) -> None:
    assert Lessons.load(tmp_path) is None
