"""Plain: what others wrote, on the terminal: no markup, no control characters, and not without end."""

from rich.text import Text

from pipeline.unseen import seen

SHOWN, NOTE = 120, 1000  # characters of a value, and of a sentence of ours


def plain(value: str, style: str = "", most: int = SHOWN) -> Text:
    """A value as it is; of one that is longer, how much more there is."""
    rest = len(value) - most
    return Text(seen(value[:most]) + (f" … {rest:,} more characters" if rest > 0 else ""), style=style)
