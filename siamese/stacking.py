"""Stacking: several judges' log-odds into one, weighed by how well each foretold labels that it had not seen.

The weights are a posterior mean (uniform prior, the likelihood of the held-out labels), not the best fit: a few labels leave the judges
nearly equal, and thousands let the better ones speak. Pooling log-odds: Genest and Zidek 1986; weights from held-out pairs: Wolpert 1992.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray

STEPS = 10  # of a weight, from 0 to 1


def weightings(judges: int) -> NDArray[np.float64]:
    """(w, judges) all weights in steps of a tenth that are at least 0 and sum to 1."""
    steps = np.array([each for each in product(range(STEPS + 1), repeat=judges) if sum(each) == STEPS])
    return steps / STEPS


def log_losses(
    log_odds: NDArray[np.float64], is_match: NDArray[np.int8], pair_weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """(w,) log loss of the labels, summed over n pairs, under each of :func:`weightings`.

    Args:
        log_odds: (judges, n) natural logarithms of the odds of a match, by judges that did not see the labels.
        is_match: (n,) labels.
        pair_weights: (n,) how many pairs each counts as; 1 unless given.
    """
    towards = log_odds * np.where(is_match == 1, 1.0, -1.0)
    counts = np.ones(len(is_match)) if pair_weights is None else pair_weights
    return np.array([np.logaddexp(0, -(weights @ towards)) @ counts for weights in weightings(len(log_odds))])


def mean_weights(losses: NDArray[np.float64], judges: int) -> NDArray[np.float64]:
    """(judges,) weights: the mean of :func:`weightings`, each as likely as its (w,) log loss says."""
    likelihood = np.exp(losses.min() - losses)
    return likelihood @ weightings(judges) / likelihood.sum()
