"""Prior: how much rarer matches are among a run's candidates than among the labelled pairs, from the candidates' scores alone.

Labelled pairs are not what an index proposes, and their share of matches is another. Where scores are spread alike among genuine pairs
here and there, and alike among imposites, expectation-maximisation finds the new share (Saerens, Latinne and Decaestecker 2002), and the
log-odds of every pair move by one number. ``imposite_weight`` is how many imposites there are, to each match, for one among the evidence.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import logit

from siamese.calibration import Calibration
from siamese.logodds import LogOdds

LEAST_CANDIDATES = 100  # fewer say too little of their share of matches: then that of the evidence stays
DRAWS = 100  # bootstrap draws for the bound
USUAL = 2.0  # standard deviation of the log weight before a run is seen: matches seven times as rare as among labels surprise nobody
BINS = 1024  # of the candidates' scores: their number does not matter to the cost


@dataclass(frozen=True)
class Prior:
    """The share of matches among a run's candidates.

    Attributes:
        share: estimated there; among the evidence it is ``evidence_share``.
        imposite_weight: ratio of the odds of an imposite there and among the evidence, as far as it is sure: its logarithm is drawn
            towards 0 by its own variance (the posterior mean under a normal prior). Never below 1: candidates cleaner than the evidence
            are not taken on trust, for a model surer of them than it was of the evidence looks the same.
        at_most: upper confidence bound of the ratio, which nothing draws.
        candidates: how many the estimate rests on; 0 where it is none.
    """

    share: float
    evidence_share: float
    imposite_weight: float
    at_most: float
    candidates: int

    @property
    def plain_weight(self) -> float:
        """The ratio as it was estimated, drawn towards nothing; below 1 where the candidates are cleaner than the evidence."""
        return _odds_ratio(self.evidence_share, self.share) if 0 < self.evidence_share < 1 else 1.0


@dataclass(frozen=True)
class Histogram:
    """Scores of candidates, however many, in short.

    Attributes:
        scores: the mean of each bin, ascending.
        counts: how many candidates it has.
        up_to: a score up to which none is left out.
    """

    scores: tuple[float, ...]
    counts: tuple[int, ...]
    up_to: float = math.inf

    @classmethod
    def of(
        cls, scores: NDArray[np.float64], up_to: float = math.inf, unseen: float = 0, sample: ArrayLike = ()
    ) -> "Histogram":
        """Count candidates.

        Args:
            scores: of those that are known.
            up_to: the others are not counted.
            unseen: how many more there are, whose scores nobody knows.
            sample: scores of a random sample of candidates of their kind.
        """
        more = np.asarray(sample, np.float64)
        each = unseen / max(len(more), 1)
        scores, more = scores[scores <= up_to], more[more <= up_to]
        every = np.concatenate([scores, more])
        if len(every) == 0:
            return cls((), (), up_to)
        weights = np.repeat([1.0, each], [len(scores), len(more)])
        edges = np.unique(np.quantile(every, np.linspace(0, 1, BINS + 1)))
        place = np.clip(np.searchsorted(edges, every) - 1, 0, max(len(edges) - 2, 0))
        counts = np.bincount(place, weights)
        filled = counts >= 0.5
        centres = np.bincount(place, weights * every)[filled] / counts[filled]
        return cls(tuple(centres.round(7).tolist()), tuple(counts[filled].round().astype(int).tolist()), up_to)

    def up_to_mean(self, values: NDArray[np.float64], least: float) -> float:
        """The greatest score up to which values of the bins have such a mean over the candidates; -inf where none is."""
        counts = np.array(self.counts, np.float64)
        enough = np.flatnonzero(np.cumsum(counts * values) >= least * np.cumsum(counts))
        return self.scores[enough[-1]] if len(enough) else -math.inf


def estimate_prior(
    calibration: Calibration, candidates: Histogram, cut: float, confidence: float, seed: int = 0
) -> Prior:
    """Estimate from the scores of all candidates up to a cut.

    Args:
        calibration: fitted on the evidence.
        candidates: scores of the run's candidates, none left out up to the cut; the others are not looked at.
        cut: the greatest score that is looked at, on either side.
        confidence: of ``at_most``, by bootstrap over the candidates and over the evidence, refitted each time. Of either label about as
            many pairs are drawn as those are worth independent ones, so that ties between them are allowed for (m out of n: Bickel,
            Götze and van Zwet 1997).
    """
    values, labels = calibration.evidence.arrays
    inside = (values <= cut) & np.isfinite(values)
    evidence_share = float(labels[inside].mean()) if inside.any() else 0.5
    centres, counts = np.array(candidates.scores), np.array(candidates.counts, np.int64)
    centres, counts = centres[centres <= cut], counts[centres <= cut]
    if counts.sum() < LEAST_CANDIDATES or not 0 < evidence_share < 1:
        return Prior(evidence_share, evidence_share, 1.0, 1.0, 0)
    share = _match_share(calibration.log_odds(centres), counts, evidence_share)
    weight = _odds_ratio(evidence_share, share)
    kind = calibration.log_odds.kind if calibration.log_odds.kind != "given" else "logistic"  # what follows each draw
    random = np.random.default_rng(seed)
    rows = [np.flatnonzero(inside & (labels == label)) for label in (0, 1)]
    worth = [calibration.evidence.independent_of(some) for some in rows]
    drawn = []
    for _ in range(DRAWS):
        numbers = [1 + int(random.poisson(max(number - 1, 0))) for number in worth]
        again = np.concatenate([random.choice(some, number) for some, number in zip(rows, numbers, strict=True)])
        some = numbers[1] / sum(numbers)
        odds = LogOdds.fit_kind(kind, values[again], labels[again])
        found = _match_share(odds(centres), random.multinomial(counts.sum(), counts / counts.sum()), some)
        drawn.append(math.log(_odds_ratio(some, found)))
    spread = float(np.quantile(drawn, confidence)) - float(np.median(drawn))
    sure = USUAL**2 / (USUAL**2 + float(np.var(drawn)))
    at_most = max(1.0, weight * math.exp(spread))
    return Prior(share, evidence_share, max(1.0, weight**sure), at_most, int(counts.sum()))


def _match_share(log_odds: NDArray[np.float64], counts: NDArray[np.int64], evidence_share: float) -> float:
    """The share that makes the scores likeliest: the fixed point of Saerens, Latinne and Decaestecker's equation 2.4.

    Their iteration creeps where few pairs are in doubt, so the root of the likelihood's slope, which falls with the share, is
    found directly.
    """
    total = int(counts.sum())
    least = 1 / (2 * total)
    ratio = np.exp(np.clip(log_odds - logit(evidence_share), -50, 50)) - 1  # of the likelihoods of match and imposite

    def slope(share: float) -> float:
        return float(counts @ (ratio / (1 + share * ratio)))

    if slope(least) <= 0:
        return least
    if slope(1 - least) >= 0:
        return 1 - least
    return float(brentq(slope, least, 1 - least, xtol=1e-10))


def _odds_ratio(evidence_share: float, share: float) -> float:
    """Imposites to each match in the one, over the same in the other."""
    return (1 - share) / share * evidence_share / (1 - evidence_share)
