"""Command ``siamese verify``."""

from flows.commands.options import Json
from flows.commands.running import answer


def verify(run: str, as_json: Json = False) -> None:
    """Recompute what a run promises from its files."""
    from flows import show
    from pipeline.certificate import verify_run
    from siamese.folders import local_folder

    answer({**verify_run(local_folder(run, "run")), "run": run}, as_json, show.verified)
