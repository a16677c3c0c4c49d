"""Labelling in a terminal: two records side by side, and a key for the answer."""

import difflib
from collections.abc import Callable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.plain import NOTE, plain
from pipeline.intervals import Estimate
from pipeline.labelling import LabelSession, Progress, Proposal
from pipeline.unseen import seen

KEYS = "y the same, n not the same, u unsure, b back, q quit"
ANSWERS = {"y": True, "n": False, "u": None}
PROGRESS_EVERY = 10  # answers


def ask(
    session: LabelSession, by: str = "", *, console: Console | None = None, read_key: Callable[[], str] | None = None
) -> int:
    """Ask until there are no more pairs, or enough; how many answers were given.

    Args:
        by: who answers.
        console, read_key: where to write, and what gives the next key; the terminal's unless given.
    """
    console = console or Console(highlight=False)
    read_key = read_key or _terminal_key
    given, proposal = 0, None
    while True:
        proposal = proposal or next(iter(session.propose(1, by)), None)
        if proposal is None:
            console.print("no pairs are left to ask about")
            break
        show(console, proposal)
        key = read_key().lower()
        if key in ("q", "\x03", "\x04", ""):
            break
        if key == "b":
            proposal = session.undo(by) or proposal
            given = max(given - 1, 0)
        elif key in ANSWERS:
            session.answer(proposal, ANSWERS[key], by)
            proposal, given = None, given + 1
            if given % PROGRESS_EVERY == 0:
                standing(console, session.progress())
        else:
            console.print(plain(f"'{key}' is no answer: {KEYS}"))
    standing(console, session.progress())
    return given


def show(console: Console, proposal: Proposal) -> None:
    """Two records side by side; what one has and the other lacks is marked."""
    guess = "" if proposal.probability is None else f", probability {proposal.probability:.2f}"
    table = Table(
        title=f"{proposal.why or 'asked again'}, distance {proposal.distance:.2f}{guess}",
        caption=KEYS,
        title_justify="left",
        caption_justify="left",
        expand=True,
    )
    for name in ("", proposal.left_id, proposal.right_id):
        table.add_column(plain(name), overflow="fold", ratio=None if not name else 1)
    for name in dict.fromkeys([*proposal.left, *proposal.right]):
        left, right = proposal.left.get(name), proposal.right.get(name)
        if left or right:
            table.add_row(plain(name), *marked(left, right))
    console.print(table)


def marked(left: str | None, right: str | None) -> tuple[Text, Text]:
    """Two values; the words in which they differ are marked, and a missing one is a dash."""
    if not left or not right:
        return plain(left or "—", "" if left else "dim", NOTE), plain(right or "—", "" if right else "dim", NOTE)
    one, other = ([seen(word) for word in side.split()] for side in (left, right))
    match = difflib.SequenceMatcher(None, [word.casefold() for word in one], [word.casefold() for word in other], False)
    sides = Text(), Text()
    for kind, a, b, c, d in match.get_opcodes():
        for side, words in ((sides[0], one[a:b]), (sides[1], other[c:d])):
            if words:
                side.append(" ".join(words), style="" if kind == "equal" else "bold yellow")
                side.append(" ")
    return sides


def standing(console: Console, progress: Progress) -> None:
    """How far labelling has come."""
    counts = (
        f"{progress.answered} answered: {progress.genuine} the same, {progress.imposite} not, {progress.unsure} unsure"
    )
    derived = f"; {progress.derived} more follow from them" if progress.derived else ""
    console.print(f"[bold]{counts}{derived}[/bold]")
    for name in ("precision", "recall", "f1"):
        estimate: Estimate | None = getattr(progress, name)
        if estimate is not None:
            console.print(f"  {name} {estimate.estimate:.2f}, from {estimate.low:.2f} to {estimate.high:.2f}")
    for each in progress.contradictions:
        console.print(Text(f"  contradiction: {each.text}", style="yellow"))
    console.print(f"  {progress.advice}")


def _terminal_key() -> str:
    """One key, without waiting for the line to end; a line where the input is no terminal."""
    import sys

    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()[:1]
    import click

    return click.getchar()
