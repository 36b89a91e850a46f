"""A line the operator is asked to type: filter, command, name, reason. Pure data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked on the line.

    Attributes:
        label: Stands before the text.
        value: Already typed.
        answers: To complete from, with the right arrow.
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
