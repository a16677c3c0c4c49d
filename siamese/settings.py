"""Settings: how a model is trained."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from siamese.distances import Energy


class TrainingConfig(BaseModel):
    """Settings of one training. ``None`` means: the tower's own default, or chosen from the data."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    energy: Energy = Energy.EUCLIDEAN  # the distance that is learned
    margin: float | None = Field(None, gt=0)  # in units of the energy; from the data when None
    epochs: int | None = Field(None, ge=1)  # at most: early stopping ends sooner
    folds: int | None = Field(None, ge=2)  # of the training pairs, for cross-fitting
    batch_size: int | None = Field(None, ge=1)  # pairs a step
    learning_rate: float | None = Field(None, gt=0)
    patience: int = Field(
        3, ge=1
    )  # epochs without a better average precision on held-out pairs, after which training ends
    balance: float = Field(
        0.0, ge=0, le=1
    )  # 1: both classes weigh the same in the loss, however rare matches are; 0: every pair does
    negatives: Literal["given", "mined"] = (
        "given"  # mined: imposites also from near neighbours of other entities (a complete list of matches)
    )
    mined_per_record: int = Field(5, ge=1)  # nearest records of other entities that become imposites, for each record
    verifier: Literal["trees", "none"] = "trees"  # the second look at candidates; none: the distance alone decides
    lessons: int = Field(
        2000, ge=0
    )  # labelled pairs whose ids a model keeps, for explanations: see siamese.lessons; 0: none
    hold_out: bool = True  # a fifth of the entities, for ``evaluate``, where the pairs have no split; else all teach
    seed: int = Field(0, ge=0)
    device: str = "auto"  # auto: CUDA where there is one; else a torch device


def explain(error: ValidationError) -> str:
    """A pydantic error as one sentence: which setting, what is wrong, what came."""
    problems = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"]) or "settings"
        match problem["type"]:
            case "extra_forbidden":
                problems.append(f"'{where}' is not a setting, got {problem['input']!r}")
            case "missing":
                problems.append(f"'{where}' is missing")
            case "value_error":  # raised by a validator of ours, as a whole sentence
                problems.append(f"'{where}': {problem['ctx']['error']}")
            case _:
                problems.append(f"'{where}' {problem['msg'][:1].lower()}{problem['msg'][1:]}, got {problem['input']!r}")
    return "; ".join(problems)
