"""The learner: what a session has learned from its answers: the judges that choose pairs, and the whole model."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.cold_start import rare_words
from pipeline.decision import Threshold
from pipeline.fitting import fit_encoder
from pipeline.labelling.committee import Opinion, divergence, form_opinion
from pipeline.labelling.pool import Pool
from pipeline.labelling.standing import FLAGGED, Round, agreement
from pipeline.labelling.stock import Stock
from pipeline.records import Records
from siamese.comparison import Comparison, feature_signs
from siamese.encoder import SiameseEncoder
from siamese.errors import SiameseError
from siamese.judges import DISTANCE_SIGN
from siamese.profiles import Profiles
from siamese.settings import TrainingConfig

log = logging.getLogger("siamese")


class Learner:
    """Judges of a pool, and the model of its records.

    Attributes:
        opinion: what the judges make of the pool; None before there are answers to learn from.
        scaled: (m, f) float32 features of the pool's pairs, each of like scale, together as long as an embedding; with an opinion.
        history: each training of the judges.
        model: trained last, and how many labels it learned from.
    """

    def __init__(
        self,
        encoder: SiameseEncoder,
        pool: Pool,
        sources: Sequence[Records],
        kinds: Mapping[str, str] | None = None,
        seed: int = 0,
    ) -> None:
        self.opinion: Opinion | None = None
        self.scaled = np.empty((len(pool), 0), np.float32)
        self.history: list[Round] = []
        self.model: SiameseEncoder | None = None
        self.model_labels = 0
        self._encoder, self._pool, self._sources, self._kinds, self._seed = encoder, pool, sources, kinds, seed
        self._features: NDArray[np.float32] | None = None

    def judge(self, stock: Stock) -> Opinion | None:
        """A new opinion from the answers; None where they are too few."""
        places = np.flatnonzero(stock.label >= 0)
        signs = [*feature_signs(self._encoder.schema), DISTANCE_SIGN]
        return form_opinion(self._read(), signs, places, stock.label[places], self._seed)

    def round_of(self, opinion: Opinion, stock: Stock) -> Round:
        """What a new opinion is worth, and how far it differs from the one held; takes a while, and changes nothing."""
        kappa = None
        if self.opinion is not None:
            times, flagged = self._pool.times, opinion.probability >= FLAGGED
            kappa = agreement(self.opinion.probability >= FLAGGED, flagged, times)
        return Round(len(stock.by_people), *stock.observe(opinion), kappa)

    def take(self, opinion: Opinion, found: Round) -> None:
        """Hold an opinion from now on."""
        self.opinion = opinion
        self.history.append(found)

    def ask_model(self) -> None:
        """Take over the opinion of a trained model: that of its verifier, with the distance's dissent."""
        pool, apart = self._pool, self._encoder.margin_distance(self._pool.distances)
        votes = []
        for threshold in (Threshold(verifier=False), Threshold()):
            judge, decision = threshold.settle(self._encoder)
            votes.append(decision.judge(judge.score(apart, pool.texts, pool.left, pool.right)).probability)
        self._read()
        self.opinion = Opinion(votes[1], divergence(np.stack(votes)), votes[1])

    def train(self, stock: Stock, path: str) -> None:
        """Train the whole model on the answers; without one where they are too few."""
        records, right = self._sources[0], self._sources[1] if len(self._sources) > 1 else None
        self.model_labels = len(stock.ties.labels)
        try:
            config = TrainingConfig(seed=self._seed)
            self.model = fit_encoder(records, stock.labelled(path), right=right, kinds=self._kinds, config=config)
        except SiameseError as error:
            log.info("not trained: %s", error)

    def _read(self) -> NDArray[np.float32]:
        """(m, f) features of the pool's pairs, the last of them the distance; read when they are first asked for."""
        if self._features is not None:
            return self._features
        pool, encoder = self._pool, self._encoder
        profiles = Profiles.of(pool.texts, encoder.schema, rare_words(encoder.schema, self._sources))
        compared = Comparison(profiles, pool.left, pool.right).features(encoder.schema)
        distances = encoder.margin_distance(pool.distances).astype(np.float32)
        self._features = np.concatenate([compared, distances[:, None]], axis=1)
        known = ~np.isnan(self._features)
        mean = np.where(known, self._features, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        centred = np.where(known, self._features - mean, 0)
        scale = centred.std(axis=0)
        scaled = np.clip(centred / np.where(scale > 0, scale, 1), -3, 3)
        self.scaled = (scaled / np.sqrt(scaled.shape[1])).astype(np.float32)
        return self._features
