"""Flow ``train``: records and labelled pairs to a model folder."""

from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from prefect import task
from prefect.artifacts import create_progress_artifact, create_table_artifact, update_progress_artifact

from flows.job_flow import job_flow
from pipeline.fitting import fit_encoder
from pipeline.pairs import LabelledPairs
from pipeline.records import Records
from siamese.folders import check_writable
from siamese.schema import check_also
from siamese.secrets import redacted
from siamese.settings import TrainingConfig
from siamese.training import Epoch


@job_flow()
def train(
    records: str,
    pairs: str,
    out: str,
    *,
    right: str | None = None,
    tower: str = "ngram",
    tower_settings: Mapping[str, Any] | None = None,
    kinds: Mapping[str, str] | None = None,
    config: TrainingConfig | None = None,
    id_column: str = "record_id",
    strict: bool = False,
    also: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Train, calibrate and save an encoder; gives the model's metrics.

    Args:
        records: file, folder, glob or URL of the records.
        pairs: file of left_id, right_id, label and, if it is split already, split.
        out: model folder to write, or its URL.
        right: the records that the right_ids name, where they are another table's; an id may be in both.
        tower: ngram, lstm or transformer, with its own settings in ``tower_settings``.
        kinds: kinds of columns set by hand, such as ``{"sku": "code", "comment": "ignore"}``.
        config: how to train.
        id_column: the records' id.
        strict: refuse pairs labelled both ways, which are otherwise left out of training.
        also: other names of columns, the id's too, in tables that lack their own: ``{"name": ["title"]}``; the model remembers them.

    Raises:
        SiameseError: the input does not do, or ``out`` cannot be written.
    """
    check_writable(out)
    check_also(also or {})
    config = config or TrainingConfig()
    return fit(records, pairs, out, right, tower, tower_settings, kinds, config, id_column, strict, also or {})


@task
def fit(
    records: str,
    pairs: str,
    out: str,
    right: str | None,
    tower: str,
    tower_settings: Mapping[str, Any] | None,
    kinds: Mapping[str, str] | None,
    config: TrainingConfig,
    id_column: str,
    strict: bool,
    also: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    progress = cast(
        UUID, create_progress_artifact(0.0, key="training", description="epochs trained")
    )  # no coroutine: we are sync

    def on_epoch(_: Epoch, done: float) -> None:
        update_progress_artifact(progress, 100 * done)

    labelled = LabelledPairs.read(pairs)
    encoder = fit_encoder(
        Records.open(records, id_column, also),
        labelled,
        right=None if right is None else Records.open(right, id_column, also),
        tower=tower,
        tower_settings=tower_settings,
        kinds=kinds,
        config=config,
        strict=strict,
        on_epoch=on_epoch,
    )
    encoder.save(out)
    update_progress_artifact(progress, 100.0)
    history = encoder.metrics["training"]["history"]
    create_table_artifact(
        [dict(epoch) for epoch in history], key="training-history", description=f"Training of `{redacted(out)}`"
    )
    return {"model": out, "fingerprint": encoder.fingerprint, "margin": encoder.margin, **encoder.metrics}
