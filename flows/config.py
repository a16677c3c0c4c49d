"""The config file of ``siamese train`` (tables schema, tower and training) and ``siamese dedupe`` (table golden): TOML or JSON."""

import json
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    columns: dict[str, str] = Field(default_factory=dict, alias="schema")
    tower: dict[str, Any] = {}
    training: dict[str, Any] = {}
    golden: GoldenRules = GoldenRules()


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
            f"'{path}': {explain(error)}; a config has the tables schema, tower, training and golden"
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
