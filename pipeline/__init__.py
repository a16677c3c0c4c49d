"""Corpora: reading records, embedding and indexing them, and finding the matches among them."""

from typing import Any

__all__ = ["LabelSession", "Matcher"]


def __getattr__(name: str) -> Any:
    """Import what is exported, and FAISS with it, when it is first asked for: reading records needs neither."""
    if name == "Matcher":
        from pipeline.matcher import Matcher

        return Matcher
    if name == "LabelSession":
        from pipeline.labelling import LabelSession

        return LabelSession
    raise AttributeError(f"module 'pipeline' has no attribute '{name}'")
