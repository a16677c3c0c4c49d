"""The config file: TOML or JSON. ``siamese train`` reads the tables schema, tower and training, ``siamese dedupe`` golden and drift,
``siamese link`` and ``siamese update`` drift."""

import json
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.limits import DriftLimits
from pipeline.rules import GoldenRules
from siamese.errors import SettingsError, reason
from siamese.settings import TrainingConfig, explain


class JobConfig(BaseModel):
    """Example::

    [schema]                # kinds of columns; the others are inferred
    sku = "code"
    comment = "ignore"
    [tower]
    name = "ngram"
    dim = 128
    [training]
    epochs = 10
    [golden]                # see pipeline/rules.py
    default = "most_frequent"
    [drift]                 # see pipeline/limits.py
    training = "off"
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    columns: dict[str, str] = Field(default_factory=dict, alias="schema")
    tower: dict[str, Any] = {}
    training: dict[str, Any] = {}
    golden: GoldenRules = GoldenRules()
    drift: DriftLimits = DriftLimits()


def read(path: Path | None) -> JobConfig:
    """A config file; the defaults when None.

    Raises:
        SettingsError: it cannot be read, or names a table that is not one.
    """
    if path is None:
        return JobConfig()
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        return JobConfig.model_validate(content)
    except ValidationError as error:
        raise SettingsError(
            f"'{path}': {explain(error)}; a config has the tables schema, tower, training, golden and drift"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"cannot read the config '{path}': {reason(error)}") from error


def training(settings: dict[str, Any]) -> TrainingConfig:
    """Training settings, checked.

    Raises:
        SettingsError: one is unknown or out of range.
    """
    try:
        return TrainingConfig.model_validate(settings)
    except ValidationError as error:
        raise SettingsError(f"training settings: {explain(error)}") from error
