"""F1 against the number of labels that somebody had to give: our choice of pairs, random candidates, and the most uncertain ones.

The labeller is simulated: it answers from the truth. It labels the training half of the entities of a set of ``../shared/data`` (of a made
corpus: another one, from another seed); a model learns from the answers alone, and F1 is that of its run on the test half, against the
whole truth. ``abt-buy``: candidates are the pairs of train and valid, and F1 is on the test split. All three begin without a model and
train in the same way. "All labels": the truth of the training half with mined imposites, or all pairs of train and valid.
"""

import argparse
import json
import logging
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from accuracy import DATA, f1

from flows.embedded import embedded_server
from pipeline.decision import Threshold
from pipeline.evaluation import judge_pairs
from pipeline.fitting import fit_encoder
from pipeline.labelling import LabelSession
from pipeline.labelling.choosing import Choice
from pipeline.labelling.committee import entropy
from pipeline.pairs import LabelledPairs
from pipeline.records import Records
from pipeline.synthetic import make_corpus
from pipeline.training_set import read_training_set
from siamese.encoder import SiameseEncoder
from siamese.errors import SiameseError
from siamese.settings import TrainingConfig

COUNTS = {
    "abt-buy": (50, 100, 200, 400),
    "dblp-acm-tables": (50, 100, 200),
    "cora": (50, 100, 200),
    "made": (50, 100, 200),
}
MADE_RECORDS = 3000
STRATEGIES = ("ours", "random", "uncertainty")
VALID = 5  # every so many labels of a plain sample is valid


class Random(LabelSession):
    """Candidates drawn plainly."""

    def _choose(self, n: int, others: set[int], by: str) -> list[Choice]:
        random = np.random.default_rng([self._seed, len(self._file.answers)])
        chance = self.pool.times * ~self._stock.known
        chance[list(others)] = 0
        chosen = random.choice(len(chance), n, replace=False, p=chance / chance.sum())
        return [Choice(int(place), "plain", 1.0) for place in chosen]

    def labelled(self) -> LabelledPairs:
        """A plain sample, evidence as it is, with a fifth of either label for valid."""
        found = super().labelled()
        number = found.frame.groupby("label").cumcount()
        split = np.where(number % VALID == 0, "valid", "train")
        return replace(found, frame=found.frame.assign(split=split, is_chosen=False))


class Uncertainty(Random):
    """Plain draws until the judges have an opinion, then the pairs that they are least sure of."""

    def _choose(self, n: int, others: set[int], by: str) -> list[Choice]:
        opinion = self._learner.opinion
        if opinion is None:
            return super()._choose(n, others, by)
        doubt = np.where(self._stock.known, -1, entropy(opinion.probability))
        doubt[list(others)] = -1
        return [Choice(int(place), "uncertain", 1.0) for place in np.argsort(-doubt, kind="stable")[:n]]

    def labelled(self) -> LabelledPairs:
        """The same, but no plain sample."""
        found = super().labelled()
        return replace(found, frame=found.frame.assign(is_chosen=True))


SESSIONS = {"ours": LabelSession, "random": Random, "uncertainty": Uncertainty}


class Set:
    """A set to label and to measure on.

    Attributes:
        records: to label; ``right`` the second table of a link.
        truth: of both parts, frozensets of two ids.
    """

    def __init__(self, name: str, seed: int, folder: Path) -> None:
        self.name, self.folder, self.seed, self.right, self.candidates = name, folder, seed, None, None
        if name == "abt-buy":
            pairs = pd.read_parquet(DATA / name / "pairs.parquet")
            self.candidates = pairs[pairs["split"] != "test"].drop_duplicates(["left_id", "right_id"])
            records = pd.read_parquet(DATA / name / "records.parquet")
            named = set(self.candidates["left_id"]) | set(self.candidates["right_id"])
            self.records = records[records["record_id"].isin(named)]
            self.truth = _truth(self.candidates[self.candidates["label"] == 1])
            return
        if name == "made":
            parts = {
                part: make_corpus(MADE_RECORDS, seed=2 * seed + number) for number, part in enumerate(("train", "test"))
            }
            tables = {part: each.records for part, each in parts.items()}
            true_pairs = pd.concat([each.true_pairs for each in parts.values()])
        else:
            records = pd.read_parquet(DATA / name / "records.parquet")
            part_of = pd.read_parquet(DATA / name / "entity_split.parquet").set_index("record_id")["part"]
            tables = dict(iter(records.groupby(records["record_id"].map(part_of))))
            true_pairs = pd.read_parquet(DATA / name / "true_pairs.parquet")
        self.truth = _truth(true_pairs)
        for part, table in tables.items():
            table.to_parquet(folder / f"{part}.parquet")
            inside = true_pairs["left_id"].isin(table["record_id"]) & true_pairs["right_id"].isin(table["record_id"])
            true_pairs[inside].to_parquet(folder / f"{part}_pairs.parquet")
        self.records, test = tables["train"], tables["test"]
        if "source" in test and test["source"].nunique() == 2:
            self.right = self.records[self.records["source"] == "B"]
            self.records = self.records[self.records["source"] == "A"]
            for side in ("A", "B"):
                test[test["source"] == side].to_parquet(folder / f"test_{side}.parquet")

    def session(self, strategy: str) -> LabelSession:
        """A new one; its candidates depend on the seed."""
        kind = SESSIONS[strategy]
        return kind(self.records, right=self.right, candidates=self.candidates, seed=self.seed, background=False)

    def train(self, session: LabelSession) -> SiameseEncoder | None:
        """What ``siamese train`` makes of the answers; None where they do not do."""
        path = DATA / self.name / "records.parquet" if self.name == "abt-buy" else self.folder / "train.parquet"
        try:
            return fit_encoder(Records.open(str(path)), session.labelled(), config=TrainingConfig(seed=self.seed))
        except SiameseError:
            return None

    def with_all_labels(self) -> SiameseEncoder:
        config = TrainingConfig(seed=self.seed)
        if self.name == "abt-buy":
            labelled = LabelledPairs.read(str(DATA / self.name / "pairs.parquet"))
            return fit_encoder(Records.open(str(DATA / self.name / "records.parquet")), labelled, config=config)
        labelled = LabelledPairs.read(str(self.folder / "train_pairs.parquet"))
        config = config.model_copy(update={"negatives": "mined"})
        return fit_encoder(Records.open(str(self.folder / "train.parquet")), labelled, config=config)

    def f1(self, model: SiameseEncoder) -> float:
        """Of a model, on what was not labelled, in percent."""
        if self.name == "abt-buy":
            records = Records.open(str(DATA / self.name / "records.parquet"))
            data = read_training_set(records, LabelledPairs.read(str(DATA / self.name / "pairs.parquet")), seed=0)
            test = data.of("test", clean=False)
            return f1(judge_pairs(model, Threshold(), data, test)[-1].is_match, test.is_match)
        from flows.dedupe import dedupe
        from flows.link import link

        with tempfile.TemporaryDirectory() as place:
            saved, run, truth = f"{place}/model", f"{place}/run", str(self.folder / "test_pairs.parquet")
            model.save(saved)
            if self.right is not None:
                sides = [str(self.folder / f"test_{side}.parquet") for side in ("A", "B")]
                summary = link(saved, *sides, run, one_to_one=True, truth=truth)
            else:
                summary = dedupe(saved, str(self.folder / "test.parquet"), run, truth=truth)
        return 100 * float(summary["evaluation"]["pairs"]["f1"])


def _truth(pairs: pd.DataFrame) -> set[frozenset[str]]:
    return {frozenset(pair) for pair in zip(pairs["left_id"], pairs["right_id"], strict=True)}


def measure(name: str, seed: int, strategies: tuple[str, ...]) -> list[dict]:
    """A row a strategy and number of labels; F1 is None where no model can be trained on them."""
    rows: list[dict] = []
    with tempfile.TemporaryDirectory() as made:
        some = Set(name, seed, Path(made))
        rows.append(
            {"set": name, "seed": seed, "strategy": "all labels", "labels": None, "f1": some.f1(some.with_all_labels())}
        )
        for strategy in strategies:
            with some.session(strategy) as session:
                for labels in COUNTS[name]:
                    while session.progress().answered < labels:
                        proposal = session.propose()[0]
                        session.answer(proposal, frozenset(proposal.pair) in some.truth)
                    model = some.train(session)
                    row = {"set": name, "seed": seed, "strategy": strategy, "labels": labels}
                    rows.append({**row, "genuine": session.progress().genuine, "f1": some.f1(model) if model else None})
                    print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def markdown(every: pd.DataFrame) -> str:
    """Mean and spread of F1 over the seeds; a dash where no model can be trained."""
    counts = sorted({int(n) for n in every["labels"].dropna()})
    lines = [["set", "strategy", *(f"{n} labels" for n in counts), "all labels"]]
    lines.append(["---"] * len(lines[0]))
    for name, of_set in every.groupby("set", sort=False):
        whole = of_set[of_set["strategy"] == "all labels"]["f1"]
        for strategy in dict.fromkeys(of_set["strategy"]):
            if strategy == "all labels":
                continue
            some = of_set[of_set["strategy"] == strategy]
            cells = [_mean(some[some["labels"] == n]["f1"]) for n in counts]
            lines.append([str(name), strategy, *cells, _mean(whole) if strategy == "ours" else ""])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _mean(values: pd.Series) -> str:
    known = values.dropna().astype(float)
    failed = f" ({len(values) - len(known)} untrained)" if 0 < len(known) < len(values) else ""
    return f"{known.mean():.1f} ± {known.std(ddof=0):.1f}{failed}" if len(known) else "—" if len(values) else ""


def plot(every: pd.DataFrame, path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "siamese"
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(every["set"]))
    figure, axes = plt.subplots(1, len(names), figsize=(3.4 * len(names), 3.4), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        of_set = every[every["set"] == name]
        for strategy in STRATEGIES:
            some = of_set[of_set["strategy"] == strategy].dropna(subset=["f1"]).groupby("labels")["f1"]
            axis.errorbar(some.mean().index, some.mean(), some.std(ddof=0), marker="o", capsize=2, label=strategy)
        axis.axhline(of_set[of_set["strategy"] == "all labels"]["f1"].mean(), color="grey", linestyle=":")
        axis.set_xscale("log")
        axis.set_xticks(COUNTS[name], [str(n) for n in COUNTS[name]])
        axis.minorticks_off()
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("labels")
    axes[0][0].set_ylabel("F1 on what was not labelled, percent")
    axes[0][0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="sets; all unless given")
    parser.add_argument("--seeds", type=int, nargs="*", default=range(5))
    parser.add_argument("--strategies", nargs="*", default=STRATEGIES, choices=STRATEGIES)
    parser.add_argument("--out", type=Path, help="folder for labelling.md, .json and .svg; what is there is added to")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"skipped: the public benchmark data is not at {DATA}")
    logging.disable(logging.WARNING)
    kept = arguments.out / "labelling.json" if arguments.out else None
    rows: list[dict] = json.loads(kept.read_text()) if kept and kept.is_file() else []
    with embedded_server():
        for seed in arguments.seeds:
            for name in arguments.names or COUNTS:
                fresh = measure(name, seed, tuple(arguments.strategies))
                done = {(row["set"], row["seed"], row["strategy"], row["labels"]) for row in fresh}
                rows = [r for r in rows if (r["set"], r["seed"], r["strategy"], r["labels"]) not in done] + fresh
                rows.sort(key=lambda r: (list(COUNTS).index(r["set"]), r["strategy"], r["labels"] or 0, r["seed"]))
                if kept:
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    kept.write_text(json.dumps(rows, indent=1) + "\n")
    every = pd.DataFrame(rows)
    print(markdown(every))
    if arguments.out:
        (arguments.out / "labelling.md").write_text(markdown(every) + "\n")
        plot(every, arguments.out / "labelling.svg")


if __name__ == "__main__":
    main()
