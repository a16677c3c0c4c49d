"""Differences: which characters of two values are not the same."""

import difflib
import re
from collections.abc import Iterator
from typing import Any

SHOWN = 400  # characters of a value that are shown and compared


def differences(left: str | None, right: str | None) -> list[tuple[list[tuple[str, bool]], int, bool] | None]:
    """Each value as (parts with whether they differ, characters not shown, whether those differ); None if missing."""
    if left is None or right is None:
        return [
            None if one is None else ([(one[:SHOWN], False)], max(0, len(one) - SHOWN), False) for one in (left, right)
        ]
    sides: tuple[list[tuple[str, bool]], list[tuple[str, bool]]] = ([], [])
    words = [re.findall(r"\w+|\s+|[^\w\s]", one[:SHOWN]) for one in (left, right)]
    for a, b, same in _aligned(words[0], words[1]):
        one, other = "".join(a), "".join(b)
        alike = not same and difflib.SequenceMatcher(None, one, other, autojunk=False).ratio() >= 0.5
        for a_part, b_part, equal in _aligned(one, other) if alike else [(one, other, same)]:
            for side, part in zip(sides, (a_part, b_part), strict=True):
                if part:
                    side.append((str(part), not equal))
    rest = left[SHOWN:] != right[SHOWN:]
    return [(side, max(0, len(one) - SHOWN), rest) for side, one in zip(sides, (left, right), strict=True)]


def _aligned(a: Any, b: Any) -> Iterator[tuple[Any, Any, bool]]:
    for tag, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        yield a[i:j], b[k:m], tag == "equal"
