"""A siamese encoder that learns from labelled pairs what "the same" means in your data."""

from siamese.calibration import Calibration
from siamese.distances import Energy
from siamese.encoder import SiameseEncoder
from siamese.errors import ArtifactError, DataError, OutputError, SchemaError, SettingsError, SiameseError
from siamese.schema import Field, Kind, Schema
from siamese.settings import TrainingConfig

__all__ = [
    "ArtifactError",
    "Calibration",
    "DataError",
    "Energy",
    "Field",
    "Kind",
    "OutputError",
    "Schema",
    "SchemaError",
    "SettingsError",
    "SiameseEncoder",
    "SiameseError",
    "TrainingConfig",
]
