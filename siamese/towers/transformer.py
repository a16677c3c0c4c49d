"""The transformer tower: any sentence-transformers model as the shared tower, fine-tuned by the same loss.

Needs the extra ``[transformer]``. A record is read as ``title: sony turntable; price: 12.99``; a missing field is left out.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from torch import Tensor

from siamese.errors import SettingsError
from siamese.schema import Schema
from siamese.towers.base import Tower, TowerConfig


class TransformerConfig(TowerConfig):
    model: str = "sentence-transformers/all-MiniLM-L6-v2"  # a local folder, or a name on the Hugging Face hub
    max_tokens: int = 128  # word pieces of a record that are read; the rest is not
    learning_rate: float = 2e-5
    epochs: int = 3
    folds: int = 2  # each costs a training
    batch_size: int = 32


@dataclass(frozen=True)
class Sentences:
    """Records as one text each."""

    texts: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: np.ndarray) -> "Sentences":
        return Sentences(self.texts[rows])


class TransformerTower(Tower):
    name: ClassVar[str] = "transformer"
    Config: ClassVar[type[TowerConfig]] = TransformerConfig
    config: TransformerConfig

    def __init__(self, schema: Schema, config: TransformerConfig, seed: int) -> None:
        super().__init__(schema, config, seed)
        self._open(config.model)

    def _open(self, model: str) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError:
            raise SettingsError(
                "the transformer tower needs sentence-transformers: pip install 'siamese-dedupe[transformer]'"
            ) from None
        try:
            self.model = SentenceTransformer(model, device="cpu")
        except (OSError, ValueError) as error:
            raise SettingsError(f"no sentence-transformers model can be opened at '{model}' ({error})") from error
        self.model.max_seq_length = min(self.config.max_tokens, self.model.max_seq_length or self.config.max_tokens)
        # Named get_sentence_embedding_dimension and tokenize before sentence-transformers 5.
        renamed = hasattr(self.model, "get_embedding_dimension")
        self.dim = int(
            (self.model.get_embedding_dimension() if renamed else self.model.get_sentence_embedding_dimension()) or 0
        )
        self._tokenize = self.model.preprocess if hasattr(self.model, "preprocess") else self.model.tokenize

    def featurise(self, records: pa.Table) -> Sentences:
        columns = [records[name].to_pylist() for name in self.schema.names]
        texts = [
            "; ".join(
                f"{name}: {value}" for name, value in zip(self.schema.names, values, strict=True) if value is not None
            )
            for values in zip(*columns, strict=True)
        ]
        return Sentences(np.array(texts, dtype=object))

    def forward(self, features: Sentences) -> Tensor:
        tokens = self._tokenize(list(features.texts))
        tokens = {name: value.to(self.device) for name, value in tokens.items() if isinstance(value, Tensor)}
        embedded = F.normalize(self.model(tokens)["sentence_embedding"].float(), dim=1)
        filled = torch.tensor([bool(text) for text in features.texts], device=self.device)
        return embedded * filled[:, None]  # the network gives an empty text a vector too

    def embed(self, features: Any, batch_size: int = 64) -> Tensor:
        """Records of like length share a batch, so that little is spent on padding."""
        order = np.argsort([len(text) for text in features.texts], kind="stable")
        embedded = super().embed(features.take(order), batch_size)
        return torch.empty_like(embedded).index_copy(0, torch.from_numpy(order), embedded)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:  # type: ignore[override]
        """Nothing: the network is saved whole by :meth:`save_files`, in the form that its own library reads."""
        return {}

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return None

    def save_files(self, folder: Path) -> None:
        self.model.save(str(folder), safe_serialization=True, create_model_card=False)
