"""A labelling session whose answers contradict each other asks again, once."""

from pathlib import Path

from pipeline.labelling import LabelSession
from pipeline.labelling.session import AGAIN
from pipeline.synthetic import make_corpus


def test_a_contradiction_is_asked_about_once_more_and_then_left(tmp_path: Path) -> None:
    corpus = make_corpus(300, seed=0)
    corpus.save(tmp_path)
    pairs = list(zip(corpus.true_pairs["left_id"], corpus.true_pairs["right_id"], strict=True))
    truth = {frozenset(pair) for pair in pairs}
    chain = next(((a, b, d) for a, b in pairs for c, d in pairs if b == c), None)
    assert chain is not None
    one, link, other = chain
    with LabelSession(tmp_path / "records.parquet", train=False, background=False) as session:
        for _ in range(25):
            (asked,) = session.propose(1)
            session.answer(asked, frozenset(asked.pair) in truth)
        for pair, label in (((one, link), True), ((link, other), True), ((one, other), False)):
            session.answer(pair, label)
        assert session.progress().contradictions
        why = []
        for _ in range(4):
            (asked,) = session.propose(1)
            why.append(asked.why)
            session.answer(asked, frozenset(asked.pair) in truth and set(asked.pair) != {one, other})
        assert why.count(AGAIN) == 1 == why.index(AGAIN) + 1
