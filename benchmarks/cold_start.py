"""A first run without a label on whole sets of ``../shared/data`` and on a made corpus: ``siamese dedupe RECORDS``, or ``siamese link LEFT
RIGHT --one-to-one``. Prints Markdown; ``--out FOLDER`` writes it there."""

import argparse
import sys
import tempfile
from pathlib import Path

import pandas as pd
from accuracy import DATA

from flows.embedded import embedded_server
from pipeline.synthetic import make_corpus

MADE = "made"
MADE_RECORDS = 5000


def measure(name: str) -> list[str]:
    from flows.dedupe import dedupe
    from flows.link import link

    with tempfile.TemporaryDirectory() as place:
        folder, run = Path(place), f"{place}/run"
        if name == MADE:
            make_corpus(MADE_RECORDS, seed=0).save(folder)
        source = folder if name == MADE else DATA / name
        records, truth = pd.read_parquet(source / "records.parquet"), str(source / "true_pairs.parquet")
        if "source" in records and records["source"].nunique() == 2:
            for side, table in records.groupby("source"):
                table.to_parquet(folder / f"{side}.parquet")
            summary = link(None, f"{place}/A.parquet", f"{place}/B.parquet", run, one_to_one=True, truth=truth)
        else:
            summary = dedupe(None, str(source / "records.parquet"), run, truth=truth)
    pairs, clusters = summary["evaluation"]["pairs"], summary["evaluation"]["clusters"]
    return [
        name,
        *(f"{value:.3f}" for value in (pairs["precision"], pairs["recall"], pairs["f1"], clusters["b_cubed"]["f1"])),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="sets; all whole tables and the made corpus unless given")
    parser.add_argument("--out", type=Path, help="folder for cold_start.md")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"skipped: the public benchmark data is not at {DATA}")
    names = arguments.names or [*sorted(path.parent.name for path in DATA.glob("*/true_pairs.parquet")), MADE]
    lines = [["set", "precision", "recall", "F1", "B-cubed F1"], ["---"] * 5]
    with embedded_server():
        lines += [measure(name) for name in names]
    page = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    print(page)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "cold_start.md").write_text(page + "\n")


if __name__ == "__main__":
    main()
