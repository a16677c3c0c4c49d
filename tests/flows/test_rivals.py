"""Rivals between two tables: a link and ``evaluate`` judge a pair among them, a dedupe and a score by itself."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

pytest.importorskip("prefect")

from flows.embedded import embedded_server
from pipeline.certificate import verify_run
from pipeline.decision import Threshold
from pipeline.evaluation import evaluate_encoder, judge_pairs
from pipeline.fitting import fit_encoder
from pipeline.pairs import LabelledPairs
from pipeline.records import Records
from pipeline.training_set import read_training_set
from siamese.encoder import SiameseEncoder
from siamese.explaining import explain_pairs
from siamese.rivals import among_rivals
from siamese.settings import TrainingConfig

THINGS, FAMILY = 240, 4  # siblings differ in one word, which the other table leaves out of every other thing
COLOURS = ("black", "white", "silver", "red")


class Two(NamedTuple):
    """Two tables of the same things, and the model that their labelled pairs taught."""

    left: str
    right: str
    pairs: str
    model: str


def titles(shop: str, random: np.random.Generator) -> list[str]:
    makers, wares = ("sony", "bose", "canon", "denon", "akai"), ("radio", "camera", "receiver", "lens", "amplifier")
    found = []
    for thing in range(THINGS):
        family = thing // FAMILY
        code = f"{'abcdefgh'[family % 8]}x{100 + 7 * family}"
        colour = COLOURS[thing % FAMILY] if shop == "left" or random.random() < 0.5 else ""
        words = [
            makers[family % 5],
            wares[family % 5 - family % 3],
            code,
            colour,
            f"lot {thing % FAMILY}" * (shop == "left"),
        ]
        found.append(" ".join(filter(None, words)))
    return found


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Two:
    folder, random = tmp_path_factory.mktemp("two"), np.random.default_rng(5)
    for shop in ("left", "right"):
        table = pd.DataFrame({"record_id": np.arange(THINGS).astype(str), "title": titles(shop, random)})
        table.to_parquet(folder / f"{shop}.parquet")
    things = np.arange(THINGS)
    others = things // FAMILY * FAMILY + (things + 1 + random.integers(0, FAMILY - 1, THINGS)) % FAMILY
    pairs = pd.DataFrame(
        {
            "left_id": np.tile(things, 2),
            "right_id": np.concatenate([things, others]),
            "label": np.repeat([1, 0], THINGS),
        }
    ).astype({"left_id": str, "right_id": str})
    pairs["split"] = np.tile(np.where(things % 5 == 0, "test", np.where(things % 5 == 1, "valid", "train")), 2)
    pairs.to_parquet(folder / "pairs.parquet")
    made = Two(*(str(folder / name) for name in ("left.parquet", "right.parquet", "pairs.parquet", "model")))
    sources = Records.open(made.left), Records.open(made.right)
    labelled = LabelledPairs.read(made.pairs)
    fit_encoder(sources[0], labelled, right=sources[1], config=TrainingConfig(epochs=3)).save(Path(made.model))
    return made


@pytest.fixture(scope="module")
def linked(two: Two, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from flows.link import link

    run = tmp_path_factory.mktemp("linked") / "run"
    with embedded_server():
        link(two.model, two.left, two.right, str(run))
    return run


def own_doubts(model: SiameseEncoder, left: str, right: str) -> np.ndarray:
    """(left, right) doubts of every pair by itself, inf where a run does not look."""
    tables = [pa.Table.from_pandas(pd.read_parquet(path)) for path in (left, right)]
    texts = model.schema.select(pa.concat_tables(tables))
    one, other = (each.ravel() for each in np.indices((THINGS, THINGS)))
    embeddings = model.encode(texts)
    apart = model.margin_distance(model.energies(embeddings[one], embeddings[other + THINGS]))
    doubts = model.verifier.doubt(model.verifier.profile(texts), one, other + THINGS, apart)
    return np.where(apart <= model.verifier.candidate_distance, doubts, np.inf).reshape(THINGS, THINGS)


def places(pairs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return pairs["left_id"].astype(int).to_numpy(), pairs["right_id"].astype(int).to_numpy()


def test_a_link_judges_pairs_among_their_rivals(two: Two, linked: Path) -> None:
    """Held against all doubts of all pairs, with a loop."""
    model, pairs = SiameseEncoder.load(two.model), pd.read_parquet(linked / "pairs.parquet")
    rivalry, own = model.verifier.rivalry, own_doubts(model, two.left, two.right)
    assert max(rivalry.left, rivalry.right) > 0.1
    said = [pd.read_parquet(path)["title"].to_numpy() for path in (two.left, two.right)]
    expected = []
    for left, right in zip(*places(pairs), strict=True):
        rivals = own[left, said[1] != said[1][right]].min(), own[said[0] != said[0][left], right].min()
        pressure = np.logaddexp(0, -np.array([rivals]))
        expected.append(among_rivals(own[[left], right], pressure, rivalry.left, rivalry.right)[0])
    np.testing.assert_allclose(pairs["score"], expected, atol=1e-5)
    assert (pairs["score"] > own[places(pairs)] + 0.1).sum() > 5
    probability = rivalry.calibration.probability(pairs["score"])
    assert np.corrcoef(probability, pairs["probability"])[0, 1] > 0.99
    assert verify_run(linked)["is_recomputed"]


def test_evaluate_judges_as_a_link_does(two: Two, linked: Path) -> None:
    model, labelled = SiameseEncoder.load(two.model), LabelledPairs.read(two.pairs)
    sources = Records.open(two.left), Records.open(two.right)
    data = read_training_set(sources[0], labelled, right=sources[1], seed=0)
    judge, _, judged = judge_pairs(model, Threshold(), data, data.of("test"))
    assert judge.rivalry == model.verifier.rivalry
    frame = labelled.frame[labelled.frame["split"] == "test"].assign(score=judged.score)
    both = frame.merge(pd.read_parquet(linked / "pairs.parquet"), on=["left_id", "right_id"])
    assert len(both) > 40
    np.testing.assert_allclose(both["score_x"], both["score_y"], atol=1e-5)
    said = evaluate_encoder(model, sources[0], labelled, "test", right=sources[1])
    assert said["among_rivals"] and said["decided_by"] == "verifier"


def test_an_assignment_one_table_and_the_distance_alone_ask_no_rival(two: Two, tmp_path: Path) -> None:
    from flows.dedupe import dedupe
    from flows.link import link

    model = SiameseEncoder.load(two.model)
    with embedded_server():
        said = dedupe(two.model, two.left, str(tmp_path / "one"))
        others = [
            link(two.model, two.left, two.right, str(tmp_path / next(iter(option))), **option)
            for option in ({"verifier": False}, {"one_to_one": True})
        ]
    assert not any(each["among_rivals"] for each in (said, *others))
    pairs = pd.read_parquet(tmp_path / "one" / "pairs.parquet")
    np.testing.assert_allclose(pairs["score"], own_doubts(model, two.left, two.left)[places(pairs)], atol=1e-5)
    assigned = pd.read_parquet(tmp_path / "one_to_one" / "pairs.parquet")
    np.testing.assert_allclose(assigned["score"], own_doubts(model, two.left, two.right)[places(assigned)], atol=1e-5)
    for split in ("valid", "test"):
        labelled, sources = LabelledPairs.read(two.pairs), (Records.open(two.left), Records.open(two.right))
        said = evaluate_encoder(model, sources[0], labelled, split, right=sources[1], verifier=False)
        assert not said["among_rivals"]


def test_an_explanation_of_a_link_has_a_step_for_rivals(two: Two, linked: Path) -> None:
    model, pairs = SiameseEncoder.load(two.model), pd.read_parquet(linked / "pairs.parquet").head(10)
    tables = [pa.Table.from_pandas(pd.read_parquet(path)) for path in (two.left, two.right)]
    left, right = places(pairs)
    scores, texts = pairs["score"].to_numpy(), model.schema.select(pa.concat_tables(tables))
    explained = explain_pairs(model, texts, left, right + THINGS, scores=scores)
    own = own_doubts(model, two.left, two.right)[left, right]
    curve = model.verifier.rivalry.calibration.log_odds
    for pair, each in enumerate(explained):
        assert sum(step.log_odds for step in each.steps) == pytest.approx(each.log_odds)
        assert each.log_odds == pytest.approx(curve([scores[pair]])[0], abs=1e-4)
        [rivals] = [step.log_odds for step in each.steps if step.kind == "rivals"]
        assert np.sign(np.round(rivals, 5)) == -np.sign(np.round(scores[pair] - own[pair], 5))
    alone = explain_pairs(model, texts, left, right + THINGS)
    assert all(step.kind != "rivals" for each in alone for step in each.steps)
