"""Proposal: a pair that a person is asked about."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Proposal:
    """A pair to answer.

    Attributes:
        left_id, right_id: of the records; in one corpus left_id < right_id.
        left, right: their fields as text, None where missing.
        distance: under the tower that proposes, in units of the energy.
        probability: of a match, as the answers so far have it; None before they say anything.
        why: it is proposed, in a few words.
        weight: candidates that it stands for: more than 1 where it was drawn at random, 1 where it was chosen.
        shares: field -> its part of the distance (see :mod:`siamese.attribution`), which sum to 1; below 0 it brings the two nearer. None
            where the tower is not additive, or the distance is 0.
    """

    left_id: str
    right_id: str
    left: dict[str, str | None]
    right: dict[str, str | None]
    distance: float
    probability: float | None
    why: str
    weight: float
    shares: dict[str, float] = field(default_factory=dict)

    @property
    def pair(self) -> tuple[str, str]:
        return self.left_id, self.right_id
