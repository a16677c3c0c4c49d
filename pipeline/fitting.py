"""Fitting: from a records file and a pairs file to a trained, calibrated encoder and its verifier."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.company import Tables
from pipeline.contents import content_keys
from pipeline.heldout import HeldOut
from pipeline.material import Material
from pipeline.pairs import LabelledPairs, entities_of
from pipeline.records import Records, of_all
from pipeline.training_set import BETWEEN, read_training_set, side_marks
from siamese.calibration import LEAST_PAIRS, Calibration
from siamese.company import Company
from siamese.comparison import Comparison
from siamese.crossfit import CrossFitted, Folds, cross_fit, deal_folds
from siamese.encoder import SiameseEncoder
from siamese.errors import DataError
from siamese.lessons import Lessons
from siamese.measures import average_precision
from siamese.pairs import Pairs
from siamese.portrait import Portrait, sample
from siamese.profiles import Profiles, document_frequency
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
    right: Records | None = None,
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
        right: a second table, of which each right_id names a record; an id may be in both.
        tower: name of the tower, with its settings in ``tower_settings``.
        kinds: kinds of columns set by hand (see :meth:`Schema.infer`).
        config: training settings.
        strict: refuse pairs labelled both ways.
        on_epoch: told of each epoch, and which share of the work is done.

    Raises:
        SiameseError: the input does not do; the sentence says how to mend it.
    """
    config = config or TrainingConfig()
    data = read_training_set(records, labelled, right=right, seed=config.seed, hold_out=config.hold_out, strict=strict)
    _check_classes("valid", data.of("valid"), labelled, config)
    known_rows = data.known
    known = data.records.take(pa.array(known_rows))
    schema = Schema.infer(known, exclude=[records.id_column], kinds=kinds)
    schema = of_all(schema, [records] if right is None else [records, right])
    schema = schema.without(side_marks(data.records, schema, data.of("train"), kinds or {}))
    known, data = schema.select(known), data.saying(schema)
    train, valid = data.of("train"), data.of("valid")
    network = build_tower(tower, schema, tower_settings, config.seed)
    _check_classes("train", train + valid if network.averages else train, labelled, config)
    network.fit_corpus(network.featurise(known))
    material = Material.of(data, schema, network, config)
    named = train + valid + data.of(BETWEEN)
    sides, tables = data.sides_of(named), None
    if sides is not None and config.verifier != "none":
        tables = Tables.of(data, sides, named, known_rows, material.rows, network)

    embeddings = network.embed(material.features)
    choosing = material.valid_and_near(embeddings)
    untrained = average_precision(pair_distances(embeddings, choosing, config.energy), choosing.is_match)
    learned, entities = material.learned, material.learned_entities
    folds = _folds(material, learned, entities, network)
    if folds is None:
        learned, entities = material.train, material.entities
        _check_classes("train", learned, labelled, config)
    company = None if tables is None else tables.company
    crossed = _train(network, material.features, learned, choosing, folds, config, entities, company, on_epoch)
    held = HeldOut.of(crossed, material, network, company, has_valid=learned is not material.train)

    evidence, are_chosen = held.evidence(data.is_chosen_of("train", "valid", BETWEEN), config.seed)
    some = held.pairs.take(evidence)
    calibration = Calibration.fit(
        held.margin_distances[evidence], some.is_match, some.left, some.right, are_chosen=are_chosen
    )
    if len(evidence) < LEAST_PAIRS:
        log.warning(
            "the probabilities rest on %d held-out pairs only: take them as a rough guide until there are %d",
            len(evidence),
            LEAST_PAIRS,
        )
    precision = {"untrained": untrained, "distance": held.average_precision(held.margin_distances)}
    verifier, scores = None, held.margin_distances
    if config.verifier != "none" and folds is not None:
        verifier, scores = _fit_verifier(held, material, known, evidence, are_chosen, tables, crossed.margin)
        precision["verifier"] = held.average_precision(scores)
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
    encoder.portraits = {"all": _portrait(known, schema)}
    if sides is not None:
        for name, side in (("left", 0), ("right", 1)):
            encoder.portraits[name] = _portrait(known.filter(pa.array(sides[known_rows] == side)), schema)
    if config.lessons:
        ids = data.records[records.id_column].take(pa.array(material.rows))
        encoder.lessons = _lessons(encoder, material, ids, held, scores, None if folds else learned)
    return encoder


def _fit_verifier(
    held: HeldOut,
    material: Material,
    known: pa.Table,
    evidence: NDArray[np.int64],
    are_chosen: bool,
    tables: Tables | None,
    margin: float,
) -> tuple[Verifier, NDArray[np.float64]]:
    """The verifier, and the out-of-fold score of each held-out pair."""
    schema = material.schema
    idf = document_frequency(known, schema)
    contest = None
    if tables is not None and held.rivals is not None:
        contest = tables.contest(held.pairs, held.rivals, margin, schema, idf)
    comparison = Comparison(Profiles.of(material.texts, schema, idf), held.pairs.left, held.pairs.right)
    return Verifier.fit(
        schema,
        idf,
        comparison,
        held.margin_distances,
        held.pairs.is_match,
        held.folds,
        evidence,
        material.config.seed,
        are_chosen=are_chosen,
        contest=contest,
    )


def _lessons(
    encoder: SiameseEncoder,
    material: Material,
    ids: pa.Array,
    held: HeldOut,
    scores: NDArray[np.float64],
    learned: Pairs | None,
) -> Lessons:
    """Labelled pairs to show beside others: those of the folds or, where there are none, ``learned``."""
    if learned is None:
        taught = np.flatnonzero(held.folds >= 0)
        some = held.pairs.take(taught), held.places[taught] < 0, held.margin_distances[taught], scores[taught]
    else:
        distances = pair_distances(encoder.tower.embed(material.features), learned, encoder.energy)
        margin_distances = encoder.margin_distance(distances)
        some = learned, np.zeros(len(learned), bool), margin_distances, margin_distances
    return teach(encoder, material.texts, ids, *some)


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
    company: Company | None,
    on_epoch: Callable[[Epoch, float], None] | None,
) -> CrossFitted:
    if folds is not None:
        return cross_fit(
            network, features, train, choosing, folds, config, entities=entities, company=company, on_epoch=on_epoch
        )
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


def _folds(material: Material, learned: Pairs, entities: Entities | None, tower: Tower) -> Folds | None:
    """Folds that lie to each other as valid lies to train: of other entities, or of other pairs among the same records.

    None where nothing asks for them, or there are too few pairs.
    """
    config, is_apart = material.config, material.is_apart
    if config.verifier == "none" and not tower.averages:
        return None
    n = material.texts.num_rows
    if is_apart:
        entity = entities_of(learned, n) if entities is None else entities.of
        groups, matched = entity, np.bincount(entity, minlength=n)[entity] > 1
    else:
        content = np.unique(content_keys(material.texts), axis=0, return_inverse=True)[1].reshape(n)
        left, right = content[learned.left], content[learned.right]
        groups, matched = np.minimum(left, right) * n + np.maximum(left, right), learned.is_match == 1
    for count in range(config.folds or tower.config.folds, 1, -1):
        dealt = deal_folds(groups, matched, count, config.seed)
        folds = Folds(count, dealt[learned.left], dealt) if is_apart else Folds(count, dealt)
        matches, others = (
            np.bincount(folds.of_pairs[learned.is_match == label], minlength=count) > 0 for label in (1, 0)
        )
        if matches.all() and (others.all() or entities is not None):
            return folds
    log.warning("too few labelled pairs to hold some out in turn: trained on all at once, without a verifier")
    return None
