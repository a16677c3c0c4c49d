"""Whole sessions, with a labeller that answers from the truth."""

import logging
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from flows.label_terminal import ask, marked
from pipeline import LabelSession
from pipeline.labelling.choosing import DRAWN_WHY
from pipeline.labelling.rules import apply_rules
from pipeline.labelling.session import AGAIN
from pipeline.labelling.ties import BY_RULE
from pipeline.pairs import LabelledPairs
from pipeline.records import Records
from pipeline.synthetic import make_corpus
from siamese.errors import DataError, SettingsError


@pytest.fixture(scope="module")
def corpus():
    return make_corpus(400, seed=5)


@pytest.fixture(scope="module")
def truth(corpus) -> set[frozenset[str]]:
    return {frozenset(pair) for pair in zip(corpus.true_pairs["left_id"], corpus.true_pairs["right_id"], strict=True)}


def label(session: LabelSession, truth: set[frozenset[str]], upto: int, by: str = "") -> None:
    while session.progress().answered < upto:
        proposal = session.propose(1, by)[0]
        session.answer(proposal, frozenset(proposal.pair) in truth, by)


@pytest.fixture(scope="module")
def labelled(corpus, truth, tmp_path_factory):
    """A session with sixty answers, and its file."""
    path = tmp_path_factory.mktemp("session") / "labels.parquet"
    with LabelSession(corpus.records, path, background=False) as session:
        label(session, truth, 60, "ann")
        yield session, path


def test_the_first_answers_hold_both_kinds_and_all_distances(corpus, truth):
    with LabelSession(corpus.records, background=False) as session:
        first = session.propose(20)
    assert all(each.probability is None and each.why in DRAWN_WHY and each.weight > 1 for each in first)
    matches = [frozenset(each.pair) in truth for each in first]
    assert 3 <= sum(matches) <= 17
    assert max(each.distance for each in first) > 1.1 > 0.8 > min(each.distance for each in first)


def test_the_judges_learn_what_a_match_is(labelled, truth):
    session, _ = labelled
    pool, opinion = session.pool, session._learner.opinion
    is_match = np.array([frozenset(pair) in truth for pair in zip(pool.left_ids, pool.right_ids, strict=True)])
    flagged = opinion.probability >= 0.5
    assert 2 * (flagged & is_match).sum() / (flagged.sum() + is_match.sum()) > 0.75
    progress = session.progress()
    assert progress.answered == 60 == progress.genuine + progress.imposite
    assert progress.rounds == len(progress.history) >= 3 and not progress.training
    assert progress.precision.low <= progress.precision.estimate <= progress.precision.high
    assert progress.advice.startswith("keep going")


def test_pairs_are_chosen_and_drawn_and_each_keeps_its_weight(labelled):
    _, path = labelled
    frame = pd.read_parquet(path)
    drawn = frame["why"].isin(DRAWN_WHY)
    assert 20 < drawn.sum() < 50
    assert (frame["weight"][~drawn] == 1).all() and (frame["weight"][drawn] >= 1).all()
    assert (frame["split"] == np.where(drawn, "valid", "train")).all()
    assert (frame["by"] == "ann").all() and frame["at"].is_monotonic_increasing


def test_the_model_trains_on_the_answers_and_promises_nothing(labelled):
    session, path = labelled
    model = session.model
    assert model is not None and session.model is model  # not trained again
    assert model.verifier.calibration.evidence.are_chosen
    assert len(model.verifier.calibration.evidence) == len(LabelledPairs.read(str(path)).frame) == 60
    from pipeline.decision import CHOSEN, Threshold

    decision = Threshold().settle(model)[1]
    assert decision.threshold_from == CHOSEN and decision.prior is None
    with pytest.raises(SettingsError, match="chosen to teach"):
        Threshold(min_precision=0.5).settle(model)


def test_a_session_is_gone_on_with(labelled, corpus):
    session, path = labelled
    with LabelSession(corpus.records, path, background=False) as again:
        assert again.progress().answered == 60
        answered = {frozenset(each.pair) for each in session._file.answers}
        assert not answered & {frozenset(each.pair) for each in again.propose(15)}
        assert again.progress().rounds == 1  # it learned from what was there


def test_the_same_seed_proposes_the_same_pairs(corpus, truth):
    runs = []
    for seed in (1, 1, 2):
        with LabelSession(corpus.records, seed=seed, background=False) as session:
            label(session, truth, 24)
            runs.append([each.pair for each in session._file.answers])
    assert runs[0] == runs[1] != runs[2]


def test_open_pairs_come_again_and_two_people_get_others(corpus):
    with LabelSession(corpus.records, background=False) as session:
        ann, ben = session.propose(5, "ann"), session.propose(5, "ben")
        assert session.propose(5, "ann") == ann
        assert not {each.pair for each in ann} & {each.pair for each in ben}
        session.answer(ann[0], None, "ann")
        assert session.propose(4, "ann") == ann[1:]
        assert session.undo("ben") is None
        assert session.undo("ann").pair == ann[0].pair
        assert session.progress().answered == 0


def test_any_pair_can_be_answered_and_unknown_ids_cannot(corpus):
    ids = corpus.records["record_id"].tolist()
    with LabelSession(corpus.records, background=False) as session:
        session.answer((ids[0], ids[1]), False)
        assert session.progress().imposite == 1
        with pytest.raises(DataError, match="no record 'nobody'"):
            session.answer((ids[0], "nobody"), True)


def test_contradictions_are_shown_and_asked_again(labelled, corpus, tmp_path):
    path = labelled[1]
    copy = tmp_path / "labels.parquet"
    copy.write_bytes(path.read_bytes())
    with LabelSession(corpus.records, copy, background=False) as again:
        again.propose(1)
        right = next(each for each in again._file.answers if each.label == 1)
        again.answer(right.pair, False, "ben")
        assert again.progress().contradictions[0].chain == right.pair
        asked = again.propose(1)[0]
        assert (asked.pair, asked.why) == (right.pair, AGAIN)
        again.answer(asked, False, "ben")  # who stands by it is not asked once more
        assert again.progress().contradictions
        assert again.propose(1)[0].why != AGAIN
        kept = next(each for each in again._file.answers if each.by == "ben")
        assert (kept.weight, kept.split, kept.why) == (right.weight, right.split, right.why)


def test_training_in_the_background_hands_out_pairs_meanwhile(corpus, truth):
    with LabelSession(corpus.records, train=False) as session:
        label(session, truth, 25)
        session._worker.join(60)
        assert session.progress().rounds >= 1
        assert session.propose(1)[0].probability is not None
    assert session.model is None


def test_a_model_proposes_by_its_own_opinion_at_first(labelled, corpus):
    model = labelled[0].model
    with LabelSession(corpus.records, model=model, background=False) as session:
        first = session.propose(10)
        assert all(each.probability is not None for each in first)
        unsure = [each for each in first if each.why not in DRAWN_WHY]
        assert unsure and all(0.02 < each.probability < 0.98 for each in unsure)


def test_two_tables_are_linked(corpus, truth):
    half = corpus.records.index % 2 == 0
    left, right = corpus.records[half], corpus.records[~half]
    with LabelSession(left, right=right, background=False) as session:
        proposals = session.propose(20)
        assert {each.left_id for each in proposals} <= set(left["record_id"])
        assert {each.right_id for each in proposals} <= set(right["record_id"])
        label(session, truth, 24)
        assert session.model is not None


def test_two_tables_may_number_their_records_alike(corpus, truth, tmp_path):
    """As files of a database do: the same session, to the answer, as of ids that differ."""
    half = corpus.records.index % 2 == 0
    tables = [corpus.records[half], corpus.records[~half]]
    numbered = [each.assign(record_id=[str(row) for row in range(len(each))]) for each in tables]
    names = [
        dict(zip(new["record_id"], old["record_id"], strict=True)) for new, old in zip(numbered, tables, strict=True)
    ]
    path = tmp_path / "labels.parquet"
    with LabelSession(numbered[0], path, right=numbered[1], background=False) as session:
        while session.progress().answered < 24:
            proposal = session.propose(1)[0]
            pair = names[0][proposal.left_id], names[1][proposal.right_id]
            shown = [each.set_index("record_id").loc[name, "email"] for each, name in zip(tables, pair, strict=True)]
            assert [proposal.left["email"], proposal.right["email"]] == [
                None if pd.isna(each) else each for each in shown
            ]
            session.answer(proposal, frozenset(pair) in truth)
        assert session.progress().contradictions == []
        model = session.model
    with LabelSession(tables[0], right=tables[1], background=False) as other:
        label(other, truth, 24)
        assert model is not None and other.model is not None
        assert model.fingerprint == other.model.fingerprint
    with LabelSession(numbered[0], path, right=numbered[1], background=False) as again:
        assert again.progress().answered == 24


def test_rules_make_a_first_set_that_people_outvote(tmp_path, caplog):
    frame = pd.DataFrame(
        {
            "record_id": [f"r{number}" for number in range(16)],
            "name": [f"name {number}" for number in range(16)],
            "email": ["A@x.org", " a@X.org", "b@x.org", None] + ["none"] * 12,
            "sku": ["S1", "s1", "S2", "S2"] + [None] * 12,
        }
    )
    frame.to_parquet(tmp_path / "records.parquet")
    records = Records.open(str(tmp_path / "records.parquet"))
    with caplog.at_level(logging.INFO, "siamese"):
        answers = apply_rules([records], ["email", "name+email"], ["sku"])
    assert [(each.pair, each.why, each.by) for each in answers] == [
        (("r0", "r1"), "same email", BY_RULE),  # twelve records without an address are no one
        (("r2", "r3"), "same sku", BY_RULE),  # S1 and s1 are not the same letters
    ]
    assert "1 keys are shared by more than 10 records" in caplog.text
    with pytest.raises(DataError, match="column 'phone'"):
        apply_rules([records], ["phone"])
    with LabelSession(frame, background=False) as session:
        session.add(answers)
        assert (session.progress().by_rule, session.progress().genuine) == (2, 2)
        session.answer(("r0", "r1"), False)
        assert (session.progress().genuine, session.progress().imposite) == (1, 1)
    left, right = frame[:1], frame[1:4]
    sources = []
    for name, table in (("left", left), ("right", right)):
        table.to_parquet(tmp_path / f"{name}.parquet")
        sources.append(Records.open(str(tmp_path / f"{name}.parquet")))
    assert [each.pair for each in apply_rules(sources, ["email"], ["sku"])] == [("r0", "r1")]


def test_a_terminal_shows_both_records_and_takes_a_key(corpus):
    keys, out = iter("ynxubq"), StringIO()
    with LabelSession(corpus.records, background=False) as session:
        first = session.propose(3, "ann")
        console = Console(file=out, width=200, highlight=False)
        assert ask(session, "ann", console=console, read_key=lambda: next(keys)) == 2
        labels = [(each.pair, each.label) for each in session._file.answers]
    assert labels == [(first[0].pair, 1), (first[1].pair, 0)]  # the third was taken back
    said = out.getvalue()
    assert all(each.left_id in said and each.right_id in said for each in first)
    assert "'x' is no answer" in said and "2 answered: 1 the same, 1 not, 0 unsure" in said


def test_differences_are_marked():
    one, other = marked("Sony PS-LX350H turntable", "sony PSLX350H turntable")
    assert one.plain.split() == ["Sony", "PS-LX350H", "turntable"]
    assert [one.plain[span.start : span.end] for span in one.spans if span.style] == ["PS-LX350H"]
    assert [other.plain[span.start : span.end] for span in other.spans if span.style] == ["PSLX350H"]
    assert marked(None, "[red]x")[1].plain == "[red]x"
