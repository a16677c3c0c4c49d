"""Company: the records among which labelled pairs have their rivals, read from their two tables."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.contents import content_keys
from pipeline.index import index_neighbours
from pipeline.judging import Judge
from pipeline.training_set import TrainingSet
from siamese.company import Company, Rivals
from siamese.comparison import Comparison
from siamese.contest import Contest
from siamese.encoder import SiameseEncoder
from siamese.pairs import Pairs
from siamese.profiles import Profiles
from siamese.rivals import Ends
from siamese.schema import Schema
from siamese.towers import Tower

OTHERS = 20_000  # records of a table that no pair names, at most: among more, rivals would take longer than training


@dataclass(frozen=True)
class Tables:
    """n records of two tables.

    Attributes:
        texts: what they say, in the schema's columns.
        company: the same, as the tower reads them.
        contents: (n,) number of what each says.
    """

    texts: pa.Table
    company: Company
    contents: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        data: TrainingSet,
        sides: NDArray[np.int8],
        pairs: Pairs,
        readable: NDArray[np.int64],
        asking: NDArray[np.int64],
        tower: Tower,
    ) -> Self:
        """The two tables that pairs tie.

        Args:
            sides: (n records of the training set,) 0 or 1: the table of each.
            pairs: all of whose records are taken in; their labels are not looked at.
            readable: (r,) ascending rows of the records that may be read.
            asking: (k,) some of these, whose rivals will be asked for.
        """
        named, rows = np.isin(readable, pairs.rows()), []
        for side in (0, 1):
            of_side = sides[readable] == side
            others = readable[of_side & ~named]
            spread = np.linspace(0, len(others) - 1, min(len(others), OTHERS)).astype(np.int64)
            rows += [readable[of_side & named], others[spread]]
        kept = np.unique(np.concatenate([*rows, asking]))
        texts = tower.schema.select(data.records.take(pa.array(kept)))
        contents = np.unique(content_keys(texts), axis=0, return_inverse=True)[1].reshape(-1)
        company = Company(tower.featurise(texts), np.searchsorted(kept, asking), sides[kept], index_neighbours)
        return cls(texts, company, contents)

    def said(self, pairs: Pairs) -> Ends:
        """Contents of the left and of the right records of pairs of rows."""
        return self.contents[pairs.left], self.contents[pairs.right]

    def asked(self, pairs: Pairs) -> Ends:
        """The same of pairs of the records that ask."""
        return self.said(Pairs(self.company.rows[pairs.left], self.company.rows[pairs.right], pairs.is_match))

    def contest(self, pairs: Pairs, rivals: Rivals, margin: float, schema: Schema, idf: NDArray[np.float32]) -> Contest:
        """What pairs of the records that ask compete with.

        Args:
            rivals: near those records.
            margin: in units of the energy.
            idf: what the verifier's profiles are made with.
        """
        rows = rivals.pairs.rows()
        met = rivals.pairs.renumber(rows)
        return Contest(
            Comparison(Profiles.of(self.texts.take(pa.array(rows)), schema, idf), met.left, met.right),
            rivals.distances.astype(np.float64) / margin,
            rivals.folds,
            self.said(rivals.pairs),
            self.asked(pairs),
        )

    def among(
        self, encoder: SiameseEncoder, judge: Judge, pairs: Pairs, scores: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """(m,) scores of pairs of the records that ask, among their rivals.

        Args:
            scores: (m,) of the pairs by themselves.
        """
        rivals = self.company.rivals(encoder.tower, np.arange(len(self.company.rows)), 0, encoder.energy)
        apart = encoder.margin_distance(rivals.distances)
        doubts = judge.score(apart, self.texts, rivals.pairs.left, rivals.pairs.right)
        return judge.among(scores, self.asked(pairs), self.said(rivals.pairs), doubts)
