"""Decisions and certificates: what is promised follows from the files, and nothing else passes for it."""

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import binomtest

from pipeline import stages
from pipeline.candidates import BEYOND, Candidates
from pipeline.certificate import CERTIFICATE, Certificate, verify_run
from pipeline.contents import Contents
from pipeline.decision import Threshold
from pipeline.embedding import Corpus, Embeddings
from pipeline.rowpairs import RowPairs
from siamese.calibration import Calibration
from siamese.errors import ArtifactError, SettingsError
from siamese.folders import write_manifest
from siamese.prior import Histogram
from tests.pipeline.fakes import FakeEncoder, embed, run_stages


def draw(n: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = (random.random(n) < share).astype(int)
    return np.abs(random.normal(np.where(labels == 1, 0.2, 0.9), 0.12)), labels


@pytest.fixture
def calibration() -> Calibration:
    return Calibration.fit(*draw(1000, 0.5, 0))


def test_without_a_wish_the_best_f1_at_the_corpus_s_share_decides(calibration) -> None:
    plain = Threshold().decide(calibration)
    assert plain.limit == calibration.max_distance and plain.prior is None and plain.promises == ()
    rare = Threshold().decide(calibration, Histogram.of(draw(20_000, 0.02, 1)[0]))
    assert rare.prior.imposite_weight > 10 and rare.limit < plain.limit
    assert rare.judge(np.array([0.5])).probability < plain.judge(np.array([0.5])).probability


def test_groups_are_one_from_half_the_best_f1_on_whatever_was_asked_of_pairs(calibration) -> None:
    plain, strict = Threshold().decide(calibration), Threshold(min_precision=0.95).decide(calibration)
    assert plain.least_mean == strict.least_mean == calibration.expected_f1() / 2 < 0.5
    rare = Threshold().decide(calibration, Histogram.of(draw(20_000, 0.02, 1)[0]))
    assert rare.least_mean < plain.least_mean
    chosen = Calibration.fit(*draw(1000, 0.5, 0), are_chosen=True)
    assert Threshold().decide(chosen).least_mean == 0.5


@pytest.mark.parametrize("what", ["precision", "recall"])
def test_a_promise_is_kept_on_other_pairs_and_says_its_evidence(calibration, what) -> None:
    decision = Threshold(**{f"min_{what}": 0.95}).decide(calibration)
    scores, labels = draw(100_000, 0.5, 2)
    flagged = decision.judge(scores).is_match
    right = (flagged & (labels == 1)).sum()
    assert right / (flagged if what == "precision" else labels).sum() >= 0.95
    (promise,) = decision.promises
    assert promise.what == what and promise.bound.least >= 0.95 and promise.bound.limit == decision.limit
    assert f"{what} of at least 0.95 with confidence 0.95" in decision.threshold_from


def test_two_promises_share_the_risk_or_are_refused_together(calibration) -> None:
    both = Threshold(min_precision=0.9, min_recall=0.9).decide(calibration)
    assert [each.confidence for each in both.promises] == [0.975, 0.975]
    with pytest.raises(
        SettingsError, match=r"a (precision|recall) of 0\.99\d? cannot be promised|cannot both be promised"
    ):
        Threshold(min_precision=0.992, min_recall=0.992).decide(calibration)


def test_too_thin_evidence_is_refused_with_what_would_do() -> None:
    few = Calibration.fit([0.1, 0.2, 0.3, 0.7, 0.8, 0.9], [1, 1, 1, 0, 0, 0])
    with pytest.raises(
        SettingsError,
        match=r"from 6 held-out pairs, 3 of them genuine.*0 wrong of 3.*times as many",
    ):
        Threshold(min_precision=0.95).decide(few)
    with pytest.raises(SettingsError, match="max_distance and min_recall both set"):
        Threshold(max_distance=0.5, min_recall=0.9).decide(few)
    with pytest.raises(SettingsError, match="confidence is 1"):
        Threshold(confidence=1.0).decide(few)


def test_zones_say_what_to_look_at(calibration) -> None:
    judgement = Threshold().decide(calibration).judge(np.array([0.0, 0.55, 1.2, np.nan]))
    assert judgement.probability[1] == pytest.approx(0.5, abs=0.4)
    assert judgement.zone.tolist()[:3] == [2, 1, 0]


def test_what_was_looked_at_and_not_kept_is_sampled_with_its_weight(monkeypatch, tmp_path, calibration) -> None:
    monkeypatch.setattr("pipeline.candidates.SAMPLE", 50)
    n = 1200
    encoder = FakeEncoder(margin=1.0)
    random = np.random.default_rng(0)
    every = RowPairs(random.integers(0, 20, n), random.integers(20, 40, n), random.random(n).astype(np.float32))
    scores = every.distances.astype(np.float64)

    ids = pa.array([f"r{i:02d}" for i in range(40)], pa.large_string())
    pq.write_table(pa.table({"record_id": ids, "row": np.arange(40)}), tmp_path / "ids.parquet")
    corpus = Corpus(tmp_path, Embeddings((np.zeros((40, 4), np.float32),), 4), Contents(()))
    found = Candidates.of(every, scores, 0.25)
    assert found.looked_at == n and len(found.scores) == (every.distances <= 0.25).sum()
    assert (found.refused.scores > 0.25).all() and len(found.refused.scores) == 50
    found.refused.write(tmp_path, encoder, corpus, None, Threshold().decide(calibration))
    table = pq.read_table(tmp_path / BEYOND)
    assert sum(table["weight"].to_pylist()) == pytest.approx((every.distances > 0.25).sum())
    # Uniform: about half of it from the middle half, over some seeds.
    samples = [Candidates.of(every, scores, 0.25, seed).refused.scores for seed in range(20)]
    middle = [np.mean((sample > 0.4375) & (sample < 0.8125)) for sample in samples]
    assert np.mean(middle) == pytest.approx(0.5, abs=0.07)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of which every name has two near variants, with a promise."""
    encoder = FakeEncoder(dim=24)
    encoder.calibration = Calibration.fit(*draw(1000, 0.5, 0))
    monkeypatch.setattr(stages, "load_encoder", lambda model: encoder)
    names = [f"name{i}{off}" for i in range(80) for off in ("", "~0.1", "~0.2")]
    pd.DataFrame({"record_id": [f"r{i:03d}" for i in range(len(names))], "name": names}).to_parquet(
        tmp_path / "records.parquet"
    )
    folder = tmp_path / "run"
    folder.mkdir()
    embed(tmp_path / "records.parquet", tmp_path / "left")
    run_stages(folder, tmp_path, Threshold(min_precision=0.8))
    sign(folder)
    return folder


def sign(folder) -> None:
    write_manifest(folder, "run", {"model": "fake", "settings": {"one_to_one": False}})


def test_a_promise_by_imposites_alone_is_recomputed_from_the_files(monkeypatch, request) -> None:
    monkeypatch.setattr("pipeline.promising.can_show_precision", lambda *_: False)
    run = request.getfixturevalue("run")
    (promise,) = verify_run(run)["promises"]
    assert promise["shown_by"] == "held-out imposites"
    text = json.loads((run / CERTIFICATE).read_text())
    text["candidates"]["counts"][-1] += 5000  # imposites, most likely, of which some would be flagged
    (run / CERTIFICATE).write_text(json.dumps(text))
    sign(run)
    with pytest.raises(ArtifactError, match="does not follow from its evidence"):
        verify_run(run)
    del text["candidates"]["up_to"]  # of a version before it was said: checked, not recomputed
    (run / CERTIFICATE).write_text(json.dumps(text))
    sign(run)
    assert not verify_run(run)["is_recomputed"]


def test_a_certificate_is_recomputed_from_the_files(run) -> None:
    said = verify_run(run)
    assert said["kind"] == "conditional" and said["promises"] == [
        {"what": "precision", "share": 0.8, "confidence": 0.95, "shown_by": "held-out pairs"}
    ]
    pairs = pd.read_parquet(run / "pairs.parquet")
    assert said["flagged"] == pairs["is_match"].sum() > 100
    certificate = Certificate.read(run)
    assert certificate.pairs_needed == {"0.9": 29, "0.95": 59, "0.99": 299}
    scores, labels = certificate.evidence.arrays
    wrong, imposites = int(((labels == 0) & (scores <= certificate.limit)).sum()), int((labels == 0).sum())
    exact = binomtest(wrong, imposites, alternative="less").proportion_ci(0.95, "exact").high
    assert certificate.false_positive_rate["at_most"] == pytest.approx(exact)
    assert certificate.recall_lost["genuine"] == sum(certificate.evidence.is_match)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"limit": 0.9}, "'limit' is 0.9"),
        ({"model": "other"}, "of another model"),
        ({"promises": []}, "'promises'"),
        ({"asked": {"min_precision": 0.9999}}, "does not follow"),
    ],
)
def test_a_certificate_that_does_not_follow_is_told(run, change, says) -> None:
    text = json.loads((run / CERTIFICATE).read_text())
    (run / CERTIFICATE).write_text(json.dumps({**text, **change}))
    with pytest.raises(ArtifactError, match="changed or damaged"):
        verify_run(run)
    sign(run)
    with pytest.raises(ArtifactError, match=says):
        verify_run(run)


def test_what_an_earlier_version_decided_is_checked_but_not_recomputed(run, tmp_path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    text = json.loads((copy / CERTIFICATE).read_text())
    del text["log_odds"]
    (copy / CERTIFICATE).write_text(json.dumps(text))
    sign(copy)
    assert verify_run(run) == {**verify_run(copy), "run": str(run), "is_recomputed": True}
    assert not verify_run(copy)["is_recomputed"]


def test_flags_that_the_limit_does_not_give_are_told(run, tmp_path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    pairs = pd.read_parquet(copy / "pairs.parquet")
    pairs.loc[pairs["is_match"].idxmax(), "is_match"] = False
    pairs.to_parquet(copy / "pairs.parquet", index=False)
    sign(copy)
    with pytest.raises(ArtifactError, match=r"1 pairs of .* are not flagged as the limit"):
        verify_run(copy)
    (copy / CERTIFICATE).unlink()
    sign(copy)
    with pytest.raises(ArtifactError, match=r"certificate\.json' is missing"):
        verify_run(copy)
