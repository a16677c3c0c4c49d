"""The synthetic corpus keeps its promises: size, truth, splits, and one corpus for one seed."""

from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from pipeline import synthetic
from pipeline.synthetic import PERSON_FIELDS, PRODUCT_FIELDS, SyntheticCorpus, make_corpus

COLUMNS = ["record_id", *PERSON_FIELDS, *PRODUCT_FIELDS]


@pytest.fixture(scope="module")
def corpus() -> SyntheticCorpus:
    return make_corpus()


def clusters(corpus: SyntheticCorpus) -> list[set[str]]:
    """The records that true pairs connect, found without trusting the pairs to be complete."""
    cluster_of: dict[str, set[str]] = {}
    for left, right in corpus.true_pairs.itertuples(index=False):
        merged = cluster_of.get(left, {left}) | cluster_of.get(right, {right})
        cluster_of |= dict.fromkeys(merged, merged)
    return list({id(cluster): cluster for cluster in cluster_of.values()}.values())


def listed(pairs: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(pairs["left_id"], pairs["right_id"], strict=True))


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "other"):
        make_corpus(500, seed=7).save(tmp_path / folder)
    for name in ("records", "pairs", "true_pairs"):
        one, other = (tmp_path / folder / f"{name}.parquet" for folder in ("one", "other"))
        assert one.read_bytes() == other.read_bytes()


def test_another_seed_invents_another_corpus() -> None:
    one, other = make_corpus(500, seed=1), make_corpus(500, seed=2)
    assert not one.records["name"].equals(other.records["name"])
    assert set(one.records["record_id"]).isdisjoint(other.records["record_id"])


def test_a_saved_corpus_reads_back_as_it_was(tmp_path: Path) -> None:
    corpus = make_corpus(300)
    corpus.save(tmp_path / "new" / "folder")
    for name in ("records", "pairs", "true_pairs"):
        read = pd.read_parquet(tmp_path / "new" / "folder" / f"{name}.parquet")
        assert_frame_equal(read, getattr(corpus, name))


@settings(max_examples=40, deadline=None)
@given(
    n_records=st.integers(1, 60),
    seed=st.integers(0, 2**32),
    duplicate_share=st.floats(0, 0.8),
    n_pairs=st.integers(0, 100),
)
def test_every_size_is_exact_and_sound(n_records: int, seed: int, duplicate_share: float, n_pairs: int) -> None:
    corpus = make_corpus(n_records, seed=seed, duplicate_share=duplicate_share, n_pairs=n_pairs)
    assert list(corpus.records.columns) == COLUMNS
    assert len(corpus.records) == corpus.records["record_id"].nunique() == n_records
    assert len(corpus.pairs) <= n_pairs
    further_copies = sum(len(cluster) - 1 for cluster in clusters(corpus))
    assert further_copies == int(n_records * duplicate_share)
    genuine = corpus.pairs[corpus.pairs["label"] == 1]
    assert set(listed(genuine)) <= set(listed(corpus.true_pairs))


@pytest.mark.parametrize("n_records", [1, 10, 5_000])
def test_usual_sizes(n_records: int) -> None:
    assert len(make_corpus(n_records).records) == n_records


@pytest.mark.parametrize("wrong", [{"n_records": 0}, {"duplicate_share": 0.9}, {"n_pairs": -1}])
def test_impossible_sizes_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="need n_records"):
        make_corpus(**wrong)  # type: ignore[arg-type]


def test_ids_give_nothing_away(corpus: SyntheticCorpus) -> None:
    ids = corpus.records["record_id"]
    assert ids.is_unique
    assert ids.str.fullmatch("[0-9a-f]{8}").all()
    number = ids.map(lambda text: int(text, 16)).astype(float)
    row = pd.Series(range(len(ids)), ids)
    is_person = corpus.records["name"].notna().astype(float)
    assert abs(number.corr(pd.Series(range(len(ids)), dtype=float))) < 0.05
    assert abs(number.corr(is_person)) < 0.05
    for place in (number.set_axis(ids), row):
        left, right = (place[corpus.true_pairs[side]].to_numpy() for side in ("left_id", "right_id"))
        typical = place.sample(frac=1, random_state=0).diff().abs().mean()
        assert abs(left - right).mean() == pytest.approx(typical, rel=0.1)


def test_truth_is_ordered_unique_and_complete(corpus: SyntheticCorpus) -> None:
    pairs = listed(corpus.true_pairs)
    assert all(left < right for left, right in pairs)
    complete = {pair for cluster in clusters(corpus) for pair in combinations(sorted(cluster), 2)}
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == complete


def test_clusters_are_skewed_and_small(corpus: SyntheticCorpus) -> None:
    sizes = pd.Series([len(cluster) for cluster in clusters(corpus)]).value_counts()
    assert set(sizes.index) == {2, 3, 4, 5, 6}
    assert sizes.sort_index().is_monotonic_decreasing


def test_labels_agree_with_the_truth(corpus: SyntheticCorpus) -> None:
    true = set(listed(corpus.true_pairs))
    pairs = listed(corpus.pairs)
    assert len(pairs) == len(set(pairs)) == 2_000
    assert [int(pair in true) for pair in pairs] == corpus.pairs["label"].tolist()
    assert corpus.pairs["label"].mean() == pytest.approx(1 / 3, abs=0.02)


def test_no_entity_is_in_two_splits(corpus: SyntheticCorpus) -> None:
    split_of: dict[str, set[str]] = {}
    for pair in corpus.pairs.itertuples():
        for record_id in (pair.left_id, pair.right_id):
            split_of.setdefault(record_id, set()).add(pair.split)
    for cluster in [*clusters(corpus), *({record_id} for record_id in split_of)]:
        assert len(set().union(*(split_of.get(record_id, set()) for record_id in cluster))) <= 1


def test_splits_hold_both_labels_in_proportion(corpus: SyntheticCorpus) -> None:
    shares = corpus.pairs["split"].value_counts(normalize=True)
    assert shares["train"] == pytest.approx(0.6, abs=0.06)
    assert shares["valid"] == pytest.approx(0.2, abs=0.06)
    genuine = corpus.pairs.groupby("split")["label"].mean()
    assert genuine.between(0.25, 0.45).all()
    assert set(genuine.index) == {"train", "valid", "test"}


def test_a_record_is_a_person_or_a_product_with_some_fields_missing(
    corpus: SyntheticCorpus,
) -> None:
    records = corpus.records
    is_person = records[[*PERSON_FIELDS]].notna().any(axis=1)
    is_product = records[[*PRODUCT_FIELDS]].notna().any(axis=1)
    assert (is_person != is_product).all()
    assert is_person.mean() == pytest.approx(0.5, abs=0.05)
    people, products = records[is_person], records[is_product]
    assert people["name"].notna().all()
    for share in (people["email"].isna().mean(), products["model"].isna().mean()):
        assert 0.1 < share < 0.35
    assert not (records == "").any(axis=None)


def test_some_copies_are_exact_and_most_are_not(corpus: SyntheticCorpus) -> None:
    content = corpus.records.drop(columns="record_id")
    further_copies = sum(len(cluster) - 1 for cluster in clusters(corpus))
    assert 0.02 < content.duplicated().sum() / further_copies < 0.15


def test_everything_is_fictional(corpus: SyntheticCorpus) -> None:
    domains = corpus.records["email"].dropna().str.lower().str.split("@").str[-1]
    reserved = domains.str.fullmatch(r"((mail|post)\.)?example\.(com|net|org)")
    assert reserved.mean() > 0.95  # the others are slips of the pen
    phones = corpus.records["phone"].dropna().str.replace(r"\D", "", regex=True)
    assert phones.str.fullmatch(r"1?\d{3}555\d{4}").all()
    assert phones.str[-4:-2].isin(["01"]).all()


def test_a_million_records_do_not_collapse_into_few_names() -> None:
    records = make_corpus(50_000).records
    assert records["name"].nunique() > 15_000
    assert records["title"].nunique() > 22_000


@pytest.mark.parametrize("slip", [*synthetic.WORD_SLIPS[1:], synthetic._move_word, synthetic._misdial])
@given(text=st.text(min_size=2), draw=st.integers(0, 2**31 - 1))
def test_a_slip_takes_any_text(slip: synthetic.Slip, text: str, draw: int) -> None:
    spoilt = slip(text, draw)
    assert spoilt == slip(text, draw)


@given(draw=st.integers(0, 2**31 - 1))
def test_a_mistype_spares_numbers_and_short_words(draw: int) -> None:
    assert synthetic._mistype("KX-4820 18 V", draw) == "KX-4820 18 V"
    assert synthetic._mistype("Smartphone 64 GB", draw).endswith(" 64 GB")


def test_losing_accents_leaves_plain_letters() -> None:
    assert synthetic._plain("Łukasz Żółty Straße") == "Lukasz Zolty Strasse"
    assert synthetic._plain("Юлия Щербин") == "Yuliya Shcherbin"
    assert synthetic._plain("Γιώργος Παπαδίδης") == "Giorgos Papadidis"
