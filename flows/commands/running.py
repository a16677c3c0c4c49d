"""What the commands share: a flow run by name, and its result said to a person or a program."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from siamese.errors import SettingsError


def run_flow(name: str, *args: Any, runner: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
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


def other_names(given: list[str] | None, model: str | None = None) -> Mapping[str, Sequence[str]]:
    """What ``--also`` says, by column.

    Raises:
        SettingsError: it is not NAME=OTHER, a name is of two columns, or there is a model, which knows.
    """
    from siamese.schema import check_also

    if given and model is not None:
        raise SettingsError("the model knows other names of columns from its training: leave --also out")
    also: dict[str, list[str]] = {}
    for each in given or ():
        name, equals, other = each.partition("=")
        if not (name and equals and other):
            raise SettingsError(f"--also is '{each}': expected NAME=OTHER, such as name=title")
        also.setdefault(name, []).append(other)
    check_also(also)
    return also


def check_inputs(
    *records: str,
    out: str,
    id_column: str,
    pairs: str | None = None,
    model: str | None = None,
    also: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Refuse what cannot be written or read before a server is started for it, which takes seconds."""
    from pipeline.pairs import LabelledPairs
    from pipeline.records import Records
    from siamese.folders import check_manifest, check_writable, read_json
    from siamese.remote import is_url

    check_writable(out)
    if model is not None:
        if is_url(model):
            records = ()  # what the model calls their columns is read with it
        else:
            check_manifest(Path(model), "model")
            also = read_json(Path(model) / "encoder.json")["schema"].get("also")
    for path in records:
        Records.open(path, id_column, also)
    if pairs is not None:
        LabelledPairs.read(pairs)


def runner_options(runner: str, workers: int | None, address: str | None, out: str) -> dict[str, Any] | None:
    """What :func:`flows.runners.task_runner` takes; None where the flow's own runner is what is asked for."""
    if (runner, workers, address) == ("threads", None, None):
        return None
    if address is not None and "://" in out:
        raise SettingsError(
            f"a run for '{out}' is made in the temporary folder of this machine, which the workers at {address} may not see: "
            "give --out a folder that they share"
        )
    return {"name": runner, "workers": workers, "address": address}


def model_of(inputs: list[str], corpora: int, named: str) -> tuple[str | None, list[str]]:
    """Arguments that are a model and corpora, or corpora alone."""
    if len(inputs) not in (corpora, corpora + 1):
        raise SettingsError(f"got {len(inputs)} arguments: expected a model and {named}, or {named} alone")
    return (inputs[0] if len(inputs) > corpora else None), inputs[-corpora:]


def wants_verifier(verifier: str | None) -> bool:
    """Whether ``--verifier`` leaves the model's verifier on."""
    if verifier not in (None, "trees", "none"):
        raise SettingsError(f"there is no verifier '{verifier}': expected none, or leave the option out")
    return verifier != "none"


def answer(result: dict[str, Any], as_json: bool, show: Callable[[dict[str, Any]], None]) -> None:
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        show(result)
