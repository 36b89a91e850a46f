"""A line the operator is asked to type: filter, command, name, reason. Pure data."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked on the line.

    Attributes:
        label: Stands before the text.
        value: Already typed.
        answers: To complete from, with Tab or the right arrow.
        done: Called with the text on Enter.
        typing: Called with the text on each change, such as for a filter.
        left: Called on Esc.
    """

    label: str
    done: Callable[[str], object]
    value: str = ""
    answers: Sequence[str] = ()
    typing: Callable[[str], object] | None = None
    left: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A text the operator is to edit.

    Attributes:
        title: Stands above it.
        text: To begin with.
        said: What was wrong with it, a sentence; empty at first.
        done: Called with the text when it is handed in; `left`: when it is left, with what is
            there.
    """

    title: str
    text: str
    done: Callable[[str], object]
    left: Callable[[str], object]
    said: str = ""


_TIME = re.compile(r"(\d+[mhdw])+|\d{1,2}:\d\d|\d{4}-\d\d-\d\d\S*")


def pause_words(text: str) -> dict[str, str]:
    """Return what `4h moving` says: the end of a pause, as the engine reads it, and the reason."""
    first, _, rest = text.strip().partition(" ")
    if _TIME.fullmatch(first):
        return {"until": first, "reason": rest.strip()}
    return {"reason": text.strip()}
