"""The easy corpus of ``benchmarks/speed.py``; the hard one is ``pipeline.synthetic``'s."""

import pandas as pd
import pytest

from tests.scripts import script


@pytest.fixture(scope="module")
def speed_corpus():
    return script("speed_corpus")


def test_a_seed_gives_one_corpus(speed_corpus):
    one, same, other = (speed_corpus.easy(1_000, seed, 600) for seed in (1, 1, 2))
    for name in ("records", "pairs", "true_pairs"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(same, name))
    assert not one.records["name"].equals(other.records["name"])


def test_one_record_in_ten_is_a_copy_with_slips(speed_corpus):
    corpus = speed_corpus.easy(2_000, 0)
    records = corpus.records.set_index("record_id")
    assert records.index.is_unique and len(records) == 2_000
    assert len(corpus.true_pairs) == 200
    both = corpus.true_pairs["left_id"].tolist() + corpus.true_pairs["right_id"].tolist()
    assert len(set(both)) == 400
    equal = (
        records.loc[corpus.true_pairs["left_id"]].to_numpy() == records.loc[corpus.true_pairs["right_id"]].to_numpy()
    ).all(axis=1)
    assert equal.mean() < 0.05
    assert records.duplicated().mean() < 0.01


def test_every_true_pair_is_labelled_and_none_is_an_imposite(speed_corpus):
    corpus = speed_corpus.easy(2_000, 0, 2_000)
    keys = set(zip(corpus.true_pairs["left_id"], corpus.true_pairs["right_id"], strict=True))
    labels = {(left, right): label for left, right, label, _ in corpus.pairs.itertuples(index=False)}
    assert {key for key, label in labels.items() if label} == keys
    assert sum(label == 0 for label in labels.values()) > 1_000
    assert set(corpus.pairs["split"]) == {"train", "valid", "test"}
