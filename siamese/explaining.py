"""Explaining: an :class:`Explanation` of each of some pairs."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from siamese.attribution import WordShares, field_shares, word_shares
from siamese.calibration import Calibration
from siamese.distances import Energy, additive
from siamese.encoder import SiameseEncoder
from siamese.errors import DataError
from siamese.explanation import Explanation, FieldPart, Side, Step, WordPart
from siamese.reasons import CURVE, PRIOR, START, Readings, Source, strongest_first, verified_steps
from siamese.teaching import points_of

BLOCK_PAIRS = 64  # whose words are in memory together
WORDS = 6  # of a field that are listed; the others are summed
LEAST_SHARE = 5e-5  # that is seen in four digits
LESSONS = 2  # of either label that are shown


def explain_pairs(
    encoder: SiameseEncoder,
    texts: pa.Table,
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    *,
    verifier: bool = True,
    limit: float | None = None,
    imposite_weight: float = 1.0,
    scores: NDArray[np.float64] | None = None,
    words: int = WORDS,
    lessons: int = LESSONS,
) -> list[Explanation]:
    """Explain pairs of rows of some records.

    Args:
        texts: records, whose columns :meth:`Schema.select` made text.
        left, right: (m,) rows of them.
        verifier: whether the model's verifier decides, if it has one.
        limit: the greatest score that is flagged (``max_score`` of a run); the calibration's unless given.
        imposite_weight: of a run's prior (:mod:`siamese.prior`), whose share of matches becomes a step of its own.
        scores: (m,) that a link gave the pairs: what they are more doubtful by than the pairs by themselves is their rivals' doing. None:
            the pairs are judged by themselves.
        words: of a field that are listed.
        lessons: labelled pairs of either label.

    Raises:
        DataError: a record has nothing to compare.
    """
    embeddings = encoder.encode(texts)
    _check_said(embeddings, left, right, encoder)
    distances = encoder.energies(embeddings[left], embeddings[right])
    apart = encoder.margin_distance(distances)
    shares = field_shares(encoder.tower, texts, left, right, encoder.energy, encoder.tower.seed)
    readings = None if encoder.verifier is None else Readings.of(encoder.verifier, texts, left, right, apart)
    coordinates, points = points_of(encoder, readings, shares, apart)
    judged = _Judged.of(encoder, readings if verifier else None, apart, imposite_weight, scores)
    limit = judged.calibration.max_distance if limit is None else limit
    needed = float(judged.calibration.log_odds([limit])[0] - math.log(imposite_weight))
    probability = judged.calibration.probability(judged.scores, imposite_weight)
    totals = additive(distances.astype(np.float64), encoder.energy)

    pairs = texts.take(pa.array(np.column_stack([left, right]).ravel())).combine_chunks()
    by_word = encoder.tower.additive and words > 0
    of_words: list[WordShares] = []
    for start in range(0, pairs.num_rows if by_word else 0, 2 * BLOCK_PAIRS):
        of_words += word_shares(encoder.tower, pairs.slice(start, 2 * BLOCK_PAIRS), encoder.energy)

    def explain(pair: int) -> Explanation:
        both, found = pairs.slice(2 * pair, 2), of_words[pair] if by_word else None
        steps = strongest_first(judged.sources, judged.steps[pair])
        near = encoder.lessons.near(points[pair], coordinates, lessons) if encoder.lessons and lessons else []
        return Explanation(
            distance=float(distances[pair]),
            margin_distance=float(apart[pair]),
            adds_up_to="squared distance" if encoder.energy is Energy.EUCLIDEAN else "distance",
            total=float(totals[pair]),
            is_exact=encoder.tower.additive,
            fields=tuple(_field_parts(both, shares[pair], found, words)),
            decided_by=judged.by,
            steps=tuple(Step(source.kind, source.name, size) for source, size in steps),
            log_odds=float(judged.steps[pair].sum()),
            needed=needed,
            probability=float(probability[pair]),
            is_match=bool(judged.scores[pair] <= limit),
            notes=tuple(_notes(encoder, both, judged, pair, shares[pair])),
            lessons=tuple(near),
        )

    return [explain(pair) for pair in range(len(left))]


@dataclass(frozen=True)
class _Judged:
    """m pairs, judged: by whom, their scores (inf where the verifier does not look), and how their log-odds come about."""

    by: str
    calibration: Calibration
    scores: NDArray[np.float64]
    sources: list[Source]
    steps: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        encoder: SiameseEncoder,
        readings: Readings | None,
        apart: NDArray[np.float64],
        imposite_weight: float,
        among: NDArray[np.float64] | None,
    ) -> "_Judged":
        by, calibration, scores = "distance", encoder.calibration, apart
        sources, steps = [START], calibration.log_odds(apart)[:, None]
        if encoder.verifier is not None and readings is not None:
            by, calibration, rivals = "verifier", encoder.verifier.calibration, None
            doubts = -(readings.added.sum(axis=1) + readings.usual)
            scores = np.where(apart <= encoder.verifier.candidate_distance, doubts, np.inf)
            if among is not None and encoder.verifier.rivalry is not None:
                calibration, rivals, scores = encoder.verifier.rivalry.calibration, among - doubts, among
            sources, steps = verified_steps(encoder.calibration, calibration, readings, apart, rivals)
        if imposite_weight != 1:
            sources = [*sources, PRIOR]
            steps = np.column_stack([steps, np.full(len(apart), -math.log(imposite_weight))])
        return cls(by, calibration, scores, sources, steps)


def _field_parts(both: pa.Table, shares: NDArray[np.float64], found: WordShares | None, words: int) -> list[FieldPart]:
    parts = []
    for number, name in enumerate(both.column_names):
        left, right = both[name].to_pylist()
        missing: dict[tuple[bool, bool], Side] = {(True, True): "both", (True, False): "left", (False, True): "right"}
        part = FieldPart(name, left, right, missing.get((left is None, right is None)), float(shares[number]))
        if found is not None:
            of_field = np.flatnonzero(found.fields == number)
            order = of_field[np.argsort(-np.abs(found.shares[of_field]), kind="stable")]
            listed = tuple(_word_part(found, place) for place in order[:words].tolist())
            rest = float(found.shares[order[words:]].sum())
            part = replace(part, words=listed, other_words=len(order[words:]), other_share=rest)
        parts.append(part)
    return parts


def _word_part(found: WordShares, place: int) -> WordPart:
    side: Side = "right" if not found.on_left[place] else "both" if found.on_right[place] else "left"
    return WordPart(found.words[place], side, float(found.shares[place]))


def _notes(
    encoder: SiameseEncoder, both: pa.Table, judged: _Judged, pair: int, shares: NDArray[np.float64]
) -> list[str]:
    notes = []
    if shares.min() < -LEAST_SHARE:
        notes.append("a field whose share is below 0 brings the two nearer: without it they would be farther apart")
    if not encoder.tower.additive:
        notes.append(
            f"an approximation: the tower '{encoder.tower.name}' reads the fields together, so their shares are Shapley values, what each "
            "adds when it joins the others, on average"
        )
    if both.slice(0, 1).equals(both.slice(1, 1)):
        notes.append("the two say the same in every field: a run flags them for that, and asks no verifier")
    elif encoder.verifier is not None and np.isinf(judged.scores[pair]):
        notes.append(
            f"farther apart than the verifier looks ({encoder.verifier.candidate_distance:.3f} margins): no match, whatever the log-odds"
        )
    if CURVE in judged.sources:
        notes.append("the verifier's calibration is a curve, no sum: what it changes is a step of its own, of no field")
    if encoder.lessons is None:
        notes.append(
            "the model keeps no labelled pairs to show (trained with lessons = 0, or by a version that kept none)"
        )
    return notes


def _check_said(
    embeddings: NDArray[np.float32], left: NDArray[np.int64], right: NDArray[np.int64], encoder: SiameseEncoder
) -> None:
    says = np.asarray(embeddings.any(axis=1))
    for name, rows in (("left", left), ("right", right)):
        if not says[rows].all():
            pair = int(np.argmin(says[rows]))
            raise DataError(
                f"the {name} record of pair {pair + 1} has nothing to compare: of the fields that the model reads "
                f"({', '.join(encoder.schema.names)}) it holds no word"
            )
