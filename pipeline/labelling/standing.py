"""Standing: how far labelling has come: what the answers show of precision and recall, and whether more of them would change anything."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.intervals import DRAWS, Estimate, Tally, share_found, share_right
from pipeline.labelling.committee import Opinion
from pipeline.labelling.pool import Pool
from pipeline.labelling.ties import Contradiction

CONFIDENCE = 0.95
FLAGGED = 0.5  # probability from which the committee calls a pair a match
STABLE, STABLE_ROUNDS = (
    0.99,
    3,
)  # agreement of consecutive committees at which labelling may stop, and for how many rounds
LEAST_ANSWERS = 50  # before anything is called enough


@dataclass(frozen=True)
class Round:
    """One training of the committee.

    Attributes:
        answered: answers that it learned from.
        precision, recall, f1: then, as in :class:`Progress`.
        agreement: with the committee before, Cohen's kappa over the candidates (Bloodgood and Vijay-Shanker 2009); None for the first.
    """

    answered: int
    precision: Estimate | None
    recall: Estimate | None
    f1: Estimate | None
    agreement: float | None


@dataclass(frozen=True)
class Progress:
    """How far labelling has come.

    Attributes:
        answered: pairs with an answer; of these genuine, imposite and unsure ones, and those that only a rule answered (by_rule).
        derived: candidates whose label follows from the answers.
        contradictions: answers that cannot all be right.
        rounds: trainings so far; ``history`` has each, and so how the estimates moved.
        training: whether one is under way.
        precision, recall, f1: of what the judges of the moment call matches, among all candidates of the pool; from the pairs that
            were drawn at random, each judged by judges that did not see its answer, with 95% intervals. None before they say anything.
        advice: in words: "keep going: ..." or "enough: ...".
    """

    answered: int
    genuine: int
    imposite: int
    unsure: int
    by_rule: int
    derived: int
    contradictions: list[Contradiction]
    rounds: int
    training: bool
    precision: Estimate | None
    recall: Estimate | None
    f1: Estimate | None
    advice: str
    history: list[Round] = field(default_factory=list)


def observed(
    pool: Pool, opinion: Opinion, drawn: NDArray[np.int64], labels: NDArray[np.int8]
) -> tuple[Estimate | None, Estimate | None, Estimate | None]:
    """Precision, recall and F1 with their intervals, from pairs that were drawn at random.

    Args:
        drawn: (d,) places, in each stratum a simple random sample of its candidates.
        labels: (d,) what they were answered as.
    """
    if len(drawn) == 0:
        return None, None, None
    h = len(pool.sizes)
    cell = pool.stratum + h * (opinion.probability < FLAGGED)  # flagged ones first
    held = np.bincount(pool.stratum, minlength=h)
    size = np.bincount(cell, minlength=2 * h) * np.tile(pool.sizes / held, 2)
    of_drawn = pool.stratum[drawn] + h * (opinion.held_out[drawn] < FLAGGED)
    judged = np.bincount(of_drawn, minlength=2 * h).astype(np.float64)
    right = np.bincount(of_drawn, labels, 2 * h).astype(np.float64)
    tally = Tally(np.maximum(size, judged), judged, right)
    is_flagged = np.arange(2 * h) < h
    there = tally.size > 0
    found, missed = tally.of(is_flagged & there), tally.of(~is_flagged & there)
    return share_right(found, CONFIDENCE), share_found(found, missed, CONFIDENCE), _f1(found, missed)


def _f1(found: Tally, missed: Tally) -> Estimate | None:
    """2 right / (flagged + matches), its limits melded as those of a recall are."""
    if found.judged.sum() == 0 or missed.judged.sum() == 0:
        return None
    random, flagged = np.random.default_rng(0), float(found.size.sum())
    (found_low, found_high), (missed_low, missed_high) = (each.limits(random, DRAWS) for each in (found, missed))
    right, lost = found.estimate(), missed.estimate()
    if flagged + right + lost == 0:
        return None
    low = 2 * found_low / np.maximum(flagged + found_low + missed_high, 1e-12)
    high = 2 * found_high / np.maximum(flagged + found_high + missed_low, 1e-12)
    return Estimate.of(2 * right / (flagged + right + lost), low, high, CONFIDENCE)


def agreement(one: NDArray[np.bool_], other: NDArray[np.bool_], times: NDArray[np.float64]) -> float:
    """Cohen's kappa of two opinions on the same pairs, each of which stands for so many."""
    total = times.sum()
    same = float(times[one == other].sum() / total)
    a, b = float(times[one].sum() / total), float(times[other].sum() / total)
    chance = a * b + (1 - a) * (1 - b)
    return 1.0 if chance >= 1 else (same - chance) / (1 - chance)


def advise(answered: int, genuine: int, imposite: int, least: int, history: list[Round], contradictions: int) -> str:
    """Whether to go on, and why."""
    settle = f"; {contradictions} contradictions are to be settled" if contradictions else ""
    if min(genuine, imposite) < least:
        kind = "matches" if genuine < imposite else "pairs that are none"
        return f"keep going: nothing can be learned yet, {kind} are too few ({least} of either are needed){settle}"
    recent = [each.agreement for each in history[-STABLE_ROUNDS:] if each.agreement is not None]
    if answered < LEAST_ANSWERS or len(recent) < STABLE_ROUNDS:
        return f"keep going: the first answers teach most{settle}"
    if min(recent) >= STABLE:
        return f"enough: the last {STABLE_ROUNDS} rounds changed next to nothing (agreement {min(recent):.3f}){settle}"
    return f"keep going: the last rounds still changed what is a match (agreement {min(recent):.3f}){settle}"
