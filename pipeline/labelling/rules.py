"""Rules: a first set of labels that nobody has to give: records that agree in a key, or that a shared id ties across two sources.

Such labels are weak. They are matches only, and easy ones; a person's answer outvotes them, and no probability is learned from them.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.labelling.answers import Answer
from pipeline.labelling.ties import BY_RULE
from pipeline.records import Records
from siamese.errors import DataError
from siamese.schema import listed
from siamese.text import as_text, normalise

CROWD = 10  # records that may share a key: what more have in common is a placeholder, and names no one thing
PAIRS = 200  # of a rule, drawn at random: easy ones teach little, and more of them would only drown people's answers

log = logging.getLogger("siamese")


def apply_rules(
    sources: Sequence[Records],
    keys: Iterable[str] = (),
    shared_ids: Iterable[str] = (),
    *,
    limit: int = PAIRS,
    seed: int = 0,
) -> list[Answer]:
    """Pairs that rules call matches.

    Args:
        sources: one corpus, or two to link.
        keys: columns, or several joined by ``+`` (``name+birth_date``): records with the same value in all of them, but for case and
            spaces, are the same.
        shared_ids: columns that hold another system's id of the record: equal values, letter by letter, are the same record. Across two
            corpora only pairs of both count.
        limit: pairs of a rule, at most; the log says of how many.
        seed: of their choice.

    Raises:
        DataError: a column is not there.
    """
    answers: list[Answer] = []
    for rule, exact in [*((key, False) for key in keys), *((column, True) for column in shared_ids)]:
        pairs = list(_pairs(_values(sources, rule.split("+"), exact), len(sources) > 1))
        chosen = np.sort(np.random.default_rng(seed).permutation(len(pairs))[:limit])
        log.info("rule '%s': %d pairs agree, %d of them are taken", rule, len(pairs), len(chosen))
        why = f"same {rule.replace('+', ' and ')}"
        taken = [pairs[place] for place in chosen]
        answers += [Answer(left, right, 1, weight=1.0, why=why, by=BY_RULE) for left, right in taken]
    return list({answer.pair: answer for answer in answers}.values())


def _values(sources: Sequence[Records], columns: list[str], exact: bool) -> pd.DataFrame:
    """id, side and key of every record that has all of the columns."""
    parts = []
    for side, source in enumerate(sources):
        for column in columns:
            if column not in source.columns:
                have = listed(source.columns)
                raise DataError(f"a rule names column '{column}', which '{source.path}' lacks: it has {have}")
        for batch in source.batches(columns):
            texts = [as_text(batch[column]) for column in columns]
            values = texts if exact else [_plain(text) for text in texts]
            key = pc.binary_join_element_wise(*values, pa.scalar("\x1f", pa.large_string()))  # null where one is
            parts.append(
                pd.DataFrame({"id": batch[source.id_column].to_pandas(), "side": side, "key": key.to_pandas()})
            )
    return pd.concat(parts, ignore_index=True).dropna(subset=["key"])


def _plain(text: pa.Array) -> pa.Array:
    """Lower case, without a space too many."""
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(normalise(text), r"\s+", " "))


def _pairs(values: pd.DataFrame, linked: bool) -> Iterator[tuple[str, str]]:
    """A chain through the records of each key, from one side to the other where there are two."""
    sizes = values.groupby("key")["id"].transform("size")
    crowded = values.loc[sizes > CROWD, "key"].nunique()
    if crowded:
        log.info("%d keys are shared by more than %d records each and name no one thing: left out", crowded, CROWD)
    for _, group in values[(sizes > 1) & (sizes <= CROWD)].groupby("key", sort=True):
        if linked:
            left, right = (group.loc[group["side"] == side, "id"].tolist() for side in (0, 1))
            yield from ((one, other) for one, other in zip(left, right, strict=False))
        else:
            yield from pairwise(sorted(group["id"]))
