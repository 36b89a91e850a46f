"""The engine's sentences in the operator's language."""

from __future__ import annotations


def heard(text: str) -> str:
    """Return a sentence of the engine in the operator's language, as it is when not known."""
    return text
