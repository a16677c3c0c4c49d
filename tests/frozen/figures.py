"""What folders of a format give when they are used; the working folder is where they lie."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from pipeline.certificate import verify_run
from pipeline.evaluation import evaluate_encoder
from pipeline.matcher import Matcher
from pipeline.pairs import LabelledPairs
from pipeline.records import Records
from siamese.encoder import SiameseEncoder
from siamese.folders import read_json
from tests.flows.command import call


def figures() -> dict[str, Any]:
    """By folder, what it gives: rounded, for other libraries and machines have other last digits."""
    records = pd.read_parquet("records.parquet")
    asked = records.head(3).drop(columns="record_id").to_dict("records")
    return {
        **{name: _of_model(name, asked) for name in ("model", "bare-model")},
        "index": _of_index(asked),
        "run": _of_run("run"),
        "link": _of_run("link"),
        "update": _of_update(),
    }


def _of_model(name: str, asked: list[dict[str, Any]]) -> dict[str, Any]:
    encoder = SiameseEncoder.load(name)
    found = evaluate_encoder(encoder, Records.open("records.parquet"), LabelledPairs.read("pairs.parquet"), "train")
    measured = {key: round(found[key], 3) for key in ("precision", "recall", "f1")}
    return {"distances": _round(encoder.distance(asked, asked[::-1])), "fingerprint": encoder.fingerprint, **measured}


def _of_index(asked: list[dict[str, Any]]) -> dict[str, Any]:
    matcher = Matcher.load("index")
    found = matcher.nearest(asked, 3)
    scored = matcher.score(asked, asked[::-1])
    return {
        "neighbours": found["record_id"].tolist(),
        "distances": _round(found["distance"]),
        "probabilities": _round(scored["probability"]),
        "explained": _round(matcher.explain(asked[0], asked[1])["contribution"][:5]),
    }


def _of_run(name: str) -> dict[str, Any]:
    verified, summary = verify_run(Path(name)), read_json(Path(name, "summary.json"))
    assert call("report", name) == 0 and call("compare", name, name, "--json") == 0
    assert call("export", name, "--out", f"{name}-sheets", "--json") == 0
    assert call("audit", name, "--out", f"{name}.csv", "--sample", 20, "--json") == 0
    counts = {key: summary[key] for key in ("pairs", "matches", "clusters")}
    return {
        **counts,
        "flagged": verified["flagged"],
        "rows": {p.name: pq.read_metadata(p).num_rows for p in sorted(Path(name).glob("*.parquet"))},
    }


def _of_update() -> dict[str, Any]:
    assert call("update", "run", "today.parquet", "--out", "updated", "--json") == 0
    assert verify_run(Path("updated"))["is_recomputed"]  # by the curve that the model was saved with
    counts = read_json(Path("updated", "summary.json"))
    clusters = pq.read_table("updated/clusters.parquet", columns=["record_id", "cluster_id"]).to_pandas()
    groups = clusters.groupby("cluster_id")["record_id"].apply(sorted)
    return {
        **{key: counts[key] for key in ("pairs", "matches", "clusters")},
        "groups": sorted(each for each in groups if len(each) > 1),
    }


def _round(numbers: Any) -> list[float]:
    return [round(float(number), 3) for number in numbers]
