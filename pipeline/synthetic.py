"""The synthetic corpus: invented people and products, with the dirt and the traps of real tables.

One seed gives one corpus. Entities are drawn first, as plain facts. Some three in ten of them are
near-misses of another entity (a son at his father's address, the same phone in another colour),
and each such family has one *tell*: the fact that tells its members apart. Every record is then
written from its entity's facts by an untidy hand that picks formats, shortens, slips and leaves
out, but never hides the tell, so that a careful reader can still decide nearly every pair.

Everything is drawn and written a whole column at a time: a million records take seconds.
"""

# ruff: noqa: RUF001
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

Column: TypeAlias = npt.NDArray[Any]
Facts: TypeAlias = dict[str, Column]
Slip: TypeAlias = Callable[[str, int], str]
Fields: TypeAlias = "dict[str, Field]"

LARGEST_CLUSTER = 6
NEAR_MISS_SHARE = 0.3  # of the entities
EXACT_SHARE = 0.06  # of the further copies: the same content under another id
PAIR_SHARES = {"genuine": 0.34, "near-miss": 0.23, "same block": 0.23, "random": 0.2}
SPLIT_SHARES = {"train": 0.6, "valid": 0.2, "test": 0.2}


@dataclass(frozen=True)
class SyntheticCorpus:
    """Records, the whole truth about them, and labelled pairs to learn and to test with."""

    records: pd.DataFrame  # record_id, then text or missing: PERSON_FIELDS or PRODUCT_FIELDS
    pairs: pd.DataFrame  # left_id < right_id, label (1 genuine, 0 imposite), split
    true_pairs: pd.DataFrame  # left_id < right_id: every pair of records of one entity

    def save(self, folder: str | Path) -> None:
        """Write records.parquet, pairs.parquet and true_pairs.parquet into the folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("records", "pairs", "true_pairs"):
            getattr(self, name).to_parquet(folder / f"{name}.parquet", index=False)


def make_corpus(
    n_records: int = 5_000, *, seed: int = 0, duplicate_share: float = 0.3, n_pairs: int = 2_000
) -> SyntheticCorpus:
    """Invent exactly n_records, of which duplicate_share are further copies of another record.

    About a third of the labelled pairs is genuine. A small corpus may not hold n_pairs of them,
    and then gives what it has.
    """
    if n_records < 1 or n_pairs < 0 or not 0 <= duplicate_share <= 0.8:
        raise ValueError("need n_records >= 1, n_pairs >= 0 and duplicate_share from 0 to 0.8")
    rng = np.random.default_rng(seed)
    n_copies = int(n_records * duplicate_share)
    n_entities = n_records - n_copies
    n_people = (n_entities + 1) // 2

    entity = _share_out(rng, n_entities, n_copies)
    people, products = _people(rng, n_people), _products(rng, n_entities - n_people)
    written = [
        _write(rng, people, entity[entity < n_people], PERSON_FIELDS),
        _write(rng, products, entity[entity >= n_people] - n_people, PRODUCT_FIELDS),
    ]
    truth = pd.DataFrame(
        {
            "entity": entity,
            "family": np.concatenate([people["family"], products["family"] + n_people])[entity],
            "block": np.concatenate([people["block"], products["block"]])[entity],
            "kind": np.where(entity < n_people, "person", "product"),
        }
    )
    order = rng.permutation(n_records)
    truth = truth.iloc[order].reset_index(drop=True)
    records = pd.concat(written, ignore_index=True).iloc[order].reset_index(drop=True)
    record_id = _opaque_ids(rng, n_records)
    records.insert(0, "record_id", pd.Series(record_id, dtype="str"))

    duplicates = _neighbours(truth["entity"], LARGEST_CLUSTER - 1)
    pairs = _named(record_id, _label(rng, n_pairs, duplicates, truth))
    true_pairs = _named(record_id, duplicates).sort_values(["left_id", "right_id"])
    return SyntheticCorpus(records, pairs, true_pairs.reset_index(drop=True))


def _share_out(rng: np.random.Generator, n_entities: int, n_copies: int) -> Column:
    """The entity of each record, sorted; every entity has one record, and few have most copies.

    Each entity has a clock that strikes once for each further copy, some clocks being much faster
    than others. The first n_copies strikes count.
    """
    further = LARGEST_CLUSTER - 1
    speed = rng.gamma(0.8, size=(n_entities, 1)) + 0.01
    strikes = rng.exponential(size=(n_entities, further)).cumsum(axis=1) / speed
    copied = np.argsort(strikes, axis=None, kind="stable")[:n_copies] // further
    return np.sort(np.concatenate([np.arange(n_entities), copied]))


def _opaque_ids(rng: np.random.Generator, n: int) -> Column:
    """Distinct ids of eight hexadecimal digits, in an order that says nothing."""
    scattered = (rng.permutation(n) + rng.integers(2**31)) * 2654435761 % 2**32
    return _texts(f"{number:08x}" for number in scattered.tolist())


# --- Pairs ------------------------------------------------------------------------------------


def _neighbours(key: pd.Series, reach: int) -> pd.DataFrame:
    """Pairs of positions that share a key and lie at most `reach` apart once sorted by it."""
    code = pd.factorize(key)[0]
    order = np.argsort(code, kind="stable")
    ranked = code[order]
    near = []
    for lag in range(1, reach + 1):
        start = np.flatnonzero(ranked[lag:] == ranked[:-lag])
        near.append(pd.DataFrame({"left": order[start], "right": order[start + lag]}))
    return pd.concat(near, ignore_index=True)


def _label(rng: np.random.Generator, n_pairs: int, duplicates: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Draw the labelled pairs. A family goes to one split whole, and no pair crosses a split."""
    names, shares = list(SPLIT_SHARES), list(SPLIT_SHARES.values())
    family_split = rng.choice(names, p=shares, size=truth["family"].max() + 1)
    split = pd.Series(family_split[truth["family"]], dtype="str")

    def draw(source: str, pairs: pd.DataFrame, *differing: str) -> pd.DataFrame:
        keep = np.full(len(pairs), True)
        for column in differing:
            values = truth[column].to_numpy()
            keep &= values[pairs["left"]] != values[pairs["right"]]
        chosen = rng.permutation(np.flatnonzero(keep))[: int(n_pairs * PAIR_SHARES[source])]
        return pairs.iloc[chosen].assign(label=int(source == "genuine"))

    pairs = pd.concat(
        [
            draw("genuine", duplicates),
            draw("near-miss", _neighbours(truth["family"], LARGEST_CLUSTER), "entity"),
            draw("same block", _neighbours(truth["block"] + split, 3), "family"),
            draw("random", _neighbours(truth["kind"] + split, 1), "family", "block"),
        ]
    )
    pairs = pairs.iloc[rng.permutation(len(pairs))].reset_index(drop=True)
    return pairs.assign(split=split[pairs["left"]].array)


def _named(record_id: Column, pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs by record id instead of by position, the smaller id first."""
    left, right = record_id[pairs["left"]], record_id[pairs["right"]]
    ids = {"left_id": np.minimum(left, right), "right_id": np.maximum(left, right)}
    return pd.concat([pd.DataFrame(ids, pairs.index, dtype="str"), pairs.drop(columns=["left", "right"])], axis=1)


# --- Facts ------------------------------------------------------------------------------------

RELATIVE, NAMESAKE, JUNIOR, TWIN = range(4)  # the tells of people
MODEL, MEASURE, VARIANT, SUCCESSOR = range(4)  # the tells of products


class _Families:
    """Who is a near-miss of whom: its founder, its rank after it, and the tell of the family."""

    def __init__(self, rng: np.random.Generator, n: int) -> None:
        n_near = int(n * NEAR_MISS_SHARE)
        n_founders = -(-2 * n_near // 3)
        near = np.arange(n_near)
        self.founder, self.rank = np.arange(n), np.zeros(n, int)
        self.founder[n - n_near :] = near % max(n_founders, 1)
        self.rank[n - n_near :] = 1 + near // max(n_founders, 1)
        drawn = rng.integers(4, size=n)[self.founder]
        self.tell = np.where(self.founder < n_founders, drawn, -1)

    def told_by(self, *tells: int) -> Column:
        return np.isin(self.tell, tells)

    def inherit(self, own: Column, *unless: int) -> Column:
        """The founder's fact, or one's own in the families that such a fact tells apart."""
        return np.asarray(np.where(self.told_by(*unless), own, own[self.founder]))

    def step(self, own: Column, *when: int) -> Column:
        """The founder's number, moved on by one's rank in the families that it tells apart."""
        return np.asarray(own[self.founder] + self.rank * self.told_by(*when))


def _people(rng: np.random.Generator, n: int) -> Facts:
    kin = _Families(rng, n)
    culture = kin.inherit(rng.integers(len(GIVEN), size=n))
    given = GIVEN[culture, kin.step(rng.integers(16, size=n), RELATIVE, TWIN) * 5 % 16]
    told_by_given = kin.told_by(RELATIVE, TWIN)
    surname, second = (STEMS[culture, _skewed(rng, 12, n)] + ENDINGS[culture, _skewed(rng, 8, n)] for _ in "12")
    surname = kin.inherit(np.where(rng.random(n) < 0.12, surname + "-" + second, surname))
    road = _draw(rng, STREET_STARTS, n) + _draw(rng, STREET_ENDINGS, n)
    road = _texts(map(str.format, _draw(rng, STREET_KINDS, n), road))
    year = kin.inherit(rng.integers(76, size=n), NAMESAKE)
    year = 1930 + (year + 27 * kin.step(np.zeros(n, int), RELATIVE, JUNIOR)) % 76
    month, day = (kin.inherit(rng.integers(1, end, size=n), RELATIVE, JUNIOR, NAMESAKE) for end in (13, 29))
    letters = {"first": _texts(map(_letters, given)), "last": _texts(map(_letters, surname))}
    letters["initial"] = _texts(name[0] for name in letters["first"])
    email, other_email = (
        _fill(
            rng,
            EMAIL_FORMS,
            letters | {"number": _draw(rng, TWO_DIGITS, n), "domain": _draw(rng, DOMAINS, n)},
        )
        for _ in "12"
    )
    return {
        "family": kin.founder,
        "block": surname,
        "tell": np.where(kin.told_by(RELATIVE, JUNIOR, NAMESAKE), "birth_date", ""),
        "given": given,
        "nickname": _texts(NICKNAMES.get(name, name) for name in given),
        "initial": np.where(told_by_given, given, _texts(name[0] + "." for name in given)),
        "middle": kin.inherit(_draw(rng, INITIALS, n), RELATIVE, TWIN),
        "surname": surname,
        "house": kin.inherit(_draw(rng, HOUSE_NUMBERS, n, 1.6), NAMESAKE),
        "road": kin.inherit(road, NAMESAKE),
        "city": kin.inherit(_draw(rng, CITIES, n, 1.6), NAMESAKE),
        "area": kin.inherit(_draw(rng, AREA_CODES, n), NAMESAKE),
        "line": kin.inherit("01" + _draw(rng, TWO_DIGITS, n), NAMESAKE),
        "email": email,
        "other_email": other_email,
        "year": _texts(map(str, year.tolist())),
        "month": TWO_DIGITS[month],
        "month_name": MONTHS[month],
        "day": TWO_DIGITS[day],
    }


def _letters(name: str) -> str:
    return re.sub("[^a-z]", "", _plain(name).lower())


def _products(rng: np.random.Generator, n: int) -> Facts:
    kin = _Families(rng, n)
    category = kin.inherit(rng.integers(len(NOUNS), size=n))

    def one_of(words: Column, *tells: int) -> Column:
        size = words.shape[1]
        return np.asarray(words[category, kin.step(rng.integers(size, size=n), *tells) % size])

    brand = kin.inherit(_draw(rng, BRAND_STARTS, n, 1.6) + _draw(rng, BRAND_ENDINGS, n, 1.6))
    line = kin.inherit(_draw(rng, LINE_STARTS, n) + _draw(rng, LINE_ENDINGS, n))
    noun = one_of(NOUNS)
    measure = one_of(MEASURES, MEASURE)
    hop = kin.inherit(rng.choice([1, 2, 5, 10, 50, 100, 110], n))
    number = kin.inherit(rng.integers(1000, 9500, size=n))
    number = number + hop * kin.step(np.zeros(n, int), MODEL, SUCCESSOR)
    amount = np.ceil(USUAL_PRICES[category] * np.exp(rng.normal(0, 0.5, n))) - 0.01
    amount = kin.inherit(amount)
    sale = np.ceil(amount * rng.uniform(0.88, 1.05, n)) - 0.05
    return {
        "family": kin.founder,
        "block": brand + " " + noun,
        "tell": np.where(kin.told_by(MODEL), "model", ""),
        "brand": brand,
        "line": line + SUCCESSORS[kin.step(np.zeros(n, int), SUCCESSOR)],
        "noun": noun,
        "thing": _texts(map(str.lower, noun)),
        "letters": _texts(b[0] + n[0] for b, n in zip(brand, noun, strict=True)),
        "number": _texts(map(str, number.tolist())),
        "measure": measure,
        "close_measure": _texts(re.sub(r"(?<=\d) (?=\w{1,2}$)", "", text) for text in measure),
        "variant": one_of(VARIANTS, VARIANT),
        "adjective": one_of(ADJECTIVES),
        "feature": one_of(FEATURES),
        "extra": one_of(EXTRAS),
        "amount": _texts(f"{value:.2f}" for value in amount.tolist()),
        "comma_amount": _texts(f"{value:.2f}".replace(".", ",") for value in amount.tolist()),
        "sale": _texts(f"{value:.2f}" for value in sale.tolist()),
    }


# --- Writing ----------------------------------------------------------------------------------


def _write(rng: np.random.Generator, facts: Facts, entity: Column, fields: Fields) -> pd.DataFrame:
    """One record for each mention of an entity, each by a hand in more or less haste."""
    told = {fact: values[entity] for fact, values in facts.items()}
    n = len(entity)
    haste = rng.uniform(0, 2, n)
    written: Facts = {}
    for name, field in fields.items():
        column = _fill(rng, field.forms, told)
        for share, slips in field.slips:
            _spoil(rng, column, np.flatnonzero(rng.random(n) < share * haste), slips)
        written[name] = column
    for name, field in fields.items():
        written[name][(rng.random(n) < field.left_out * haste) & (told["tell"] != name)] = None
    for one, other in MIXED_UP:
        if one in fields:
            mixed_up = rng.random(n) < 0.02 * haste
            texts, others = written[one], written[other]
            written[one] = np.where(mixed_up, others, texts)
            written[other] = np.where(mixed_up, texts, others)
    exact = rng.random(n) < EXACT_SHARE
    source = np.where(exact, np.searchsorted(entity, entity), np.arange(n))
    return pd.DataFrame({name: texts[source] for name, texts in written.items()}, dtype="str")


def _fill(rng: np.random.Generator, forms: str, facts: Facts) -> Column:
    """Fill each record's facts into one of the forms; the first form is the most usual."""
    n = len(next(iter(facts.values())))
    filled = np.full(n, "", dtype=object)
    usual_first = forms.split("|")
    choice = _skewed(rng, len(usual_first), n)
    for number, form in enumerate(usual_first):
        rows = np.flatnonzero(choice == number)
        for literal, fact in re.findall(r"([^{]*)(?:{(\w+)})?", form):
            filled[rows] += literal + facts[fact][rows] if fact else literal
    return filled


def _spoil(rng: np.random.Generator, column: Column, rows: Column, slips: Sequence[Slip]) -> None:
    kinds = rng.integers(len(slips), size=len(rows)).tolist()
    draws = rng.integers(2**31, size=len(rows)).tolist()
    for row, kind, draw in zip(rows.tolist(), kinds, draws, strict=True):
        column[row] = slips[kind](column[row], draw)


# --- Slips: each takes a text and a number that decides where it strikes -------------------------

_LONG_WORD = re.compile(r"[^\W\d_]{4,}")
_KEY_BESIDE = str.maketrans("qwertyuiopasdfghjklzxcvbnm", "wertyuioposdfghjklkxcvbnmn")


def _mistype(text: str, draw: int) -> str:
    """Swap, drop, double or replace a letter inside a word; short words and numbers are safe."""
    words = list(_LONG_WORD.finditer(text))
    if not words:
        return text
    word = words[draw % len(words)]
    at = word.start() + 1 + draw // 7 % (len(word[0]) - 2)
    before, a, b, after = text[:at], text[at], text[at + 1], text[at + 2 :]
    return before + (b + a, b, a + a + b, a.translate(_KEY_BESIDE) + b)[draw // 1001 % 4] + after


def _misread(text: str, draw: int) -> str:
    """Take a character for another that looks like it, as text recognition does."""
    found = [(seen, read) for seen, read in _LOOKALIKES.items() if seen in text[1:]]
    if not found:
        return text
    seen, read = found[draw % len(found)]
    return text[0] + text[1:].replace(seen, read, 1)


def _plain(text: str, draw: int = 0) -> str:
    """Lose the accents, and romanise what is not Latin."""
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(c for c in decomposed if not unicodedata.combining(c)).translate(_ROMANISED)


def _recase(text: str, draw: int) -> str:
    return text.upper() if draw % 2 else text.lower()


def _repunctuate(text: str, draw: int) -> str:
    """Lose the punctuation, or put a comma or a full stop after a word."""
    if draw % 2:
        return re.sub(r"[.,;'()/-]+", " ", text).strip()
    return text.replace(" ", ", " if draw % 4 else ". ", 1)


def _respace(text: str, draw: int) -> str:
    return (text.replace(" ", "  "), " " + text, text + "  ", text.replace(" ", "", 1))[draw % 4]


def _move_word(text: str, draw: int) -> str:
    words = text.split(" ")
    words.append(words.pop(draw % len(words)))
    return " ".join(words)


def _abbreviate(text: str, draw: int) -> str:
    return " ".join(ABBREVIATIONS.get(word, word) for word in text.split(" "))


def _misdial(text: str, draw: int) -> str:
    return text[:-2] + text[-1] + text[-2]


WORD_SLIPS = [_mistype, _mistype, _misread, _plain, _recase, _repunctuate, _respace]


# --- Fields -----------------------------------------------------------------------------------


class Field(NamedTuple):
    """A column of the table: how it may be written, spoilt and missing."""

    forms: str
    left_out: float
    slips: Sequence[tuple[float, Sequence[Slip]]] = ()


EMAIL_FORMS = "{first}.{last}@{domain}|{initial}{last}{number}@{domain}|{last}{number}@{domain}"
PERSON_FIELDS: Fields = {
    "name": Field(
        "{given} {surname}|{given} {surname}|{surname}, {given}|{given} {middle}. {surname}|"
        "{nickname} {surname}|{initial} {surname}|{surname} {given}",
        0.0,
        [(0.15, [_plain]), (0.35, WORD_SLIPS)],
    ),
    "street": Field(
        "{house} {road}|{house} {road}|{road} {house}|{house}, {road}",
        0.12,
        [(0.35, [_abbreviate]), (0.25, [*WORD_SLIPS, _move_word])],
    ),
    "city": Field("{city}", 0.08, [(0.2, [_mistype, _plain, _recase, _respace])]),
    "phone": Field(
        "({area}) 555-{line}|{area}-555-{line}|{area}.555.{line}|+1 {area} 555 {line}|{area}555{line}",
        0.18,
        [(0.06, [_misdial, _respace])],
    ),
    "email": Field("{email}|{email}|{email}|{email}|{other_email}", 0.25, [(0.08, [_mistype, _recase])]),
    "birth_date": Field(
        "{year}-{month}-{day}|{day}.{month}.{year}|{day} {month_name} {year}|{month_name} {day}, {year}",
        0.2,
    ),
}
PRODUCT_FIELDS: Fields = {
    "title": Field(
        "{brand} {line} {noun} {measure} {variant}|"
        "{line} {noun}, {variant}, {close_measure}|"
        "{brand} {line} {letters}-{number} {noun} ({variant}, {measure})|"
        "{noun} {brand} {line} - {close_measure} / {variant}|"
        "{variant} {noun} {line} {measure} by {brand}",
        0.0,
        [(0.3, [_abbreviate, _move_word]), (0.4, WORD_SLIPS)],
    ),
    "brand": Field("{brand}", 0.2, [(0.15, WORD_SLIPS)]),
    "model": Field(
        "{letters}-{number}|{letters}-{number}|{letters}{number}|{letters} {number}|{number}{letters}",
        0.25,
    ),
    "price": Field("{amount}|${amount}|{amount} USD|{sale}|{comma_amount}", 0.15),
    "description": Field(
        "{adjective} {thing} with {feature} and {extra}|"
        "{adjective} {thing} in {variant}, {feature}, {extra}|"
        "{feature}; {extra}; {measure}|"
        "{adjective} {variant} {thing}, {close_measure}, {extra}",
        0.2,
        [(0.3, [*WORD_SLIPS, _abbreviate])],
    ),
}
MIXED_UP = [("street", "city"), ("brand", "model"), ("title", "description")]


# --- Words ------------------------------------------------------------------------------------


def _texts(texts: Iterable[str]) -> Column:
    return np.array(list(texts), dtype=object)


def _words(text: str) -> Column:
    """The words of a text; an underscore stands for a space, or alone for nothing."""
    return _texts("" if word == "_" else word.replace("_", " ") for word in text.split(" "))


def _mapping(text: str) -> dict[str, str]:
    return {one: other for one, _, other in (pair.partition(":") for pair in text.split(" "))}


def _table(*rows: str) -> Column:
    """One row of words for each culture or category, all rows of one length."""
    return np.array([row.split(" ") for row in rows], dtype=object)


def _phrases(*rows: str) -> Column:
    return np.array([row.split("|") for row in rows], dtype=object)


def _draw(rng: np.random.Generator, words: Column, n: int, skew: float = 1.0) -> Column:
    """Words drawn at random; with a skew above 1, the early ones more often."""
    return np.asarray(words[_skewed(rng, len(words), n, skew)])


def _skewed(rng: np.random.Generator, size: int, n: int, skew: float = 1.6) -> Column:
    return np.asarray((size * rng.random(n) ** skew).astype(int))


GIVEN = _table(
    "James Mary Robert Patricia John Jennifer William Elizabeth Michael Linda Thomas Susan "
    "Charles Margaret Daniel Katherine",
    "Edward Deborah Anthony Rebecca Samuel Christine Benjamin Victoria Andrew Abigail Matthew "
    "Judith Steven Pamela Timothy Alexandra",
    "Jürgen Käthe Günther Ursula Matthias Heike Wolfgang Bärbel Stefan Anneliese Jörg Sabine "
    "Friedrich Dörte Andreas Monika",
    "Björn Åsa Søren Märta Håkan Ingrid Jørgen Astrid Gösta Kerstin Øyvind Sigrid Pål Hedda Torbjörn Frøya",
    "François Hélène Benoît Chloé Gérard Zoé Étienne Aurélie Jérôme Noémie Rémi Maëlle Frédéric Anaïs Loïc Geneviève",
    "José María Andrés Inês Joaquín Lucía Sebastião Verónica Raúl Conceição Tomás Núria Iñaki Belén João Mónica",
    "Łukasz Małgorzata Paweł Bożena Grzegorz Agnieszka Michał Żaneta Wojciech Katarzyna "
    "Stanisław Róża Krzysztof Zofia Błażej Jadwiga",
    "Jiří Zdeňka Ondřej Růžena Tomáš Věra László Erzsébet Győző Ágnes István Tünde Šimon Žofie Dušan Alžběta",
    "Çağlar Ayşe Oğuz Gülşen İbrahim Şule Özgür Zeynep Kağan Nurgül Barış Tuğba Emre Işıl Süleyman Defne",
    "Omar Fatima Yusuf Layla Khalid Amina Hassan Zainab Tariq Samira Idris Noor Bilal Salma Rashid Huda",
    "Arjun Priya Vikram Lakshmi Rajesh Ananya Sanjay Kavita Deepak Sunita Harish Meena Rohan Divya Naveen Usha",
    "Kenji Yūko Takeshi Haruka Shōta Akemi Ryō Midori Wei Xiùyīng Jian Lìhuá Minh Thảo Tuấn Hương",
    "Иван Ольга Пётр Наталья Дмитрий Елена Сергей Юлия Алексей Марина Николай Жанна Фёдор Анна Виктор Екатерина",
    "Γιώργος Ελένη Νίκος Κατερίνα Δημήτρης Σοφία Κώστας Μαρία Παναγιώτης Ζωή Θανάσης Χριστίνα "
    "Άγγελος Ξένια Πέτρος Ιωάννα",
)
STEMS = _table(
    "Ash Brad Thorn Fair Hart Lang Whit Dun Stan Rad Mer Wood",
    "O'Don O'Mal O'Sul McCar MacLen FitzGer Gal Con MacPher O'Ken McAl Dor",
    "Baum Eichen König Stein Schön Vogel Zimmer Hoff Löwen Feld Grün Wein",
    "Anders Björk Ek Håkan Lind Nord Sjö Söder Öster Peter Gustaf Hög",
    "Beau Bois Cham Dela Font Gau Lam Mont Prév Rou Théve Vall",
    "Álvar Benav Cabr Domíngu Escal Ferr Herr Izqui Ordóñ Quint Sald Zapat",
    "Kowal Wiśniew Dąbrow Zieliń Szymań Kamiń Jankow Wójc Krawcz Piotrow Głow Święt",
    "Novot Dvořá Svobo Hája Čern Kopeč Nagyv Szabó Kőszeg Horvá Šťast Řezn",
    "Yıl Demir Kaya Şah Kara Gül Çelik Ay Taş Erdo Yüce Doğ",
    "Al-Man Al-Has Ben-Sal El-Kha Abdel Ham Nas Rah Mah Bou Al-Far Zay",
    "Agar Bhatt Chandra Desh Gupta Mukher Nara Pat Rama Venkat Sub Krish",
    "Yama Taka Naka Matsu Kawa Ishi Fuji Mori Hashi Ōta Sugi Kita",
    "Кузнец Соловь Морозенк Жуков Лебед Черныш Щерб Фёдор Яковл Гриш Борис Тимоф",
    "Παπαδ Γεωργ Δημητρ Νικολ Κωνσταντ Αντων Βασιλ Θεοδωρ Χριστ Αλεξ Μιχαλ Σταμ",
)
ENDINGS = _table(
    "ford ley ton well worth field ham by",
    "nell ley livan thy nan ald son ran",
    "mann berg hardt meier stein bach er brück",
    "son ström lund berg gren kvist sen dahl",
    "chêne court ier in rand teau ville el",
    "ez era ero ales ía ón ado eño",
    "ski czyk owicz ewski cki ak ecki iak",
    "ný ák da ček i ek os ský",
    "dız türk can oğlu soy kan men sever",
    "sour san eh lil aoui dani ri mi",
    "wal charya pande jee yan el swamy murthy",
    "moto da mura shita guchi saki no bayashi",
    "ов ев ин енко ский ова ук ич",
    "όπουλος ίδης άκης ιάδης άτος έας ίου ούλης",
)
NICKNAMES = _mapping(
    "James:Jim Robert:Bob Patricia:Pat John:Jack Jennifer:Jenny William:Bill Elizabeth:Liz "
    "Michael:Mike Thomas:Tom Susan:Sue Charles:Chuck Margaret:Peggy Daniel:Dan Katherine:Kate "
    "Edward:Ted Deborah:Debbie Anthony:Tony Rebecca:Becky Samuel:Sam Christine:Chris "
    "Benjamin:Ben Victoria:Vicky Andrew:Andy Abigail:Abby Matthew:Matt Judith:Judy Steven:Steve "
    "Pamela:Pam Timothy:Tim Alexandra:Alex Wolfgang:Wolf Friedrich:Fritz Anneliese:Anne "
    "Andreas:Andi Frédéric:Fred Geneviève:Ginette José:Pepe María:Mari Joaquín:Quino "
    "Małgorzata:Gosia Grzegorz:Grześ Agnieszka:Aga Katarzyna:Kasia Krzysztof:Krzyś "
    "Stanisław:Staszek Jiří:Jirka Erzsébet:Erzsi István:Pista İbrahim:İbo Süleyman:Sülo "
    "Дмитрий:Дима Наталья:Наташа Елена:Лена Алексей:Лёша Екатерина:Катя Παναγιώτης:Πάνος "
    "Κατερίνα:Κατίνα"
)
STREET_STARTS = _words(
    "Birch Maple Cedar Elm Oak Willow Rose Mill Church Station Park Bridge Castle Garden King "
    "Queen Spring Summer Winter River Lake Hill Stone Silver Golden Market Chapel Abbey Linden "
    "Kirsch Mühl Brunn Wald Höhen Vine Harbour Fox Swan Eagle Falcon"
)
STREET_ENDINGS = _words("_ _ wood field brook dale view mead gate crest side bury")
STREET_KINDS = _words(
    "{}_Street {}_Avenue {}_Road {}_Lane {}_Drive {}_Court {}_Boulevard {}_Square {}straße {}weg "
    "Rue_{} Avenue_{} Calle_{} Via_{} ulica_{} Plaza_{}"
)
CITIES = _words(
    "London Berlin Paris Madrid Kraków München Zürich København Göteborg São_Paulo Leeds Bristol "
    "Chicago Boston Springfield Portland Denver Austin Toronto Montréal Québec Lyon Nîmes "
    "Besançon Köln Düsseldorf Nürnberg Würzburg Wien Graz Genève Bruxelles Liège Gent Den_Haag "
    "Utrecht Oslo Tromsø Malmö Århus Helsinki Jyväskylä Łódź Wrocław Gdańsk Poznań Brno Plzeň "
    "České_Budějovice Győr Pécs Szeged Iași Timișoara Zagreb Niš Αθήνα Πάτρα Москва Казань Київ "
    "Одеса İstanbul İzmir Eskişehir Málaga A_Coruña Cádiz León Lisboa Évora Milano Torino Forlì "
    "Palermo Cork Galway New_York Los_Angeles San_José Saint_Paul Bogotá Medellín Córdoba "
    "Santiago Lima Cairo Fès Tunis Lagos Accra Nairobi Mumbai Pune Chennai Jaipur Tōkyō Ōsaka "
    "Sapporo Hà_Nội Đà_Nẵng"
)
DOMAINS = _words("example.com example.org example.net mail.example.com post.example.org")
INITIALS = _texts("ABCDEFGHJKLMNPRSTVW")
HOUSE_NUMBERS = _texts(str(number) for number in range(1, 250))
AREA_CODES = _texts(str(code) for code in range(200, 1000))
TWO_DIGITS = _texts(f"{number:02}" for number in range(100))
MONTHS = _words("_ Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec")

BRAND_STARTS = _words(
    "Vel Nor Zan Kor Lum Tri Ax Bel Cen Dor Fen Gal Hel Ix Jov Kel Mar Nim Or Pel Quo Ras Syl "
    "Tor Ul Vox Wex Xan Yor Zel"
)
BRAND_ENDINGS = _words("tano vex dia mark lux tron ora eon ique star line wick ano isto berg una axo eta mond ivo")
LINE_STARTS = _words(
    "Aero Nova Terra Aqua Lumi Opti Ultra Vita Sono Magna Pixel Stella Hydro Cryo Velo Prima Alto Fusion Orbit Delta"
)
LINE_ENDINGS = _words("X One Max Go Flow Line Core Air Plus Neo Flex Edge Wave Star Zen Lite")
SUCCESSORS = _words("_ _II _III")

# The rows are categories: devices, sound, tools, kitchen, footwear, books, furniture.
NOUNS = _table(
    "Smartphone Tablet Laptop Camera Smartwatch Console Camcorder E-Reader",
    "Speaker Soundbar Boombox Amplifier Subwoofer Turntable Radio Receiver",
    "Drill Jigsaw Sander Grinder Trimmer Screwdriver Chainsaw Blower",
    "Blender Kettle Saucepan Toaster Mixer Juicer Steamer Teapot",
    "Sneakers Boots Sandals Loafers Slippers Clogs Trainers Moccasins",
    "Atlas Cookbook Handbook Dictionary Anthology Guidebook Almanac Yearbook",
    "Bookcase Armchair Desk Sideboard Wardrobe Nightstand Bench Dresser",
)
USUAL_PRICES = np.array([600, 120, 90, 45, 70, 25, 220])
MEASURES = _phrases(
    "32 GB|64 GB|128 GB|256 GB|512 GB|1 TB",
    "20 W|30 W|60 W|80 W|120 W|250 W",
    "10.8 V|12 V|14.4 V|18 V|24 V|36 V",
    "0.5 L|1 L|1.5 L|1.7 L|2.2 L|3 L",
    "size 37|size 38|size 40|size 41|size 43|size 45",
    "1st edition|2nd edition|3rd edition|4th edition|5th edition|6th edition",
    "60 cm|80 cm|100 cm|120 cm|140 cm|180 cm",
)
VARIANTS = _phrases(
    *["black|white|silver|blue|red|green|gold|graphite"] * 2,
    "yellow|orange|red|green|blue|black|grey|teal",
    "white|steel|copper|red|cream|black|mint|blue",
    "brown|black|white|navy|beige|olive|burgundy|grey",
    "hardcover|paperback|spiral bound|large print|leather bound|pocket size|box set|audio CD",
    "oak|walnut|white|black|beech|pine|cherry|grey",
)
ADJECTIVES = _phrases(
    "slim|powerful|lightweight|rugged|compact|premium",
    "wireless|portable|studio grade|bass heavy|compact|retro",
    "cordless|heavy duty|brushless|compact|professional|variable speed",
    "stainless|quiet|sturdy|dishwasher safe|compact|classic",
    "breathable|waterproof|handmade|lightweight|cushioned|vegan",
    "illustrated|annotated|complete|concise|revised|practical",
    "solid|modern|rustic|space saving|height adjustable|foldable",
)
FEATURES = _phrases(
    "long battery life|fast charging|fingerprint reader|OLED display|metal housing|stereo speakers",
    "noise cancelling|bluetooth 5.0|voice control|gold plated jack|touch keys|multiroom",
    "LED work light|quick-change chuck|soft grip|dust extraction|two speeds|belt clip",
    "glass lid|temperature display|six programmes|non-stick coating|cool-touch handle|timer",
    "memory foam|rubber sole|leather lining|zip closure|arch support|reflective strip",
    "colour plates|foreword|detailed index|fold-out maps|exercises|glossary",
    "soft-close doors|hidden storage|metal legs|adjustable shelves|oiled surface|cable duct",
)
EXTRAS = _phrases(
    "2 year warranty|USB-C cable included|refurbished|unlocked|dust proof|screen protector",
    "carrying case|20 h battery|remote control|wall mount|spare feet|aux cable",
    "without battery|in carry case|two batteries|with charger|12 piece bit set|side handle",
    "BPA free|recipe book included|removable filter|for induction|easy to clean|gift box",
    "wide fit|narrow fit|extra laces|shoe bag|slip resistant|machine washable",
    "for beginners|for schools|with bookmark|gift wrapped|online access|signed copy",
    "flat packed|ready assembled|10 year guarantee|with cushion|wall fixing included|FSC wood",
)
_LOOKALIKES = _mapping("rn:m m:rn 0:O O:0 1:l l:1 5:S 8:B cl:d vv:w w:vv")
ABBREVIATIONS = _mapping(
    "Street:St. Avenue:Ave Road:Rd. Lane:Ln Drive:Dr. Court:Ct Boulevard:Blvd Square:Sq Rue:R. "
    "Calle:C/ Via:V. ulica:ul. Plaza:Pza. black:blk white:wht silver:slv. blue:blu green:grn "
    "Smartphone:Phone Speaker:Spkr. Screwdriver:Screwdrv. Dictionary:Dict. Handbook:Hdbk "
    "edition:ed. size:sz. hardcover:hc paperback:pb with:w/ and:& by:fr. professional:pro "
    "wireless:WL cordless:cordl. warranty:wty included:incl. lightweight:light compact:comp."
)
_FOREIGN = _mapping(
    "а:a б:b в:v г:g д:d е:e ж:zh з:z и:i к:k л:l м:m н:n о:o п:p р:r с:s т:t у:u ф:f х:kh ц:ts "
    "ч:ch ш:sh щ:shch ы:y ь: э:e ю:yu я:ya α:a β:v γ:g δ:d ε:e ζ:z η:i θ:th ι:i κ:k λ:l μ:m ν:n "
    "ξ:x ο:o π:p ρ:r σ:s ς:s τ:t υ:y φ:f χ:ch ψ:ps ω:o ł:l ø:o đ:d ı:i æ:ae œ:oe"
)
_FOREIGN |= {letter.upper(): latin.capitalize() for letter, latin in _FOREIGN.items()}
_ROMANISED = str.maketrans(_FOREIGN | {"ß": "ss"})
