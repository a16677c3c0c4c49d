"""Cold start: a model without a label: the untrained tower, which already behaves as TF-IDF does, fitted to a corpus."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.embedding import Corpus, embed_block, read_corpus
from pipeline.records import Records
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
RANDOM_PAIRS = 10_000  # of the sample: imposites, all but a few, which the margin lies above


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
    return pa.concat_tables(kept, promote_options="permissive")


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
