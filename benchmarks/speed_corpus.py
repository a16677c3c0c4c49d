"""The two corpora of ``speed.py``, each made from a seed a whole column at a time, with the full truth, and small ones to learn from.

- *easy*: short strings of people and products, one in ten of them a copy with slips of the keyboard. Text likeness alone finds them.
- *hard*: the project's own synthetic corpus. Three entities in ten are near-misses of another, told apart by one number, code or word, and
  copies change formats, order, alphabet and what is left out.

What is learned, is learned from a corpus of another seed: no record that is measured is labelled.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.synthetic import SyntheticCorpus, make_corpus

COPIES = 0.1  # of the easy corpus
LABELLED_RECORDS, LABELLED_PAIRS = 5_000, 7_000  # so many that every true pair is labelled
LABELLED_SEED = 1_000  # added to that of the corpus to be measured
SPLITS = {"train": 0.6, "valid": 0.2, "test": 0.2}


def _listed(text: str) -> np.ndarray:
    """The words of a text; an underscore stands for nothing."""
    return np.array(["" if word == "_" else word for word in text.split(" ")], object)


ONSETS = _listed("b br c ch cr d dr f fl g gl gr h j k kl l m n p pr r s sh st t th tr v w z")
VOWELS = _listed("a e i o u ai au ea ia io ou")
CODAS = _listed("_ _ _ n r l s t m nd rk st ck x")
ROADS = _listed("street avenue road lane drive court square way")
NOUNS = _listed(
    "drill kettle lamp router camera speaker keyboard monitor blender toaster tablet phone watch desk chair shelf sander heater "
    "printer scanner radio mixer grill fan vacuum charger headset mouse projector backpack"
)
COLOURS = _listed("black white silver blue red green grey gold")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def easy(n: int, seed: int, n_pairs: int = 0) -> SyntheticCorpus:
    """n records, people and products by halves; the copies are of distinct records. Of the labelled pairs a third is genuine."""
    rng = np.random.default_rng(seed)
    copies = int(n * COPIES)
    originals = n - copies
    people, products = _people(rng, originals // 2), _products(rng, originals - originals // 2)
    fields = {name: np.concatenate([people[name], products[name]]) for name in ("name", "details")}
    copied = rng.permutation(originals)[:copies]
    columns = {name: np.concatenate([texts, texts[copied]]) for name, texts in fields.items()}
    _slip(rng, columns, np.arange(originals, n))
    entity = np.concatenate([np.arange(originals), copied])
    order = rng.permutation(n)
    ids = np.array([f"{number:08x}" for number in (rng.permutation(n) * 2654435761 % 2**32).tolist()], object)
    records = pd.DataFrame({"record_id": ids, **{name: texts[order] for name, texts in columns.items()}}, dtype="str")
    place = np.argsort(order)
    true = _named(ids, place[copied], place[originals:])
    return SyntheticCorpus(records, _label(rng, n_pairs, records, entity[order], true), true)


def hard(n: int, seed: int, n_pairs: int = 0) -> SyntheticCorpus:
    return make_corpus(n, seed=seed, n_pairs=n_pairs)


MAKERS = {"easy": easy, "hard": hard}


def write(folder: str, corpus: str, n: int, seed: int) -> str:
    """The folder of a corpus to be measured: ``records.parquet`` and ``true_pairs.parquet``, made unless they are there."""
    return _written(Path(folder) / f"{corpus}-{n}-{seed}", lambda: MAKERS[corpus](n, seed))


def write_labelled(folder: str, corpus: str, seed: int) -> str:
    """The folder of the small corpus to learn from, with ``pairs.parquet``: every true pair, and imposites."""
    here = Path(folder) / f"{corpus}-labelled-{seed}"
    return _written(here, lambda: MAKERS[corpus](LABELLED_RECORDS, seed + LABELLED_SEED, LABELLED_PAIRS))


def _written(folder: Path, make: Callable[[], SyntheticCorpus]) -> str:
    if not (folder / "true_pairs.parquet").is_file():  # the last one to be written
        make().save(folder)
    return str(folder)


def _words(rng: np.random.Generator, count: int, syllables: int) -> np.ndarray:
    """Distinct invented words, about so many of them."""
    made = np.full(count, "", object)
    for _ in range(syllables):
        for part in (ONSETS, VOWELS, CODAS):
            made += rng.choice(part, count)
    return rng.permutation(np.unique(made.astype(str))).astype(object)


def _skewed(rng: np.random.Generator, words: np.ndarray, n: int) -> np.ndarray:
    """Drawn so that the early words are more frequent, as names are."""
    return words[(len(words) * rng.random(n) ** 1.5).astype(int)]


def _numbers(rng: np.random.Generator, low: int, high: int, n: int) -> np.ndarray:
    return np.arange(low, high).astype(str).astype(object)[rng.integers(high - low, size=n)]


def _people(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    given, surname = _skewed(rng, _words(rng, 1_500, 2), n), _skewed(rng, _words(rng, 30_000, 2), n)
    street, city = _skewed(rng, _words(rng, 5_000, 2), n), _skewed(rng, _words(rng, 600, 3), n)
    house = _numbers(rng, 1, 400, n)
    return {
        "name": given + " " + surname,
        "details": house + " " + street + " " + ROADS[rng.integers(len(ROADS), size=n)] + " " + city,
    }


def _products(rng: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    brand, line = _skewed(rng, _words(rng, 2_000, 2), n), _skewed(rng, _words(rng, 8_000, 2), n)
    letters = np.array([a + b for a in LETTERS for b in LETTERS], object)
    code = letters[rng.integers(len(letters), size=n)] + _numbers(rng, 1_000, 10_000, n)
    return {
        "name": brand + " " + line + " " + NOUNS[rng.integers(len(NOUNS), size=n)],
        "details": code + " " + COLOURS[rng.integers(len(COLOURS), size=n)] + " " + _numbers(rng, 5, 200, n) + " cm",
    }


def _slip(rng: np.random.Generator, columns: dict[str, np.ndarray], rows: np.ndarray) -> None:
    """One to five slips in each of these records, each in a field drawn by its length."""
    names = list(columns)
    for row in rows.tolist():
        for place, kind, letter in zip(*rng.random((3, 1 + int(rng.integers(5)))).tolist(), strict=True):
            sizes = [len(columns[name][row]) for name in names]
            at = int(place * sum(sizes))
            name = names[at >= sizes[0]]
            columns[name][row] = _slipped(columns[name][row], at - sizes[0] * (at >= sizes[0]), kind, letter)


def _slipped(text: str, at: int, kind: float, letter: float) -> str:
    """A letter swapped, dropped, doubled or replaced; now and then a word dropped, or moved to the end."""
    if kind < 0.92 or " " not in text:
        other = LETTERS[int(letter * len(LETTERS))]
        changed = (
            text[at : at + 2][::-1],
            text[at + 1 : at + 2],
            text[at] * 2 + text[at + 1 : at + 2],
            other + text[at + 1 : at + 2],
        )
        return text[:at] + changed[int(kind * 100) % 4] + text[at + 2 :]
    words = text.split(" ")
    word = words.pop(int(letter * len(words)))
    return " ".join(words if kind < 0.95 else [*words, word])


def _named(ids: np.ndarray, left: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    """Pairs by record id, the lesser one first."""
    one, other = ids[left], ids[right]
    pairs = pd.DataFrame({"left_id": np.minimum(one, other), "right_id": np.maximum(one, other)}, dtype="str")
    return pairs.sort_values(["left_id", "right_id"], ignore_index=True)


def _label(
    rng: np.random.Generator, n_pairs: int, records: pd.DataFrame, entity: np.ndarray, true: pd.DataFrame
) -> pd.DataFrame:
    """True pairs, and imposites of two kinds: neighbours when sorted by a field, and any two. No entity is in two splits."""
    ids = records["record_id"].to_numpy(object)
    split = rng.choice(len(SPLITS), p=list(SPLITS.values()), size=entity.max() + 1)[entity]
    orders = [np.lexsort((records[name].to_numpy(str), split)) for name in ("name", "details")]
    orders.append(np.lexsort((rng.random(len(ids)), split)))
    left, right = (np.concatenate([order[part] for order in orders]) for part in (slice(None, -1), slice(1, None)))
    apart = (entity[left] != entity[right]) & (split[left] == split[right])
    genuine = true.iloc[rng.permutation(len(true))[: n_pairs // 3]]
    drawn = rng.permutation(np.flatnonzero(apart))[: n_pairs - len(genuine)]
    pairs = pd.concat([genuine.assign(label=1), _named(ids, left[drawn], right[drawn]).assign(label=0)])
    pairs = pairs.drop_duplicates(["left_id", "right_id"]).reset_index(drop=True)
    split_of = pd.Series(np.array(list(SPLITS), object)[split], ids)
    return pairs.assign(split=split_of.loc[pairs["left_id"]].to_numpy())
