"""Export: a run's tables for people with spreadsheets."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.spreadsheet import WRITERS, write_spreadsheet
from siamese.errors import ArtifactError, OutputError, SettingsError
from siamese.folders import Place, check_manifest, check_writable, local_folder, new_folder, read_json, write_manifest
from siamese.manifest import MANIFEST

TABLES = ("pairs", "clusters", "golden", "dropped")


def export_run(place: Place, out: Place, format_: str, tables: tuple[str, ...] = ()) -> dict[str, Any]:
    """Write tables of a run into a folder of spreadsheets, which appears whole or not at all.

    Args:
        place: run folder, or its URL.
        out: folder to write, or its URL.
        format_: csv or xlsx.
        tables: which of pairs, clusters, golden and dropped; all that the run has unless given.

    Returns:
        By table, what became of it (see :class:`pipeline.spreadsheet.Written`).

    Raises:
        ArtifactError: the run is damaged, or lacks a table.
        SettingsError: there is no such format or table.
        OutputError: it cannot be written there, or a run, model or index is there, which it would take the place of.
    """
    if format_ not in WRITERS:
        raise SettingsError(f"format is '{format_}': expected {' or '.join(WRITERS)}")
    for name in tables:
        if name not in TABLES:
            raise SettingsError(f"there is no table '{name}' to export: expected some of {', '.join(TABLES)}")
    check_writable(out)
    _check_kind(out, place)
    run = local_folder(place, "run")
    manifest = check_manifest(run, "run")
    has = [name for name in TABLES if f"{name}.parquet" in manifest["files"]]
    for name in tables:
        if name not in has:
            raise ArtifactError(
                f"the run '{place}' has no {name}.parquet, it has {', '.join(has)}: a link has none of dropped and golden"
            )
    with new_folder(out) as folder:
        written = {name: asdict(write_spreadsheet(run / f"{name}.parquet", folder, format_)) for name in tables or has}
        write_manifest(folder, "export", {"run": manifest["fingerprint"], "tables": written})
    return written


def _check_kind(out: Place, run: Place) -> None:
    """Spreadsheets take the place of spreadsheets alone."""
    manifest = Path(out) / MANIFEST
    kind = read_json(manifest)["format"] if manifest.is_file() else "export"
    if kind != "export" or str(out).rstrip("/") == str(run).rstrip("/"):
        raise OutputError(f"'{out}' holds a {kind if kind != 'export' else 'run'}: give --out another folder")
