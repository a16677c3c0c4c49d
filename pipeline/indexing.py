"""Indexing: the index of an embedded corpus, as a file beside it."""

from pathlib import Path

from pipeline.decision import NEAR_MISS_BAND
from pipeline.embedding import Corpus, Encoder
from pipeline.index import IndexKind, VectorIndex

MODEL = "model"  # in an index folder, so that it can be queried wherever it goes


def index_corpus(encoder: Encoder, folder: Path, kind: IndexKind) -> VectorIndex:
    """Build and write the index of a corpus that lies embedded in a folder, as sure as the model's own threshold asks for."""
    radius = encoder.calibration.max_distance * encoder.margin * (1 + NEAR_MISS_BAND)
    embeddings = Corpus.open(folder, encoder.dim).embeddings
    index = VectorIndex.build(embeddings, encoder.energy, kind=kind, radius=radius)
    index.save(folder)
    return index
