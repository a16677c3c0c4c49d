"""The command ``siamese``. Heavy imports wait until a command runs, so that ``--help`` is quick."""

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from siamese.errors import DataError, OutputError, SettingsError, SiameseError

app = typer.Typer(
    help="Find duplicates: learn from labelled pairs what is the same, then flag every match, with a probability.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Id = Annotated[str, typer.Option("--id", help="Column that names a record.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
MaxDistance = Annotated[float | None, typer.Option(help="Flag pairs up to this distance, in margin units.")]
MinPrecision = Annotated[float | None, typer.Option(help="Flag as far as this precision can be promised.")]
MinRecall = Annotated[float | None, typer.Option(help="Flag as far as this recall asks for, if it can be promised.")]
Confidence = Annotated[float, typer.Option(help="Of the promise.")]
Truth = Annotated[str | None, typer.Option(help="File of all true pairs, to measure the run against.")]
Verifier = Annotated[str | None, typer.Option(help="none: the distance alone decides. Else the model's verifier does.")]
IndexKind = Annotated[str, typer.Option(help="auto, flat, ivf or ivfpq.")]
Runner = Annotated[str, typer.Option(help="threads, or dask (extra [dask]): where searching and scoring is done.")]
Workers = Annotated[int | None, typer.Option(help="Threads, or processes of a Dask cluster made for the run.")]
Address = Annotated[str | None, typer.Option(help="Scheduler of a Dask cluster that is there: tcp://HOST:PORT.")]
Exact = Annotated[bool, typer.Option(help="Compare every record with every other: slow, loses nothing.")]


def main() -> None:
    """Run the command; a user's mistake is one line and exit code 2."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("siamese: %(message)s"))
    log = logging.getLogger("siamese")
    log.handlers = [handler]  # not one more where main is called again in the same process
    log.propagate = False  # Prefect gives the root logger a handler of its own
    try:
        app()
    except SiameseError as error:
        print("siamese: " + " ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"siamese: {error.strerror or error}: '{error.filename}'", file=sys.stderr)
        sys.exit(2)


def _run(name: str, *args: Any, runner: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
    """A flow of ``flows``, by name.

    Args:
        runner: what :func:`flows.runners.task_runner` takes; the flow's own unless given.
    """
    from importlib import import_module

    from flows.embedded import embedded_server

    with embedded_server():  # before the flow's module is imported: it quiets Prefect's own import
        flow: Any = getattr(import_module(f"flows.{name}"), name)
        if runner is not None:
            from flows.runners import task_runner

            flow = flow.with_options(task_runner=task_runner(**runner))
        result: dict[str, Any] = flow(*args, **kwargs)
        return result


def _where(runner: str, workers: int | None, address: str | None, out: str) -> dict[str, Any]:
    """What :func:`flows.runners.task_runner` takes."""
    if address is not None and "://" in out:
        raise SettingsError(
            f"a run for '{out}' is made in the temporary folder of this machine, which the workers at {address} may not see: "
            "give --out a folder that they share"
        )
    return {"name": runner, "workers": workers, "address": address}


def _asked(verifier: str | None) -> bool:
    """Whether ``--verifier`` leaves the model's verifier on."""
    if verifier not in (None, "trees", "none"):
        raise SettingsError(f"there is no verifier '{verifier}': expected none, or leave the option out")
    return verifier != "none"


def _print(result: dict[str, Any], as_json: bool, show: Callable[[dict[str, Any]], None]) -> None:
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        show(result)


@app.command()
def train(
    records: str,
    pairs: str,
    out: Annotated[str, typer.Option(help="Model folder to write, or its URL.")],
    tower: Annotated[str | None, typer.Option(help="ngram, lstm or transformer.")] = None,
    epochs: Annotated[int | None, typer.Option(help="At most; early stopping ends sooner.")] = None,
    margin: Annotated[
        float | None, typer.Option(help="In units of the energy; chosen from the data unless given.")
    ] = None,
    energy: Annotated[str | None, typer.Option(help="euclidean, manhattan or cosine.")] = None,
    negatives: Annotated[
        str | None, typer.Option(help="given, or mined: draw imposites among near neighbours.")
    ] = None,
    verifier: Annotated[str | None, typer.Option(help="trees, or none: the distance alone decides.")] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML or JSON: [schema], [tower], [training].")] = None,
    strict: Annotated[bool, typer.Option(help="Refuse pairs labelled both ways.")] = False,
    id_column: Id = "record_id",
    as_json: Json = False,
) -> None:
    """Train and calibrate a model on labelled pairs."""
    from flows import config as configs
    from flows import show

    job = configs.read(config)
    given = {
        "epochs": epochs,
        "margin": margin,
        "energy": energy,
        "negatives": negatives,
        "verifier": verifier,
        "seed": seed,
        "device": device,
    }
    settings = configs.training({**job.training, **{name: value for name, value in given.items() if value is not None}})
    tower_settings = dict(job.tower)
    configured = tower_settings.pop("name", "ngram")
    result = _run(
        "train",
        records,
        pairs,
        out,
        tower=tower or configured,
        tower_settings=tower_settings,
        kinds=job.columns,
        config=settings,
        id_column=id_column,
        strict=strict,
    )
    _print(result, as_json, show.trained)


@app.command()
def evaluate(
    model: str,
    records: str,
    pairs: str,
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    verifier: Verifier = None,
    plot: Annotated[Path | None, typer.Option(help="SVG of probability against truth to write.")] = None,
    id_column: Id = "record_id",
    as_json: Json = False,
) -> None:
    """Precision, recall, F1 and calibration of a model on a split of labelled pairs."""
    from flows import show
    from pipeline.evaluation import evaluate_encoder
    from pipeline.pairs import LabelledPairs
    from pipeline.records import Records
    from siamese.encoder import SiameseEncoder

    result = evaluate_encoder(
        SiameseEncoder.load(model),
        Records.open(records, id_column),
        LabelledPairs.read(pairs),
        split,
        verifier=_asked(verifier),
    )
    if plot is not None:
        from pipeline.plots import draw_reliability
        from siamese.folders import write_text

        write_text(plot, draw_reliability(result["reliability"]))
    _print(result, as_json, show.evaluated)


@app.command()
def score(
    model: str,
    records: str,
    pairs: str,
    out: Annotated[Path | None, typer.Option(help="Parquet or CSV file to write.")] = None,
    verifier: Verifier = None,
    id_column: Id = "record_id",
    as_json: Json = False,
) -> None:
    """Distance and probability of given pairs."""
    from flows import show
    from pipeline.decision import Threshold
    from pipeline.records import Records
    from pipeline.scoring import score_pairs
    from pipeline.tables import check_table, write_table
    from siamese.encoder import SiameseEncoder

    asked = _asked(verifier)
    if out is not None:
        check_table(out, ".parquet", ".csv")
    encoder = SiameseEncoder.load(model)
    threshold = Threshold(verifier=asked)
    scored = score_pairs(encoder, threshold, Records.open(records, id_column), pairs)
    flagged = int(scored["is_match"].to_numpy().sum())
    judge, decision = threshold.settle(encoder)
    result = {"pairs": scored.num_rows, "flagged": flagged, **decision.describe(judge)}
    if out is not None:
        write_table(scored, out)
    rows = (
        {"out": str(out)} if out is not None else {"scores": json.loads(scored.to_pandas().to_json(orient="records"))}
    )
    _print(result | rows, as_json, show.scored)


@app.command()
def index(
    model: str,
    records: str,
    out: Annotated[str, typer.Option(help="Index folder to write, or its URL.")],
    kind: IndexKind = "auto",
    id_column: Id = "record_id",
    as_json: Json = False,
) -> None:
    """Embed and index a corpus, for queries."""
    from flows import show

    _print(_run("index", model, records, out, kind=kind, id_column=id_column), as_json, show.indexed)


@app.command()
def dedupe(
    model: str,
    records: str,
    out: Annotated[str, typer.Option(help="Run folder to write, or its URL.")],
    min_precision: MinPrecision = None,
    min_recall: MinRecall = None,
    confidence: Confidence = 0.95,
    max_distance: MaxDistance = None,
    verifier: Verifier = None,
    truth: Truth = None,
    exact: Exact = False,
    runner: Runner = "threads",
    workers: Workers = None,
    address: Address = None,
    id_column: Id = "record_id",
    as_json: Json = False,
) -> None:
    """Find every duplicate in a corpus."""
    from flows import show

    result = _run(
        "dedupe",
        model,
        records,
        out,
        runner=_where(runner, workers, address, out),
        max_distance=max_distance,
        min_precision=min_precision,
        min_recall=min_recall,
        confidence=confidence,
        verifier=_asked(verifier),
        truth=truth,
        exact=exact,
        id_column=id_column,
    )
    _print(result, as_json, lambda summary: show.run(summary, out))


@app.command()
def link(
    model: str,
    left: str,
    right: str,
    out: Annotated[str, typer.Option(help="Run folder to write, or its URL.")],
    one_to_one: Annotated[bool, typer.Option(help="Match each record at most once.")] = False,
    min_precision: MinPrecision = None,
    min_recall: MinRecall = None,
    confidence: Confidence = 0.95,
    max_distance: MaxDistance = None,
    verifier: Verifier = None,
    truth: Truth = None,
    exact: Exact = False,
    runner: Runner = "threads",
    workers: Workers = None,
    address: Address = None,
    id_column: Id = "record_id",
    as_json: Json = False,
) -> None:
    """Find the records of one corpus in another."""
    from flows import show

    result = _run(
        "link",
        model,
        left,
        right,
        out,
        runner=_where(runner, workers, address, out),
        one_to_one=one_to_one,
        max_distance=max_distance,
        min_precision=min_precision,
        min_recall=min_recall,
        confidence=confidence,
        verifier=_asked(verifier),
        truth=truth,
        exact=exact,
        id_column=id_column,
    )
    _print(result, as_json, lambda summary: show.run(summary, out))


@app.command()
def query(
    index: str,
    k: Annotated[int, typer.Option(help="Neighbours of each query.")] = 5,
    record: Annotated[str | None, typer.Option("--json", help='A record: {"title": "..."}')] = None,
    file: Annotated[str | None, typer.Option(help="Queries in Parquet, CSV or JSON lines.")] = None,
    max_distance: Annotated[
        float | None, typer.Option(help="All neighbours up to here (margin units) instead of k.")
    ] = None,
    format: Annotated[str, typer.Option(help="table, json or parquet (with --out).")] = "table",
    out: Annotated[Path | None, typer.Option(help="Parquet file to write.")] = None,
    model: Annotated[str | None, typer.Option(help="Model to query with; the index's own unless given.")] = None,
) -> None:
    """The nearest records of an index."""
    if (record is None) == (file is None):
        raise SettingsError('a query is needed: give --json \'{"title": "..."}\' or --file QUERIES, one of them')
    if format not in ("table", "json", "parquet"):
        raise SettingsError(f"format is '{format}': expected table, json or parquet")
    if (format == "parquet") != (out is not None):
        raise SettingsError("--format parquet and --out FILE go together")
    queries: Any
    if record is not None:
        try:
            queries = json.loads(record)
        except json.JSONDecodeError as error:
            raise DataError(
                f'--json is not JSON ({error}): expected a record such as \'{{"title": "..."}}\''
            ) from error
        if queries in ({}, []):
            raise DataError(
                f'--json holds {record}, which asks nothing: expected a record such as \'{{"title": "..."}}\''
            )
        if not (
            isinstance(queries, dict) or (isinstance(queries, list) and all(isinstance(one, dict) for one in queries))
        ):
            raise DataError(
                f"--json holds a {type(queries).__name__}: expected an object with the record's fields, or a list of them"
            )
    from flows import show
    from pipeline.matcher import Matcher
    from pipeline.records import read_table

    if file is not None:
        queries = read_table(file)
    matcher = Matcher.load(index, model)
    found = matcher.nearest(queries, k) if max_distance is None else matcher.within(queries, max_distance)
    if format == "json":
        print(found.to_json(orient="records", force_ascii=False))
    elif out is not None:
        if not out.parent.is_dir():
            raise OutputError(f"cannot write '{out}': there is no folder '{out.parent}'")
        beside = out.with_name(f".{out.name}.partial")
        found.to_parquet(beside, index=False)
        beside.replace(out)
    else:
        show.neighbours(found)


@app.command()
def verify(run: str, as_json: Json = False) -> None:
    """Recompute what a run promises from its files."""
    from flows import show
    from pipeline.certificate import verify_run
    from siamese.folders import local_folder

    _print({**verify_run(local_folder(run, "run")), "run": run}, as_json, show.verified)


@app.command()
def report(run: str) -> None:
    """Write the report of a run again."""
    from pipeline.stages import rewrite_report

    rewrite_report(run)
    typer.echo(f"{run.rstrip('/')}/report.html")


@app.command()
def audit(
    run: str,
    out: Annotated[Path | None, typer.Option(help="Draw pairs to judge into this CSV or Parquet file.")] = None,
    sample: Annotated[int, typer.Option(help="How many pairs to draw.", min=1)] = 200,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    judged: Annotated[str | None, typer.Option(help="That file, with 1 or 0 in its label column.")] = None,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    labels: Annotated[Path | None, typer.Option(help="Write the judged pairs here, to train with.")] = None,
    as_json: Json = False,
) -> None:
    """Precision and recall of a whole run, from a few pairs that you judge."""
    if (out is None) == (judged is None):
        raise SettingsError("give --out FILE to draw pairs, or --judged FILE to read the judged ones back, one of them")
    if labels is not None and judged is None:
        raise SettingsError("--labels writes judged pairs: it goes with --judged FILE")
    from dataclasses import asdict

    from flows import show
    from pipeline.audit import draw_audit, read_audit

    if out is not None:
        plan = draw_audit(run, out, sample=sample, seed=seed, confidence=confidence)
        _print(asdict(plan), as_json, show.audit_drawn)
    else:
        assert judged is not None
        result = read_audit(run, judged, confidence=confidence, labels=labels)
        _print(result.to_dict(), as_json, lambda figures: show.audited(figures, run))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("demo"),
    records: Annotated[int, typer.Option(help="How many to make.", min=200)] = 5000,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """The whole job on data made here from a seed: make, train, dedupe, evaluate."""
    from flows import show
    from pipeline.synthetic import make_corpus

    try:
        make_corpus(records, seed=seed).save(out)
    except OSError as error:
        raise OutputError(
            f"cannot write to '{out}' ({error.strerror}): give --out a folder that you may write"
        ) from error
    corpus, pairs, model, run = (str(out / name) for name in ("records.parquet", "pairs.parquet", "model", "run"))
    show.demo_made(out, records)
    show.trained(_run("train", corpus, pairs, model))
    evaluate(model, corpus, pairs)
    truth = str(out / "true_pairs.parquet")
    show.run(_run("dedupe", model, corpus, run, truth=truth), run, corpus)


if __name__ == "__main__":
    main()
