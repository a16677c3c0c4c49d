"""Promising: the threshold that keeps a precision or a recall, by whichever evidence shows it; or a refusal that says what would."""

import math
from dataclasses import dataclass

from siamese.decoys import Decoys, more_decoys, too_few
from siamese.errors import PromiseError
from siamese.evidence import Evidence
from siamese.prior import Prior
from siamese.promise import Bound, can_show_precision, more_pairs, promise_precision, promise_recall


@dataclass(frozen=True)
class Promise:
    """What is promised of a run, and on what evidence.

    Attributes:
        what: "precision" or "recall".
        share: promised.
        shown_by: "held-out pairs", or "held-out imposites" alone (:mod:`siamese.decoys`).
        confidence: that the bound was tested at.
        imposite_weight: assumed for it (see :class:`siamese.prior.Prior`).
        bound: what the evidence shows.
    """

    what: str
    share: float
    shown_by: str
    confidence: float
    imposite_weight: float
    bound: Bound


@dataclass(frozen=True)
class _Short:
    """Evidence that falls short of a promise: what it shows at least, and what would do, in words."""

    shows: float
    more: str


def promise_a_precision(
    share: float,
    error: float,
    evidence: Evidence,
    prior: Prior | None = None,
    decoys: Decoys | None = None,
    expected_to: float = math.inf,
) -> Promise:
    """The larger of two thresholds: of all held-out pairs, at the share of matches that was estimated, and of the imposites among them.

    Half of the risk is that of the pairs, a quarter that the share of matches is not what was estimated, a quarter that of the imposites.
    But none is spent on what could not show it even without a mistake, which takes no label among the flagged to know. Without a corpus
    there are the pairs alone, and the evidence's own share.

    Args:
        share: to be promised, in (0, 1).
        error: the risk, in (0, 1).
        prior: whose bound was taken at a quarter of the risk; None, as ``decoys``, without a corpus.
        decoys: the evidence's imposites beside the run's candidates.
        expected_to: the greatest threshold at which the run's probabilities expect the precision; imposites alone show none beyond it.

    Raises:
        PromiseError: neither shows it; the sentence says what would.
    """
    tried: list[Promise | _Short]
    if prior is None or decoys is None:
        tried = [_by_pairs(share, 1 - error, evidence)]
    else:
        by_decoys = decoys.can_show(share, 1 - error / 4)
        if by_decoys and not can_show_precision(evidence, share, 1 - error / 2, prior.at_most):
            tried = [_by_decoys(share, 1 - error, decoys, expected_to)]
        else:
            level = 1 - error * (1 / 2 if by_decoys else 3 / 4)
            tried = [
                _by_pairs(share, level, evidence, prior.at_most),
                _by_decoys(share, 1 - error / 4, decoys, expected_to),
            ]
    found = [each for each in tried if isinstance(each, Promise)]
    if found:
        return max(found, key=lambda promise: promise.bound.limit)
    if len(tried) == 1 and prior is not None:
        tried.append(_by_pairs(share, 1 - error / 2, evidence, prior.at_most))  # for what it shows
    short = [each for each in tried if isinstance(each, _Short)]
    raise _refused("precision", share, evidence, max(short, key=lambda each: each.shows))


def _by_pairs(share: float, confidence: float, evidence: Evidence, imposite_weight: float = 1.0) -> Promise | _Short:
    bound, nearest = promise_precision(evidence, share, confidence, imposite_weight)
    if bound is not None:
        return Promise("precision", share, "held-out pairs", confidence, imposite_weight, bound)
    rare = f"imposites may be {imposite_weight:.1f} times as frequent here, and " if imposite_weight > 1.05 else ""
    return _Short(nearest.least if nearest else 0.0, rare + more_pairs(nearest, share, confidence, imposite_weight))


def _by_decoys(share: float, confidence: float, decoys: Decoys, expected_to: float) -> Promise | _Short:
    bound = decoys.promise(share, confidence, expected_to)
    if bound is not None:
        return Promise("precision", share, "held-out imposites", confidence, 1.0, bound)
    if not decoys.are_enough:
        return _Short(0.0, too_few(decoys))
    if decoys.promise(share, confidence) is not None:
        return _Short(
            share, "held-out imposites alone would show it, but the probabilities of this run expect less there"
        )
    nearest = decoys.nearest(confidence)
    if nearest is None:
        return _Short(0.0, "there are none to hold against these candidates")
    return _Short(nearest.least, more_decoys(nearest, decoys.times_needed(share, confidence)))


def promise_a_recall(share: float, confidence: float, evidence: Evidence) -> Promise:
    bound, nearest = promise_recall(evidence, share, confidence)
    if bound is None:
        raise _refused("recall", share, evidence, _Short(0.0, more_pairs(nearest, share, confidence)))
    return Promise("recall", share, "held-out pairs", confidence, 1.0, bound)


def _refused(what: str, share: float, evidence: Evidence, short: _Short) -> PromiseError:
    return PromiseError(
        f"a {what} of {share:g} cannot be promised from {len(evidence):,} held-out pairs, "
        f"{sum(evidence.is_match):,} of them genuine: {short.more}; ask for less, or leave --min-{what} out"
    )
