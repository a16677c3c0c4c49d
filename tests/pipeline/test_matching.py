"""What a verifier makes of candidates, against brute force."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline import matching, stages
from pipeline.contents import Contents, write_contents
from pipeline.decision import Threshold
from pipeline.judging import Judge
from siamese.calibration import Calibration
from siamese.errors import SettingsError
from tests.pipeline.fakes import FakeEncoder, embed, run_stages

NEIGHBOURS = 5


class NamesEqual:
    """A verifier whose doubt is small where the names begin alike."""

    candidate_distance = 0.9
    neighbours = NEIGHBOURS
    calibration = Calibration.fit([-4, -3, -2, 2, 3, 4], [1, 1, 1, 0, 0, 0])

    def profile(self, texts: pa.Table) -> list[str]:
        return texts["name"].to_pylist()

    def doubt(self, names, left, right, margin_distances) -> np.ndarray:
        return np.array([-3.0 if names[a][0] == names[b][0] else 3.0 for a, b in zip(left, right, strict=True)])


@pytest.fixture
def encoder(monkeypatch):
    fake = FakeEncoder(dim=3)
    fake.verifier = NamesEqual()
    monkeypatch.setattr(stages, "load_encoder", lambda model: fake)
    return fake


NAMES = [f"{letter}{number}" for letter in "abc" for number in range(20)] + ["a1", "b2~0.1", "c3~0.3"]


@pytest.mark.parametrize("verifier", [True, False])
def test_a_run_flags_what_the_verifier_says_among_the_candidates(encoder, tmp_path, verifier) -> None:
    pd.DataFrame({"record_id": [f"r{n:03d}" for n in range(len(NAMES))], "name": NAMES}).to_parquet(
        tmp_path / "records.parquet"
    )
    threshold = Threshold(verifier=verifier)
    embed(tmp_path / "records.parquet", tmp_path / "left")
    facts = run_stages(tmp_path, tmp_path, threshold)
    assert facts["decided_by"] == ("verifier" if verifier else "distance")
    assert (facts["max_distance"] is None) == verifier
    embedded = encoder.encode(pd.DataFrame({"name": NAMES})).astype(np.float64)
    apart = np.linalg.norm(embedded[:, None] - embedded, axis=2) / encoder.margin
    distinct = {name: number for number, name in reversed(list(enumerate(NAMES)))}
    kept = np.array(sorted(distinct.values()))
    expected: set[tuple[str, str]] = set()
    limit = encoder.calibration.max_distance
    for a in range(len(NAMES)):
        others = kept[kept != distinct[NAMES[a]]]
        near = set(others[np.argsort(apart[a, others])[:NEIGHBOURS]])
        for b in range(len(NAMES)):
            if a == b:
                continue
            if NAMES[a] == NAMES[b]:
                matched = True
            elif verifier:
                candidate = apart[a, b] <= 1.1 * limit or (distinct[NAMES[b]] in near and apart[a, b] <= 0.9)
                matched = candidate and NAMES[a][0] == NAMES[b][0]
            else:
                matched = apart[a, b] <= limit
            if matched:
                expected.add((f"r{min(a, b):03d}", f"r{max(a, b):03d}"))
    pairs = pd.read_parquet(tmp_path / "pairs.parquet")
    within = pairs["score"].isna() | (pairs["score"] <= facts["max_score"])
    assert within[pairs["is_match"]].all()  # what the groups part is no match
    flagged = pairs[within]
    assert set(flagged[["left_id", "right_id"]].itertuples(index=False, name=None)) == expected
    assert not pairs.duplicated(["left_id", "right_id"]).any()
    assert (flagged["probability"] >= facts["min_probability"]).all()
    assert (pairs[~within]["probability"] < facts["min_probability"]).all()


def test_a_distance_given_by_hand_asks_no_verifier(encoder) -> None:
    judge = Threshold(max_distance=0.3).judge(encoder)
    assert judge.verifier is None and Threshold(max_distance=0.3).decide(judge.calibration).limit == 0.3
    with pytest.raises(SettingsError, match="both set the threshold"):
        Threshold(max_distance=0.3, min_precision=0.9).judge(encoder)


def test_a_pair_beyond_the_candidate_distance_is_none(encoder) -> None:
    judge = Threshold().judge(encoder)
    texts = pa.table({"name": pa.array(["ab", "ac", "ad"], pa.large_string())})
    scores = judge.score(np.array([0.89, 0.91]), texts, np.array([0, 0]), np.array([1, 2]))
    judged = Threshold().decide(judge.calibration).judge(scores)
    assert judged.is_match.tolist() == [True, False]
    assert judged.probability[1] == 0 and judged.probability[0] > 0.5


def test_contents_come_back_by_row(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("pipeline.contents.SHARD_ROWS", 4)
    texts = pa.table({"name": pa.array([f"n{n}" if n % 3 else None for n in range(11)], pa.large_string())})
    for number in range(3):
        write_contents(texts.slice(4 * number, 4), tmp_path, number)
    for contents in (Contents.open(tmp_path), Contents.of(texts)):
        for rows in ([0, 3, 4, 10], [2], list(range(11)), []):
            rows = np.array(rows, np.int64)
            assert contents.take(rows).equals(texts.take(pa.array(rows)).combine_chunks())


def test_of_one_corpus_a_record_is_profiled_once(encoder) -> None:
    seen = []
    encoder.verifier.profile = lambda texts: seen.append(texts.num_rows) or texts["name"].to_pylist()
    contents = Contents.of(pa.table({"name": pa.array(["ab", "ac", "bd"], pa.large_string())}))
    judge: Judge = Threshold().judge(encoder)
    scores = judge.score_rows(np.array([0.1, 0.2]), contents, np.array([2, 0]), contents, np.array([0, 1]))
    assert seen == [3] and (scores <= judge.calibration.max_distance).tolist() == [False, True]


@pytest.mark.parametrize(("limit", "says"), [(10, True), (11, False)])
def test_a_crowd_of_equal_records_is_written_and_said(encoder, tmp_path, monkeypatch, caplog, limit, says) -> None:
    monkeypatch.setattr(matching, "CROWD_PAIRS", limit)
    names = ["n/a", "a1", "n/a", "a1", "n/a", "b2", "n/a", "n/a"]  # ten pairs of the one, one of the other
    pd.DataFrame({"record_id": list("stuvwxyz"), "name": names}).to_parquet(tmp_path / "records.parquet")
    embed(tmp_path / "records.parquet", tmp_path / "left")
    assert run_stages(tmp_path, tmp_path, Threshold())["pairs"] == 11
    said = "11 rows of pairs.parquet are pairs of equal records; 5 records say what 's' says"
    assert (said in caplog.text) == says
