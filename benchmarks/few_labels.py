"""Test F1 against the number of labelled pairs, on the sets of ``../shared/data`` that have a thousand of them.

Of n pairs a fifth is valid, the rest train, both drawn with the set's own share of matches. Prints Markdown; ``--out FOLDER`` writes
it there with a plot.
"""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
from accuracy import DATA, f1

from pipeline.decision import Threshold
from pipeline.evaluation import judge_pairs
from pipeline.fitting import fit_encoder
from pipeline.pairs import LabelledPairs
from pipeline.records import Records
from pipeline.training_set import read_training_set
from siamese.settings import TrainingConfig

LABELS = (50, 100, 200, 500, 1000)


def thin(labelled: LabelledPairs, n: int, seed: int) -> LabelledPairs:
    """The file with n pairs of train and valid left, and all of test."""
    random, frame = np.random.default_rng(seed), labelled.frame
    kept = [np.flatnonzero(frame["split"] == "test")]
    for split, share in (("train", 0.8), ("valid", 0.2)):
        part = frame["split"].to_numpy() == split
        matches = np.flatnonzero(part & (frame["label"] == 1))
        others = np.flatnonzero(part & (frame["label"] == 0))
        wanted = round(share * n * len(matches) / part.sum())
        kept.append(random.permutation(matches)[:wanted])
        kept.append(random.permutation(others)[: round(share * n) - wanted])
    return replace(labelled, frame=frame.iloc[np.sort(np.concatenate(kept))].reset_index(drop=True))


def measure(name: str, n: int, seed: int) -> tuple[float, float]:
    """Test F1 by the distance and with the verifier."""
    records = Records.open(str(DATA / name / "records.parquet"))
    labelled = thin(LabelledPairs.read(str(DATA / name / "pairs.parquet")), n, seed)
    encoder = fit_encoder(records, labelled, config=TrainingConfig(seed=seed))
    data = read_training_set(records, labelled, seed=seed)
    test = data.of("test", clean=False)
    scores = []
    for verifier in (False, True):
        scores.append(f1(judge_pairs(encoder, Threshold(verifier=verifier), data, test)[-1].is_match, test.is_match))
    return scores[0], scores[1]


def plot(found: dict[str, np.ndarray], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "siamese"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5))
    for name, scores in found.items():
        (line,) = axes.plot(LABELS, scores[:, :, 1].mean(axis=1), marker="o", label=name)
        axes.plot(LABELS, scores[:, :, 0].mean(axis=1), linestyle=":", color=line.get_color())
    axes.set_xscale("log")
    axes.set_xticks(LABELS, [str(n) for n in LABELS])
    axes.minorticks_off()
    axes.set_xlabel("labelled pairs (train and valid)")
    axes.set_ylabel("test F1, percent")
    axes.set_title("With the verifier; dotted: by the distance alone", fontsize=10)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="sets; those with a thousand labelled pairs unless given")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="folder for few_labels.md and few_labels.svg")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        print(f"skipped: the public benchmark data is not at {DATA}")
        return
    logging.disable(logging.WARNING)
    names = arguments.names or [
        path.parent.name
        for path in sorted(DATA.glob("*/pairs.parquet"))
        if (LabelledPairs.read(str(path)).frame["split"] != "test").sum() >= max(LABELS)
    ]
    lines = ["| set | by | " + " | ".join(f"{n} pairs" for n in LABELS) + " |", "|---" * (len(LABELS) + 2) + "|"]
    print("\n".join(lines), flush=True)
    found: dict[str, np.ndarray] = {}
    for name in names:
        scores = np.array([[measure(name, n, seed) for seed in range(arguments.seeds)] for n in LABELS])
        found[name] = scores
        for column, by in enumerate(("distance", "verifier")):
            cells = [f"{one[:, column].mean():.1f} ± {one[:, column].std():.1f}" for one in scores]
            lines.append(f"| {name} | {by} | " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "few_labels.md").write_text("\n".join(lines) + "\n")
        plot(found, arguments.out / "few_labels.svg")


if __name__ == "__main__":
    main()
