"""Decision: which scored candidates are matches: the threshold that was asked for, on this corpus, and how sure each pair is."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from pipeline.embedding import Encoder
from pipeline.judging import Judge
from pipeline.promising import Promise, promise_a_precision, promise_a_recall
from siamese.calibration import Calibration
from siamese.decoys import Decoys
from siamese.errors import PromiseError, SettingsError
from siamese.prior import Histogram, Prior, estimate_prior
from siamese.promise import check_share, promise_precision

# By distance, pairs up to this share beyond max_distance are candidates too: what was nearly a match.
NEAR_MISS_BAND = 0.1
NEAR_MISS_PROBABILITY = 0.01  # candidates that the verifier holds for less likely are not written: nearly all of them
# A probability between the two is for a person to look at: the model is wrong there more than one time in ten.
REVIEW = (0.1, 0.9)
LEAST_IMPOSITES = 30  # among the evidence that the share of matches is estimated from
ZONES = ("no match", "review", "match")
CHOSEN = "best F1 expected of labels that were chosen to teach"
UNCALIBRATED = "the spread of the distances alone (uncalibrated: there are no labels)"


@dataclass(frozen=True)
class Judgement:
    """Of m candidates.

    Attributes:
        score: (m,) margin_distance, or the verifier's doubt; NaN for equal contents, which nothing has to score.
        probability: (m,) of a match.
        is_match: (m,) flagged.
    """

    score: NDArray[np.float64]
    probability: NDArray[np.float64]
    is_match: NDArray[np.bool_]

    def take(self, chosen: NDArray | slice) -> "Judgement":
        return Judgement(self.score[chosen], self.probability[chosen], self.is_match[chosen])

    @property
    def zone(self) -> NDArray[np.int8]:
        """(m,) places in ZONES: a pair is for review where its probability is between REVIEW, whatever was decided."""
        unsure = (self.probability > REVIEW[0]) & (self.probability < REVIEW[1]) & ~np.isnan(self.score)
        return np.where(unsure, 1, np.where(self.is_match, 2, 0)).astype(np.int8)


@dataclass(frozen=True)
class Threshold:
    """What a run is asked to flag: the best F1 on held-out pairs unless one of the others is given.

    Attributes:
        max_distance: up to here, in margin units, by the distance alone.
        min_precision: as far as this precision can be promised.
        min_recall: as far as this recall asks for, if it can be promised.
        confidence: of these promises.
        verifier: whether the model's verifier is asked, if it has one.
        one_to_one: whether each record is matched once at most. An assignment then weighs rivals against each other, in its own way.
    """

    max_distance: float | None = None
    min_precision: float | None = None
    min_recall: float | None = None
    confidence: float = 0.95
    verifier: bool = True
    one_to_one: bool = False

    @property
    def levels(self) -> tuple[float | None, float | None, float]:
        """What is to be promised: of all that a run does, only its decision, and what follows, depends on it."""
        return self.min_precision, self.min_recall, self.confidence

    @property
    def is_free(self) -> bool:
        """Whether nothing but the best F1 is asked for."""
        return self.max_distance is None and self.min_precision is None and self.min_recall is None

    def check(self) -> None:
        """Raises SettingsError: two thresholds are given, or one is out of range."""
        if self.max_distance is not None:
            for name, other in (("min_precision", self.min_precision), ("min_recall", self.min_recall)):
                if other is not None:
                    raise SettingsError(f"max_distance and {name} both set the threshold: give one of them")
            if not (math.isfinite(self.max_distance) and self.max_distance >= 0):
                raise SettingsError(f"max_distance is {self.max_distance}: expected 0 or more, in units of the margin")
        for name, share in (("min_precision", self.min_precision), ("min_recall", self.min_recall)):
            if share is not None:
                check_share(name, share)
        check_share("confidence", self.confidence)

    def judge(self, encoder: Encoder, *, of_two: bool = False) -> Judge:
        """What scores the candidates, and how far apart they may be.

        Args:
            of_two: between two tables, where a pair's rivals count if the model learned what they say, and no assignment parts them.

        Raises:
            SettingsError: the threshold cannot be had, whatever the corpus.
        """
        verifier = encoder.verifier if self.verifier and self.max_distance is None else None
        rivalry = verifier.rivalry if verifier is not None and of_two and not self.one_to_one else None
        calibration = (rivalry or verifier or encoder).calibration
        limit = self.outermost(calibration)
        if verifier is None:
            best = 0.0 if self.max_distance is not None else calibration.max_distance
            radius = max(limit, best) * (1 + NEAR_MISS_BAND)
            return Judge(calibration, radius, radius, 0, radius, None)
        radius = min(encoder.calibration.max_distance * (1 + NEAR_MISS_BAND), verifier.candidate_distance)
        cut = max(limit, calibration.log_odds.reaching(float(logit(NEAR_MISS_PROBABILITY))))
        return Judge(calibration, radius, verifier.candidate_distance, verifier.neighbours, cut, verifier, rivalry)

    def outermost(self, calibration: Calibration) -> float:
        """The greatest score that is likely to be flagged, as far as it can be told without a corpus: the candidates of one may promise a
        precision that the labelled pairs alone do not.

        Raises:
            SettingsError: the threshold cannot be had, whatever the corpus.
        """
        evidence = calibration.evidence
        if self.min_precision is None or not len(evidence) or evidence.are_chosen:
            return self.decide(calibration).limit
        self.check()
        bound, _ = promise_precision(evidence, self.min_precision, self.confidence)
        without = replace(self, min_precision=None).decide(calibration).limit
        return max(without, bound.limit) if bound else without

    def settle(self, encoder: Encoder, *, of_two: bool = False) -> tuple[Judge, "Decision"]:
        """Judge and decision where no corpus tells its share of matches. Raises as :meth:`decide`."""
        judge = self.judge(encoder, of_two=of_two)
        return judge, self.decide(judge.calibration)

    def decide(
        self, calibration: Calibration, candidates: Histogram | None = None, cut: float = math.inf
    ) -> "Decision":
        """The threshold on a corpus.

        Args:
            calibration: of the scores.
            candidates: scores of a run's, from which the share of matches is estimated; None: that of the evidence.
            cut: the greatest score that was kept.

        Raises:
            SettingsError: two thresholds are given, or one is out of range.
            PromiseError: what was asked cannot be promised.
        """
        self.check()
        if self.max_distance is not None:
            return Decision(calibration, self.max_distance, None, (), "given")
        promised = [share for share in (self.min_precision, self.min_recall) if share is not None]
        if not len(calibration.evidence) or calibration.evidence.are_chosen:
            return self._without_promise(calibration, cut)
        error = (1 - self.confidence) / max(len(promised), 1)
        prior, decoys, weight = None, None, 1.0
        if candidates is not None:
            region = min(region_of(calibration), candidates.up_to)
            # A quarter of the risk is that the share of matches is not what was estimated.
            prior = estimate_prior(calibration, candidates, region, 1 - error / 4)
            decoys, weight = Decoys.of(calibration.evidence, region, candidates), prior.imposite_weight
        if not promised:
            limit = min(calibration.best_f1(weight), cut)
            return Decision(calibration, limit, prior, (), "best F1 on held-out pairs")
        promises = []
        if self.min_precision is not None:
            expected_to = math.inf
            if candidates is not None and prior is not None:
                expected = calibration.probability(candidates.scores, prior.plain_weight)
                expected_to = candidates.up_to_mean(expected, self.min_precision)
            promises.append(
                promise_a_precision(self.min_precision, error, calibration.evidence, prior, decoys, expected_to)
            )
        if self.min_recall is not None:
            promises.append(promise_a_recall(self.min_recall, 1 - error, calibration.evidence))
        if len(promises) == 2 and promises[1].bound.limit > promises[0].bound.limit:
            raise PromiseError(
                f"a precision of {self.min_precision:g} and a recall of {self.min_recall:g} cannot both be promised: "
                f"the one flags pairs up to a score of {promises[0].bound.limit:.3f}, the other asks for "
                f"{promises[1].bound.limit:.3f}: ask for less of one of them"
            )
        source = " and ".join(
            f"{each.what} of at least {each.share:g} with confidence {self.confidence:g}" for each in promises
        )
        return Decision(calibration, min(promises[0].bound.limit, cut), prior, tuple(promises), source)

    def _without_promise(self, calibration: Calibration, cut: float) -> "Decision":
        """The threshold where there are no labels, or labels that were chosen and are no sample of anything."""
        labels, source = "without labelled pairs: label some (siamese label)", UNCALIBRATED
        limit = calibration.max_distance
        if len(calibration.evidence):
            labels, source = "from labels that were chosen to teach: judge a sample of the run (siamese audit)", CHOSEN
            limit = calibration.best_f1()
        for what, share in (("precision", self.min_precision), ("recall", self.min_recall)):
            if share is not None:
                raise SettingsError(f"a {what} of {share:g} cannot be promised {labels}, or leave --min-{what} out")
        return Decision(calibration, min(limit, cut), None, (), source)


@dataclass(frozen=True)
class Decision:
    """The one threshold of a run.

    Attributes:
        calibration: of the scores.
        limit: the greatest score that is flagged.
        prior: the share of matches on this corpus; None: taken to be that of the evidence.
        promises: that the limit keeps.
        threshold_from: where the limit comes from, in words.
    """

    calibration: Calibration
    limit: float
    prior: Prior | None
    promises: tuple[Promise, ...]
    threshold_from: str

    @property
    def imposite_weight(self) -> float:
        return self.prior.imposite_weight if self.prior else 1.0

    @property
    def least_mean(self) -> float:
        """The mean probability over all pairs between two groups that makes them one cluster: half the best F1 to be expected. From there
        on F1 gains by flagging all these pairs (Lipton, Elkan and Naryanaswamy 2014). It is that of the model on this corpus, whatever was
        asked of pairs one by one; a half where the evidence is no sample that an F1 could be expected of.
        """
        evidence = self.calibration.evidence
        if not len(evidence) or evidence.are_chosen:
            return 0.5
        return self.calibration.expected_f1(self.imposite_weight) / 2

    def judge(self, scores: NDArray[np.float64]) -> Judgement:
        return Judgement(scores, self.calibration.probability(scores, self.imposite_weight), scores <= self.limit)

    def describe(self, judge: Judge) -> dict[str, Any]:
        """The threshold, for people and files; ``max_distance`` is None where the verifier decides."""
        return {
            "decided_by": judge.decided_by,
            "among_rivals": judge.rivalry is not None,
            "max_distance": self.limit if judge.verifier is None else None,
            "max_score": self.limit,
            "min_probability": float(self.calibration.probability(self.limit, self.imposite_weight)),
            "candidate_distance": judge.candidate_distance,
            "threshold_from": self.threshold_from,
            "prior": None if self.prior is None else asdict(self.prior),
        }


def region_of(calibration: Calibration) -> float:
    """The score up to which labelled pairs and a run's candidates are compared: where decisions are made, and not farther out, where most
    imposites are of an easier kind than those that people label; but so far that there are some imposites among the evidence."""
    scores, labels = calibration.evidence.arrays
    imposites = scores[(labels == 0) & np.isfinite(scores)]
    unlikely = calibration.log_odds.reaching(float(logit(REVIEW[0])))
    if len(imposites) == 0:
        return unlikely
    return min(max(unlikely, float(imposites[:LEAST_IMPOSITES][-1])), float(imposites[-1]))
