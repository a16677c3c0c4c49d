"""Pages: HTML made by Jinja from ``templates/``, which needs nothing from elsewhere and shows whatever the data hold as text."""

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, FileSystemLoader, Undefined
from markupsafe import Markup

from pipeline.differences import differences
from pipeline.unseen import seen

TEMPLATES = Path(__file__).parent / "templates"
MISSING = Markup('<span class="missing" title="missing">—</span>')


def render(template: str, /, **content: Any) -> str:
    """A page, whole.

    Args:
        template: a file of ``templates/``; one that extends ``base.html.jinja`` may name a ``script`` to run in it.
        content: what the template asks for.
    """
    return environment().get_template(template).render(**content)


@cache
def environment() -> Environment:
    """What every template can use: filters ``show``, ``share``, ``json`` and ``sha256``, and ``differences``."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=ChainableUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"show": show, "share": share, "json": embedded_json, "sha256": _sha256}
    made.globals |= {"differences": differences, "script_of": _script_of}
    return made


def embedded_json(value: Any) -> Markup:
    """JSON to stand in a ``<script type="application/json">``, which nothing in it can end."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for one in "<>&\u2028\u2029":
        text = text.replace(one, f"\\u{ord(one):04x}")
    return Markup(text)


def show(value: Any) -> Any:
    """A value for people: numbers with thousands separators and three digits that count."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {show(one)}" for name, one in value.items() if one is not None) or None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return value


def share(value: Any, certain: bool = True) -> Any:
    """A share as a percentage that never rounds to none or all; a model's probability is never certain."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None if isinstance(value, float) else value
    if value >= 0.9995 and not (certain and value == 1):
        return "> 99.9%"
    if value < 0.0005 and not (certain and value == 0):
        return "< 0.1%"
    return f"{value:.1%}"


def _finalize(value: Any) -> Any:
    """What an expression of the template prints: a dash for what is missing, and text whose every character is seen."""
    if value is None or isinstance(value, Undefined):
        return MISSING
    return seen(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _script_of(name: str) -> Markup:
    """A script of ``templates/`` as it stands: the page's policy allows the one with its digest, and no other."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))


def _sha256(text: str) -> Markup:
    return Markup(base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())
