"""Evaluation: a model against labelled pairs, and a whole run against the complete list of true pairs."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.company import Tables
from pipeline.decision import Decision, Judgement, Threshold
from pipeline.embedding import Corpus, Encoder, measure
from pipeline.judging import Judge
from pipeline.matching import PAIRS
from pipeline.pairs import SPLITS, LabelledPairs, entities_of
from pipeline.records import Records, check_fields
from pipeline.rowpairs import RowPairs
from pipeline.runfiles import batches
from pipeline.scoring import score_rows
from pipeline.training_set import TrainingSet, read_training_set
from siamese.encoder import SiameseEncoder
from siamese.errors import DataError, SettingsError
from siamese.evidence import entities_of_pairs, groups_of_pairs, independent_number
from siamese.measures import average_precision
from siamese.pairs import Pairs
from siamese.promise import describe_share
from siamese.reliability import Reliability


def evaluate_encoder(
    encoder: SiameseEncoder,
    records: Records,
    labelled: LabelledPairs,
    split: str,
    *,
    right: Records | None = None,
    verifier: bool = True,
) -> dict[str, Any]:
    """Precision, recall and F1 of the encoder's threshold on one split of the pairs; no other split is looked at.

    Args:
        right: the table of the right_ids, where it is another.
        verifier: whether the model's verifier decides, if it has one; else the distance alone.

    Raises:
        SettingsError: there is no such split.
        DataError: the split has no pairs; SchemaError: a table lacks a column that the model reads.
    """
    if split not in SPLITS:
        raise SettingsError(f"there is no split '{split}': expected train, valid or test")
    check_fields(encoder.schema, records, right)
    training = encoder.training
    data = read_training_set(records, labelled, right=right, seed=training.seed, hold_out=training.hold_out)
    pairs = data.of(split, clean=False)
    if len(pairs) == 0:
        raise DataError(
            f"'{labelled.path}' has no pairs in split '{split}': name another with --split, or label pairs for it"
        )
    judge, decision, judgement = judge_pairs(encoder, Threshold(verifier=verifier), data, pairs)
    flagged = judgement.is_match
    right_ones = int((flagged & (pairs.is_match == 1)).sum())
    precision = right_ones / max(int(flagged.sum()), 1)
    recall = right_ones / max(pairs.n_matches, 1)
    groups = groups_of_pairs(*entities_of_pairs(pairs.left, pairs.right, pairs.is_match))
    return {
        "split": split,
        "pairs": len(pairs),
        "matches": pairs.n_matches,
        "flagged": int(flagged.sum()),
        "precision": precision,
        "recall": recall,
        "f1": 2 * right_ones / max(int(flagged.sum()) + pairs.n_matches, 1),
        "average_precision": average_precision(judgement.score, pairs.is_match),
        **decision.describe(judge),
        "reliability": Reliability.of(judgement.probability, pairs.is_match, groups).describe(),
        "labelled_both_ways": int(data.conflict[data.split == split].sum()),
    }


def judge_pairs(
    encoder: SiameseEncoder, threshold: Threshold, data: TrainingSet, pairs: Pairs
) -> tuple[Judge, Decision, Judgement]:
    """What a model makes of pairs of rows of a training set, and how it came to it.

    Pairs of two tables are judged among their rivals there, as a link judges them, if the model learned what rivals say; of other pairs no
    other record is read.
    """
    rows, tables = pairs.rows(), None
    if threshold.judge(encoder, of_two=True).rivalry is not None:
        sides = data.sides_of(pairs)
        if sides is not None:
            tables = Tables.of(data, sides, pairs, np.arange(data.records.num_rows), rows, encoder.tower)
    judge, decision = threshold.settle(encoder, of_two=tables is not None)
    judgement = score_rows(encoder, judge, decision, data.records, pairs).judgement
    if tables is not None:
        judgement = decision.judge(tables.among(encoder, judge, pairs.renumber(rows), judgement.score))
    return judge, decision, judgement


@dataclass(frozen=True)
class Missed:
    """True pairs that a run did not flag, as records numbered over its corpora end to end.

    Attributes:
        pairs: the missed ones.
        written: (m,) whether each is in ``pairs.parquet`` nevertheless, as no match.
        true: how many true pairs there are, worth ``independent`` independent ones.
    """

    pairs: Pairs
    written: NDArray[np.bool_]
    true: int
    independent: float


def evaluate_run(
    run: Path, truth: str, left: pd.Index, right: pd.Index | None, cluster_id: NDArray[np.int64]
) -> tuple[dict[str, Any], Missed, NDArray[np.bool_]]:
    """Pairs and clusters of a run against all true pairs; any pair not among them is taken as false.

    Args:
        run: folder with ``pairs.parquet``.
        truth: file of left_id, right_id.
        left, right: record ids, ``right`` for a link; ``cluster_id`` is over both, end to end.

    Returns:
        The scores, the true pairs that were missed, and whether each written pair is true, in the order of the file.

    Raises:
        DataError: the truth cannot be read or names a record that is not there.
    """
    labelled = LabelledPairs.read(truth)
    true = replace(labelled, frame=labelled.frame[labelled.frame["label"] == 1]).rows(left, right)
    if right is None:
        true = true.take(true.left != true.right)  # a record is itself: no run has to find that
    right_index, shift = (left, 0) if right is None else (right, len(left))
    n = len(right_index) + shift

    def keys(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.minimum(one, other) * n + np.maximum(one, other)

    true_keys = np.unique(keys(true.left, true.right))
    written, matched = np.zeros(len(true_keys), bool), np.zeros(len(true_keys), bool)
    candidates = flagged = scored = scored_right = 0
    truths: list[NDArray[np.bool_]] = []
    for batch in batches(run / PAIRS, ["left_id", "right_id", "is_match", "score"]):
        rows_left = left.get_indexer(batch["left_id"].to_pandas())
        rows_right = right_index.get_indexer(batch["right_id"].to_pandas()) + shift
        is_match, is_scored = batch["is_match"].to_numpy(), batch["score"].is_valid().to_numpy()
        found = keys(rows_left, rows_right)
        candidates, flagged = candidates + len(found), flagged + int(is_match.sum())
        place = np.searchsorted(true_keys, found)
        truths.append(np.append(true_keys, -1)[place] == found)
        scored += int((is_match & is_scored).sum())
        scored_right += int((is_match & is_scored & truths[-1]).sum())
        is_true = np.flatnonzero(truths[-1])
        written[place[is_true]] = True
        matched[place[is_true[is_match[is_true]]]] = True
    pairs = _scores(int(matched.sum()), flagged, len(true_keys))
    pairs |= {
        "true_pairs": len(true_keys),
        "flagged": flagged,
        "candidates": candidates,
        "scored_precision": scored_right / scored if scored else 1.0,  # what is promised: equal contents have no score
        "candidate_recall": int(written.sum()) / max(len(true_keys), 1),
    }
    lost, entity = true_keys[~matched], entities_of(true, n)
    missed = Missed(
        Pairs(lost // n, lost % n, np.ones(len(lost), np.int8)),
        written[~matched],
        len(true_keys),
        independent_number(entity[true_keys // n], entity[true_keys % n]),
    )
    scores = {"pairs": pairs, "clusters": cluster_scores(cluster_id, entity)}
    return scores, missed, np.concatenate([*truths, np.empty(0, bool)])


def where_lost(
    missed: Missed,
    encoder: Encoder,
    judge: Judge,
    limit: float,
    left: Corpus,
    right: Corpus | None,
    met: tuple[RowPairs, NDArray[np.float64]],
) -> dict[str, Any]:
    """Why true pairs were missed: each cause with its share of all true pairs and an interval (Clopper and Pearson, 95%).

    Args:
        judge: of the run, with its ``limit``.
        left, right: the corpora that the run compared.
        met: all n pairs that it looked at, and their (n,) scores by themselves.
    """
    side, shift = right or left, 0 if right is None else len(left.ids)
    left_rows, right_rows = left.rows[missed.pairs.left], side.rows[missed.pairs.right - shift]
    known = np.flatnonzero((left_rows >= 0) & (right_rows >= 0))  # the others have nothing to compare
    apart = np.full(len(left_rows), np.inf)
    apart[known] = encoder.margin_distance(
        measure(left.embeddings, left_rows[known], side.embeddings, right_rows[known], encoder.energy)
    )
    score = np.full(len(left_rows), np.inf)
    near = np.flatnonzero(apart <= judge.candidate_distance)
    score[near] = judge.score_rows(apart[near], left.contents, left_rows[near], side.contents, right_rows[near])
    score = judge.among(score, (left_rows, right_rows), met[0].ends, met[1])
    far, refused = apart > judge.candidate_distance, score > limit
    causes = {
        "beyond_the_search": far,
        "not_proposed_by_the_index": ~far & ~refused & ~missed.written,
        "refused": ~far & refused,
        "matched_to_another": ~far & ~refused & missed.written,  # one-to-one, or in another group
    }
    return {
        name: describe_share(int(lost.sum()), missed.true, missed.independent, 0.95) for name, lost in causes.items()
    }


def cluster_scores(cluster: NDArray[np.int64], entity: NDArray[np.int64]) -> dict[str, Any]:
    """Pairwise and B-cubed (Bagga and Baldwin 1998) scores of one grouping of n records against the true one, each (n,)."""
    from sklearn.metrics import adjusted_rand_score  # half a second to import, and few runs are evaluated

    cells = pd.Series(1, index=pd.MultiIndex.from_arrays([cluster, entity])).groupby(level=[0, 1]).sum()
    both = cells.to_numpy().astype(np.float64)
    cluster_size = pd.Series(cluster).value_counts().loc[cells.index.get_level_values(0)].to_numpy().astype(np.float64)
    entity_size = pd.Series(entity).value_counts().loc[cells.index.get_level_values(1)].to_numpy().astype(np.float64)
    pairs_of = lambda sizes: float((sizes * (sizes - 1) / 2).sum())  # noqa: E731
    pairwise = _scores(
        pairs_of(both),
        pairs_of(np.bincount(np.unique(cluster, return_inverse=True)[1])),
        pairs_of(np.bincount(np.unique(entity, return_inverse=True)[1])),
    )
    precision, recall = (
        float((both**2 / cluster_size).sum() / both.sum()),
        float((both**2 / entity_size).sum() / both.sum()),
    )
    b_cubed = {"precision": precision, "recall": recall, "f1": 2 * precision * recall / (precision + recall)}
    return {"pairwise": pairwise, "b_cubed": b_cubed, "adjusted_rand": float(adjusted_rand_score(entity, cluster))}


def _scores(right: float, flagged: float, true: float) -> dict[str, Any]:
    """Precision, recall and F1; nothing flagged is no mistake, and nothing true is all found."""
    return {
        "precision": right / flagged if flagged else 1.0,
        "recall": right / true if true else 1.0,
        "f1": 2 * right / (flagged + true) if flagged + true else 1.0,
    }
