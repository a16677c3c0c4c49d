"""A siamese encoder that learns from labelled pairs what "the same" means in your data."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from siamese.calibration import Calibration
    from siamese.distances import Energy
    from siamese.encoder import SiameseEncoder
    from siamese.errors import (
        ArtifactError,
        DataError,
        OutputError,
        PromiseError,
        SchemaError,
        SettingsError,
        SiameseError,
    )
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
    "PromiseError",
    "Schema",
    "SchemaError",
    "SettingsError",
    "SiameseEncoder",
    "SiameseError",
    "TrainingConfig",
]
_HOMES = {
    "Calibration": "calibration",
    "Energy": "distances",
    "SiameseEncoder": "encoder",
    "Field": "schema",
    "Kind": "schema",
    "Schema": "schema",
    "TrainingConfig": "settings",
}


def __getattr__(name: str) -> Any:
    """An exported name, imported when it is first asked for: torch takes seconds, and ``siamese --help`` needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module 'siamese' has no attribute '{name}'")
    return getattr(import_module(f"siamese.{_HOMES.get(name, 'errors')}"), name)
