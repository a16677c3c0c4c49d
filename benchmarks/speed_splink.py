"""How a Splink user would set it up for the two made corpora: columns in SQL, comparisons, blocking rules, all written by hand for them.

They were chosen by F1 on the small labelled corpora; how wide to block, also by the cost at 100,000 records and a million. m is
estimated from the true pairs there, u from its random pairs; a prediction takes the share of matches that the small corpus has, brought
to the number of records.
"""

import logging
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import splink.comparison_level_library as levels
import splink.comparison_library as comparisons
from splink import DuckDBAPI, Linker, SettingsCreator, block_on
from splink_recipes import close, code, name

SEED = 0
SAMPLED = 2e6  # random pairs for u: more change no figure that shows


@dataclass(frozen=True)
class Recipe:
    """Settings for one corpus.

    Attributes:
        columns: SQL expressions over the records, by name; a later one may use an earlier one.
        comparisons: Splink's.
        blocking: rules of which one must hold for a pair to be a candidate.
    """

    columns: dict[str, str]
    comparisons: list[Any]
    blocking: list[Any]


def words_alike(column: str, at: list[float]) -> comparisons.CustomComparison:
    """Lists of words: the share that both have."""
    share = f"len(list_intersect({column}_l, {column}_r)) / len(list_distinct(list_concat({column}_l, {column}_r)))"
    steps = [levels.CustomLevel(f"{share} >= {each}") for each in at]
    return comparisons.CustomComparison([levels.NullLevel(column), *steps, levels.ElseLevel()], column)


def exact(column: str) -> Any:
    return comparisons.ExactMatch(column).configure(term_frequency_adjustments=True)


def letters(column: str) -> str:
    return f"nullif(trim(regexp_replace(strip_accents(lower({column})), '[^\\p{{L}}0-9]+', ' ', 'g')), '')"


def digits(column: str) -> str:
    return f"nullif(regexp_replace({column}, '[^0-9]', '', 'g'), '')"


def found(text: str, pattern: str) -> str:
    return f"nullif(regexp_extract({text}, '{pattern}'), '')"


def rules(text: str) -> list[Any]:
    """Blocking rules, parted by ``;``: columns that must be equal, or their first (^4) or last ($4) so many letters."""
    substr = {"^": "substr({}, 1, {})", "$": "substr({}, -{})"}

    def part(word: str) -> str:
        column, sign, length = re.fullmatch(r"(\w+)([$^]?)(\d?)", word).groups()
        return substr[sign].format(column, length) if sign else word

    return [block_on(*map(part, line.split())) for line in text.split(";")]


DATES = "['%Y-%m-%d', '%d.%m.%Y', '%d %b %Y', '%b %d, %Y']"
VARIANTS = (
    "(bl(ac)?k|wh(i)?te?|steel|copper|cream|mint|sil?ve?r|blue?|red|gre?e?n|gold|graphite|yellow|orange|grey|teal|brown|navy|beige|olive"
    "|burgundy|oak|walnut|beech|pine|cherry|hardcover|hc|paperback|pb|spiral|large print|leather|pocket|box set|audio)"
)
MEASURE = r"(\d+(\.\d+)? ?(gb|tb|w|v|l|cm)\b|(size|sz\.?) \d+|\dth|\d(st|nd|rd))"

RECIPES = {
    "easy": Recipe(
        {
            "name": "name",
            "details": "details",
            "first": "split_part(name, ' ', 1)",
            "second": "split_part(name, ' ', 2)",
            "code": found("details", "[a-z]*[0-9][a-z0-9]+"),
            "is_person": "regexp_matches(details, ' (street|avenue|road|lane|drive|court|square|way) ')",
            "road": "case when is_person then split_part(details, ' ', 2) end",
            "city": "case when is_person then split_part(details, ' ', -1) end",
            "size": "case when not is_person then regexp_extract(details, '([0-9]+) cm', 1) end",
        },
        [
            name("name", (0.96, 0.92, 0.88, 0.8, 0.7)),
            name("details", (0.96, 0.92, 0.88, 0.8, 0.7)),
            code("code", (1, 2)),
            exact("size"),
            name("road", (0.85,)),
            name("city", (0.85,)),
        ],
        rules(
            "name; details; first^4 second^4; first$4 second$4; first^4 second$4; first$4 second^4; code name^2; "
            "code name$3; code size; code^4 name^3; code$4 name^3; code^4 second^3; code$4 second^3; road^4 "
            "city^4; road$4 city$4; second^4 city^4; second$4 city$4; second^4 road^4; first^3 second^3 "
            "details^2; first^4 details^4; second$4 details$5; second code; first code; second size; first size"
        ),
    ),
    "hard": Recipe(
        {
            "person": letters("name"),
            "names": "list_sort(string_split(person, ' '))",
            "surname": "list_max(list_transform(names, lambda x: lpad(len(x)::varchar, 2, '0') || x))",
            "street_words": letters("street"),
            "house": found("street", "\\d+"),
            "road": "nullif(substr(list_max(list_transform(string_split(regexp_replace(street_words, '[0-9]', '', 'g'), ' '), "
            "lambda x: lpad(len(x)::varchar, 2, '0') || x)), 3, 6), '')",
            "town": letters("city"),
            "phone_digits": f"right({digits('phone')}, 10)",
            "mail": "lower(email)",
            "birth": f"try_strptime(birth_date, {DATES})::date::varchar",
            "title_letters": letters("title"),
            "words": "list_sort(string_split(title_letters, ' '))",
            "all_text": "lower(concat_ws(' ', title, description))",
            "model_code": f"coalesce(upper({found('model', '[A-Za-z]{2}')}), '') || {found('model', '[0-9]{4}')}",
            "number": f"coalesce({found('model', '[0-9]{4}')}, {found('title', '[0-9]{4}')}, {found('brand', '[0-9]{4}')})",
            "maker": letters("brand"),
            "cost": f"try_cast(replace({found('price', '[0-9]+[.,][0-9]+')}, ',', '.') as double)",
            "measure": f"regexp_replace(regexp_replace({found('all_text', MEASURE)}, 'sz.?', 'size'), ' ', '', 'g')",
            "variant": found("all_text", "\\b" + VARIANTS + "\\b"),
            "longest": "list_max(list_transform(words, lambda x: lpad(len(x)::varchar, 2, '0') || x))",
        },
        [
            words_alike("names", [1, 0.6, 0.3, 0.1]),
            name("person", (0.92, 0.8, 0.7)),
            code("phone_digits", (1,)),
            name("mail", (0.95, 0.88)),
            exact("birth"),
            name("street_words", (0.95, 0.85, 0.75)),
            words_alike("words", [1, 0.75, 0.6, 0.45, 0.3, 0.15]),
            exact("number"),
            close("cost", (0.06, 5, 20)),
            exact("measure"),
            exact("variant"),
        ],
        rules(
            "phone_digits; mail; birth person^3; birth surname; birth town; birth house; person; surname house; "
            "surname town; house road town; number maker; number measure; number variant; number longest; "
            "title_letters; maker measure variant; cost measure variant; cost maker; longest measure variant"
        ),
    ),
}
# So tight that a million records have half a million candidates; those above give sixteen million.
TIGHT_RULES = rules(
    "name; details; first second; first code; second code; first road; second road; second city; road "
    "city code; first city code; first^4 second^4 details^2; first$4 second$4 details^2; second^4 "
    "details^5; second$4 details^5; first^4 details^6; first^4 second^4 details$4; first$4 second$4 "
    "details$4; second^4 road^4 city^3; second$4 road$4 city$3; first^4 road^4 city^3; second^4 code$3 "
    "size; first^4 code^3 size; first^3 second$3 size; road^4 city^4 name^2; road$4 city$4 name$2"
)
RECIPES["easy, tight"] = replace(RECIPES["easy"], blocking=TIGHT_RULES)


def train(folder: Path, corpus: str) -> dict[str, Any]:
    """Settings with m and u estimated on a small corpus, and how many true pairs it has a record."""
    recipe = RECIPES[corpus]
    true = pd.read_parquet(folder / "true_pairs.parquet")
    settings = SettingsCreator(
        link_type="dedupe_only",
        comparisons=recipe.comparisons,
        blocking_rules_to_generate_predictions=recipe.blocking,
        retain_matching_columns=False,
    )
    api, table = _table(folder / "records.parquet", corpus)
    linker = Linker(table, settings, log_level=logging.ERROR)
    linker.training.estimate_u_using_random_sampling(max_pairs=SAMPLED, seed=SEED, min_count_per_level=None)
    labels = pa.table({"unique_id_l": pa.array(true["left_id"]), "unique_id_r": pa.array(true["right_id"])})
    linker.training.estimate_m_from_pairwise_labels(api.register(labels))
    records = pd.read_parquet(folder / "records.parquet", columns=["record_id"])
    return {"corpus": corpus, "settings": linker.misc.save_model_to_json(), "matches": len(true) / len(records)}


def predict(records: Path, setting: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidates by row of the records file, and their match weights."""
    _, table = _table(records, setting["corpus"])
    ids = pd.Index(pd.read_parquet(records, columns=["record_id"])["record_id"])
    share = 2 * setting["matches"] / (len(ids) - 1)
    linker = Linker(
        table, {**setting["settings"], "probability_two_random_records_match": share}, log_level=logging.ERROR
    )
    pairs = linker.inference.predict(warning_mode="never").as_pandas_dataframe()
    left, right = (ids.get_indexer(pairs[f"unique_id_{side}"]) for side in "lr")
    return left, right, pairs["match_weight"].to_numpy()


def _table(records: Path, corpus: str) -> tuple[DuckDBAPI, Any]:
    connection = duckdb.connect(config={"threads": len(os.sched_getaffinity(0))})
    connection.execute("set enable_progress_bar = false")
    columns = ", ".join(f"{sql} as {name}" for name, sql in RECIPES[corpus].columns.items() if sql != name)
    kept = ", ".join(name for name, sql in RECIPES[corpus].columns.items() if sql == name)
    kept = f", {kept}" if kept else ""
    names = ", ".join(RECIPES[corpus].columns)
    made = f"select record_id as unique_id{kept}, {columns} from read_parquet('{records}')"
    connection.execute(f"create table records as select unique_id, {names} from ({made})")
    api = DuckDBAPI(connection)
    return api, api.register("records")
