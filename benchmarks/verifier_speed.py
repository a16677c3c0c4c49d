"""Candidate pairs that the verifier judges in a second, on one core, beside what a plain token-set ratio of rapidfuzz does.

The pairs are the nearest neighbours of the records of each labelled-pair set of ``../shared/data``, as a run would propose them.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import sys
import time

import numpy as np
import torch
from accuracy import DATA
from rapidfuzz import fuzz, process

from pipeline.fitting import fit_encoder
from pipeline.index import index_neighbours
from pipeline.pairs import LabelledPairs
from pipeline.records import Records, read_table
from siamese.settings import TrainingConfig

NEIGHBOURS = 20


def main() -> None:
    if not DATA.is_dir():
        print(f"skipped: the public benchmark data is not at {DATA}")
        return
    torch.set_num_threads(1)
    names = sys.argv[1:] or sorted(path.parent.name for path in DATA.glob("*/pairs.parquet"))
    print(
        "| set | pairs | profiles, records/s | judged, pairs/s | against rapidfuzz's token_set_ratio |\n|---|---|---|---|---|"
    )
    for name in names:
        records = Records.open(str(DATA / name / "records.parquet"))
        encoder = fit_encoder(
            records, LabelledPairs.read(str(DATA / name / "pairs.parquet")), config=TrainingConfig(epochs=2)
        )
        verifier = encoder.verifier
        assert verifier is not None
        table = read_table(str(DATA / name / "records.parquet"))
        embeddings = encoder.encode(table)
        near = index_neighbours(embeddings, embeddings, NEIGHBOURS + 1)[:, 1:]
        left, right = np.repeat(np.arange(len(near)), NEIGHBOURS), near.ravel()
        distances = encoder.margin_distance(encoder.energies(embeddings[left], embeddings[right]))
        texts = encoder.schema.select(table)
        started = time.perf_counter()
        profiles = verifier.profile(texts)
        profiled = time.perf_counter() - started
        verifier.doubt(profiles, left[:100], right[:100], distances[:100])  # LightGBM reads its trees
        started = time.perf_counter()
        verifier.doubt(profiles, left, right, distances)
        judged = time.perf_counter() - started
        said = np.array(
            [" ".join(filter(None, row)) for row in zip(*(c.to_pylist() for c in texts.columns), strict=True)]
        )
        said = said.astype(object)
        started = time.perf_counter()
        process.cpdist(said[left], said[right], scorer=fuzz.token_set_ratio)
        fuzzy = time.perf_counter() - started
        print(
            f"| {name} | {len(left):,} | {len(texts) / profiled:,.0f} | {len(left) / judged:,.0f} | {fuzzy / judged:.2f} times its speed |",
            flush=True,
        )


if __name__ == "__main__":
    main()
