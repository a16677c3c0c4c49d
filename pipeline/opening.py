"""Opening: models and indices from their folders, checked against each other; without what only runs need, for queries wait for it."""

from functools import lru_cache
from pathlib import Path

from pipeline.embedding import Corpus
from pipeline.index import VectorIndex
from pipeline.indexing import MODEL
from siamese.encoder import SiameseEncoder
from siamese.errors import ArtifactError
from siamese.folders import Place, check_manifest, local_folder


def load_encoder(model: Place) -> SiameseEncoder:
    """A model, read once however many stages of a process ask for it."""
    path = local_folder(model, "model").absolute()
    manifest = path / "manifest.json"
    status = manifest.stat() if manifest.is_file() else None
    return _load_encoder(path, status and (status.st_mtime_ns, status.st_ino))


@lru_cache(maxsize=2)
def _load_encoder(path: Path, _made: tuple[int, int] | None) -> SiameseEncoder:
    return SiameseEncoder.load(path)


def open_index(place: Place, model: Place | None = None) -> tuple[SiameseEncoder, Corpus, VectorIndex]:
    """An index folder with its encoder.

    Raises:
        ArtifactError: it is damaged, or was built by another model than the one given.
    """
    folder = local_folder(place, "index")
    manifest = check_manifest(folder, "index")
    encoder = load_encoder(model or folder / MODEL)
    if encoder.fingerprint != manifest["model"]:
        raise ArtifactError(
            f"the index '{place}' was built by another model (fingerprint {manifest['model'][:12]}, "
            f"'{model or folder / MODEL}' has {encoder.fingerprint[:12]}): make the index again with this model"
        )
    corpus = Corpus.open(folder, encoder.dim)
    return encoder, corpus, VectorIndex.load(folder, corpus.embeddings, encoder.energy, manifest["index"])
