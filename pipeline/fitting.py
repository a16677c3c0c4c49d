"""Fitting: from a records file and a pairs file to a trained, calibrated encoder and its verifier."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.contents import content_keys
from pipeline.pairs import LabelledPairs, entities_of
from pipeline.records import Records
from pipeline.training_set import BETWEEN, entities_to_mine, read_training_set, side_marks
from siamese.calibration import LEAST_PAIRS, Calibration, pool_evidence
from siamese.comparison import Comparison
from siamese.crossfit import CrossFitted, Folds, cross_fit, deal_folds
from siamese.encoder import SiameseEncoder
from siamese.errors import DataError
from siamese.measures import average_precision
from siamese.pairs import Pairs
from siamese.portrait import Portrait, sample
from siamese.profiles import Profiles, document_frequency, word_fields
from siamese.schema import Schema
from siamese.settings import TrainingConfig
from siamese.teaching import teach
from siamese.towers import Features, Tower, build_tower
from siamese.training import Entities, Epoch, pair_distances, train_tower
from siamese.verifier import Verifier

log = logging.getLogger("siamese")


def fit_encoder(
    records: Records,
    labelled: LabelledPairs,
    *,
    tower: str = "ngram",
    tower_settings: Mapping[str, Any] | None = None,
    kinds: Mapping[str, str] | None = None,
    config: TrainingConfig | None = None,
    strict: bool = False,
    on_epoch: Callable[[Epoch, float], None] | None = None,
) -> SiameseEncoder:
    """Train and calibrate an encoder. Pairs of the test split are never looked at, nor the text of records that only they name.

    Args:
        records: the records that the pairs name; others among them teach which words are rare.
        labelled: the pairs.
        tower: name of the tower, with its settings in ``tower_settings``.
        kinds: kinds of columns set by hand (see :meth:`Schema.infer`).
        config: training settings.
        strict: refuse pairs labelled both ways.
        on_epoch: told of each epoch, and which share of the work is done.

    Raises:
        SiameseError: the input does not do; the sentence says how to mend it.
    """
    config = config or TrainingConfig()
    data = read_training_set(records, labelled, seed=config.seed, hold_out=config.hold_out, strict=strict)
    train, valid, between = data.of("train"), data.of("valid"), data.of(BETWEEN)
    _check_classes("valid", valid, labelled, config)
    labelled_rows = (train + valid + between).rows()
    unseen = np.setdiff1d(data.of("test", clean=False).rows(), labelled_rows)
    known = data.records.take(pa.array(np.setdiff1d(np.arange(data.records.num_rows), unseen)))
    schema = Schema.infer(known, exclude=[records.id_column], kinds=kinds)
    schema = schema.without(side_marks(data.records, schema, train, kinds or {}))
    network = build_tower(tower, schema, tower_settings, config.seed)
    _check_classes("train", train + valid if network.averages else train, labelled, config)
    network.fit_corpus(network.featurise(schema.select(known)))

    entities, mined_valid = None, np.empty(0, np.int64)
    if config.negatives == "mined":
        entities, mined_valid = entities_to_mine(data, train, valid)
    # From here on only the records that training and calibration look at.
    rows = np.unique(np.concatenate([labelled_rows, mined_valid, *([entities.rows] if entities else [])]))
    texts = schema.select(data.records.take(pa.array(rows)))
    train, valid, between = (some.renumber(rows) for some in (train, valid, between))
    if entities:
        entities, mined_valid = entities.renumber(rows), np.searchsorted(rows, mined_valid)
    features = network.featurise(texts)

    def with_mined_valid() -> Pairs:
        """The valid pairs and, where imposites are mined, those that the tower as it is brings near: what a run will propose."""
        if entities is None:
            return valid
        return valid + entities.mine(network.embed(features).numpy(), mined_valid, config.mined_per_record)

    choosing = with_mined_valid()
    untrained = average_precision(pair_distances(network.embed(features), choosing, config.energy), choosing.is_match)
    # One draw of pairs, parted here by entity; else what the user's own parts have in common.
    one_draw = data.part is not None
    apart = one_draw or entities is not None or 2 * len(np.intersect1d(train.rows(), valid.rows())) < len(valid.rows())
    # Where the mean of the folds' towers is the tower, no pair need be kept from all of them: each is judged by one that it did not teach.
    learned, miners = train, entities
    if network.averages:
        learned = train + valid + between
        miners = entities and replace(entities, rows=np.union1d(entities.rows, mined_valid))
    folds = _folds(texts, learned, apart, miners, config, network)
    if folds is None:
        learned, miners = train, entities
        _check_classes("train", train, labelled, config)
    crossed = _train(network, features, learned, choosing, folds, config, miners, on_epoch)

    pairs, distances, fold_of, places = crossed.pairs, crossed.distances, crossed.folds, crossed.places
    like_valid = (places >= len(train)) | (entities is not None) | (one_draw and network.averages)
    if learned is train:
        held_out = with_mined_valid()
        pairs = pairs + held_out
        distances = np.append(distances, pair_distances(network.embed(features), held_out, config.energy))
        fold_of = np.append(fold_of, np.full(len(held_out), -1))
        like_valid = np.append(like_valid, np.ones(len(held_out), bool))
        labelled_ones = np.arange(len(train), len(train) + len(valid))
        places = np.concatenate([places, labelled_ones, np.full(len(held_out) - len(valid), -1)])
    margin_distances = distances.astype(np.float64) / crossed.margin
    # Pairs drawn to be judged teach, but they are no sample of what a run proposes: probabilities are learned from them only where there
    # is nothing else. Then from all: they were chosen by what the records say, so among pairs of a like score the share of matches holds.
    is_chosen = np.concatenate([data.is_chosen_of(split) for split in ("train", "valid", BETWEEN)])
    is_plain = np.flatnonzero((places < 0) | ~is_chosen[places])
    are_chosen = len(np.unique(pairs.is_match[is_plain])) < 2
    if are_chosen:
        evidence = np.arange(len(pairs))
    else:
        evidence = is_plain[
            pool_evidence(pairs.is_match[is_plain], like_valid[is_plain], np.random.default_rng(config.seed))
        ]
    some = pairs.take(evidence)
    calibration = Calibration.fit(
        margin_distances[evidence], some.is_match, some.left, some.right, are_chosen=are_chosen
    )
    if len(evidence) < LEAST_PAIRS:
        log.warning(
            "the probabilities rest on %d held-out pairs only: take them as a rough guide until there are %d",
            len(evidence),
            LEAST_PAIRS,
        )
    precision = {
        "untrained": untrained,
        "distance": average_precision(margin_distances[like_valid], pairs.is_match[like_valid]),
    }
    verifier, doubts = None, None
    if config.verifier != "none" and folds is not None and word_fields(schema):
        idf = document_frequency(schema.select(known), schema)
        comparison = Comparison(Profiles.of(texts, schema, idf), pairs.left, pairs.right)
        verifier, doubts = Verifier.fit(
            schema,
            idf,
            comparison,
            margin_distances,
            pairs.is_match,
            fold_of,
            evidence,
            config.seed,
            are_chosen=are_chosen,
        )
        precision["verifier"] = average_precision(doubts[like_valid], pairs.is_match[like_valid])
    metrics = {
        "pairs": {
            "path": labelled.path,
            "rows": len(labelled.frame),
            "split": "given" if labelled.has_split else "by entity",
        },
        "learned": {"pairs": len(learned), "matches": learned.n_matches},
        "train": {"pairs": len(train), "matches": train.n_matches},
        "valid": {"pairs": len(valid), "matches": valid.n_matches, "average_precision": precision},
        "calibration": calibration.summary(),
        "verifier": verifier.summary() if verifier else None,
        "labelled_both_ways": int(data.conflict.sum()),
        "training": {
            "margin": crossed.margin,
            "best_epochs": [trained.best_epoch for trained in crossed.trained],
            "history": [asdict(epoch) for trained in crossed.trained for epoch in trained.history],
        },
    }
    encoder = SiameseEncoder(network, config.energy, crossed.margin, calibration, config, metrics, verifier=verifier)
    encoder.portrait = _portrait(schema.select(known), schema)
    if config.lessons:
        taught = np.flatnonzero(fold_of >= 0)
        pairs, margin_distances, is_mined = pairs.take(taught), margin_distances[taught], places[taught] < 0
        if folds is None:
            pairs, is_mined = learned, np.zeros(len(learned), bool)
            margin_distances = encoder.margin_distance(pair_distances(network.embed(features), pairs, config.energy))
        scores = margin_distances if doubts is None else doubts[taught]
        ids = data.records[records.id_column].take(pa.array(rows))
        encoder.lessons = teach(encoder, texts, ids, pairs, is_mined, margin_distances, scores)
    return encoder


def _portrait(texts: pa.Table, schema: Schema) -> Portrait:
    """Of the distinct contents, as a run's is."""
    is_empty = np.logical_and.reduce([texts[name].is_null().to_numpy() for name in schema.names])
    first = np.sort(np.unique(content_keys(texts), axis=0, return_index=True)[1])
    distinct = first[~is_empty[first]]
    return Portrait.of(texts.take(pa.array(distinct[sample(len(distinct))])), schema)


def _train(
    network: Tower,
    features: Features,
    train: Pairs,
    choosing: Pairs,
    folds: Folds | None,
    config: TrainingConfig,
    entities: Entities | None,
    on_epoch: Callable[[Epoch, float], None] | None,
) -> CrossFitted:
    if folds is not None:
        return cross_fit(network, features, train, choosing, folds, config, entities=entities, on_epoch=on_epoch)
    told = (lambda epoch, epochs: on_epoch(epoch, epoch.epoch / epochs)) if on_epoch else None
    trained = train_tower(network, features, train, choosing, config, entities=entities, on_epoch=told)
    return CrossFitted.without_folds(trained)


def _check_classes(part: str, pairs: Pairs, labelled: LabelledPairs, config: TrainingConfig) -> None:
    if pairs.n_matches == 0:
        raise DataError(f"the {part} part of '{labelled.path}' has no pair of label 1: label some genuine pairs")
    if pairs.n_matches == len(pairs) and config.negatives == "given":
        raise DataError(
            f"the {part} part of '{labelled.path}' has only pairs of label 1, and training needs both classes: label imposite pairs "
            "too (label 0), or, where the list of matches is complete, draw them with --negatives mined"
        )


def _folds(
    texts: pa.Table, learned: Pairs, apart: bool, entities: Entities | None, config: TrainingConfig, tower: Tower
) -> Folds | None:
    """Folds that lie to each other as valid lies to train: of other entities (``apart``), or of other pairs among the same records.

    None where nothing asks for them, or there are too few pairs.
    """
    if config.verifier == "none" and not tower.averages:
        return None
    n = texts.num_rows
    if apart:
        entity = entities_of(learned, n) if entities is None else entities.of
        groups, matched = entity, np.bincount(entity, minlength=n)[entity] > 1
    else:
        content = np.unique(content_keys(texts), axis=0, return_inverse=True)[1].reshape(n)
        left, right = content[learned.left], content[learned.right]
        groups, matched = np.minimum(left, right) * n + np.maximum(left, right), learned.is_match == 1
    for count in range(config.folds or tower.config.folds, 1, -1):
        dealt = deal_folds(groups, matched, count, config.seed)
        folds = Folds(count, dealt[learned.left], dealt) if apart else Folds(count, dealt)
        matches, others = (
            np.bincount(folds.of_pairs[learned.is_match == label], minlength=count) > 0 for label in (1, 0)
        )
        if matches.all() and (others.all() or entities is not None):
            return folds
    log.warning("too few labelled pairs to hold some out in turn: trained on all at once, without a verifier")
    return None
