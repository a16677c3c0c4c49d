"""Teaching: which labelled pairs a model keeps as lessons, and the points at which pairs lie among them."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from siamese.attribution import field_shares
from siamese.distances import additive
from siamese.encoder import SiameseEncoder
from siamese.lessons import Lessons
from siamese.pairs import Pairs
from siamese.reasons import Readings

NEAR_BOUNDARY = 0.5  # of the lessons of either label: where it is decided; the others are drawn, to be like the rest


def teach(
    encoder: SiameseEncoder,
    texts: pa.Table,
    ids: pa.Array,
    pairs: Pairs,
    is_mined: NDArray[np.bool_],
    margin_distances: NDArray[np.float64],
    scores: NDArray[np.float64],
) -> Lessons:
    """The lessons that a trained encoder keeps: as many as its training settings say.

    Args:
        texts: records, whose columns :meth:`Schema.select` made text.
        ids: their ids, as text.
        pairs: n labelled pairs of rows of them, from which it learned.
        is_mined: (n,) imposites that training drew.
        margin_distances: (n,) as the verifier read them.
        scores: (n,) margin distances or doubts, best by models that did not learn from the pair.
    """
    config, limit = encoder.training, (encoder.verifier or encoder).calibration.max_distance
    kept = choose_lessons(pairs, scores, limit, config.lessons, config.seed)
    pairs, apart = pairs.take(kept), margin_distances[kept]
    rows = pairs.rows()
    some, among = texts.take(pa.array(rows)).combine_chunks(), pairs.renumber(rows)
    readings, shares = None, np.empty((len(pairs), 0))
    if encoder.verifier is not None:
        readings = Readings.of(encoder.verifier, some, among.left, among.right, apart)
    elif encoder.tower.additive:
        shares = field_shares(encoder.tower, some, among.left, among.right, encoder.energy)
    coordinates, points = points_of(encoder, readings, shares, apart)
    left, right = (ids.take(pa.array(side)).to_pylist() for side in (pairs.left, pairs.right))
    mined = is_mined[kept].astype(np.int8)
    return Lessons(left, right, pairs.is_match.astype(np.int8), mined, points.astype(np.float32), coordinates)


def points_of(
    encoder: SiameseEncoder,
    readings: Readings | None,
    shares: NDArray[np.float64],
    margin_distances: NDArray[np.float64],
) -> tuple[list[str], NDArray[np.float64]]:
    """Where m pairs lie among the lessons.

    Args:
        readings: of the pairs, where there is a verifier.
        shares: (m, fields) of the distance, where there is none and the tower is additive.
        margin_distances: (m,).

    Returns:
        g names of the coordinates, and (m, g) points.
    """
    if readings is not None:
        return [source.key for source in readings.sources], readings.added
    if encoder.tower.additive:
        return encoder.schema.names, shares / float(additive(np.array([encoder.margin]), encoder.energy)[0])
    return ["distance"], margin_distances[
        :, None
    ]  # Shapley values of all labelled pairs would take longer than training


def choose_lessons(pairs: Pairs, scores: NDArray[np.float64], limit: float, count: int, seed: int) -> NDArray[np.int64]:
    """Which labelled pairs to keep: as many genuine ones as imposites where there are enough, half of them the nearest to the threshold.

    Args:
        pairs: n of them; one that is there twice is kept once.
        scores: (n,) margin distances or doubts, best by models that did not learn from the pair.
        limit: the greatest score that is flagged.
        count: how many to keep at most.
        seed: of what is drawn.

    Returns:
        Ascending places.
    """
    ends = np.sort(np.stack([pairs.left, pairs.right], axis=1), axis=1)
    distinct = np.sort(np.unique(np.column_stack([ends, pairs.is_match]), axis=0, return_index=True)[1])
    random = np.random.default_rng(seed)
    of_label = [distinct[pairs.is_match[distinct] == label] for label in (1, 0)]
    fewer = min(len(places) for places in of_label)
    kept = []
    for places in of_label:
        some = max(count // 2, count - fewer)
        ordered = places[np.argsort(np.abs(scores[places] - limit), kind="stable")]
        nearest = round(min(some, len(places)) * NEAR_BOUNDARY)
        drawn = random.permutation(ordered[nearest:])[: min(some, len(places)) - nearest]
        kept.append(np.concatenate([ordered[:nearest], drawn]))
    return np.sort(np.concatenate(kept)).astype(np.int64)
