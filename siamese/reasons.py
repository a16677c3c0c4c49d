"""Reasons: how the log-odds of a match come about, step by step, from the distance to the decision.

The first step is what the distance alone says, by its own calibration. Where a verifier judges, what it adds follows: its log-odds are
parted among what it reads (exactly, see :meth:`Verifier.contributions`), and what belongs to one field is summed. Where its calibration
is a line, the steps are in calibrated log-odds and add up to the last; where it is a curve, no sum goes through it, and one step says what
it changes. Log-odds, for probabilities do not add up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from siamese.calibration import Calibration
from siamese.comparison import CODES, DIGITS
from siamese.logodds import LogOdds
from siamese.verifier import DISTANCE, SAID, Verifier

Kind = Literal["start", "distance", "words", "record", "codes", "digits", "field", "rivals", "calibration", "prior"]


@dataclass(frozen=True)
class Source:
    """Where a step of log-odds comes from.

    Attributes:
        kind: ``start``: the distance alone, by its own calibration; ``distance``: the same distance in the verifier's eyes, with what is
            usual; ``words``: what labelled pairs say of the words; ``record``: words wherever in the record; ``codes``: words with a
            digit; ``digits``: runs of them; ``field``: one field; ``rivals``: what else either
            record may be matched with, in a link; ``calibration``: the curve from the verifier's log-odds to those that
            held-out pairs show; ``prior``: the share of matches.
        name: for people; of a field its name.
    """

    kind: Kind
    name: str

    @property
    def key(self) -> str:
        """The same in every version, whatever people read."""
        return f"field: {self.name}" if self.kind == "field" else self.kind


START = Source("start", "the distance alone")
AGAIN = Source("distance", "the distance, read by the verifier")
LEARNED = Source("words", "words that labelled pairs speak of")
WHOLE = Source("record", "words anywhere in the record")
MODEL_NUMBERS = Source("codes", "codes: words with a digit")
NUMBERS = Source("digits", "runs of digits")
RIVALS = Source("rivals", "rivals: what else either record may be matched with")
PRIOR = Source("prior", "share of matches among the candidates")
CURVE = Source("calibration", "calibration on held-out pairs")


@dataclass(frozen=True)
class Readings:
    """What the verifier reads in m pairs, in log-odds.

    Attributes:
        sources: g of them.
        added: (m, g) float64 that each adds to minus the doubt.
        usual: (m,) float64 what is left: of a pair that is like the labelled ones in all. ``added`` and it sum to minus the doubt.
    """

    sources: tuple[Source, ...]
    added: NDArray[np.float64]
    usual: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        verifier: Verifier,
        texts: pa.Table,
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        margin_distances: NDArray[np.float64],
    ) -> "Readings":
        """Readings of pairs of rows of some texts, whose columns :meth:`Schema.select` made."""
        parts = verifier.contributions(verifier.profile(texts), left, right, margin_distances)
        of_feature = [source_of(name) for name in verifier.feature_names]
        sources = tuple(dict.fromkeys(of_feature))
        is_of = np.array([[source == each for each in sources] for source in of_feature], np.float64)
        return cls(sources, parts[:, :-1] @ is_of, parts[:, -1])


def source_of(feature: str) -> Source:
    """Which step a feature of the verifier belongs to."""
    field, colon, what = feature.rpartition(": ")
    if colon:
        return Source("field", field)
    others = {DISTANCE: AGAIN, SAID: LEARNED, **dict.fromkeys(CODES, MODEL_NUMBERS), **dict.fromkeys(DIGITS, NUMBERS)}
    return others.get(what, WHOLE)


def verified_steps(
    distance: Calibration,
    verified: Calibration,
    readings: Readings,
    margin_distances: NDArray[np.float64],
    rivals: NDArray[np.float64] | None = None,
) -> tuple[list[Source], NDArray[np.float64]]:
    """From what the distance says to what the verifier says.

    Args:
        distance: calibration of margin distances.
        verified: calibration of doubts.
        readings: of m pairs.
        margin_distances: (m,).
        rivals: (m,) what these add to the doubts; None where a pair is judged by itself.

    Returns:
        The sources of the steps, and the (m, steps) log-odds that each adds; a row sums to the calibrated log-odds of the pair.
    """
    raw = readings.added.sum(axis=1) + readings.usual
    slope, shift = _line(verified.log_odds)
    before = distance.log_odds(margin_distances)
    again = readings.sources.index(AGAIN)
    added = slope * readings.added
    added[:, again] += slope * readings.usual + shift - before
    sources, steps = [START, *readings.sources], [before, *added.T]
    if rivals is not None:
        sources.append(RIVALS)
        steps.append(-slope * rivals)
        raw = raw - rivals
    if verified.log_odds.kind in ("beta", "isotonic"):
        sources.append(CURVE)
        steps.append(verified.log_odds(-raw) - raw)
    return sources, np.stack(steps, axis=1)


def _line(log_odds: LogOdds) -> tuple[float, float]:
    """Slope and shift from minus the doubt to log-odds where that is a line; else none."""
    if log_odds.kind in ("given", "logistic"):
        return -log_odds.parameters[0], log_odds.parameters[1]
    return 1.0, 0.0


def strongest_first(sources: Sequence[Source], steps: NDArray[np.float64]) -> list[tuple[Source, float]]:
    """One pair's steps for reading: where it starts and how the distance is read, then the strongest, and the calibration last."""
    first = {"start": 0, "distance": 1, "calibration": 3, "prior": 4}
    found = zip(sources, steps.tolist(), strict=True)
    return sorted(found, key=lambda step: (first.get(step[0].kind, 2), -abs(step[1])))
