"""Limits: from where on a run that differs from those before it is told of, or is not published."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Limit(BaseModel):
    """Effects from which a measure warns and stops."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    warn: float = Field(gt=0)
    stop: float = Field(gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> "Limit":
        if self.stop < self.warn:
            raise ValueError(f"stop is {self.stop:g} and warn {self.warn:g}: expected stop to be the greater one")
        return self


def _limit(warn: float, stop: float) -> Limit:
    return Limit(warn=warn, stop=stop)


class DriftLimits(BaseModel):
    """The table ``[drift]`` of a config. Example::

    [drift]
    training = "off"                    # nothing is held against the records of training
    flagged = { warn = 0.1, stop = 0.3 }

    Shares (flagged, lost, empty, missing, unseen, characters) are compared by Cohen's h, the difference of their arcsines 2 asin sqrt(p),
    whose error does not depend on the share: 0.2 is small, 0.5 medium, 0.8 large (Cohen 1988, Statistical power analysis, chapter 6). 0.4
    lies between 0 and 4%, 2.5 and 13%, 30 and 50%. Distributions (lengths, distances) are compared by the greatest difference of their
    cumulated shares (Kolmogorov 1933, Smirnov 1948).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    flagged: Limit = _limit(0.15, 0.3)  # share of records that share their cluster with another
    lost: Limit = _limit(0.65, 1.15)  # by what share there are fewer records than before: 10%, 30%
    empty: Limit = _limit(0.2, 0.5)  # share of records with nothing to compare
    missing: Limit = _limit(0.2, 0.6)  # share of records without a value of a field
    unseen: Limit = _limit(0.2, 0.5)  # share of words of a field that were not seen
    characters: Limit = _limit(0.3, 0.7)  # share of values that hold a kind of characters
    lengths: Limit = _limit(0.12, 0.3)  # of a field's values
    distances: Limit = _limit(0.15, 0.3)  # of candidates
    calibration: Limit = _limit(0.05, 0.15)  # precision that probabilities expect, less the upper bound of an audit
    significance: float = Field(
        1e-6, gt=0, lt=1
    )  # chance that a measure of two like samples counts: a run has a hundred or more
    few: int = Field(30, ge=1)  # of fewer records nothing stops a run: what a handful does to a corpus is no harm
    runs: int = Field(14, ge=1)  # how many of the last runs are remembered
    training: Literal["off", "warn", "stop"] = "warn"  # the most that a difference from the training records does
