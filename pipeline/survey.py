"""Survey: what a sample of queries, searched exactly, says of a corpus: how far to search, and into how many cells to look.

False pairs grow with the square of a corpus and true ones with its size, so a distance that was worth a look among the labelled pairs may
bring a thousand false candidates for each match. How many matches there are is bounded from the sample itself: within a distance d it
sees C(d) pairs, and a share G(d) of the genuine pairs lies there, so there are no more than C(d) / G(d), for every d.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from pipeline.cells import Cells
from pipeline.embedding import Embeddings
from pipeline.products import QUERY_ROWS, likeness
from pipeline.rowpairs import RowPairs
from pipeline.search import Queries, Scope
from siamese.distances import Energy

SAMPLE = 1024  # queries
# Matches among candidates of like distance, below which they are not looked at. A record's nearest are as many as there are records;
# all within a radius grow with the square of the corpus, and nearly all matches among them are nearest ones too.
WORTH_A_LOOK, WORTH_IN_A_CROWD = 0.001, 0.01
# Rows are compared while so many comparisons bring a match to be expected; they take as long as the looks that are worth it.
COMPARISONS_A_MATCH = 2e6
SURE = 0.5  # share of matches in a bin of distances that says what buckets hold
LEAST_BIN, BINS = 5, 20  # genuine held-out pairs in a bin of distances, at least; bins, at most
BOUNDS = 8  # distances at which the number of matches is bounded
UNKNOWN = 16  # cells to look into where the sample brings no candidate at all


@dataclass(frozen=True)
class Survey:
    """The candidates of a sample of queries, none left out.

    Attributes:
        distances: (m,) of the candidates.
        among_nearest: (m,) whether each is among its query's nearest.
        looks: (m,) cells to look into, so that it is found from either side; 0 where a bucket holds it.
        asked: queries in the sample.
    """

    distances: NDArray[np.float32]
    among_nearest: NDArray[np.bool_]
    looks: NDArray[np.int64]
    asked: int

    @classmethod
    def of(cls, found: RowPairs, looks: NDArray[np.int64], scope: Scope, asked: int) -> "Survey":
        """Of all candidates of some queries, from :func:`pipeline.search.search_exactly`."""
        rank = np.arange(len(found)) - np.searchsorted(found.left, found.left)
        return cls(found.distances, rank < scope.neighbours, looks, asked)

    def matches(self, genuine: NDArray[np.float64]) -> float:
        """At most how many candidates are matches (:func:`matches_among`)."""
        return matches_among(self.distances, genuine)

    def shares(self, genuine: NDArray[np.float64], which: NDArray[np.bool_]) -> tuple[NDArray, NDArray]:
        """Bounds of bins of distances, and the share of matches among some of the candidates in each.

        Where there is none it is 1, for to look there costs nothing; but 0 beyond the farthest genuine pair.

        Args:
            genuine: as for :func:`matches_among`.
            which: (m,) candidates that count.
        """
        finite = genuine[np.isfinite(genuine)]
        edges = np.unique(
            finite[:: -max(LEAST_BIN, len(finite) // BINS)]
        )  # from the farthest: it bounds the last bin but one
        edges = np.concatenate([[0.0], edges, [np.inf]])
        expected = self.matches(genuine) * (np.histogram(finite, edges)[0] + 1) / (len(genuine) + 2)
        seen = np.histogram(self.distances[which], edges)[0]
        shares = np.minimum(expected / np.maximum(seen, 1), 1.0)
        shares[seen == 0] = np.append(np.ones(len(seen) - 1), 0.0)[seen == 0]
        return edges, shares

    def narrow(self, scope: Scope, genuine: NDArray[np.float64]) -> Scope:
        """The scope less what is not worth a look: from outside in, until candidates of a like distance are."""
        radius = min(scope.radius, self._worthwhile(genuine, ~self.among_nearest, WORTH_IN_A_CROWD))
        reach = min(scope.reach, self._worthwhile(genuine, self.among_nearest, WORTH_A_LOOK))
        return replace(scope, radius=radius, reach=reach if scope.neighbours else scope.reach)

    def _worthwhile(self, genuine: NDArray[np.float64], which: NDArray[np.bool_], least: float) -> float:
        """The distance beyond which some of the candidates hold a smaller share of matches than ``least``, bin by bin from outside in."""
        edges, shares = self.shares(genuine, which)
        worth = np.flatnonzero(shares >= least)
        return float(edges[worth[-1] + 1]) if len(worth) else 0.0

    def probes(
        self, genuine: NDArray[np.float64], cells: int, rows: float, recall: float | None = None
    ) -> tuple[int, float]:
        """How many cells to look into, and the share of the matches to be expected that is then found.

        Args:
            genuine: as for :func:`matches_among`.
            cells: how many there are.
            rows: in each of them, on average.
            recall: the fewest cells that reach it; None: as many as are worth it, a match for COMPARISONS_A_MATCH comparisons.

        None at all may do where buckets hold some. What is worth looking for trusts the buckets (:meth:`worth`); the share that is given
        does not, and takes all candidates of a bin of distances for matches alike, so that it errs to the low side.
        """
        if len(self.distances) == 0:
            return min(UNKNOWN, cells), 1.0
        worth = self.worth(genuine)
        found = np.bincount(np.minimum(self.looks, cells + 1), worth, cells + 2)[: cells + 1].cumsum() / worth.sum()
        if recall is None:
            # With the centroids first, and with a query's own cell for a bound.
            cost = (cells + (np.arange(cells + 1) + 1) * rows) * (np.arange(cells + 1) > 0) / COMPARISONS_A_MATCH
            best = int(np.argmax(found * self.matches(genuine) / self.asked - cost))
        else:
            best = int(np.searchsorted(found, min(recall, found[-1])))
        best = max(best, int(found[0] == 0 and cells > 0))  # where there are no buckets
        alike = self._alike(genuine)
        return best, min(float(alike[self.looks <= best].sum() / alike.sum()), 1.0)

    def missed(self, genuine: NDArray[np.float64], queries: int) -> float:
        """At most how many matches of all queries no bucket holds."""
        if len(self.distances) == 0:
            return float(queries)
        worth = self.worth(genuine)
        return float(self.matches(genuine) / self.asked * queries * worth[self.looks > 0].sum() / worth.sum())

    def _alike(self, genuine: NDArray[np.float64]) -> NDArray[np.float64]:
        """(m,) the chance that each candidate is a match, of all in its bin of distances alike."""
        edges, shares = self.shares(genuine, np.ones(len(self.distances), bool))
        return shares[np.clip(np.searchsorted(edges, self.distances) - 1, 0, len(shares) - 1)]

    def worth(self, genuine: NDArray[np.float64]) -> NDArray[np.float64]:
        """(m,) the chance that each candidate is a match: of all in its bin of distances alike, but for what a bucket says.

        Where most candidates are matches, what share of those the buckets hold is plain to see. Farther out, where most are none, the
        buckets hold as large a share of the matches, as far as they hold so many pairs there: who shares no key is hardly a match.
        """
        edges, shares = self.shares(genuine, np.ones(len(self.distances), bool))
        bins = np.clip(np.searchsorted(edges, self.distances) - 1, 0, len(shares) - 1)
        held = self.looks == 0
        seen, shared = (np.bincount(bins[which], minlength=len(shares)) for which in (slice(None), held))
        sure = shares >= SURE
        expected, holding = shares * seen, shared[sure].sum() / max(seen[sure].sum(), 1)
        within = np.maximum(np.minimum(shared, expected) * holding, shared * shares)  # matches that are held
        each = np.stack([(expected - within) / np.maximum(seen - shared, 1), within / np.maximum(shared, 1)])
        return each[held.astype(int), bins]


def matches_among(distances: NDArray[np.float32], genuine: NDArray[np.float64]) -> float:
    """At most how many of some pairs are matches, with 95% confidence: Poisson bounds at a few distances, which share the risk. The luck of
    the genuine pairs is not in it.

    Args:
        distances: (m,) of the pairs.
        genuine: (g,) ascending distances of genuine held-out pairs, inf for those that no search brings.
    """
    within = np.arange(1, len(genuine) + 1) / len(genuine)
    seen = np.searchsorted(np.sort(distances), genuine, side="right")
    inside = np.flatnonzero(np.isfinite(genuine) & (genuine <= distances.max(initial=0.0)))
    if len(inside) == 0:
        return float(len(distances))
    some = inside[np.linspace(0, len(inside) - 1, BOUNDS + 1).round().astype(int)[1:]]
    return float((gammaincinv(seen[some] + 1, 1 - 0.05 / BOUNDS) / within[some]).min())


def sampled_rows(embeddings: Embeddings, count: int, seed: int = 0) -> NDArray[np.int64]:
    """So many rows at most, ascending."""
    return np.sort(np.random.default_rng(seed).permutation(len(embeddings))[:count])


def cells_to_look_into(cells: Cells, asking: Embeddings, searched: Embeddings, pairs: RowPairs) -> NDArray[np.int64]:
    """(m,) how many cells have to be looked into until a row meets the cell of the other one, from whichever side asks."""
    looks = _looks(cells, asking, searched, pairs)
    return looks if asking is not searched else np.minimum(looks, _looks(cells, searched, asking, pairs.turned()))


def _looks(cells: Cells, asking: Embeddings, searched: Embeddings, pairs: RowPairs) -> NDArray[np.int64]:
    left, place = np.unique(pairs.left, return_inverse=True)
    queries = Queries.of_rows(cells, asking, left)
    number = np.empty(len(left), np.int64)  # of a left row among the queries, which lie by cell
    number[np.searchsorted(left, queries.rows)] = np.arange(len(queries))
    cell_of = np.empty(len(searched), np.int64)
    cell_of[cells.order] = cells.cell_of
    query, target = number[place], cell_of[pairs.right]
    looks = np.empty(len(pairs), np.int64)
    for start in range(0, len(pairs), QUERY_ROWS):
        here = slice(start, start + QUERY_ROWS)
        asked, row = np.unique(query[here], return_inverse=True)
        alike = likeness(queries.vectors[asked], cells.centroids, Energy.COSINE).float().numpy()[row]
        looks[here] = (alike > alike[np.arange(len(row)), target[here]][:, None]).sum(axis=1) + 1
    return looks
