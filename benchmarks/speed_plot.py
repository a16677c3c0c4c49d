"""Seconds against records, as one SVG."""

from pathlib import Path
from typing import Any


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """A line for each way and number of cores, a panel for each corpus; nothing where there are no rows."""
    if not rows:
        return
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = path.stem
    from matplotlib import pyplot

    corpora = list(dict.fromkeys(row["corpus"] for row in rows))
    figure, axes = pyplot.subplots(
        1, len(corpora), figsize=(6 * len(corpora), 4.5), sharey=True, squeeze=False, layout="constrained"
    )
    for axis, corpus in zip(axes[0], corpora, strict=True):
        lines: dict[str, list[tuple[int, float]]] = {}
        for row in (row for row in rows if row["corpus"] == corpus):
            name = f"{row['who']}, {row['cores']} core" + "s" * (row["cores"] > 1)
            lines.setdefault(name, []).append((row["records"], row["seconds"]))
        for name, points in lines.items():
            axis.plot(*zip(*sorted(points), strict=True), marker="o", label=name)
        axis.set(xscale="log", yscale="log", xlabel="records", ylabel="seconds", title=corpus)
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
