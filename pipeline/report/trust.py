"""Trust: whether the run's probabilities are what they say, on the held-out pairs that they were learned from."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from pipeline.certificate import CERTIFICATE, Certificate
from siamese.evidence import Evidence
from siamese.logodds import FOLDS, LogOdds, held_out_odds
from siamese.reliability import Reliability


def read_reliability(run: Path) -> dict[str, Any] | None:
    """How far the probabilities can be trusted, from the certificate's evidence: each pair by a curve that did not learn from it.

    Returns:
        What :meth:`Reliability.describe` says; None where the run has no certificate, or too few pairs of a label to tell.

    Raises:
        ArtifactError: the certificate is damaged.
    """
    if not (run / CERTIFICATE).is_file():
        return None
    return _reliability(Certificate.read(run).evidence)


@lru_cache(maxsize=1)
def _reliability(evidence: Evidence) -> dict[str, Any] | None:
    """That of a model is asked for once a run."""
    scores, labels = evidence.arrays
    known = np.isfinite(scores)
    scores, labels, groups = scores[known], labels[known], evidence.groups[known]
    if min(labels.sum(), len(labels) - labels.sum()) < FOLDS:
        return None
    odds = held_out_odds(LogOdds.fit(evidence).kind, scores, labels, groups)
    return Reliability.of(expit(odds), labels, groups).describe()
