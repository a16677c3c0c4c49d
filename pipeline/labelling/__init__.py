"""Labelling: from records to labelled pairs, with the pairs put to a person that teach most."""

from pipeline.labelling.answers import Answer
from pipeline.labelling.proposal import Proposal
from pipeline.labelling.session import LabelSession
from pipeline.labelling.standing import Progress
from pipeline.labelling.ties import Contradiction

__all__ = ["Answer", "Contradiction", "LabelSession", "Progress", "Proposal"]
