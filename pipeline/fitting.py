"""Fitting: from a records file and a pairs file to a trained, calibrated encoder."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.index import index_neighbours
from pipeline.pairs import SPLITS, LabelledPairs, contradicted, entities_of, split_by_entity
from pipeline.records import Records, check_ids
from siamese.calibration import Calibration
from siamese.encoder import SiameseEncoder
from siamese.errors import DataError, SettingsError
from siamese.measures import average_precision
from siamese.pairs import Pairs
from siamese.schema import Kind, Schema
from siamese.settings import TrainingConfig
from siamese.towers import build_tower
from siamese.training import Entities, Epoch, pair_distances, train_tower

CORPUS_SAMPLE = 100_000  # records in no pair that are read for what words are rare; more change nothing that shows

log = logging.getLogger("siamese")


@dataclass(frozen=True)
class TrainingSet:
    """Records and pairs, checked and split.

    Attributes:
        records: those that pairs name, and a sample of the others, in file order.
        pairs: rows of ``records``.
        split: (n pairs,) "train", "valid", "test", or "" for a pair between two parts (it is used nowhere).
        part: (n records,) part of each record, where the split was made here by entity; else None.
        conflict: (n pairs,) labelled both ways.
    """

    records: pa.Table
    pairs: Pairs
    split: NDArray[np.str_]
    part: NDArray[np.str_] | None
    conflict: NDArray[np.bool_]

    def of(self, split: str, *, clean: bool = True) -> Pairs:
        """The pairs of a split; ``clean`` leaves out those labelled both ways."""
        return self.pairs.take((self.split == split) & ~(self.conflict & clean))


def read_training_set(records: Records, labelled: LabelledPairs, *, seed: int, strict: bool = False) -> TrainingSet:
    """Read what training and evaluation need.

    Raises:
        DataError: ids repeat, a pair names an unknown record, or (strict) a pair is labelled both ways.
    """
    named = pa.array(pd.unique(pd.concat([labelled.frame["left_id"], labelled.frame["right_id"]])), pa.large_string())
    kept, ids, others = [], [], 0
    for batch in records.batches():
        id_column = batch[records.id_column]
        ids.extend(id_column.chunks)
        wanted = pc.is_in(id_column, value_set=named).to_numpy()
        spare = np.flatnonzero(~wanted)[: CORPUS_SAMPLE - others]
        others += len(spare)
        wanted[spare] = True
        kept.append(batch.filter(pa.array(wanted)))
    check_ids(pa.chunked_array(ids, pa.large_string()).combine_chunks(), records)
    table = pa.concat_tables(kept, promote_options="permissive")
    pairs = labelled.rows(pd.Index(table[records.id_column].to_pandas()))
    conflict = contradicted(pairs)
    if conflict.any():
        sentence = f"{int(conflict.sum())} rows of '{labelled.path}' label the same pair both ways"
        if strict:
            raise DataError(f"{sentence}: settle them, or leave out --strict")
        log.warning("%s: left out of training, kept in evaluation as they stand", sentence)
    part = None
    if labelled.has_split:
        split = labelled.frame["split"].to_numpy(dtype=str)
    else:
        part = split_by_entity(pairs, table.num_rows, seed)
        split = np.where(part[pairs.left] == part[pairs.right], part[pairs.left], "")
        cut = int((split == "").sum())
        if cut:
            log.warning("%d of %d pairs lie between two parts of the split by entity and are left out", cut, len(pairs))
    return TrainingSet(table, pairs, split, part, conflict)


def fit_encoder(
    records: Records,
    labelled: LabelledPairs,
    *,
    tower: str = "ngram",
    tower_settings: Mapping[str, Any] | None = None,
    kinds: Mapping[str, str] | None = None,
    config: TrainingConfig | None = None,
    strict: bool = False,
    on_epoch: Callable[[Epoch, int], None] | None = None,
) -> SiameseEncoder:
    """Train and calibrate an encoder. Pairs of the test split are never looked at.

    Args:
        records: the records that the pairs name; others among them teach which words are rare.
        labelled: the pairs.
        tower: name of the tower, with its settings in ``tower_settings``.
        kinds: kinds of columns set by hand (see :meth:`Schema.infer`).
        config: training settings.
        strict: refuse pairs labelled both ways.
        on_epoch: told of each epoch.

    Raises:
        SiameseError: the input does not do; the sentence says how to mend it.
    """
    config = config or TrainingConfig()
    data = read_training_set(records, labelled, seed=config.seed, strict=strict)
    train, valid = data.of("train"), data.of("valid")
    _check_classes(train, valid, labelled, config)
    schema = Schema.infer(data.records, exclude=[records.id_column], kinds=kinds)
    schema = schema.without(_side_marks(data.records, schema, train, kinds or {}))
    network = build_tower(tower, schema, tower_settings, config.seed)
    texts = schema.select(data.records)
    features = network.featurise(texts)
    unseen = np.setdiff1d(data.of("test", clean=False).rows(), (train + valid).rows())
    network.fit_corpus(features.take(np.setdiff1d(np.arange(texts.num_rows), unseen)))

    entities, choosing = None, valid
    if config.negatives == "mined":
        entities, valid_rows = _entities(data, train, valid)
        choosing = valid + entities.mine(network.embed(features).numpy(), valid_rows, config.mined_per_record)
    trained = train_tower(network, features, train, choosing, config, entities=entities, on_epoch=on_epoch)

    embeddings = network.embed(features)
    held_out = valid
    if entities is not None:  # what this tower, not the untrained one, brings near: that is what a run will propose
        held_out = valid + entities.mine(embeddings.numpy(), valid_rows, config.mined_per_record)
    margin_distances = pair_distances(embeddings, held_out, config.energy) / trained.margin
    calibration = Calibration.fit(margin_distances, held_out.is_match)
    metrics = {
        "pairs": {
            "path": labelled.path,
            "rows": len(labelled.frame),
            "split": "given" if labelled.has_split else "by entity",
        },
        "train": {"pairs": len(train), "matches": train.n_matches},
        "calibration": calibration.summary(),
        "labelled_both_ways": int(data.conflict.sum()),
        "training": trained.to_json(),
    }
    return SiameseEncoder(network, config.energy, trained.margin, calibration, config, metrics)


def _check_classes(train: Pairs, valid: Pairs, labelled: LabelledPairs, config: TrainingConfig) -> None:
    for name, pairs in (("train", train), ("valid", valid)):
        if pairs.n_matches == 0:
            raise DataError(f"the {name} part of '{labelled.path}' has no pair of label 1: label some genuine pairs")
        if pairs.n_matches == len(pairs) and config.negatives == "given":
            raise DataError(
                f"the {name} part of '{labelled.path}' has only pairs of label 1, and training needs both classes: label imposite pairs "
                "too (label 0), or, where the list of matches is complete, draw them with --negatives mined"
            )


def _entities(data: TrainingSet, train: Pairs, valid: Pairs) -> tuple[Entities, NDArray[np.int64]]:
    """What mining knows, and the rows of the valid part to mine among."""
    n = data.records.num_rows
    known = train + valid
    matches = known.take(known.is_match == 1)
    if data.part is not None:
        train_rows, valid_rows = np.flatnonzero(data.part == "train"), np.flatnonzero(data.part == "valid")
    else:
        train_rows, valid_rows = train.rows(), valid.rows()
    sides = _sides(data.records, matches)
    return Entities(entities_of(matches, n), train_rows, sides, index_neighbours), valid_rows


def _sides(records: pa.Table, matches: Pairs) -> NDArray[np.int8] | None:
    """0 or 1 for each record where a column of two values tells two tables apart that matches always tie, in one direction."""
    if len(np.intersect1d(matches.left, matches.right)):
        return None
    for name in records.column_names:
        codes, values = pd.factorize(records[name].to_pandas())
        if len(values) == 2 and (codes >= 0).all():
            on_left, on_right = np.unique(codes[matches.left]), np.unique(codes[matches.right])
            if len(on_left) == len(on_right) == 1 and on_left[0] != on_right[0]:
                return (codes == on_right[0]).astype(np.int8)
    return None


def _side_marks(records: pa.Table, schema: Schema, train: Pairs, kinds: Mapping[str, str]) -> dict[str, str]:
    """Categories that no genuine pair agrees in (which table a record is from): they say nothing of sameness."""
    matches = train.take(train.is_match == 1)
    marks = {}
    for field in schema.fields:
        if field.kind is Kind.CATEGORY and field.name not in kinds:
            codes = pd.factorize(schema.select(records)[field.name].to_pandas())[0]
            if len(matches) >= 10 and not (codes[matches.left] == codes[matches.right]).any():
                marks[field.name] = "no genuine pair agrees in it"
    return marks


def evaluate_encoder(encoder: SiameseEncoder, records: Records, labelled: LabelledPairs, split: str) -> dict[str, Any]:
    """Precision, recall and F1 of the encoder's threshold on one split of the pairs; no other split is looked at.

    Raises:
        SettingsError: there is no such split.
        DataError: the split has no pairs.
    """
    if split not in SPLITS:
        raise SettingsError(f"there is no split '{split}': expected train, valid or test")
    data = read_training_set(records, labelled, seed=encoder.training.seed)
    pairs = data.of(split, clean=False)
    if len(pairs) == 0:
        raise DataError(
            f"'{labelled.path}' has no pairs in split '{split}': name another with --split, or label pairs for it"
        )
    rows = pairs.rows()
    embeddings = encoder.encode(data.records.take(pa.array(rows)))
    left, right = np.searchsorted(rows, pairs.left), np.searchsorted(rows, pairs.right)
    distances = encoder.margin_distance(encoder.energies(embeddings[left], embeddings[right]))
    flagged = distances <= encoder.calibration.max_distance
    right_ones = int((flagged & (pairs.is_match == 1)).sum())
    precision = right_ones / max(int(flagged.sum()), 1)
    recall = right_ones / max(pairs.n_matches, 1)
    return {
        "split": split,
        "pairs": len(pairs),
        "matches": pairs.n_matches,
        "flagged": int(flagged.sum()),
        "precision": precision,
        "recall": recall,
        "f1": 2 * right_ones / max(int(flagged.sum()) + pairs.n_matches, 1),
        "average_precision": average_precision(distances, pairs.is_match),
        "max_distance": encoder.calibration.max_distance,
        "labelled_both_ways": int(data.conflict[data.split == split].sum()),
    }
