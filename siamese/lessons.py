"""Lessons: labelled pairs that a model keeps, to show beside a pair what taught it to judge so.

A lesson is two record ids, a label and a few numbers: no text of a record is kept, and a model grows by some hundred kilobytes however many
pairs it learned from (``TrainingConfig.lessons`` says how many are kept; with 0 a model knows of no record). What the records say is
looked up in the corpus when it is shown; of a corpus without them the ids are shown alone.

Two pairs are near when the model judges them for the same reasons. So each pair is a point whose coordinates are what each field, and each
other thing that the verifier reads, adds to its log-odds (without a verifier: to the distance, in margins), and near is near in these. They
have one unit, so nothing has to be scaled, and what does not matter to the decision does not matter here: two pairs whose records say
different things, but whose titles agree as much and whose prices part as far, are one lesson. What the features are worth is learned from
all labels, a lesson's own among them, so a lesson lies a little farther to its own side than a new pair like it would.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from siamese.errors import ArtifactError
from siamese.folders import read_json, write_json, written

FILES = IDS, POINTS = "lessons.json", "lessons.safetensors"


@dataclass(frozen=True)
class Lesson:
    """A labelled pair near another one.

    Attributes:
        left_id, right_id: records of the training corpus.
        is_match: the label.
        is_mined: an imposite that training drew itself: in no list, of two records whose entities are known.
        apart: how differently the model judges the two pairs: the euclidean distance of their points.
        left, right: fields of the records, where the corpus has them.
    """

    left_id: str
    right_id: str
    is_match: bool
    is_mined: bool
    apart: float
    left: dict[str, str | None] | None = None
    right: dict[str, str | None] | None = None


@dataclass(frozen=True)
class Lessons:
    """k labelled pairs.

    Attributes:
        left_ids, right_ids: k ids each.
        is_match, is_mined: (k,) int8.
        points: (k, g) float32.
        coordinates: g names of what the points say.
    """

    left_ids: list[str]
    right_ids: list[str]
    is_match: NDArray[np.int8]
    is_mined: NDArray[np.int8]
    points: NDArray[np.float32]
    coordinates: list[str]

    def __len__(self) -> int:
        return len(self.left_ids)

    def near(self, point: NDArray[np.float64], coordinates: list[str], count: int) -> list[Lesson]:
        """The nearest genuine pairs and then the nearest imposites, ``count`` of each at most; the nearest of a label first.

        Args:
            point: (g,) of the pair that is explained.
            coordinates: its names.

        Raises:
            ArtifactError: the points of the lessons say other things.
        """
        if coordinates != self.coordinates:
            raise ArtifactError("the labelled pairs that the model keeps do not fit the model: train it again")
        apart = np.linalg.norm(self.points - point, axis=1)
        order = np.argsort(apart, kind="stable")
        nearest = [order[self.is_match[order] == label][:count] for label in (1, 0)]
        return [
            Lesson(
                self.left_ids[row],
                self.right_ids[row],
                bool(self.is_match[row]),
                bool(self.is_mined[row]),
                float(apart[row]),
            )
            for row in np.concatenate(nearest).tolist()
        ]

    def save(self, folder: Path) -> None:
        write_json(
            folder / IDS, {"left_ids": self.left_ids, "right_ids": self.right_ids, "coordinates": self.coordinates}
        )
        with written(folder / POINTS):
            save_file({"is_match": self.is_match, "is_mined": self.is_mined, "points": self.points}, folder / POINTS)

    @classmethod
    def load(cls, folder: Path) -> "Lessons | None":
        """Read what :meth:`save` wrote; None where a model keeps none."""
        if not (folder / IDS).is_file():
            return None
        ids: dict[str, Any] = read_json(folder / IDS)
        tensors: dict[str, Any] = load_file(folder / POINTS)
        return cls(**ids, **tensors)
