"""Corpora: reading records, embedding and indexing them, and finding the matches among them."""

from typing import Any

__all__ = ["Matcher"]


def __getattr__(name: str) -> Any:
    """Import the matcher, and FAISS with it, when it is first asked for: reading records needs neither."""
    if name == "Matcher":
        from pipeline.matcher import Matcher

        return Matcher
    raise AttributeError(f"module 'pipeline' has no attribute '{name}'")
