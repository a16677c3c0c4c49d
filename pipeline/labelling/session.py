"""The session: pairs are proposed, answered and learned from, until more answers change nothing."""

import logging
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.cold_start import rare_words, untrained_encoder
from pipeline.fitting import fit_encoder
from pipeline.intervals import Estimate
from pipeline.labelling.answers import Answer, AnswerFile
from pipeline.labelling.choosing import COLD, DRAWN, DRAWN_WHY, Choice, Draws, draw, teach
from pipeline.labelling.committee import LEAST_EACH, Opinion, form_opinion
from pipeline.labelling.pool import Pool, Shown
from pipeline.labelling.proposal import Proposal
from pipeline.labelling.standing import FLAGGED, Progress, Round, advise, agreement, observed
from pipeline.labelling.ties import BY_RULE, Ties
from pipeline.pairs import LabelledPairs
from pipeline.records import Records
from siamese.attribution import field_shares
from siamese.comparison import Comparison, feature_signs
from siamese.encoder import SiameseEncoder
from siamese.errors import DataError, SiameseError
from siamese.profiles import Profiles
from siamese.schema import as_table
from siamese.settings import TrainingConfig
from siamese.verifier import DISTANCE_SIGN

HELD = 600.0  # seconds that an open pair is kept for whom it was proposed to
ROUND, GROWTH = 10, 0.2  # answers between two trainings: ten, or a fifth of all
NO_DISTANCE = 1e-9  # rounding: records of equal contents
AGAIN = "the answers contradict each other"

log = logging.getLogger("siamese")


class LabelSession:
    """Labels pairs of records with a person.

    Example:
        >>> session = LabelSession("records.parquet", "pairs.parquet")     # doctest: +SKIP
        >>> for proposal in session.propose(10):                           # doctest: +SKIP
        ...     session.answer(proposal, proposal.left["email"] == proposal.right["email"])
        >>> session.progress().advice                                      # doctest: +SKIP
        'keep going: the first answers teach most'

    Any number of sessions, in any number of processes, may share one labels file, and any number of threads one session.
    """

    def __init__(
        self,
        records: Any,
        pairs: str | Path | None = None,
        *,
        right: Any = None,
        model: SiameseEncoder | str | Path | None = None,
        candidates: Any = None,
        id_column: str = "record_id",
        kinds: Mapping[str, str] | None = None,
        seed: int = 0,
        background: bool = True,
        train: bool = True,
    ) -> None:
        """Embed the records and draw a pool of candidates.

        Args:
            records: path, glob or URL; or a DataFrame, or anything else that :func:`siamese.schema.as_table` takes.
            pairs: Parquet file of the labels, gone on with where it is there; None: labels stay in memory.
            right: a second corpus to link with, like ``records``; no id may be in both.
            model: what proposes, in place of the untrained default tower.
            candidates: left_id, right_id of the pairs to propose from (path or DataFrame); those of a search unless given.
            id_column: the records' id.
            kinds: kinds of columns set by hand.
            seed: of every random choice; a person's answers aside, the same records and seed propose the same pairs.
            background: train in a thread, so that no proposal waits; else within :meth:`propose` and :attr:`model`.
            train: whether to train the whole model after each round, beside the judges that choose.

        Raises:
            SiameseError: the records, the labels file or the model do not do.
        """
        self._lock = threading.RLock()
        self._place = tempfile.TemporaryDirectory(prefix="siamese-label-")
        self._file = AnswerFile(None if pairs is None else Path(pairs))
        folder = Path(self._place.name)
        self._sources = [
            _records(each, id_column, folder / f"{name}.parquet")
            for name, each in (("records", records), ("right", right))
            if each is not None
        ]
        if isinstance(model, str | Path):
            model = SiameseEncoder.load(str(model))
        self._encoder = model or untrained_encoder(self._sources, kinds=kinds, seed=seed)
        given = None if candidates is None else _frame(candidates)
        self.pool = Pool.draw(self._encoder, self._sources, folder, seed, given)
        sides = [self.pool.left_ids, self.pool.right_ids]
        self._shown = Shown(self._sources, sides if right is not None else [np.concatenate(sides)])
        self._places = self.pool.index()
        self._kinds, self._seed, self._background, self._trains = kinds, seed, background, train
        self._session = uuid.uuid4().hex[:12]
        self._features: NDArray[np.float32] | None = None
        self._scaled: NDArray[np.float32] | None = None
        self._opinion: Opinion | None = None
        self._model: SiameseEncoder | None = None
        self._model_of = self._learned_from = 0  # answers
        self._history: list[Round] = []
        self._queue: list[Choice] = []
        self._asked_of: dict[int, tuple[str, float]] = {}  # place -> who is at it, and since when
        self._questioned: set[tuple[str, str]] = set()
        self._worker: threading.Thread | None = None
        self._take_stock()

    def propose(self, n: int = 1, by: str = "") -> list[Proposal]:
        """The next n pairs to answer, the most useful first; fewer where there are no more.

        A pair comes again until it is answered. What was proposed to somebody else in the last ten minutes does not come.
        """
        self._learn_if_due()
        with self._lock:
            if self._file.refresh():
                self._take_stock()
            again = [self._proposal_of(*pair, AGAIN) for pair in self._to_question()[:n]]
            self._queue = [each for each in self._queue if not self._known[each.place]]
            now = time.monotonic()
            others = {place for place, (who, since) in self._asked_of.items() if who != by and now - since < HELD}
            own = [each for each in self._queue if each.place not in others]
            short = n - len(again) - len(own)
            if short > 0:
                more = self._choose(max(short, ROUND), others)
                self._queue += more
                own += more
            own = own[: n - len(again)]
            self._asked_of |= {each.place: (by, now) for each in own}
            return again + [self._proposal(each) for each in own]

    def answer(self, pair: Proposal | tuple[str, str], label: bool | None, by: str = "") -> None:
        """Keep an answer; it is in the file when this returns.

        Args:
            pair: a proposal, or the ids of two records.
            label: whether they are the same; None: unsure.
            by: who says so; another answer of theirs about the pair gives way.

        Raises:
            DataError: an id is not among the records.
            OutputError: the file cannot be written.
        """
        with self._lock:
            proposal = pair if isinstance(pair, Proposal) else self._proposal_of(*pair, "")
            drawn = proposal.why in DRAWN_WHY
            answer = Answer(
                proposal.left_id,
                proposal.right_id,
                None if label is None else int(label),
                proposal.weight,
                "valid" if drawn else "train",
                proposal.why,
                by,
                datetime.now(UTC),
                self._session,
            )
            self._file.add([answer])
            if proposal.why == AGAIN:  # asked twice is enough, whatever the answer
                self._questioned |= {proposal.pair, proposal.pair[::-1]}
            self._take_stock()
        if self._background:
            self._learn_if_due()

    def undo(self, by: str = "") -> Proposal | None:
        """Take back the last answer of a person (without a name: of this session); its pair, to be answered again."""
        with self._lock:
            taken = self._file.take_back(by, None if by else self._session)
            if taken is None:
                return None
            self._take_stock()
            place = self._places.get(taken.pair)
            if place is not None and not any(each.place == place for each in self._queue):
                self._queue.insert(0, Choice(place, taken.why, taken.weight or 1.0))
            return replace(self._proposal_of(*taken.pair, taken.why), weight=taken.weight or 1.0)

    def add(self, answers: Sequence[Answer]) -> None:
        """Keep answers from elsewhere, such as those of rules (:mod:`pipeline.labelling.rules`)."""
        with self._lock:
            self._file.add([replace(each, session=self._session, at=datetime.now(UTC)) for each in answers])
            self._take_stock()

    def progress(self) -> Progress:
        """How far labelling has come; waits for no training, and no answer waits for it."""
        with self._lock:
            if self._file.refresh():
                self._take_stock()
            ties, derived = self._ties, self._derived  # replaced whole, never changed
            drawn, history = self._drawn(), list(self._history)
            by_rule = sum(each.by == BY_RULE for each in self._file.answers)
            training, opinion = self._worker is not None and self._worker.is_alive(), self._opinion
        labels = np.array(list(ties.labels.values()), np.int8)
        genuine, imposite = int((labels == 1).sum()), int((labels == 0).sum())
        contradictions = ties.contradictions()
        return Progress(
            genuine + imposite + len(ties.unsure),
            genuine,
            imposite,
            len(ties.unsure),
            by_rule,
            int((derived >= 0).sum()),
            contradictions,
            len(history),
            training,
            *self._observed(opinion, *drawn),
            advise(len(ties.people), genuine, imposite, LEAST_EACH, history, len(contradictions)),
            history,
        )

    @property
    def model(self) -> SiameseEncoder | None:
        """The model trained last; None before the answers are enough. Without a background, trained on all answers when asked for."""
        if not self._background and self._model_of != len(self._ties.labels):
            self._train_model()
        return self._model

    def close(self) -> None:
        """Wait for a training under way, and remove what was embedded. The labels are in their file already."""
        if self._worker is not None:
            self._worker.join()
        self._place.cleanup()

    def __enter__(self) -> "LabelSession":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take_stock(self) -> None:
        """What the answers say of the pool."""
        pool = self.pool
        self._ties = Ties(self._file.answers)
        self._label = np.full(len(pool), -1, np.int8)
        self._known = np.zeros(len(pool), bool)
        for pair in self._ties.asked:
            if pair in self._places:
                self._known[self._places[pair]] = True
        for (left, right), label in self._ties.labels.items():
            place = self._places.get((left, right), self._places.get((right, left)))
            if place is not None:
                self._label[place] = label
        derived = self._ties.derive(pool.left_ids, pool.right_ids)
        self._derived = np.where(self._known, -1, derived).astype(np.int8)
        self._known |= self._derived >= 0
        self._label = np.where(self._derived >= 0, self._derived, self._label)

    @property
    def _times(self) -> NDArray[np.float64]:
        """(m,) candidates that each pair of the pool stands for."""
        held = np.bincount(self.pool.stratum, minlength=len(self.pool.sizes))
        return (self.pool.sizes / held)[self.pool.stratum]

    def _drawn(self) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        """Places of the pairs that were drawn and have a label, and the labels."""
        drawn = Draws(self.pool, self._known).places()
        drawn = drawn[self._label[drawn] >= 0]
        return drawn, self._label[drawn]

    def _observed(
        self, opinion: Opinion | None, drawn: NDArray[np.int64], labels: NDArray[np.int8]
    ) -> tuple[Estimate | None, Estimate | None, Estimate | None]:
        """Precision, recall and F1 of an opinion, from the pairs that were drawn; it takes long, so hold no lock."""
        return (None, None, None) if opinion is None else observed(self.pool, opinion, drawn, labels)

    def _choose(self, n: int, others: set[int]) -> list[Choice]:
        pool, taken = self.pool, {each.place for each in self._queue} | others
        labels = np.array([label for pair, label in self._ties.labels.items() if pair in self._ties.people], np.int8)
        draws = Draws(pool, self._known)
        random = np.random.default_rng([self._seed, len(self._file.answers), len(taken)])
        if self._opinion is None or self._scaled is None:
            return draw(draws, self._known, None, labels, n, taken)
        drawn = draw(draws, self._known, self._opinion, labels, int(random.binomial(n, DRAWN)), taken)
        open_ = ~self._known
        open_[list(taken | {each.place for each in drawn})] = False
        taught = teach(pool, self._scaled, self._opinion, open_, n - len(drawn), random)
        mixed = drawn + taught
        return [mixed[place] for place in random.permutation(len(mixed))]

    def _to_question(self) -> list[tuple[str, str]]:
        """Of each contradiction the answer that the judges doubt most, once."""
        doubted = []
        for each in self._ties.contradictions():
            pairs = [pair for pair in each.pairs() if self._judged(pair) is not None]
            if not pairs or self._opinion is None or set(pairs) & self._questioned:
                continue
            label = {pair: self._ties.labels.get(pair, self._ties.labels.get(pair[::-1], 1)) for pair in pairs}
            worst = max(pairs, key=lambda pair: abs(label[pair] - (self._judged(pair) or 0.0)))
            doubted.append(worst)
        return doubted

    def _judged(self, pair: tuple[str, str]) -> float | None:
        place = self._places.get(pair, self._places.get(pair[::-1]))
        return None if place is None or self._opinion is None else float(self._opinion.held_out[place])

    def _proposal(self, choice: Choice) -> Proposal:
        left, right = self.pool.left_ids[choice.place], self.pool.right_ids[choice.place]
        return replace(self._proposal_of(left, right, choice.why), weight=choice.weight)

    def _proposal_of(self, left: str, right: str, why: str) -> Proposal:
        pair = (left, right) if (left, right) in self._places else (right, left)
        place = self._places.get(pair)
        if place is None:
            pair = (left, right)
        one, other = (self._shown.record(name, side) for side, name in enumerate(pair))
        for name, found in zip(pair, (one, other), strict=True):
            if not found:
                raise DataError(f"there is no record '{name}' among '{self._sources[0].path}': expected the id of one")
        distance = float("nan") if place is None else float(self.pool.distances[place])
        if place is None:
            distance = float(self._encoder.distance([one], [other])[0])
        return Proposal(*pair, one, other, distance, self._judged(pair), why, 1.0, self._shares(one, other))

    def _shares(self, one: dict[str, str | None], other: dict[str, str | None]) -> dict[str, float]:
        """Part of each field in the distance of two records; none where a tower would take long to say."""
        encoder = self._encoder
        if not encoder.tower.additive:
            return {}
        texts = encoder.schema.select(as_table([one, other]))
        shares = field_shares(encoder.tower, texts, np.array([0]), np.array([1]), encoder.energy)[0]
        total = float(shares.sum())
        if total <= NO_DISTANCE:
            return {}
        return {field.name: float(share) / total for field, share in zip(encoder.schema.fields, shares, strict=True)}

    def _learn_if_due(self) -> None:
        with self._lock:
            answered = len(self._ties.people)
            due = max(ROUND, int(GROWTH * self._learned_from)) if self._opinion is not None else 1
            if answered < COLD or answered - self._learned_from < due:
                return
            if self._background and self._worker is not None and self._worker.is_alive():
                return
            self._learned_from = answered
            if self._background:
                self._worker = threading.Thread(target=self._learn, daemon=True)
                self._worker.start()
                return
        self._learn()

    def _learn(self) -> None:
        """Form the committee's opinion anew and, where asked for, train the whole model."""
        try:
            self._ready_features()
            with self._lock:
                places = np.flatnonzero(self._label >= 0)
                labels, answered, before = self._label[places].copy(), len(self._ties.people), self._opinion
            signs = [*feature_signs(self._encoder.schema), DISTANCE_SIGN]
            assert self._features is not None
            opinion = form_opinion(self._features, signs, places, labels, self._seed)
            if opinion is None:
                return
            kappa = None
            if before is not None:
                kappa = agreement(before.probability >= FLAGGED, opinion.probability >= FLAGGED, self._times)
            with self._lock:
                drawn = self._drawn()
            estimates = self._observed(opinion, *drawn)
            with self._lock:
                self._opinion, self._queue = opinion, []
                self._history.append(Round(answered, *estimates, kappa))
            if self._background and self._trains:
                self._train_model()
        except Exception:  # labelling goes on without it
            log.exception("training failed; the answers are kept")

    def _ready_features(self) -> None:
        if self._features is not None:
            return
        pool, encoder = self.pool, self._encoder
        profiles = Profiles.of(pool.texts, encoder.schema, rare_words(encoder.schema, self._sources))
        features = Comparison(profiles, pool.left, pool.right).features(encoder.schema)
        distances = (pool.distances / encoder.margin).astype(np.float32)
        self._features = np.concatenate([features, distances[:, None]], axis=1)
        known = ~np.isnan(self._features)
        mean = np.where(known, self._features, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        filled = np.where(known, self._features, mean)
        scale = filled.std(axis=0)
        # As long as an embedding on average, so that what two pairs are like and where they lie count the same.
        scaled = (filled - filled.mean(axis=0)) / np.where(scale > 0, scale, 1)
        self._scaled = (np.clip(scaled, -3, 3) / np.sqrt(scaled.shape[1])).astype(np.float32)

    def labelled(self) -> LabelledPairs:
        """The answers as training reads them: what ``siamese train`` makes of the labels file."""
        with self._lock:
            split = {each.pair: each.split for each in self._file.answers}
            rows = [(*pair, label, split.get(pair, "train")) for pair, label in self._ties.labels.items()]
        frame = pd.DataFrame(rows, columns=["left_id", "right_id", "label", "split"]).astype({"label": "int8"})
        frame.insert(3, "is_chosen", True)
        return LabelledPairs(str(self._file.path or "the answers"), frame, True, True)

    def _train_model(self) -> None:
        labelled = self.labelled()
        answered = len(self._ties.labels)
        try:
            source = self._sources[0]
            if len(self._sources) > 1:
                other = self._sources[1]
                columns = tuple(dict.fromkeys(source.columns + other.columns))
                path = f"{source.path} and {other.path}"
                source = replace(source, path=path, files=source.files + other.files, columns=columns)
            config = TrainingConfig(seed=self._seed)
            self._model = fit_encoder(source, labelled, kinds=self._kinds, config=config)
            self._model_of = answered
        except SiameseError as error:
            log.info("not trained: %s", error)


def _records(records: Any, id_column: str, path: Path) -> Records:
    if isinstance(records, Records):
        return records
    if not isinstance(records, str | Path):
        pq.write_table(as_table(records), path)
        records = path
    return Records.open(str(records), id_column)


def _frame(candidates: Any) -> pd.DataFrame:
    if isinstance(candidates, pd.DataFrame):
        return candidates.astype({"left_id": str, "right_id": str})
    from pipeline.pairs import read_id_pairs

    return read_id_pairs(str(candidates)).to_pandas()
