"""Queries: how long one record takes, how many go in a second, what live changes cost, and a whole `siamese query`.

``python benchmarks/queries.py`` makes a corpus from a seed, learns from another one, indexes it, and asks about records of that other one.
Prints Markdown; ``--out FOLDER`` writes it there with all figures as JSON.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from speed import Workshop, say, table
from speed_process import run
from speed_startup import call

BATCH, K = 2_000, 5  # records asked for at once; neighbours of each
PROCESSES = 5
TITLES = ["", "1 record: median, ms", "p99, ms", "median, CPU ms", f"{BATCH:,} at once: records/s", "records/CPU s"]
KEYS = ("median_ms", "p99_ms", "cpu_ms", "records_s", "records_cpu_s")
Seconds = tuple[float, float]  # on the clock, and of the processor


def measure(index: str, asked: str, singles: int, share: float) -> list[dict[str, Any]]:
    """Figures of an index as it was made, and with this share of its records added and as many removed since."""
    from pipeline.matcher import Matcher
    from siamese.schema import as_table

    before, started = anonymous_mb(), time.perf_counter()
    matcher = Matcher.load(index)
    loaded = {"load_s": time.perf_counter() - started, "load_mb": anonymous_mb() - before}
    size = sum(path.stat().st_size for path in Path(index).rglob("*") if path.is_file()) / 2**20
    others = pd.read_parquet(asked).sample(frac=1.0, random_state=0)
    records, batch = others.head(singles).to_dict("records"), others.head(BATCH)
    as_made = figures(matcher, records, batch) | loaded | {"index_mb": size, "state": "as made"}
    changes = int(share * len(matcher))
    added = others.sample(changes, replace=True, random_state=1).assign(record_id=[f"new-{n}" for n in range(changes)])
    matcher.add(added.iloc[changes // 10 :])
    one_by_one = [timed(matcher.add, as_table(added.iloc[n : n + 1])) for n in range(changes // 10)]
    gone = matcher.corpus.ids.take(np.random.default_rng(0).permutation(len(matcher.corpus.ids))[:changes]).to_pylist()
    matcher.remove(gone[changes // 10 :])
    removed = [timed(matcher.remove, each) for each in gone[: changes // 10]]
    changed = figures(matcher, records, batch) | {"add": in_ms(one_by_one), "remove": in_ms(removed)}
    return [as_made, changed | {"state": f"{changes:,} added and {changes:,} removed since"}]


def figures(matcher: Any, records: list[dict[str, Any]], batch: pd.DataFrame) -> dict[str, Any]:
    found = {}
    for name, ask in (("nearest", lambda some: matcher.nearest(some, K)), ("within", matcher.within)):
        ask(records[0])  # the first one reads pages from the disk
        singles = [timed(ask, record) for record in records]
        whole = timed(ask, batch)
        found[name] = {**in_ms(singles), "records_s": len(batch) / whole[0], "records_cpu_s": len(batch) / whole[1]}
    return found


def timed(function: Callable[[Any], Any], argument: Any) -> Seconds:
    started, worked = time.perf_counter(), time.process_time()
    function(argument)
    return time.perf_counter() - started, time.process_time() - worked


def in_ms(seconds: list[Seconds]) -> dict[str, float]:
    clock, processor = 1e3 * np.array(seconds).T
    return {
        "median_ms": float(np.median(clock)),
        "p99_ms": float(np.quantile(clock, 0.99)),
        "cpu_ms": float(np.median(processor)),
    }


def anonymous_mb() -> float:
    """Memory that no file stands behind."""
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) / 1024


def processes(index: str, asked: str) -> dict[str, Any]:
    """A whole command, as a person waits for it."""
    record = pd.read_parquet(asked).drop(columns="record_id").iloc[0].dropna().to_json(force_ascii=False)
    seconds = [call(["query", index, "--json", record]) for _ in range(PROCESSES)]
    return {"state": "siamese query", "best_s": min(seconds), "median_s": statistics.median(seconds)}


def page(rows: list[dict[str, Any]], corpus: str, records: int) -> str:
    lines = [
        [
            f"{name}, {row['state']}",
            *(f"{row[name][key]:,.1f}" for key in KEYS[:3]),
            *(f"{row[name][key]:,.0f}" for key in KEYS[3:]),
        ]
        for row in rows
        if "nearest" in row
        for name in ("nearest", "within")
    ]
    as_made, changed, command = rows
    opened = f"Opening takes {as_made['load_s']:.2f} s and {as_made['load_mb']:.0f} MB of memory (on disk {as_made['index_mb']:.0f} MB)."
    more = ", ".join(
        f"{name} one record more takes {changed[key]['median_ms']:.1f} ms ({changed[key]['cpu_ms']:.1f} CPU ms)"
        for name, key in (("adding", "add"), ("removing", "remove"))
    )
    whole = f"`siamese query`, whole process: best {command['best_s']:.2f} s, median {command['median_s']:.2f} s of {PROCESSES}."
    title = f"*{corpus}*, {records:,} records, one core"
    return f"{title}\n\n{table(TITLES, lines)}\n\n{opened} With the changes of the table, {more}. {whole}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--corpora", type=lambda text: text.split(","), default=["easy", "hard"], help="with commas")
    parser.add_argument("--asked", type=int, default=500, help="records that are asked for one by one")
    parser.add_argument("--changed", type=float, default=0.01, help="share added, and share removed")
    parser.add_argument("--work", type=Path, help="folder that keeps what was made; a temporary one unless given")
    parser.add_argument("--out", type=Path, help="folder for queries.md and .json")
    asked = parser.parse_args()
    pages, rows = [], []
    with tempfile.TemporaryDirectory() as temporary:
        shop = Workshop(asked.work or Path(temporary))
        for corpus in asked.corpora:
            folder, model = shop.corpus(corpus, asked.records), shop.model("trained", corpus)
            index, others = str(shop.folder / f"{corpus}-index"), f"{shop.labelled(corpus)}/records.parquet"
            if not Path(index).is_dir():
                call(["index", model, f"{folder}/records.parquet", "--out", index])
            found = run("queries", "measure", 1, index=index, asked=others, singles=asked.asked, share=asked.changed)
            found.append(run("queries", "processes", 1, index=index, asked=others))
            rows += [say({"corpus": corpus, **row}) for row in found]
            pages.append(page(found, corpus, asked.records))
    print("\n\n".join(pages))
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        (asked.out / "queries.md").write_text("\n\n".join(pages) + "\n")
        (asked.out / "queries.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
