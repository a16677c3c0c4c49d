"""A scripted week: nights of additions, edits and deletions through the product's own commands, one night drifted and one killed.

What a week must come to is checked at the end, not assumed: the last run's pairs and clusters are those of a run from scratch over the last
corpus; clusters whose records stayed have kept their ids every night; the drifted night was held and ``latest`` not moved; the killed
process left no child and no half file, and the same command went on from where it was.

Ordinary nights run in this process, as the flow of a schedule; the killed one is a process of its own.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.processes import of_session

ROOT = Path(__file__).parents[1]
WITHIN_SECONDS = 600.0
KILLED_AFTER = "again-search"  # the note of the stage after which the process is killed


@dataclass
class Night:
    """A row of the table."""

    night: str
    added: int
    edited: int
    deleted: int
    records: int
    new_embeddings: int
    flagged: int
    ids_kept: str
    drift: str
    seconds: float


@dataclass
class Week:
    """The corpus as it is, and what is still to come.

    Attributes:
        folder: holds ``corpus.parquet``, ``model/`` and ``runs/``.
        reserve: records that nights add, in order.
        random: draws the nights.
    """

    folder: Path
    reserve: pd.DataFrame
    random: Any
    nights: list[Night]

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus.parquet"

    @property
    def latest(self) -> Path:
        return (self.runs / "latest").resolve()

    def draw(self, added: int, edited: int, deleted: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Records that are new or edited, and ids of those that go; an edit is a letter lost in the longest field."""
        records = pd.read_parquet(self.corpus)
        chosen = self.random.permutation(len(records))
        edits = records.iloc[chosen[:edited]].copy()
        longest = edits.drop(columns="record_id").apply(lambda row: row.str.len().fillna(0).idxmax(), axis=1)
        for row, field in longest.items():
            text = str(edits.loc[row, field])
            edits.loc[row, field] = text[: len(text) // 2] + text[len(text) // 2 + 1 :]
        new, self.reserve = self.reserve.iloc[:added], self.reserve.iloc[added:]
        return pd.concat([new, edits]), records.iloc[chosen[edited : edited + deleted]][["record_id"]]

    def patch(self, changed: pd.DataFrame, gone: pd.DataFrame, out: Path) -> dict[str, int]:
        """``siamese patch``."""
        from pipeline.patching import patch_records
        from pipeline.records import Records

        changed.to_parquet(self.folder / "changed.parquet", index=False)
        gone.to_parquet(self.folder / "gone.parquet", index=False)
        parts = [
            Records.open(str(self.folder / name)) for name in ("corpus.parquet", "changed.parquet", "gone.parquet")
        ]
        return patch_records(parts[0], parts[1], parts[2], out).to_dict()

    def update(self, records: Path) -> dict[str, Any]:
        """As the schedule does it."""
        from flows.embedded import embedded_server

        with embedded_server():
            from flows.scheduled import scheduled

            parameters = {"run": str(self.runs / "latest"), "records": str(records), "out": str(self.runs / "next")}
            result: dict[str, Any] = scheduled("update", parameters)
        return result

    def told(self, name: str, patched: dict[str, int], drift: str, kept: str, seconds: float, run: Path) -> None:
        from siamese.folders import check_manifest, read_json

        summary, stages = read_json(run / "summary.json"), check_manifest(run, "run")["stages"]
        encoded = stages["embed"].get("encoded", summary["distinct_contents"])
        counts = [patched[each] for each in ("added", "edited", "deleted")]
        self.nights.append(
            Night(name, *counts, summary["records"], encoded, summary["matches"], kept, drift, round(seconds, 1))
        )


def start(folder: Path, records: int, reserve: int, seed: int) -> Week:
    """A corpus, a model of it, unless there is one, and the first run."""
    import numpy as np

    from flows.embedded import embedded_server
    from pipeline.synthetic import make_corpus

    made = make_corpus(records + reserve, seed=seed, n_pairs=1_000)
    week = Week(folder, made.records.iloc[records:], np.random.default_rng(seed), [])
    made.records.iloc[:records].to_parquet(week.corpus, index=False)
    here = made.records["record_id"].iloc[:records]
    known = made.pairs[made.pairs["left_id"].isin(here) & made.pairs["right_id"].isin(here)]
    known.to_parquet(folder / "pairs.parquet", index=False)
    began = time.monotonic()
    with embedded_server():
        from flows.dedupe import dedupe
        from flows.train import train
        from siamese.settings import TrainingConfig

        if not (folder / "model").is_dir():
            quick = TrainingConfig(epochs=4)  # it is not the model that is tried
            train(str(week.corpus), str(folder / "pairs.parquet"), str(folder / "model"), config=quick)
        began = time.monotonic()
        summary = dedupe(str(folder / "model"), str(week.corpus), str(week.runs / "next"), keep_state=True)
    nothing = {"added": records, "edited": 0, "deleted": 0}
    week.told("first run", nothing, summary["drift"]["verdict"], "", time.monotonic() - began, week.latest)
    return week


def plain_night(week: Week, name: str, changed: pd.DataFrame, gone: pd.DataFrame) -> None:
    before = week.latest
    began = time.monotonic()
    patched = week.patch(changed, gone, week.corpus)
    summary = week.update(week.corpus)
    assert week.latest == Path(summary["out"]).resolve() != before
    kept = ids_kept(before, week.latest)
    week.told(name, patched, summary["drift"]["verdict"], kept, time.monotonic() - began, week.latest)


def drifted_night(week: Week, name: str, changed: pd.DataFrame, gone: pd.DataFrame) -> None:
    """A batch of which a field went blank and another was read in the wrong encoding; the corpus stays as it was."""
    from pipeline.holding import HELD, DriftError
    from siamese.folders import read_json

    broken = changed.copy()
    said = broken["name"].fillna("").map(lambda text: text.encode().decode("latin-1"))
    broken["name"] = said.where(broken["name"].notna())
    broken["city"] = None
    before, there = week.latest, {path.name for path in week.runs.iterdir()}
    began = time.monotonic()
    patched = week.patch(broken, gone, week.folder / "broken.parquet")
    try:
        week.update(week.folder / "broken.parquet")
    except DriftError as error:
        print(f"{name}: {error}")
    else:
        raise AssertionError(f"{name}: a drifted night was published")
    seconds = time.monotonic() - began
    assert week.latest == before, "latest was moved"
    (new,) = {path.name for path in week.runs.iterdir()} - there
    held = week.runs / new
    assert held.suffix == ".held" and read_json(held / "manifest.json")[HELD]
    week.told(name, patched, "stop: held", ids_kept(before, held), seconds, held)


def killed_night(week: Week, name: str, changed: pd.DataFrame, gone: pd.DataFrame) -> None:
    """A process killed on its way, and the same command again."""
    from siamese.folders import read_json

    before, there = week.latest, set(week.runs.iterdir())
    began = time.monotonic()
    patched = week.patch(changed, gone, week.corpus)
    process = command(week)
    note = wait_for_note(week.runs, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not of_session(process.pid), "the killed process left others"
    (partial,) = set(week.runs.iterdir()) - there
    assert partial.name.endswith(".partial") and week.latest == before, "half a run was published"
    said = read_json(note)
    again = command(week)
    output, _ = again.communicate(timeout=WITHIN_SECONDS)
    assert again.returncode == 0, output
    assert not of_session(again.pid), "the resumed process left others"
    assert week.latest != before and not partial.exists()
    # A stage's note says its seconds, to the millisecond: had it been done again, they would be others.
    assert read_json(week.latest / "manifest.json")["stages"]["search"] == said, "what was done was done again"
    seconds = time.monotonic() - began
    drift = read_json(week.latest / "summary.json")["drift"]["verdict"] + " (killed, resumed)"
    week.told(name, patched, drift, ids_kept(before, week.latest), seconds, week.latest)


def command(week: Week) -> subprocess.Popen[str]:
    """``siamese update`` as a process and a session of its own."""
    parameters = ["update", week.runs / "latest", week.corpus, "--out", week.runs / "next", "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *map(str, parameters)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for_note(runs: Path, process: subprocess.Popen[str]) -> Path:
    """The note of the stage after which a process is killed, once it is there."""
    until = time.monotonic() + WITHIN_SECONDS
    while True:
        for note in runs.glob(f".*.partial/work/done/{KILLED_AFTER}.json"):
            return note
        assert process.poll() is None, f"it ended before it could be killed: {process.communicate()[0]}"
        assert time.monotonic() < until, "it came to nothing in time"
        time.sleep(0.002)


def ids_kept(before: Path, now: Path) -> str:
    """Of the clusters that have the same records in both runs, the share that kept its id; it must be all of them."""
    old, new = (members(run) for run in (before, now))
    same = old.merge(new, on="members", suffixes=("_old", "_new"))
    kept = int((same["cluster_id_old"] == same["cluster_id_new"]).sum())
    assert kept == len(same), f"{len(same) - kept} clusters that did not change lost their ids"
    return f"{kept:,} of {len(same):,}"


def members(run: Path) -> pd.DataFrame:
    clusters = pd.read_parquet(run / "clusters.parquet", columns=["record_id", "cluster_id"])
    grouped = clusters.sort_values("record_id").groupby("cluster_id")["record_id"].agg("\n".join)
    return grouped.rename("members").reset_index()


def check_end(week: Week) -> None:
    """The last run beside one from scratch over the same records, and what lies about."""
    from flows.embedded import embedded_server
    from pipeline.drift import DRIFT
    from siamese.folders import check_manifest

    with embedded_server():
        from flows.dedupe import dedupe

        dedupe(str(week.folder / "model"), str(week.corpus), str(week.folder / "scratch"))
    scratch = week.folder / "scratch"
    for name in ("pairs.parquet", "beyond.parquet", "unique.parquet"):
        one, other = ((run / name).read_bytes() for run in (week.latest, scratch))
        assert one == other, f"{name} is not that of a run from scratch"
    tables = [pd.read_parquet(run / "clusters.parquet").drop(columns="cluster_id") for run in (week.latest, scratch)]
    pd.testing.assert_frame_equal(*tables)
    assert sorted(members(week.latest)["members"]) == sorted(members(scratch)["members"])
    names = {path.name for path in week.runs.iterdir()}
    assert all(name == "latest" or name.startswith("run-") for name in names), names
    for run in week.runs.glob("run-*"):
        check_manifest(run, "run")
        assert (run / DRIFT).is_file()


def soak(folder: Path, records: int, seed: int, nights: list[str], scale: float) -> list[Night]:
    """The nights, each "plain", "drifted" or "killed"; all that is promised of them is asserted."""
    added, edited, deleted = (max(1, round(records * share * scale)) for share in (0.01, 0.005, 0.005))
    week = start(folder, records, added * (len(nights) + 1), seed)
    late = None  # what the drifted night should have brought comes the night after, mended
    kinds: dict[str, Callable[..., None]] = {"plain": plain_night, "drifted": drifted_night, "killed": killed_night}
    for number, kind in enumerate(nights, 1):
        changed, gone = week.draw(*(round(each * week.random.uniform(0.7, 1.3)) for each in (added, edited, deleted)))
        if late is not None:
            changed, gone = with_late(changed, gone, late)
        late = (changed, gone) if kind == "drifted" else None
        kinds[kind](week, f"{number}, {kind}", changed, gone)
    check_end(week)
    return week.nights


def with_late(changed: pd.DataFrame, gone: pd.DataFrame, late: tuple[pd.DataFrame, pd.DataFrame]) -> tuple[Any, Any]:
    """Two nights as one: the later word counts, and what goes was never changed."""
    both = pd.concat([late[0], changed]).drop_duplicates("record_id", keep="last")
    away = pd.concat([late[1], gone]).drop_duplicates("record_id")
    return both[~both["record_id"].isin(away["record_id"])], away


def table(nights: list[Night]) -> str:
    rows = [
        [f"{value:,}" if isinstance(value, int) else str(value) for value in asdict(each).values()] for each in nights
    ]
    names = [name.replace("_", " ") for name in asdict(nights[0])]
    return "\n".join("| " + " | ".join(row) + " |" for row in [names, ["---"] * len(names), *rows])


WEEK = ["plain", "plain", "plain", "drifted", "plain", "killed", "plain"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder to write soak.md into")
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="siamese-soak-") as folder:
        nights = soak(Path(folder), asked.records, asked.seed, WEEK, 1.0)
    seconds = time.monotonic() - began
    said = f"""{table(nights)}

The last run is that of a run from scratch over the last corpus: pairs and unique records byte for byte, and the same clusters.
The drifted night was held and `latest` not moved; the killed one went on where it was; nothing is half-written, and no process is left.
{asked.records:,} records at first, {seconds:.0f} s with training.
"""
    print(said, end="")
    if asked.out:
        (asked.out / "soak.md").write_text(said)


if __name__ == "__main__":
    main()
