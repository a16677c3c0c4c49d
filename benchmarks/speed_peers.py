"""Others' ways from ``records.parquet`` to pairs, each as its users would write it; imported only where it is run.

A peer's setting is chosen on the small labelled corpus, whose whole truth it is shown: of those within 0.002 of the best F1, the one with
the fewest candidates. The corpus that is measured is never looked at.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from speed_process import Cost
from speed_truth import Truth

SKETCH = 128  # hash functions of a MinHash
BLOCK = 10_000  # records whose candidates are held at once
SLACK = 0.002  # of F1, given away for fewer candidates
Setting = dict[str, Any]
Folder = str  # of records.parquet and true_pairs.parquet


@dataclass(frozen=True)
class Found:
    """Candidates: rows of the records file, and how alike they are; pairs as alike as the setting's ``limit`` are flagged."""

    left: np.ndarray
    right: np.ndarray
    score: np.ndarray

    def flagged(self, limit: float) -> tuple[np.ndarray, np.ndarray]:
        chosen = self.score >= limit
        return self.left[chosen], self.right[chosen]


@dataclass(frozen=True)
class Peer:
    """A package, how it finds pairs with a setting, and the settings to choose from.

    Attributes:
        package: that it takes.
        find: candidates in a records file.
        settings: to choose from, made from the folder and the name of the small corpus; the limit is chosen for each, unless it has one.
        imports: modules whose import is not measured.
    """

    package: str
    find: Callable[[Path, Setting], Found]
    settings: Callable[[Path, str], Iterable[Setting]]
    imports: tuple[str, ...]


def choose(peer: str, corpus: str, folder: Folder) -> Setting:
    """The setting with the best F1 on a corpus, or nearly so with fewer candidates."""
    if find_spec(PEERS[peer].package) is None:
        sys.exit(f"skipped: {PEERS[peer].package} is not installed")
    truth, tried = Truth.read(Path(folder)), []
    for setting in PEERS[peer].settings(Path(folder), corpus):
        found = PEERS[peer].find(Path(folder) / "records.parquet", setting)
        limit, f1 = (
            (setting["limit"], truth.scores(found.left, found.right)["f1"])
            if "limit" in setting
            else truth.best_limit(found)
        )
        tried.append((f1, len(found.left), {**setting, "limit": limit}))
    if not tried:
        sys.exit("skipped: no settings were written for this corpus")
    best = max(f1 for f1, _, _ in tried)
    f1, _, setting = min((each for each in tried if each[0] >= best - SLACK), key=lambda each: each[1])
    return {**setting, "f1_where_chosen": f1}


def measure(peer: str, folder: Folder, setting: Setting) -> dict[str, Any]:
    """Seconds, CPU seconds and peak memory from the records file to flagged pairs, and how right they are."""
    for module in PEERS[peer].imports:
        import_module(module)
    with Cost() as cost:
        found = PEERS[peer].find(Path(folder) / "records.parquet", setting)
        left, right = found.flagged(setting["limit"])
    return {**cost.figures, "candidates": len(found.left), **Truth.read(Path(folder)).scores(left, right)}


def texts(records: Path) -> list[str]:
    """Each record as one line of lower case."""
    table = pq.read_table(records)
    fields = [pc.cast(table[name].combine_chunks(), pa.string()) for name in table.column_names if name != "record_id"]
    return pc.utf8_lower(pc.binary_join_element_wise(*fields, " ", null_handling="skip")).to_pylist()


def shingles(records: Path, length: int) -> list[set[str]]:
    """Each record's character n-grams."""
    return [{text[i : i + length] for i in range(max(len(text) - length + 1, 1))} for text in texts(records)]


def grid(**choices: list[Any]) -> Callable[[Path, str], Iterable[Setting]]:
    return lambda _folder, _corpus: [dict(zip(choices, each, strict=True)) for each in product(*choices.values())]


def rensa(records: Path, setting: Setting) -> Found:
    """Candidates of a block of records at a time; those below a limit that is known are dropped at once, or a million fill the memory."""
    from rensa import RMinHash, RMinHashLSH

    sketches = RMinHash.from_token_sets(shingles(records, setting["shingle"]), SKETCH, 42)
    index = RMinHashLSH(
        threshold=0.5, num_perm=SKETCH, num_bands=setting["bands"]
    )  # the threshold is for is_similar alone
    index.insert_many(sketches)
    parts = []
    for start in range(0, len(sketches), BLOCK):
        left, right = _once(index.query_all(sketches[start : start + BLOCK]), start)
        alike = (sketches[a].jaccard(sketches[b]) for a, b in zip(left.tolist(), right.tolist(), strict=True))
        score = np.fromiter(alike, float, len(left))
        kept = score >= setting.get("limit", 0)
        parts.append((left[kept], right[kept], score[kept]))
    return Found(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def datasketch(records: Path, setting: Setting) -> Found:
    from datasketch import MinHash, MinHashLSH

    lists = ([one.encode() for one in some] for some in shingles(records, setting["shingle"]))
    sketches = MinHash.bulk(lists, num_perm=SKETCH)
    index = MinHashLSH(threshold=setting["threshold"], num_perm=SKETCH)
    with index.insertion_session() as session:
        for row, sketch in enumerate(sketches):
            session.insert(row, sketch)
    left, right = _once(index.query(sketch) for sketch in sketches)
    values = np.stack([sketch.hashvalues for sketch in sketches])
    parts = np.array_split(np.arange(len(left)), len(left) // 100_000 + 1)
    alike = [(values[left[part]] == values[right[part]]).mean(axis=1) for part in parts]
    return Found(left, right, np.concatenate(alike))


def semhash(records: Path, setting: Setting) -> Found:
    """Its encoder is the hashing trick on n-grams, for the package's own has to be downloaded. A group's records are all pairs."""
    from semhash import SemHash

    said = [{"text": text, "row": row} for row, text in enumerate(texts(records))]
    found = SemHash.from_records(said, columns=["text"], model=HashedEncoder()).self_deduplicate(setting["limit"])
    ties = np.array([(each.record["row"], each.duplicate_of["row"]) for each in found.filtered]).reshape(-1, 2)
    left, right = pairs_of_groups(ties, len(said))
    return Found(left, right, np.full(len(left), setting["limit"]))


class HashedEncoder:
    """Character n-grams of words, hashed and projected to 256 numbers."""

    def __init__(self) -> None:
        from sklearn.feature_extraction.text import HashingVectorizer

        self.hashing = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), n_features=2**18, alternate_sign=False)
        signs = np.random.default_rng(0).integers(2, size=(2**18, 256), dtype=np.int8)
        self.projection = (signs * 2 - 1).astype(np.float32) / 16

    def encode(self, inputs: Any, **_: Any) -> np.ndarray:
        said = list(inputs)
        parts = [self.hashing.transform(said[start : start + 8192]) for start in range(0, len(said), 8192)]
        return np.concatenate([part.astype(np.float32) @ self.projection for part in parts])


def goldenmatch(records: Path, setting: Setting) -> Found:
    """As it configures itself, or fuzzy on every field with blocking of its choice; a cluster's records are all pairs."""
    import goldenmatch as gm

    table = pq.read_table(records).drop_columns("record_id")
    fuzzy = {"fuzzy": dict.fromkeys(table.column_names, 1.0), "threshold": setting["limit"]} if setting["fuzzy"] else {}
    result = gm.dedupe_df(table, confidence_required=False, **fuzzy)
    groups = [cluster["members"] for cluster in result.clusters.values()]
    ties = np.array([(group[0], other) for group in groups for other in group[1:]]).reshape(-1, 2)
    left, right = pairs_of_groups(ties, table.num_rows)
    return Found(left, right, np.full(len(left), setting["limit"]))


def splink(records: Path, setting: Setting) -> Found:
    import speed_splink

    return Found(*speed_splink.predict(records, setting))


def goldenmatch_settings(_folder: Path, _corpus: str) -> Iterable[Setting]:
    return [{"fuzzy": False, "limit": 0.0}, *({"fuzzy": True, "limit": limit} for limit in (0.75, 0.8, 0.85, 0.9))]


def splink_settings(folder: Path, corpus: str, rules: str = "") -> Iterable[Setting]:
    import speed_splink

    if corpus + rules in speed_splink.RECIPES:
        yield speed_splink.train(folder, corpus + rules)


def _once(found: Iterable[Iterable[int]], first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pairs from the neighbours of each record, of those from the first one on, left < right."""
    pairs = [(row, other) for row, near in enumerate(found, first) for other in near if row < other]
    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    return left, right


def pairs_of_groups(ties: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of rows that ties bind, directly or not."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    group = connected_components(coo_array((np.ones(len(ties)), tuple(ties.T)), shape=(n, n)), directed=False)[1]
    order = np.argsort(group, kind="stable")
    ranked, parts = group[order], []
    for lag in range(1, n):
        start = np.flatnonzero(ranked[lag:] == ranked[:-lag])
        if len(start) == 0:
            break
        parts.append(np.column_stack([order[start], order[start + lag]]))
    left, right = np.concatenate([np.empty((0, 2), np.int64), *parts]).T
    return left, right


PEERS = {
    "Splink": Peer("splink", splink, splink_settings, ("splink", "speed_splink")),
    "Splink (tight)": Peer("splink", splink, partial(splink_settings, rules=", tight"), ("splink", "speed_splink")),
    "rensa": Peer("rensa", rensa, grid(shingle=[3, 4], bands=[16, 32]), ("rensa",)),
    "datasketch": Peer("datasketch", datasketch, grid(shingle=[3, 4], threshold=[0.4, 0.5, 0.6]), ("datasketch",)),
    "SemHash": Peer(
        "semhash",
        semhash,
        grid(limit=[0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9]),
        ("semhash", "sklearn.feature_extraction.text"),
    ),
    "goldenmatch": Peer("goldenmatch", goldenmatch, goldenmatch_settings, ("goldenmatch",)),
}
