"""Towers by name."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from siamese.errors import SettingsError
from siamese.schema import Schema
from siamese.settings import explain
from siamese.towers.base import Features, Tower, TowerConfig
from siamese.towers.lstm import LstmTower
from siamese.towers.ngram import NgramTower
from siamese.towers.transformer import TransformerTower

TOWERS: dict[str, type[Tower]] = {tower.name: tower for tower in (NgramTower, LstmTower, TransformerTower)}


def build_tower(name: str, schema: Schema, settings: Mapping[str, Any] | None = None, seed: int = 0) -> Tower:
    """A new tower.

    Raises:
        SettingsError: no tower has this name, or a setting is not one of its own or out of range.
    """
    if name not in TOWERS:
        raise SettingsError(f"there is no tower '{name}': expected one of {', '.join(TOWERS)}")
    try:
        config = TOWERS[name].Config.model_validate(dict(settings or {}))
    except ValidationError as error:
        raise SettingsError(f"settings of tower '{name}': {explain(error)}") from error
    return TOWERS[name](schema, config, seed)


__all__ = ["TOWERS", "Features", "Tower", "TowerConfig", "build_tower"]
