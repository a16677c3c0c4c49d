"""Cold start: a model without a label: the untrained tower, which already behaves as TF-IDF does, fitted to a corpus.

Its threshold comes from the spread of the distances alone. The two nearest of each record are a mixture of matches and imposites; where the
one begins to outweigh the other is the threshold. What tells the two apart where all records have duplicates, or none: the distances of
random pairs, which are nearly normal below their median, say where the nearest of n unrelated records lies, and imposites lie about there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtr, ndtri

from pipeline.cells import Cells
from pipeline.embedding import Corpus, embed_block, measure, read_corpus
from pipeline.records import Records, of_all, stacked
from pipeline.search import Queries, Scope, search
from siamese.calibration import Calibration
from siamese.encoder import SiameseEncoder
from siamese.evidence import Evidence
from siamese.logodds import LogOdds
from siamese.profiles import document_frequency
from siamese.schema import Schema
from siamese.settings import TrainingConfig
from siamese.towers import build_tower
from siamese.training import choose_margin

CORPUS_SAMPLE = 100_000  # records that say what words are rare; more change nothing that shows
RANDOM_PAIRS = 10_000  # imposites, all but a few
QUERIES, NEAREST, PROBES = 8192, 2, 16  # records whose nearest are looked at, how many of these, and in how many cells
LEAST_DISTANCES = 10  # to fit a mixture to
SPREADS = 2.0  # of random pairs, by which imposites' mean may lie below the nearest unrelated record: those that share a topic


def untrained_encoder(
    sources: Iterable[Records], *, kinds: Mapping[str, str] | None = None, seed: int = 0
) -> SiameseEncoder:
    """The default tower as it is before training, for some records.

    Its margin lies above the distances of random pairs, as it does in training. Its calibration is a placeholder that holds nothing for a
    match: distances alone tell no probability.

    Args:
        sources: the corpora that it is for.
        kinds: kinds of columns set by hand.

    Raises:
        SchemaError: no column is left to compare.
    """
    sources = list(sources)
    sample = sample_of(sources)
    schema = Schema.infer(sample, exclude=[source.id_column for source in sources], kinds=kinds)
    schema = of_all(schema, sources)
    config, tower = TrainingConfig(seed=seed), build_tower("ngram", schema, None, seed)
    features = tower.featurise(schema.select(sample))
    tower.fit_corpus(features)
    rows = np.random.default_rng(seed).integers(sample.num_rows, size=(2, RANDOM_PAIRS))
    named, places = np.unique(rows[:, rows[0] != rows[1]], return_inverse=True)
    left, right = places.reshape(2, -1) if len(named) else np.empty((2, 0), np.int64)
    embedded = tower.embed(features.take(named)).numpy()
    encoder = SiameseEncoder(tower.eval(), config.energy, 1.0, uncalibrated(0.0), config)
    apart = encoder.energies(embedded[left], embedded[right]) if len(left) else np.ones(1)
    encoder.margin = choose_margin(apart, np.zeros(len(apart)))
    return encoder


def first_model(
    sources: Sequence[Records], folder: Path, *, kinds: Mapping[str, str] | None = None, seed: int = 0
) -> SiameseEncoder:
    """The untrained encoder with a threshold for one corpus, or for two to link.

    Args:
        folder: for what is embedded.
    """
    encoder = untrained_encoder(sources, kinds=kinds, seed=seed)
    corpora = [embed_corpus(encoder, source, folder / str(number)) for number, source in enumerate(sources)]
    left, right = corpora[0], corpora[-1]
    random = np.random.default_rng(seed)
    if min(len(left.embeddings), len(right.embeddings)) == 0:
        return encoder
    ends = [random.integers(len(side.embeddings), size=RANDOM_PAIRS) for side in (left, right)]
    apart = measure(left.embeddings, ends[0], right.embeddings, ends[1], encoder.energy)
    apart = apart[apart > 0] if (apart > 0).any() else np.ones(1, np.float32)
    cells = Cells.build(right.embeddings, encoder.energy, folder / "cells")
    rows = np.sort(random.permutation(len(left.embeddings))[:QUERIES])
    queries = Queries.of_rows(cells, left.embeddings, rows)
    scope = Scope(0.0, np.inf, NEAREST)
    near = search(cells, right.embeddings, queries, left.embeddings, scope, min(PROBES, len(cells))).distances
    mixture = Mixture.fit(near.astype(np.float64), apart.astype(np.float64), len(right.embeddings))
    limit, slope = mixture.threshold(), mixture.slope()
    encoder.calibration = uncalibrated(limit / encoder.margin, slope * encoder.margin, -slope * limit)
    return encoder


@dataclass(frozen=True)
class Mixture:
    """Two normal components of the distances to the nearest; all (2,), the matches first.

    Attributes:
        share, mean, spread: of each.
    """

    share: NDArray[np.float64]
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]

    @classmethod
    def fit(cls, nearest: NDArray[np.float64], random: NDArray[np.float64], n: int, rounds: int = 200) -> "Mixture":
        """By expectation-maximisation, the imposites' mean kept near where that of unrelated records is to be expected.

        Args:
            nearest: (m,) distances of records to their nearest.
            random: (r,) distances of random pairs.
            n: records that the nearest were sought among.
        """
        middle = float(np.median(random))
        below = max(middle - float(np.quantile(random, ndtr(-1.0))), 1e-3)
        unrelated = middle - below * float(ndtri(1 - 1 / max(n, 2)))
        least = max(unrelated - SPREADS * below, 0.0)
        low = float(np.quantile(nearest, 0.1)) if len(nearest) else 0.0
        share, mean = np.array([0.5, 0.5]), np.array([min(low, least), max(unrelated, least)])
        spread = np.full(2, max((mean[1] - mean[0]) / 4, 1e-3))
        if len(nearest) < LEAST_DISTANCES:
            return cls(share, mean, spread)
        for _ in range(rounds):
            odds = _log_density(nearest, share, mean, spread)
            part = np.exp(odds - logsumexp(odds, axis=0))
            weight = part.sum(axis=1) + 1e-9
            share, mean = weight / weight.sum(), part @ nearest / weight
            mean[1] = max(mean[1], least)
            mean[0] = min(mean[0], mean[1] - 1e-3)
            variance = (part * (nearest - mean[:, None]) ** 2).sum(axis=1) / weight
            spread = np.maximum(np.sqrt(variance), 1e-2)
        return cls(share, mean, spread)

    def log_odds(self, distances: NDArray[np.float64]) -> NDArray[np.float64]:
        """(m,) of a match."""
        match, imposite = _log_density(distances, self.share, self.mean, self.spread)
        return np.asarray(match - imposite)

    def threshold(self) -> float:
        """The distance from which imposites outweigh matches, between the two means."""
        grid = np.linspace(self.mean[0], self.mean[1], 1001)
        outweighed = np.flatnonzero(self.log_odds(grid) < 0)
        return float(grid[outweighed[0]] if len(outweighed) else grid[-1])

    def slope(self) -> float:
        """How fast the log-odds fall around the threshold."""
        step, limit = float(self.mean[1] - self.mean[0]) / 10, self.threshold()
        before, after = self.log_odds(np.array([limit - step, limit + step]))
        return min(float(after - before) / (2 * step), -1e-3)


def _log_density(
    distances: NDArray[np.float64], share: NDArray[np.float64], mean: NDArray[np.float64], spread: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(2, m). (The module that has the normal distribution takes half a second to import.)"""
    apart = (distances - mean[:, None]) / spread[:, None]
    density = -(apart**2) / 2 - np.log(np.sqrt(2 * np.pi)) - np.log(spread[:, None])
    return np.asarray(np.log(share)[:, None] + density)


def uncalibrated(max_distance: float, slope: float = 0.0, intercept: float = 0.0) -> Calibration:
    """A calibration that rests on no label; by default all pairs are as likely as not."""
    odds = LogOdds(kind="logistic", parameters=(slope, intercept))
    return Calibration(log_odds=odds, max_distance=max_distance, evidence=Evidence.of([], []))


def sample_of(sources: Iterable[Records]) -> pa.Table:
    """The first CORPUS_SAMPLE records of each corpus, with all their columns."""
    kept = []
    for source in sources:
        left = CORPUS_SAMPLE
        for batch in source.batches():
            kept.append(batch.slice(0, left))
            left -= kept[-1].num_rows
            if left <= 0:
                break
    return stacked(kept)


def rare_words(schema: Schema, sources: Iterable[Records]) -> np.ndarray:
    """(2**18,) float32 inverse document frequency of the words of a sample."""
    return document_frequency(schema.select(sample_of(sources)), schema)


def embed_corpus(encoder: SiameseEncoder, records: Records, folder: Path) -> Corpus:
    """Read a corpus and embed it into a new folder."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = read_corpus(encoder.schema, records, folder)
    for number in range(counts["blocks"]):
        embed_block(encoder, folder, number)
    return Corpus.open(folder, encoder.dim)
