"""Freeze: small folders of the format that this version writes, and what they gave, as ``tests/frozen/FORMAT_VERSION/``.

``python -m tests.frozen.freeze`` makes them, once for each format; after that they stay as they are, and every later version must
read them.
"""

import json
import os
import sys
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pipeline.synthetic import make_corpus
from siamese.encoder import SiameseEncoder
from siamese.manifest import FORMAT_VERSION
from tests.flows.command import call
from tests.frozen.figures import figures

HERE = Path(__file__).parent
FOLDERS = ("model", "bare-model", "index", "run", "link")
FILES = ("records.parquet", "today.parquet", "pairs.parquet")


def freeze(place: Path) -> None:
    """Everything by relative paths: the folders go wherever the tests run."""
    os.chdir(place)
    make_corpus(70, seed=0, n_pairs=90).save(place)
    records = pd.read_parquet("records.parquet")
    records.iloc[5:].to_parquet("today.parquet")
    Path("job.toml").write_text("[tower]\ndim = 16\n")
    commands = [
        "train records.parquet pairs.parquet --out model --epochs 1 --config job.toml --json",
        "index model records.parquet --out index --json",
        "dedupe model records.parquet --out run --keep-state --json",
        "link model records.parquet today.parquet --out link --json",
    ]
    for command in commands:
        assert call(*command.split()) == 0, command
    replace(SiameseEncoder.load("model"), verifier=None, lessons=None).save("bare-model")


def main() -> None:
    kept = HERE / str(FORMAT_VERSION)
    if (kept / "folders.tar.xz").exists():
        sys.exit(f"'{kept}' is frozen: it stays as it is")
    os.environ.setdefault("PREFECT_HOME", tempfile.mkdtemp())
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        freeze(place)
        kept.mkdir(exist_ok=True)
        with tarfile.open(kept / "folders.tar.xz", "w:xz", preset=9) as archive:
            for each in (*FOLDERS, *FILES):
                archive.add(each)
        said = figures()
        (kept / "figures.json").write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.chdir(HERE)


if __name__ == "__main__":
    main()
