"""Unseen characters, spelled out: what a reader does not see must not turn or hide what is around it."""

import re

UNSEEN = re.compile(  # controls, direction marks and other characters that take no space or turn the text around them
    r"[\0-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\ufffe\uffff"
    r"\U000e0000-\U000e007f]"
)


def seen(text: str) -> str:
    """A text whose every character is seen: ``⟨U+0000⟩`` for one that would not be."""
    return UNSEEN.sub(_seen, text)


def _seen(match: re.Match[str]) -> str:
    return {"\t": "⇥", "\n": "↵"}.get(match[0], f"⟨U+{ord(match[0]):04X}⟩")
