"""Speed and scale: peers and us in turn on corpora that are made here from a seed, at matched output, and the parts of it by themselves.

``python benchmarks/speed.py SECTION ...`` with peers, growth, embedding, join, recall, updates, startup, or several; each job has a process
of its own. Prints Markdown; ``--out FOLDER`` writes it there with all figures as JSON and a plot of seconds against records.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

from speed_plot import plot
from speed_process import JobError, run

PEERS = ["Splink", "Splink (tight)", "rensa", "datasketch", "SemHash", "goldenmatch"]
MILLION_PEERS = ["Splink", "Splink (tight)", "rensa"]
WAYS = {  # ours: the model, and whether its verifier decides
    "ours": ("trained", True),
    "ours (distance)": ("trained", False),
    "ours (untrained)": ("untrained", False),
}
SEED = 0
Row = dict[str, Any]
Section = Callable[["Workshop", argparse.Namespace], tuple[list[Row], str]]


class Workshop:
    """Corpora, models and settings, each made once in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings: dict[tuple[str, str], Row] = {}

    def corpus(self, name: str, n: int) -> str:
        return run("speed_corpus", "write", 1, folder=str(self.folder), corpus=name, n=n, seed=SEED)

    def labelled(self, name: str) -> str:
        return run("speed_corpus", "write_labelled", 1, folder=str(self.folder), corpus=name, seed=SEED)

    def model(self, kind: str, corpus: str) -> str:
        out = self.folder / f"{corpus}-{kind}"
        if not out.is_dir():
            cost = run("speed_models", "make", 1, kind=kind, labelled=self.labelled(corpus), out=str(out))
            say({"model": kind, "corpus": corpus, **cost})
        return str(out)

    def setting(self, peer: str, corpus: str) -> Row:
        if (peer, corpus) not in self.settings:
            chosen = run("speed_peers", "choose", 1, peer=peer, corpus=corpus, folder=self.labelled(corpus))
            self.settings[peer, corpus] = chosen
        return self.settings[peer, corpus]

    def peer(self, name: str, corpus: str, n: int, cores: int) -> Row:
        setting = self.setting(name, corpus)
        found = run("speed_peers", "measure", cores, peer=name, folder=self.corpus(corpus, n), setting=setting)
        return {**found, "setting": {key: value for key, value in setting.items() if key != "settings"}}

    def ours(self, way: str, corpus: str, n: int, cores: int) -> Row:
        kind, verifier = WAYS[way]
        model, out = self.model(kind, corpus), str(self.folder / "run")
        return run(
            "speed_ours", "measure", cores, folder=self.corpus(corpus, n), model=model, verifier=verifier, out=out
        )

    def measure(self, who: str, corpus: str, n: int, cores: int) -> Row:
        """One row of a table; ``failed`` says why there are no figures."""
        row: Row = {"who": who, "corpus": corpus, "records": n, "cores": cores}
        try:
            row |= (self.ours if who in WAYS else self.peer)(who, corpus, n, cores)
        except JobError as error:
            row["failed"] = str(error)
        return say(row)


def say(row: Row) -> Row:
    print(json.dumps(row), file=sys.stderr, flush=True)
    return row


def peers(shop: Workshop, asked: argparse.Namespace) -> tuple[list[Row], str]:
    sizes = [asked.records, 1_000_000] if asked.million else [asked.records]
    rows = [
        shop.measure(who, corpus, n, cores)
        for corpus in asked.corpora
        for n in sizes
        for cores in asked.cores
        for who in asked.who
        if n < 1_000_000 or who in WAYS or who in MILLION_PEERS
    ]
    tables = [
        peers_table(list(some)) for _, some in groupby(rows, lambda row: (row["corpus"], row["records"], row["cores"]))
    ]
    return rows, "\n\n".join(tables)


def peers_table(rows: list[Row]) -> str:
    ours = next((row.get("seconds") for row in rows if row["who"] == "ours"), None)
    lines = []
    for row in rows:
        if "failed" in row:
            lines.append([row["who"], row["failed"], *[""] * 6])
            continue
        times = f"{row['seconds'] / ours:.2f}" if ours else ""
        cells = [f"{row['seconds']:.1f}", f"{row['cpu_s']:.1f}", str(row["peak_mb"])]
        lines.append([row["who"], *cells, *(f"{row[key]:.3f}" for key in ("precision", "recall", "f1")), times])
    title = f"*{rows[0]['corpus']}*, {rows[0]['records']:,} records, cores: {rows[0]['cores']}"
    titles = ["", "seconds", "CPU s", "peak, MB", "precision", "recall", "F1", "times ours"]
    chosen = "; ".join(f"{row['who']} {told(row['setting'])}" for row in rows if "setting" in row)
    return f"{title}\n\n{table(titles, lines)}" + (f"\n\nSettings: {chosen}." if chosen else "")


def told(setting: Row) -> str:
    return ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in setting.items()
    )


def growth(shop: Workshop, asked: argparse.Namespace) -> tuple[list[Row], str]:
    rows = [
        shop.measure(who, corpus, n, cores)
        for corpus in asked.corpora
        for cores in asked.cores
        for who in asked.who
        if who in WAYS
        for n in asked.sizes
    ]
    lines = []
    for (corpus, cores, who), some in groupby(rows, lambda row: (row["corpus"], row["cores"], row["who"])):
        done = [row for row in some if "failed" not in row]
        seconds = ", ".join(f"{row['records']:,}: {row['seconds']:.1f}" for row in done)
        peak = max((row["peak_mb"] for row in done), default=0)
        lines.append([corpus, str(cores), who, seconds, str(peak), f"{exponent(done):.2f}" if len(done) > 1 else ""])
    return rows, table(["corpus", "cores", "", "records: seconds", "peak, MB", "exponent"], lines)


def exponent(rows: list[Row]) -> float:
    """Of the least-squares fit seconds = c * records ** exponent."""
    import numpy as np

    return float(np.polyfit(np.log([row["records"] for row in rows]), np.log([row["seconds"] for row in rows]), 1)[0])


def embedding(shop: Workshop, asked: argparse.Namespace) -> tuple[list[Row], str]:
    rows = []
    for corpus in asked.corpora:
        arguments = {"folder": shop.corpus(corpus, asked.records), "model": shop.model("untrained", corpus)}
        rows.append(say({"corpus": corpus, **run("speed_embedding", "measure", 1, **arguments)}))
    return rows, figures(rows)


def on_each_corpus(module: str, model: str, shop: Workshop, asked: argparse.Namespace) -> list[Row]:
    """What a module measures with a model of each corpus, on so many cores and on others."""
    rows = []
    for corpus in asked.corpora:
        arguments = {"folder": shop.corpus(corpus, asked.records), "model": shop.model(model, corpus)}
        rows += [
            say({"corpus": corpus, "cores": cores, **run(module, "measure", cores, **arguments)})
            for cores in asked.cores
        ]
    return rows


def join(shop: Workshop, asked: argparse.Namespace) -> tuple[list[Row], str]:
    rows = on_each_corpus("speed_join", "untrained-128", shop, asked)
    return rows, figures(rows)


def recall(shop: Workshop, asked: argparse.Namespace) -> tuple[list[Row], str]:
    rows = []
    for corpus in asked.corpora:
        arguments = {"folder": shop.corpus(corpus, asked.records), "model": shop.model("trained", corpus)}
        rows.append(say({"corpus": corpus, **run("speed_recall", "measure", 1, **arguments)}))
    return rows, figures(rows)


def updates(shop: Workshop, asked: argparse.Namespace) -> tuple[list[Row], str]:
    rows = on_each_corpus("speed_updates", "trained", shop, asked)
    return rows, figures([{key: value for key, value in row.items() if key != "stages"} for row in rows])


def startup(shop: Workshop, asked: argparse.Namespace) -> tuple[list[Row], str]:
    arguments = {"folder": shop.corpus("easy", asked.records), "small": shop.corpus("easy", 1_000)}
    place = str(shop.folder)
    rows = run(
        "speed_startup", "measure", max(asked.cores), **arguments, model=shop.model("trained", "easy"), place=place
    )
    lines = [[row["command"], f"{row['best_s']:.2f}", f"{row['median_s']:.2f}"] for row in map(say, rows)]
    return rows, table(["command", "best, s", "median of 3, s"], lines)


def figures(rows: list[Row]) -> str:
    """A column for each row of figures."""
    lines = [[key.replace("_", " "), *(figure(row[key]) for row in rows)] for key in rows[0]]
    return table(lines[0], lines[1:])


def figure(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value >= 1_000 or isinstance(value, int) else f"{value:.3g}"


def table(titles: list[str], lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in [titles, ["---"] * len(titles), *lines])


SECTIONS: dict[str, Section] = {
    each.__name__: each for each in (peers, growth, embedding, join, recall, updates, startup)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="+", choices=list(SECTIONS))
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--million", action="store_true", help="peers: a million records too, by those that can")
    parser.add_argument(
        "--sizes", type=_numbers, default=[10_000, 30_000, 100_000, 300_000, 1_000_000], help="growth, with commas"
    )
    parser.add_argument("--cores", type=_numbers, default=[1, 2], help="with commas")
    parser.add_argument("--corpora", type=_names, default=["easy", "hard"], help="with commas")
    parser.add_argument("--who", type=_names, default=[*PEERS, *WAYS], help="peers and ways of ours, with commas")
    parser.add_argument(
        "--work", type=Path, help="folder that keeps corpora and models between calls; a temporary one unless given"
    )
    parser.add_argument("--out", type=Path, help="folder for speed-SECTION.md, .json and .svg")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.work or Path(temporary)
        os.environ["PREFECT_HOME"] = str(folder / "prefect")  # no history but these runs'
        for name in asked.sections:
            try:
                rows, page = SECTIONS[name](Workshop(folder), asked)
            except JobError as error:
                rows, page = [], f"no figures: {error}"
            print(f"## {name}\n\n{page}\n", flush=True)
            if asked.out:
                asked.out.mkdir(parents=True, exist_ok=True)
                (asked.out / f"speed-{name}.md").write_text(page + "\n")
                (asked.out / f"speed-{name}.json").write_text(json.dumps(rows, indent=2) + "\n")
                plot([row for row in rows if "seconds" in row], asked.out / f"speed-{name}.svg")


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _names(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    main()
