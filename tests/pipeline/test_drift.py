"""Drift: measures beside oracles, drift that is put in, and quiet streams, in which false alarms are counted."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.drift import Figure, Verdict, apart, growth_slack, judge, what_drifted
from pipeline.drifting import Before, Seen, measure_drift
from pipeline.limits import DriftLimits, Limit
from pipeline.observed import BIN, BINS, Observed, Part
from pipeline.synthetic import make_corpus
from siamese.portrait import CLASSES, RECORDS, RUN, Column, Hashed, Portrait, hash_fields, sample
from siamese.schema import Kind, Schema, as_table

LIMITS = DriftLimits()
RUNS = 200


@pytest.fixture(scope="module")
def pool() -> pd.DataFrame:
    """More people than a stream needs; each comes once."""
    records = make_corpus(16_000, seed=5, duplicate_share=0.0).records
    people = ["name", "street", "city", "phone", "email", "birth_date"]
    return records[records["email"].notna() | records["city"].notna()][people].reset_index(drop=True)


@pytest.fixture(scope="module")
def schema(pool: pd.DataFrame) -> Schema:
    return Schema.infer(as_table(pool))


def part(schema: Schema, frame: pd.DataFrame, grouped: int, distances: np.ndarray) -> tuple[Part, dict[str, Hashed]]:
    texts = schema.select(as_table(frame))
    bins = np.bincount(np.minimum((distances / BIN).astype(int), BINS - 1), minlength=BINS)
    portrait = Portrait.of(texts, schema)
    made = Part(
        records=len(frame),
        empty=0,
        grouped=grouped,
        portrait=portrait,
        distances=bins.tolist(),
        paired=len(frame) // 2,
    )
    return made, hash_fields(texts, schema)


def near(random: np.random.Generator, n: int, imposites: float = 0.5) -> np.ndarray:
    """Distances of candidates: matches are near, imposites at the edge of what is searched."""
    return np.where(random.random(n) < imposites, random.beta(8, 2, n), random.beta(2, 5, n))


class Stream:
    """A corpus that grows night by night."""

    def __init__(self, schema: Schema, pool: pd.DataFrame, seed: int, first: int = 600) -> None:
        self.schema, self.pool, self.random = schema, pool, np.random.default_rng(seed)
        self.order, self.taken = self.random.permutation(len(pool)), first
        alone = int(0.85 * first)
        frame = pool.iloc[np.append(self.order[:alone], self.order[: first - alone])]  # some are there twice
        self.all = part(schema, frame, 2 * (first - alone), near(self.random, first))
        self.records = first
        observed = Observed({"all": self.all[0]}, {"all": self.all[1]}, 1.0)
        drift = measure_drift(observed, None, {}, LIMITS)
        self.before = Before(Seen.model_validate(drift), True, True)

    def night(
        self, size: int, share: float = 0.3, change: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    ) -> dict:
        frame = self.pool.iloc[self.order[self.taken : self.taken + size]]
        self.taken += size
        frame = frame if change is None else change(frame.copy())
        new = part(self.schema, frame, int(self.random.binomial(size, share)), near(self.random, 2 * size))
        self.records += size
        whole = self.all[0].model_copy(
            update={"records": self.records, "grouped": self.all[0].grouped + new[0].grouped}
        )
        self.all = whole, self.all[1]
        observed = Observed({"all": whole, "new": new[0]}, {"all": self.all[1], "new": new[1]}, 1.0)
        drift = measure_drift(observed, self.before, {}, LIMITS)
        if drift["verdict"] != "stop":
            self.before = Before(Seen.model_validate(drift), True, True)
        return drift


def test_quiet_nights_are_published(schema: Schema, pool: pd.DataFrame) -> None:
    """Nights of 20 to 300 records with a season, whose flagged share goes up and down too."""
    verdicts = []
    few = Schema(fields=tuple(field for field in schema.fields if field.name in ("name", "city", "email")))
    for seed in range(RUNS // 20):
        stream = Stream(few, pool, seed, 300)
        for number in range(20):
            size = int(20 + 130 * (1 + np.sin(number)) + stream.random.integers(20))
            verdicts.append(stream.night(size, share=float(stream.random.beta(60, 140)))["verdict"])
    assert len(verdicts) == RUNS
    assert verdicts.count("stop") == 0
    assert verdicts.count("warn") <= RUNS * 0.01


def blank(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(city=None)


def wrong_encoding(frame: pd.DataFrame) -> pd.DataFrame:
    said = frame["name"].fillna("").map(lambda text: text.encode().decode("latin-1"))
    return frame.assign(name=said.where(frame["name"].notna()))


def other_language(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(street=frame["street"].map(lambda text: text[::-1] if isinstance(text, str) else text))


def other_source(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(street=frame["street"].fillna("") + " care of the warehouse of goods, third floor, left door")


def swapped(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(name=frame["street"], street=frame["name"])


@pytest.mark.parametrize("quiet_nights", [0, 5])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (blank, "missing 'city' 100% of the new records"),
        (wrong_encoding, "values with signs in 'name'"),
        (other_language, "unseen 'street'"),
        (other_source, "lengths 'street'"),
        (swapped, "in 'street'"),
    ],
)
def test_drift_that_is_put_in_stops(
    schema: Schema, pool: pd.DataFrame, change: Callable, says: str, quiet_nights: int
) -> None:
    stream = Stream(schema, pool, 1, 2_000)
    for _ in range(quiet_nights):
        assert stream.night(200)["verdict"] == "quiet"
    drift = stream.night(200, change=change)
    assert drift["verdict"] == "stop"
    assert any(says in each["sentence"] for each in drift["told"] if each["verdict"] == "stop"), what_drifted(drift)


def test_a_flood_of_duplicates_stops_and_what_was_accepted_does_not_again(schema: Schema, pool: pd.DataFrame) -> None:
    stream = Stream(schema, pool, 2, 2_000)
    for _ in range(4):
        assert stream.night(200)["verdict"] == "quiet"
    drift = stream.night(200, share=0.8)
    assert drift["verdict"] == "stop" and drift["told"][0]["name"] == "flagged"
    assert drift["told"][0]["sentence"].startswith("flagged share 7"), drift["told"][0]["sentence"]
    stream.before = Before(Seen.model_validate(drift), True, True)  # accepted
    assert stream.night(200, share=0.8)["verdict"] == "quiet"


def test_distances_that_move_stop_and_growth_does_not() -> None:
    random = np.random.default_rng(0)
    schema = Schema.infer(as_table([{"a": "x y"}, {"a": "z y"}]))
    frame = pd.DataFrame({"a": ["x y", "z"] * 2_000})
    was, words = part(schema, frame, 100, near(random, 20_000))
    before = Before(Seen(parts={"all": was}, reach=1.0, figures={}, history=[]), True, True)

    def verdict(distances: np.ndarray, records: int, earlier: Before = before) -> dict:
        now = was.model_copy(update={"records": records, "distances": part(schema, frame, 0, distances)[0].distances})
        drift = measure_drift(Observed({"all": now}, {"all": words}, 1.0), earlier, {}, LIMITS)
        return next(each for each in drift["measures"] if each["name"] == "distances")

    assert verdict(near(random, 20_000) * 0.5, 4_000)["verdict"] == "stop"
    assert verdict(near(random, 60_000, imposites=0.75), 12_000)["verdict"] == "quiet"  # three imposites for one before
    assert verdict(near(random, 20_000, imposites=0.9), 4_000)["verdict"] == "stop"
    other_model = Before(before.seen, False, False)
    with pytest.raises(StopIteration):
        verdict(near(random, 20_000) * 0.5, 4_000, other_model)


@pytest.mark.parametrize(("finds_alike", "compared"), [(True, True), (False, False)])
def test_distances_of_new_records_are_compared_where_they_are_searched_alike(finds_alike: bool, compared: bool) -> None:
    random = np.random.default_rng(0)
    schema = Schema.infer(as_table([{"a": "x y"}, {"a": "z y"}]))
    frame = pd.DataFrame({"a": ["x y", "z"] * 2_000})
    was, words = part(schema, frame, 100, near(random, 20_000))
    new, new_words = part(schema, frame, 100, near(random, 20_000) * 0.5)
    before = Before(Seen(parts={"all": was}, reach=1.0, figures={}, history=[]), True, True)
    observed = Observed({"all": was, "new": new}, {"all": words, "new": new_words}, 1.0, finds_alike)
    drift = measure_drift(observed, before, {}, LIMITS)
    found = {each["part"]: each["verdict"] for each in drift["measures"] if each["name"] == "distances"}
    assert found == {"all": "quiet", **({"new": "stop"} if compared else {})}


def test_the_training_records_warn_and_stop_only_if_asked(schema: Schema, pool: pd.DataFrame) -> None:
    reference = part(schema, pool.iloc[:2_000], 0, np.zeros(1))[0].portrait
    one, words = part(schema, swapped(pool.iloc[2_000:3_000]), 10, np.zeros(1))
    observed = Observed({"all": one}, {"all": words}, 1.0)
    found = {
        training: measure_drift(observed, None, {"all": reference}, DriftLimits(training=training))["verdict"]
        for training in ("off", "warn", "stop")
    }
    assert found == {"off": "nothing to compare with", "warn": "warn", "stop": "stop"}
    quiet, words = part(schema, pool.iloc[2_000:3_000], 10, np.zeros(1))
    assert (
        measure_drift(Observed({"all": quiet}, {"all": words}, 1.0), None, {"all": reference}, LIMITS)["verdict"]
        == "quiet"
    )
    assert measure_drift(observed, None, {}, LIMITS)["verdict"] == "nothing to compare with"


def test_an_audit_that_found_less_than_was_expected(schema: Schema, pool: pd.DataFrame) -> None:
    one, words = part(schema, pool.iloc[:500], 10, np.zeros(1))
    seen = Seen(parts={"all": one}, reach=1.0, figures={}, history=[])
    observed = Observed({"all": one}, {"all": words}, 1.0)
    for audited, verdict in ((0.94, "quiet"), (0.88, "warn"), (0.7, "stop"), (None, "quiet")):
        drift = measure_drift(observed, Before(seen, True, True, 0.95, audited), None, LIMITS)
        assert drift["verdict"] == verdict
        if verdict == "stop":
            assert what_drifted(drift) == "precision expected 95%, by the audit of the last run at most 70%"


def test_a_night_without_new_records_forgets_nothing(schema: Schema, pool: pd.DataFrame) -> None:
    stream = Stream(schema, pool, 3)
    for _ in range(3):
        stream.night(100)
    observed = Observed({"all": stream.all[0]}, {"all": stream.all[1]}, 1.0)
    seen = Seen.model_validate(measure_drift(observed, stream.before, None, LIMITS))
    assert [any(key.startswith("new/") for key in run) for run in seen.history] == [True] * 3
    assert len(measure_drift(observed, Before(seen, True, True), None, DriftLimits(runs=2))["history"]) == 2


def test_chance_alone_is_allowed_for() -> None:
    """Shares of the same kind: what is beyond the allowance comes as rarely as it says."""
    random = np.random.default_rng(0)
    limits = DriftLimits(significance=0.05)
    beyond = 0
    for one, other in zip(random.binomial(400, 0.3, 2_000), random.binomial(2_000, 0.3, 2_000), strict=True):
        figure = Figure(value=one / 400, records=400, before=other / 2_000, records_before=2_000)
        beyond += judge("new/missing/a", figure, (), "last run", limits).effect > 0
    assert 0.03 < beyond / 2_000 < 0.07


@given(st.floats(0.001, 1), st.floats(1, 50))
def test_growth_moves_no_share_farther_than_its_slack(matches: float, growth: float) -> None:
    share, grown = matches, matches / (matches + growth * (1 - matches))
    assert share - grown <= growth_slack(round(1e6 * growth), 1_000_000) + 1e-3


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.lists(st.integers(0, 20), min_size=1, max_size=60))
def test_apart_is_the_statistic_of_smirnov(one: list[int], other: list[int]) -> None:
    counts = [np.bincount(each, minlength=21) for each in (one, other)]
    gaps = [abs(np.mean(np.array(one) <= at) - np.mean(np.array(other) <= at)) for at in range(21)]
    assert apart(*counts) == pytest.approx(max(gaps))


def test_more_runs_say_how_far_they_spread() -> None:
    def verdict(value: float, past: list[float], before: float | None = None) -> Verdict:
        figure = Figure(value=value, records=10_000, before=before, records_before=10_000)
        history = [Figure(value=each, records=10_000) for each in past]
        return judge("all/flagged/", figure, history, "last runs", LIMITS).verdict

    assert verdict(0.14, [0.02, 0.03, 0.025]) is Verdict.STOP
    assert verdict(0.14, [0.02, 0.15, 0.03]) is Verdict.QUIET
    assert verdict(0.30, [0.05, 0.25, 0.1, 0.2]) is Verdict.QUIET
    assert verdict(0.14, [], 0.025) is Verdict.STOP
    assert verdict(0.14, [0.02], 0.14) is Verdict.QUIET  # few runs: what the whole corpus has is no drift
    assert verdict(0.14, [0.02, 0.03, 0.025], 0.14) is Verdict.STOP


def test_a_handful_of_records_only_warns() -> None:
    for records, verdict in ((29, Verdict.WARN), (30, Verdict.STOP)):
        figure = Figure(value=1.0, records=records, before=0.02, records_before=10_000)
        assert judge("new/missing/a", figure, (), "last run", LIMITS).verdict is verdict


@pytest.mark.parametrize("records", [1, 2, 29, 40])
def test_a_night_of_few_records_does_not_make_everything_usual(records: int) -> None:
    """Nor one of forty among nights of hundreds, unless it is the one that the figure lies next to."""
    figure = Figure(value=1.0, records=100, before=0.02, records_before=10_000)
    for value in (0.0, 1.0) if records < LIMITS.few else (0.0,):
        history = [Figure(value=share, records=300) for share in (0.01, 0.02, 0.015)]
        history.append(Figure(value=value, records=records))
        assert judge("new/missing/a", figure, history, "last runs", LIMITS).verdict is Verdict.STOP
        assert judge("new/missing/a", figure, history[-1:], "last runs", LIMITS).verdict is Verdict.STOP


def test_a_corpus_that_has_lost_a_third_of_its_records_stops(schema: Schema, pool: pd.DataFrame) -> None:
    stream = Stream(schema, pool, 5)
    for _ in range(3):
        stream.night(100)
    part, words = stream.all
    for left, verdict in ((0.95, "quiet"), (0.85, "warn"), (0.6, "stop")):
        fewer = part.model_copy(update={"records": int(left * part.records)})
        drift = measure_drift(Observed({"all": fewer}, {"all": words}, 1.0), stream.before, {}, LIMITS)
        [lost] = [each for each in drift["measures"] if each["name"] == "lost"]
        assert lost["verdict"] == verdict
        assert verdict == "quiet" or lost["sentence"].startswith(f"lost records {round(100 * (1 - left))}%")


def test_limits_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="expected stop to be the greater"):
        Limit(warn=0.5, stop=0.2)


def naive_classes(text: str) -> set[str]:
    names = {"signs": (0x80, 0xBF), "accents": (0xC0, 0x27F), "alphabets": (0x280, 0x7FF), "far": (0x800, 0x10FFFF)}
    held = set()
    for char in text:
        point = ord(char)
        if point >= 0x80:
            held |= {name for name, (first, last) in names.items() if first <= point <= last}
        elif char.isalpha():
            held.add("letters")
        elif char.isdigit():
            held.add("digits")
        elif char in " \t\n\v\f\r":
            held.add("spaces")
        else:
            held.add("punctuation" if 0x20 < point < 0x7F else "controls")
    return held


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12), max_size=8))
def test_a_column_counts_what_a_loop_counts(values: list[str]) -> None:
    column = Column.of(pa.array([*values, None], pa.large_string()), Kind.TEXT)
    assert column.values == len(values) == sum(column.lengths)
    counts = [sum(name in naive_classes(value) for value in values) for name in CLASSES]
    assert column.holds == counts


def names(*values: str | None) -> Column:
    return Column.of(pa.array(values, pa.large_string()), Kind.NAME)


def test_words_of_the_kept_half_are_seen_and_others_are_not() -> None:
    column = names(*["anna", "bert", None, None] * (RUN // 2))
    assert (column.words_left, column.unseen) == (RUN // 2, 0)
    assert names(*["anna"] * RUN, *["bert"] * RUN).unseen == RUN
    assert column.unseen_among(pa.array(["anna zoe", None], pa.large_string())) == (2, 1)
    assert Column.model_validate_json(column.model_dump_json()) == column


def test_duplicates_side_by_side_do_not_vouch_for_each_other() -> None:
    column = names(*(f"x{number // 2}" for number in range(100 * RUN)))
    assert column.words_left == column.unseen == 50 * RUN


def test_a_portrait_of_many_is_of_a_sample() -> None:
    rows = sample(RECORDS * 3)
    assert len(rows) == RECORDS and (np.diff(rows) > 0).all() and rows[-1] > RECORDS * 2
    assert (sample(7) == np.arange(7)).all()
