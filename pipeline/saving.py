"""Saving: a live index as an index folder of its own."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contents import SHARD_ROWS, write_contents
from pipeline.embedding import CONTENTS, EMBEDDINGS, IDS, save_array, shard_path
from pipeline.indexing import MODEL, index_corpus
from pipeline.live import Live
from siamese.errors import DataError, OutputError
from siamese.folders import Place, new_folder, write_manifest
from siamese.manifest import MANIFEST
from siamese.remote import is_url


def save_index(live: Live, out: Place) -> None:
    """Write all that is there, with the model, as ``siamese index`` does; nothing is embedded again.

    Raises:
        DataError: no record that says anything is left.
        OutputError: it cannot be written there, or a link is there.
    """
    if not is_url(out) and Path(out).is_symlink():
        raise OutputError(
            f"'{out}' is a link: expected a folder to make; save to a new one, and let the link name that"
        )
    numbers = live.numbers
    rows = live.rows_of(numbers)
    kept = np.unique(rows[rows >= 0])
    if len(kept) == 0:
        raise DataError("no record that says anything is left in the index: add some before it is saved")
    with new_folder(out) as folder:
        (folder / CONTENTS).mkdir()
        for shard, start in enumerate(range(0, len(kept), SHARD_ROWS)):
            some = kept[start : start + SHARD_ROWS]
            save_array(shard_path(folder / EMBEDDINGS, shard), live.embeddings.take(some))
            if live.contents.shards:
                write_contents(live.contents.take(some), folder / CONTENTS, shard)
        if not live.contents.shards:
            (folder / CONTENTS).rmdir()
        row = np.where(rows >= 0, np.searchsorted(kept, rows), -1)
        pq.write_table(pa.table({"record_id": live.ids_of(numbers), "row": row}), folder / IDS)
        index = index_corpus(live.encoder, folder, live.index.kind)
        live.encoder.save(folder / MODEL)
        content = {
            "index": index.describe(),
            "model": live.encoder.fingerprint,
            "inputs": live.origin["inputs"],
            "live": {"index": live.origin["fingerprint"], "added": len(live.added), "removed": len(live.gone)},
            "stages": {},
        }
        write_manifest(folder, "index", content, unsigned=frozenset({f"{MODEL}/{MANIFEST}"}))
