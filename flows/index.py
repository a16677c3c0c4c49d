"""Flow ``index``: a corpus to an index folder that answers queries."""

import shutil
from typing import Any

from flows import stage_tasks
from flows.job_flow import job_flow
from flows.jobs import inputs_of
from flows.runners import local_runner
from pipeline import stages
from pipeline.embedding import CONTENTS
from pipeline.index import IndexKind
from pipeline.records import Records
from siamese.folders import MANIFEST, check_writable, local_folder, new_folder, write_manifest


@job_flow(task_runner=local_runner())
def index(model: str, records: str, out: str, *, kind: str = "auto", id_column: str = "record_id") -> dict[str, Any]:
    """Embed a corpus and index it.

    Args:
        model: model folder, or its URL.
        records: file, folder, glob or URL.
        out: index folder to write, or its URL.
        kind: auto, flat, ivf or ivfpq.
        id_column: the records' id.

    Raises:
        SiameseError: the input does not do, or ``out`` cannot be written.
    """
    check_writable(out)
    model = str(local_folder(model, "model"))
    encoder = stages.load_encoder(model)
    IndexKind(kind)  # refused before any work
    source = Records.open(records, id_column, encoder.schema.also)
    with new_folder(out) as folder:
        embedded = stage_tasks.embed(model, records, id_column, folder)
        if encoder.verifier is None:
            shutil.rmtree(folder / CONTENTS)
        built = stage_tasks.build_index(model, folder, kind)
        facts = stages.complete_index(model, folder)
        manifest = {**facts, "inputs": inputs_of(source), "stages": {"embed": embedded, "index": built}}
        dated = frozenset({f"{stages.MODEL}/{MANIFEST}"})
        write_manifest(folder, "index", manifest, unsigned=dated)
    return {"index_folder": out, **facts, "stages": manifest["stages"]}
