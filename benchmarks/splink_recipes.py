"""How a Splink user would set it up for each set of ``../shared/data``: columns made, comparisons, blocking rules.

Everything here was chosen by F1 on the train half alone, from what its records and true pairs look like. Term frequencies, the
weights of words and which words are rare are counted in the table that is matched, without labels, as Splink's own are.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import splink.comparison_level_library as levels
import splink.comparison_library as comparisons
from splink import block_on

# Splink has no comparison of weighted words; its documentation says to write such levels in SQL.
MACRO = """create macro cosine(a, b) as coalesce(list_sum(list_transform(
    list_intersect(map_keys(a), map_keys(b)), lambda word: a[word] * b[word])), 0)"""


@dataclass(frozen=True)
class Recipe:
    """Settings of one set.

    Attributes:
        columns: makes the columns that are compared; a missing value is None.
        comparisons: Splink's comparisons.
        blocking: rules of which one must hold for a pair to be a candidate.
    """

    columns: Callable[[pd.DataFrame], dict[str, pd.Series]]
    comparisons: list
    blocking: list


def plain(text: pd.Series) -> pd.Series:
    """Lower case, letters and digits alone, None where nothing is left."""
    some = text.str.lower().str.replace(r"[^0-9a-z]+", " ", regex=True).str.strip()
    return some.astype(object).where(some != "", None)


def letters(text: pd.Series) -> pd.Series:
    return plain(text).str.replace(" ", "")


def words(text: pd.Series) -> pd.Series:
    return plain(text).map(lambda one: sorted(set(one.split())) if one else None)


def weights(text: pd.Series) -> pd.Series:
    """Each record's words with TF-IDF weights of unit length; None where there are no words."""
    lists = words(text)
    seen = Counter(word for some in lists.dropna() for word in some)
    idf = {word: np.log(1 + len(text) / count) for word, count in seen.items()}

    def unit(some: list[str] | None) -> dict[str, float] | None:
        if not some:
            return None
        length = np.sqrt(sum(idf[word] ** 2 for word in some))
        return {word: idf[word] / length for word in some}

    return lists.map(unit)


def rare(text: pd.Series, share: float) -> pd.Series:
    """Words that at most this share of the records have, and two at least."""
    lists, most = words(text), share * len(text)
    seen = Counter(word for some in lists.dropna() for word in some)
    return lists.map(lambda some: [word for word in some or () if 1 < seen[word] <= most] or None)


def codes(text: pd.Series) -> pd.Series:
    """Model numbers: words of five characters or more with a digit, the punctuation inside them left out."""

    def found(one: str) -> list[str] | None:
        joined = {re.sub(r"[^0-9a-z]", "", word) for word in one.lower().split()}
        return sorted(word for word in joined if len(word) >= 5 and re.search(r"\d", word)) or None

    return text.map(found)


def numbers(text: pd.Series) -> pd.Series:
    return text.map(lambda one: sorted(set(re.findall(r"\d+(?:\.\d+)?", one))) or None)


def first_number(text: pd.Series, pattern: str) -> pd.Series:
    return pd.to_numeric(text.str.extract(pattern)[0], errors="coerce")


def amount(text: pd.Series) -> pd.Series:
    return pd.to_numeric(text.str.replace(r"[^0-9.]", "", regex=True), errors="coerce").replace(0, np.nan)


def cosine(column: str, at: list[float]) -> comparisons.CustomComparison:
    steps = [levels.CustomLevel(f"cosine({column}_l, {column}_r) >= {each}") for each in at]
    return comparisons.CustomComparison([levels.NullLevel(column), *steps, levels.ElseLevel()], column)


def name(column: str, at: tuple[float, ...] = (0.95, 0.88, 0.8)) -> comparisons.CustomComparison:
    exact = levels.ExactMatchLevel(column, term_frequency_adjustments=True)
    steps = [levels.JaroWinklerLevel(column, each) for each in at]
    return comparisons.CustomComparison([levels.NullLevel(column), exact, *steps, levels.ElseLevel()], column)


def code(column: str, at: tuple[int, ...] = (1, 2)) -> comparisons.CustomComparison:
    exact = levels.ExactMatchLevel(column, term_frequency_adjustments=True)
    steps = [levels.DamerauLevenshteinLevel(column, each) for each in at]
    return comparisons.CustomComparison([levels.NullLevel(column), exact, *steps, levels.ElseLevel()], column)


def same_set(column: str) -> comparisons.CustomComparison:
    """Numbers in a title: all the same, one side's within the other's, some shared, none."""
    shared = f"len(list_intersect({column}_l, {column}_r))"
    steps = [
        levels.CustomLevel(f"{shared} = greatest(len({column}_l), len({column}_r))"),
        levels.CustomLevel(f"{shared} = least(len({column}_l), len({column}_r))"),
        levels.CustomLevel(f"{shared} > 0"),
    ]
    return comparisons.CustomComparison([levels.NullLevel(column), *steps, levels.ElseLevel()], column)


def price(column: str) -> comparisons.CustomComparison:
    steps = [levels.PercentageDifferenceLevel(column, each) for each in (0.01, 0.1, 0.25, 0.5)]
    return comparisons.CustomComparison([levels.NullLevel(column), *steps, levels.ElseLevel()], column)


def close(column: str, at: tuple[float, ...]) -> comparisons.CustomComparison:
    steps = [levels.AbsoluteDifferenceLevel(column, each) for each in at]
    return comparisons.CustomComparison([levels.NullLevel(column), *steps, levels.ElseLevel()], column)


def shares(column: str):
    return block_on(column, arrays_to_explode=[column])


EIGHT = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
FINE = [*np.arange(0.95, 0.41, -0.05).round(2).tolist(), 0.4, 0.3, 0.2]

# The train half's venues go by two names each.
VENUES = {
    "sigmod conference": "sigmod",
    "international conference on management of data": "sigmod",
    "vldb": "vldb",
    "very large data bases": "vldb",
    "sigmod record": "record",
    "acm sigmod record": "record",
    "vldb j": "vldbj",
    "the vldb journal mdash the international journal on very large data bases": "vldbj",
    "acm trans database syst": "tods",
    "acm transactions on database systems tods": "tods",
}


def abt_buy(table: pd.DataFrame) -> dict[str, pd.Series]:
    text = table["name"] + " " + table["description"]
    return {
        "name": weights(table["name"]),
        "text": weights(text),
        "letters": letters(table["name"]),
        "codes": codes(table["name"]),
        "numbers": numbers(table["name"]),
        "brand": plain(table["name"]).str.split().str[0],
        "price": amount(table["price"]),
        "rare": rare(table["name"], 0.04),
    }


def amazon_google(table: pd.DataFrame) -> dict[str, pd.Series]:
    return {
        "title": weights(table["title"]),
        "made": weights(table["title"] + " " + table["manufacturer"]),
        "start": plain(table["title"]),
        "numbers": numbers(table["title"].str.replace(r"\.0\b", "", regex=True)),
        "manufacturer": plain(table["manufacturer"]),
        "price": amount(table["price"]),
        "rare": rare(table["title"], 0.03),
    }


def dblp_acm(table: pd.DataFrame) -> dict[str, pd.Series]:
    title = plain(table["title"])
    return {
        "title": title,
        "authors": weights(table["authors"]),
        "venue": plain(table["venue"]).replace(VENUES),
        "year": amount(table["year"]),
        "words": weights(table["title"]),
        "rare": rare(table["title"], 0.012),
        "rare_authors": rare(table["authors"], 0.004),
    }


def cora(table: pd.DataFrame) -> dict[str, pd.Series]:
    return {
        "title": weights(table["title"]),
        "letters": letters(table["title"]),
        "author": weights(table["author"]),
        "venue": weights(table["venue"]),
        "year": first_number(table["year"], r"((?:19|20)\d\d)"),
        "page": first_number(table["pages"], r"(\d+)"),
        "volume": first_number(table["volume"], r"(\d+)"),
        "rare": rare(table["title"], 0.25),
        "rare_author": rare(table["author"], 0.12),
        "rare_venue": rare(table["venue"], 0.1),
    }


def febrl(table: pd.DataFrame) -> dict[str, pd.Series]:
    return {column: plain(table[column]) for column in table if column not in ("record_id", "source")}


RECIPES = {
    "abt-buy-tables": Recipe(
        abt_buy,
        [
            cosine("name", EIGHT),
            cosine("text", EIGHT),
            name("letters", (0.9, 0.8, 0.7)),
            same_set("codes"),
            same_set("numbers"),
            name("brand"),
            price("price"),
        ],
        [shares("rare"), shares("codes")],
    ),
    "amazon-google-tables": Recipe(
        amazon_google,
        [cosine("made", FINE), cosine("title", EIGHT), same_set("numbers"), name("manufacturer"), price("price")],
        [shares("rare"), block_on("substr(start, 1, 8)")],
    ),
    "dblp-acm-tables": Recipe(
        dblp_acm,
        [
            cosine("words", EIGHT),
            cosine("authors", EIGHT),
            comparisons.ExactMatch("venue"),
            close("year", (0.5, 1)),
        ],
        [shares("rare"), shares("rare_authors"), block_on("substr(title, 1, 12)")],
    ),
    "cora": Recipe(
        cora,
        [
            name("letters", (0.97, 0.93, 0.88, 0.8)),
            cosine("title", EIGHT),
            cosine("author", EIGHT),
            cosine("venue", [0.9, 0.7, 0.5, 0.3, 0.1]),
            close("year", (0.5, 1)),
            close("page", (0.5, 2)),
            close("volume", (0.5,)),
        ],
        [
            shares("rare"),
            shares("rare_author"),
            shares("rare_venue"),
            block_on("page"),
            block_on("substr(letters, 1, 10)"),
        ],
    ),
    "febrl3": Recipe(
        febrl,
        [
            name("given_name"),
            name("surname"),
            code("street_number", (1,)),
            name("address_1"),
            name("address_2"),
            name("suburb"),
            code("postcode"),
            code("state", (1,)),
            code("date_of_birth"),
            code("soc_sec_id"),
        ],
        [
            block_on("soc_sec_id"),
            block_on("date_of_birth"),
            block_on("given_name", "surname"),
            block_on("surname", "postcode"),
            block_on("given_name", "postcode"),
            block_on("given_name", "suburb"),
            block_on("address_1"),
        ],
    ),
}
