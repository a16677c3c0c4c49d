"""The encoder: a trained tower with all that its distances mean; the artifact that is saved and loaded."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from siamese.calibration import Calibration
from siamese.distances import Energy, distance
from siamese.errors import ArtifactError
from siamese.folders import (
    Place,
    check_manifest,
    local_folder,
    new_folder,
    read_json,
    write_json,
    write_manifest,
    written,
)
from siamese.lessons import FILES as LESSONS
from siamese.lessons import Lessons
from siamese.portrait import Portrait
from siamese.schema import Schema, as_table
from siamese.settings import TrainingConfig
from siamese.towers import TOWERS, Tower, build_tower
from siamese.verifier import Verifier

ENCODER, WEIGHTS, CALIBRATION, METRICS, TOWER_FILES, VERIFIER = (
    "encoder.json",
    "weights.safetensors",
    "calibration.json",
    "metrics.json",
    "tower",
    "verifier",
)
PORTRAITS = {"all": "portrait.json", "left": "portrait-left.json", "right": "portrait-right.json"}


@dataclass
class SiameseEncoder:
    """Tower, margin, calibration and, where one was trained, the verifier.

    Example:
        >>> encoder = SiameseEncoder.load("model")                                    # doctest: +SKIP
        >>> encoder.encode([{"title": "sony turntable"}]).shape                       # doctest: +SKIP
        (1, 256)

    Attributes:
        tower: the shared network, in eval mode.
        energy: the distance it was trained for.
        margin: in units of the energy.
        calibration: from margin_distance to probability and decision.
        training: the settings it was trained with.
        metrics: what was measured in training and calibration, for people.
        fingerprint: sha256 over the saved files; "" before it is saved.
        verifier: the second look at candidates; None: the distance alone decides.
        lessons: labelled pairs to show beside others; None: it keeps none.
        portraits: what the records looked like that it was trained on: of "all" and, of two tables, "left" and "right"; empty: it
            does not know, as models made before.
    """

    tower: Tower
    energy: Energy
    margin: float
    calibration: Calibration
    training: TrainingConfig = field(default_factory=TrainingConfig)
    metrics: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    verifier: Verifier | None = None
    lessons: Lessons | None = None
    portraits: dict[str, Portrait] = field(default_factory=dict)

    @property
    def schema(self) -> Schema:
        return self.tower.schema

    @property
    def dim(self) -> int:
        return self.tower.dim

    def encode(self, records: Any) -> NDArray[np.float32]:
        """Embeddings of records.

        Args:
            records: n of them: a DataFrame, an Arrow table, a list of dicts or a dict of columns. Columns beside the schema's are ignored.

        Returns:
            (n, dim) float32 of length 1; a record with nothing in it is all zeros.

        Raises:
            SchemaError: a column of the schema is missing.
        """
        return self.tower.encode(self.schema.select(as_table(records))).numpy()

    def energies(self, left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) distances between rows of two (n, dim) arrays of embeddings."""
        return distance(torch.from_numpy(left), torch.from_numpy(right), self.energy).numpy()

    def distance(self, left: Any, right: Any) -> NDArray[np.float32]:
        """(n,) distances between n records and n others, in units of the energy."""
        return self.energies(self.encode(left), self.encode(right))

    def margin_distance(self, distances: ArrayLike) -> NDArray[np.float64]:
        """Distances in units of the margin: 0 identical, 1 as far as training pushes imposites."""
        return np.asarray(distances, np.float64) / self.margin

    def save(self, out: Place) -> None:
        """Write the model folder, whole or not at all.

        Args:
            out: path, or a URL that fsspec knows.

        Raises:
            OutputError: it cannot be written there.
        """
        with new_folder(out) as folder:
            weights = {name: tensor.contiguous() for name, tensor in self.tower.state_dict().items()}
            with written(folder / WEIGHTS):
                save_file(weights, folder / WEIGHTS)
            self.tower.save_files(folder / TOWER_FILES)
            description = {
                "schema": self.schema.model_dump(mode="json", exclude=set() if self.schema.also else {"also"}),
                "tower": {
                    "name": self.tower.name,
                    "seed": self.tower.seed,
                    "config": self.tower.config.model_dump(mode="json"),
                },
                "energy": self.energy.value,
                "margin": self.margin,
                "training": self.training.model_dump(mode="json"),
            }
            write_json(folder / ENCODER, description)
            write_json(folder / CALIBRATION, self.calibration.model_dump(mode="json"))
            write_json(folder / METRICS, self.metrics)
            if self.verifier is not None:
                self.verifier.save(folder / VERIFIER)
            if self.lessons is not None:
                self.lessons.save(folder)
            for part, portrait in self.portraits.items():
                write_json(folder / PORTRAITS[part], portrait.model_dump(mode="json"))
            unsigned = frozenset({METRICS, *PORTRAITS.values(), *LESSONS})
            manifest = write_manifest(folder, "model", {"settings": description["training"]}, unsigned=unsigned)
        self.fingerprint = manifest["fingerprint"]

    @classmethod
    def load(cls, folder: Place) -> "SiameseEncoder":
        """Read a model folder, checked against its manifest.

        Args:
            folder: path, or a URL that fsspec knows.

        Raises:
            ArtifactError: it is damaged, of another format version, or no model.
        """
        folder = local_folder(folder, "model")
        manifest = check_manifest(folder, "model")
        parts = {name.split("/")[0] for name in manifest["files"]}  # what lies there beside these is not ours
        description = read_json(folder / ENCODER)
        try:
            tower_name = description["tower"]["name"]
            if tower_name not in TOWERS:
                raise ArtifactError(
                    f"the model '{folder}' has tower '{tower_name}', this version knows {', '.join(TOWERS)}"
                )
            config = dict(description["tower"]["config"])
            if TOWER_FILES in parts:
                config["model"] = str(folder / TOWER_FILES)
            tower = build_tower(
                tower_name, Schema.model_validate(description["schema"]), config, description["tower"]["seed"]
            )
            tower.load_state_dict(load_file(folder / WEIGHTS))
            calibration = Calibration.model_validate(read_json(folder / CALIBRATION))
            training = TrainingConfig.model_validate(description["training"])
            energy, margin = Energy(description["energy"]), float(description["margin"])
            verifier = Verifier.load(folder / VERIFIER, tower.schema) if VERIFIER in parts else None
            lessons = Lessons.load(folder) if LESSONS[0] in parts else None
            portraits = {
                part: Portrait.model_validate(read_json(folder / name))
                for part, name in PORTRAITS.items()
                if name in parts
            }
        except (KeyError, TypeError, ValueError, RuntimeError, ValidationError, SafetensorError) as error:
            raise ArtifactError(
                f"the model '{folder}' does not fit together ({type(error).__name__}: {error}): train it again"
            ) from error
        metrics = read_json(folder / METRICS)
        fingerprint = manifest["fingerprint"]
        return cls(
            tower.eval(), energy, margin, calibration, training, metrics, fingerprint, verifier, lessons, portraits
        )
