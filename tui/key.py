"""One key of the console: what it does, in which words, for whom, on which screens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tui.look import Look
from tui.state import Fleet


@dataclass(frozen=True, slots=True)
class Key:
    """One row of the table.

    Attributes:
        id: Name of the action; users remap keys by it.
        keys: As Textual names them; `sign`: as the operator reads them.
        words: For the line of keys, short; `says`: for the help, a sentence. Both are in English
            here and looked up in the operator's language when they are shown.
        role: The least role that may, empty: anybody.
        changes: True when it leads to a change (always over a second screen).
        danger: True when what it leads to starts a second machine or cannot be taken back: no key
            beside it does anything where it works.
        why_not: A sentence when it does not work now, else empty.
        when: False hides the row, such as `stop` where nothing runs.
        command: The same on the command line.
        rank: Place in the line of keys, low first; 0: not shown there.
    """

    id: str
    keys: tuple[str, ...]
    sign: str
    words: str
    says: str
    places: frozenset[str]
    role: str = ""
    changes: bool = False
    danger: bool = False
    why_not: Callable[[Fleet, Look], str] = lambda _fleet, _look: ""
    when: Callable[[Fleet, Look], bool] = lambda _fleet, _look: True
    command: str = ""
    rank: int = 0
