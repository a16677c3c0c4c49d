"""The command ``siamese``: what it answers to, and how it says what is wrong."""

import logging
import sys

import typer

from flows.commands.audit import audit
from flows.commands.compare import compare
from flows.commands.dedupe import dedupe
from flows.commands.demo import demo
from flows.commands.evaluate import evaluate
from flows.commands.explain import explain
from flows.commands.export import export
from flows.commands.index import index
from flows.commands.label import label
from flows.commands.link import link
from flows.commands.patch import patch
from flows.commands.query import query
from flows.commands.report import report
from flows.commands.runs import runs
from flows.commands.score import score
from flows.commands.serve import serve
from flows.commands.train import train
from flows.commands.update import update
from flows.commands.verify import verify
from siamese.errors import SiameseError
from siamese.secrets import Redacting, redacted

app = typer.Typer(
    help="Find duplicates: learn from labelled pairs what is the same, then flag every match, with a probability.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = (  # in the order of --help
    train,
    evaluate,
    score,
    explain,
    label,
    index,
    query,
    dedupe,
    link,
    patch,
    update,
    report,
    export,
    compare,
    verify,
    audit,
    runs,
    serve,
    demo,
)
for command in COMMANDS:
    app.command()(command)


def main() -> None:
    """Run the command; a user's mistake is one line and exit code 2."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("siamese: %(message)s"))
    handler.addFilter(Redacting())
    log = logging.getLogger("siamese")
    log.handlers = [handler]  # not one more where main is called again in the same process
    log.propagate = False  # Prefect gives the root logger a handler of its own
    try:
        app()
    except SiameseError as error:
        print("siamese: " + " ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        where = "" if error.filename is None else f": '{error.filename}'"
        print("siamese: " + redacted(" ".join(f"{error.strerror or error}{where}".split())), file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
