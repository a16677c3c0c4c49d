"""What is known before any label: the untrained tower and its threshold."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.mixture import GaussianMixture

from pipeline.cold_start import Mixture, first_model
from pipeline.decision import UNCALIBRATED, Threshold
from pipeline.records import Records
from pipeline.synthetic import make_corpus
from siamese.encoder import SiameseEncoder
from siamese.errors import SettingsError

RANDOM = norm.ppf(np.linspace(0.001, 0.999, 999), 1.4, 0.05)


def test_a_mixture_that_needs_no_anchor_is_that_of_scikit_learn():
    nearest = np.random.default_rng(0).permutation(
        np.concatenate(
            [norm.ppf(np.linspace(0.01, 0.99, 300), 0.5, 0.1), norm.ppf(np.linspace(0.01, 0.99, 700), 1.2, 0.05)]
        )
    )
    found = Mixture.fit(nearest, RANDOM, 1000)
    peer = GaussianMixture(2, random_state=0, tol=1e-8, max_iter=500).fit(nearest[:, None])
    order = np.argsort(peer.means_[:, 0])
    np.testing.assert_allclose(found.mean, peer.means_[order, 0], atol=1e-3)
    np.testing.assert_allclose(found.share, peer.weights_[order], atol=1e-3)
    limit = found.threshold()
    assert 0.5 < limit < 1.2 and abs(found.log_odds(np.array([limit]))[0]) < 0.5
    sides = peer.predict_proba([[limit - 0.01], [limit + 0.01]])[:, order[0]]
    assert sides[0] > 0.5 > sides[1]


def test_where_every_record_has_duplicates_imposites_are_not_sought_among_them():
    nearest = norm.ppf(np.linspace(0.01, 0.99, 500), 0.6, 0.15)  # one hump: all of them matches
    found = Mixture.fit(nearest, RANDOM, 500)
    assert found.threshold() > np.quantile(nearest, 0.95)
    assert GaussianMixture(2, random_state=0).fit(nearest[:, None]).means_.max() < 0.8  # which parts them


@pytest.mark.parametrize("nearest", [[], [0.3], [0.0] * 50, [1.2] * 50])
def test_odd_corpora_have_a_finite_threshold(nearest):
    found = Mixture.fit(np.array(nearest, float), RANDOM, max(len(nearest), 1))
    assert np.isfinite(found.threshold()) and found.threshold() >= 0 and found.slope() < 0


def test_the_first_model_is_saved_says_what_it_is_and_promises_nothing(tmp_path):
    make_corpus(200, seed=1).records.to_parquet(tmp_path / "records.parquet")
    records = Records.open(str(tmp_path / "records.parquet"))
    made = []
    for name in ("one", "other"):
        model = first_model([records], tmp_path / f"work {name}")
        model.save(tmp_path / name)
        made.append(model)
    assert made[0].fingerprint == made[1].fingerprint  # so a killed run is gone on with
    model = SiameseEncoder.load(tmp_path / "one")
    judge, decision = Threshold().settle(model)
    assert decision.threshold_from == UNCALIBRATED and judge.verifier is None
    assert decision.calibration.probability([decision.limit]) == pytest.approx(0.5)
    with pytest.raises(SettingsError, match="without labelled pairs"):
        Threshold(min_precision=0.9).settle(model)


@pytest.mark.parametrize("records", [1, 2, 3])
def test_tiny_corpora_have_a_first_model(tmp_path, records):
    pd.DataFrame({"record_id": list("abc"), "name": ["x y", "x z", None]})[:records].to_parquet(tmp_path / "r.parquet")
    model = first_model([Records.open(str(tmp_path / "r.parquet"))], tmp_path / "work")
    assert np.isfinite(model.calibration.max_distance)
