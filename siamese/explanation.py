"""Explanation: why a pair is as far apart as it is, how likely that makes a match, and which labelled pairs taught the model so."""

from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from typing import Any, Literal

from siamese.lessons import Lesson
from siamese.reasons import Kind

Side = Literal["left", "right", "both"]


@dataclass(frozen=True)
class WordPart:
    """A word of a field; two words joined are neighbours that are also read as one. With the word count its n-grams."""

    word: str
    side: Side  # that has it
    share: float


@dataclass(frozen=True)
class FieldPart:
    """A field of a pair.

    Attributes:
        name: of the field.
        left, right: what the records say; None where it is missing.
        missing: the side that says nothing.
        share: of what the distance adds up to. Below 0 it brings the pair nearer: without it the two would be farther apart.
        words: the strongest of them; none where the tower is not additive.
        other_words: how many more there are.
        other_share: what those add, so that a field's words sum to its share.
    """

    name: str
    left: str | None
    right: str | None
    missing: Side | None
    share: float
    words: tuple[WordPart, ...] = ()
    other_words: int = 0
    other_share: float = 0.0


@dataclass(frozen=True)
class Step:
    """A step of the log-odds; see :class:`siamese.reasons.Source` for its kinds."""

    kind: Kind
    name: str
    log_odds: float


@dataclass(frozen=True)
class Explanation:
    """A pair, explained.

    Attributes:
        distance: in units of the energy, as :meth:`SiameseEncoder.distance` gives it.
        margin_distance: in margins.
        adds_up_to: what the fields' shares sum to: "squared distance" where the energy is euclidean, else "distance".
        total: that sum.
        is_exact: whether the shares are what the tower does, or an approximation (see :mod:`siamese.attribution`).
        fields: in the schema's order.
        decided_by: "verifier" or "distance".
        steps: of the log-odds, in reading order; they sum to ``log_odds``.
        log_odds: of a match, natural logarithm, calibrated.
        needed: log-odds from which a pair is flagged.
        probability, is_match: as :meth:`Matcher.score` gives them.
        notes: sentences on what has to be known to read it.
        lessons: labelled pairs that the model judges for the same reasons: genuine ones, then imposites.
        left_id, right_id: where they are known.
    """

    distance: float
    margin_distance: float
    adds_up_to: str
    total: float
    is_exact: bool
    fields: tuple[FieldPart, ...]
    decided_by: str
    steps: tuple[Step, ...]
    log_odds: float
    needed: float
    probability: float
    is_match: bool
    notes: tuple[str, ...] = ()
    lessons: tuple[Lesson, ...] = ()
    left_id: str | None = None
    right_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON and templates; each field and step also with the sum before it (``start``) and after it (``end``)."""
        found = asdict(self)
        for name, value in (("fields", "share"), ("steps", "log_odds")):
            ends = list(accumulate(each[value] for each in found[name]))
            starts = [0.0, *ends[:-1]]
            found[name] = [
                each | {"start": start, "end": end} for each, start, end in zip(found[name], starts, ends, strict=True)
            ]
        return found

    def named(self, left_id: str, right_id: str) -> "Explanation":
        return replace(self, left_id=left_id, right_id=right_id)
