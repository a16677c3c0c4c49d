"""The full truth of a made corpus, and how right pairs of its rows are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Truth:
    """True pairs as keys: the lesser row of the records file times n plus the greater."""

    ids: pd.Index
    keys: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> "Truth":
        ids = pd.Index(pd.read_parquet(folder / "records.parquet", columns=["record_id"])["record_id"])
        pairs = pd.read_parquet(folder / "true_pairs.parquet")
        bare = cls(ids, np.empty(0, np.int64))
        return cls(ids, np.sort(bare.keys_of(*bare.rows(pairs))))

    def rows(self, pairs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        return self.ids.get_indexer(pairs["left_id"]), self.ids.get_indexer(pairs["right_id"])

    def keys_of(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.minimum(left, right).astype(np.int64) * len(self.ids) + np.maximum(left, right)

    def is_true(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        keys = self.keys_of(left, right)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return self.keys[place] == keys

    def scores(self, left: np.ndarray, right: np.ndarray) -> dict[str, float]:
        found = int(self.is_true(left, right).sum())
        return {
            "precision": found / max(len(left), 1),
            "recall": found / len(self.keys),
            "f1": 2 * found / (len(left) + len(self.keys)),
        }

    def best_limit(self, found: Any) -> tuple[float, float]:
        """(limit, F1): the least score to flag for the best F1, halfway to the next lower one."""
        order = np.argsort(-found.score, kind="stable")
        score, right = found.score[order], self.is_true(found.left, found.right)[order]
        last = np.append(score[1:] < score[:-1], True)
        f1 = 2 * np.cumsum(right) / (np.arange(1, len(score) + 1) + len(self.keys))
        best = int(np.argmax(np.where(last, f1, -1)))
        below = score[best + 1] if best + 1 < len(score) else score[best]
        return float((score[best] + below) / 2), float(f1[best])
