"""The session: pairs are proposed, answered and learned from, until more answers change nothing."""

import logging
import tempfile
import threading
import time
import uuid
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from pipeline.cold_start import untrained_encoder
from pipeline.labelling.answers import Answer, AnswerFile
from pipeline.labelling.choosing import COLD, DRAWN, DRAWN_WHY, Choice, Draws, draw, teach
from pipeline.labelling.committee import LEAST_EACH
from pipeline.labelling.learner import Learner
from pipeline.labelling.pool import Pool, Shown
from pipeline.labelling.proposal import Proposal
from pipeline.labelling.standing import Progress, advise
from pipeline.labelling.stock import Stock
from pipeline.labelling.ties import BY_RULE
from pipeline.pairs import LabelledPairs
from pipeline.records import Records
from siamese.attribution import field_shares
from siamese.encoder import SiameseEncoder
from siamese.errors import DataError
from siamese.schema import as_table

HELD = 600.0  # seconds that an open pair is kept for whom it was proposed to
ROUND, GROWTH = 10, 0.2  # answers between two trainings: ten, or a fifth of all
AGAIN = "the answers contradict each other"

NO_DISTANCE = 1e-9  # rounding: records of equal contents
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
            records: path, glob, URL or :class:`pipeline.records.Records`; or a DataFrame, or anything else that
                :func:`siamese.schema.as_table` takes.
            pairs: Parquet file of the labels, gone on with where it is there; None: labels stay in memory.
            right: a second corpus to link with, like ``records``, of which each right_id names a record; an id may be in both.
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
        self._file = AnswerFile(None if pairs is None else Path(pairs), of_two=right is not None)
        folder = Path(self._place.name)
        if isinstance(model, str | Path):
            model = SiameseEncoder.load(str(model))
        self._sources = [
            _records(each, id_column, folder / f"{name}.parquet", model)
            for name, each in (("records", records), ("right", right))
            if each is not None
        ]
        self._encoder = model or untrained_encoder(self._sources, kinds=kinds, seed=seed)
        given = None if candidates is None else _frame(candidates)
        self.pool = Pool.draw(self._encoder, self._sources, folder, seed, given)
        self._learner = Learner(self._encoder, self.pool, self._sources, kinds, seed)
        if model is not None:
            self._learner.ask_model()
        sides = [self.pool.left_ids, self.pool.right_ids]
        self._shown = Shown(self._sources, sides if right is not None else [np.concatenate(sides)])
        self._seed, self._background, self._trains = seed, background, train
        self._session = uuid.uuid4().hex[:12]
        self._number = len({each.session for each in self._file.answers})
        self._learned_from = 0  # answers
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
            self._queue = [each for each in self._queue if not self._stock.known[each.place]]
            now = time.monotonic()
            others = {place for place, (who, since) in self._asked_of.items() if who != by and now - since < HELD}
            own = [each for each in self._queue if each.place not in others]
            short = n - len(again) - len(own)
            if short > 0:
                more = self._choose(max(short, ROUND), others, by)
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
            answer = Answer(
                proposal.left_id,
                proposal.right_id,
                None if label is None else int(label),
                proposal.weight,
                "valid" if proposal.why in DRAWN_WHY else "train",
                proposal.why,
                by,
                datetime.now(UTC),
                self._session,
            )
            before = next((each for each in self._file.answers if each.pair == answer.pair), None)
            if proposal.why == AGAIN and before is not None:  # it stands for what it stood for
                answer = replace(answer, weight=before.weight, split=before.split, why=before.why)
                self._questioned.add(answer.pair)
            self._file.add([answer])
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
            place, weight = self.pool.place(*taken.pair), taken.weight or 1.0
            if place is not None and not any(each.place == place for each in self._queue):
                self._queue.insert(0, Choice(place, taken.why, weight))
            return self._proposal_of(*taken.pair, taken.why, weight)

    def add(self, answers: Sequence[Answer]) -> None:
        """Keep answers from elsewhere, such as those of rules (:mod:`pipeline.labelling.rules`)."""
        with self._lock:
            self._file.add([replace(each, session=self._session, at=datetime.now(UTC)) for each in answers])
            self._take_stock()

    def progress(self) -> Progress:
        """How far labelling has come; waits for no training."""
        with self._lock:
            if self._file.refresh():
                self._take_stock()
            stock, history, opinion = (
                self._stock,
                list(self._learner.history),
                self._learner.opinion,
            )  # none is ever changed
        labels = list(stock.ties.labels.values())
        genuine, imposite, unsure = labels.count(1), labels.count(0), len(stock.ties.unsure)
        precision, recall, f1 = stock.observe(opinion)
        contradictions = stock.ties.contradictions()
        advice = advise(len(stock.ties.people), genuine, imposite, LEAST_EACH, history, len(contradictions))
        return Progress(
            answered=len(labels) + unsure,
            genuine=genuine,
            imposite=imposite,
            unsure=unsure,
            by_rule=sum(each.by == BY_RULE for each in stock.answers),
            derived=int(stock.derived.sum()),
            contradictions=contradictions,
            rounds=len(history),
            training=self._is_training,
            precision=precision,
            recall=recall,
            f1=f1,
            advice=advice,
            history=history,
        )

    @property
    def model(self) -> SiameseEncoder | None:
        """The model trained last; None before the answers are enough. Without a background, trained on all answers when asked for."""
        if not self._background and self._learner.model_labels != len(self._stock.ties.labels):
            self._learner.train(self._stock, self._path)
        return self._learner.model

    def labelled(self) -> LabelledPairs:
        """The answers as training reads them."""
        return self._stock.labelled(self._path)

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
        self._stock = Stock(self.pool, self._file.answers)

    def _choose(self, n: int, others: set[int], by: str) -> list[Choice]:
        stock, opinion, taken = self._stock, self._learner.opinion, {each.place for each in self._queue} | others
        draws = Draws(self.pool, stock.known)
        # Whoever labels beside others, under another name or in a later session, takes other turns.
        turn = [self._seed, self._number, zlib.crc32(by.encode()), len(stock.answers), len(taken)]
        random = np.random.default_rng(turn)
        drawn_of = n if opinion is None else int(random.binomial(n, DRAWN))
        drawn = draw(draws, stock.known, opinion, stock.by_people, drawn_of, taken, random)
        if opinion is None:
            return drawn
        open_ = ~stock.known
        open_[list(taken | {each.place for each in drawn})] = False
        mixed = drawn + teach(self.pool, self._learner.scaled, opinion, open_, n - len(drawn), random)
        return [mixed[place] for place in random.permutation(len(mixed))]

    def _to_question(self) -> list[tuple[str, str]]:
        """Of each contradiction the answer that the judges doubt most, once."""
        doubted = []
        for each in self._stock.ties.contradictions():
            judged = {pair: p for pair in each.pairs() if (p := self._judged(pair)) is not None}
            if judged and not self._questioned & set(each.pairs()):
                doubted.append(max(judged, key=lambda pair: abs(self._stock.ties.label_of(pair) - judged[pair])))
        return doubted

    def _judged(self, pair: tuple[str, str]) -> float | None:
        place, opinion = self.pool.place(*pair), self._learner.opinion
        return None if place is None or opinion is None else float(opinion.held_out[place])

    def _proposal(self, choice: Choice) -> Proposal:
        left, right = self.pool.left_ids[choice.place], self.pool.right_ids[choice.place]
        return self._proposal_of(left, right, choice.why, choice.weight)

    def _proposal_of(self, left: str, right: str, why: str, weight: float = 1.0) -> Proposal:
        place = self.pool.place(left, right)
        if place is not None:
            left, right = self.pool.left_ids[place], self.pool.right_ids[place]
        one, other = (self._shown.record(name, side) for side, name in enumerate((left, right)))
        for name, found, source in ((left, one, self._sources[0]), (right, other, self._sources[-1])):
            if not found:
                raise DataError(f"there is no record '{name}' among '{source.path}': expected the id of one")
        distance = self._encoder.distance([one], [other])[0] if place is None else self.pool.distances[place]
        judged, shares = self._judged((left, right)), self._shares(one, other)
        return Proposal(left, right, one, other, float(distance), judged, why, weight, shares)

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
            answered, learned = len(self._stock.ties.people), self._learned_from
            due = max(ROUND, int(GROWTH * learned)) if self._learner.history else 1
            if answered < COLD or answered - learned < due or self._is_training:
                return
            self._learned_from = answered
            if self._background:
                self._worker = threading.Thread(target=self._learn, daemon=True)
                self._worker.start()
        if not self._background:
            self._learn()

    @property
    def _is_training(self) -> bool:
        return self._worker is not None and self._worker.is_alive()

    def _learn(self) -> None:
        """Form the judges' opinion anew and, in the background, train the whole model."""
        try:
            stock = self._stock
            opinion = self._learner.judge(stock)
            if opinion is None:
                return
            found = self._learner.round_of(opinion, stock)
            with self._lock:
                self._learner.take(opinion, found)
                self._queue = []
            if self._background and self._trains:
                self._learner.train(stock, self._path)
        except Exception:  # labelling goes on without it
            if not self._background:
                raise
            log.exception("training failed; the answers are kept")

    @property
    def _path(self) -> str:
        return str(self._file.path or "the answers")


def _records(records: Any, id_column: str, path: Path, model: SiameseEncoder | None) -> Records:
    if isinstance(records, Records):
        return records
    if not isinstance(records, str | Path):
        pq.write_table(as_table(records), path)
        records = path
    return Records.open(str(records), id_column, None if model is None else model.schema.also)


def _frame(candidates: Any) -> pd.DataFrame:
    if isinstance(candidates, pd.DataFrame):
        return candidates.astype({"left_id": str, "right_id": str})
    from pipeline.pairs import read_id_pairs

    return read_id_pairs(str(candidates)).to_pandas()
