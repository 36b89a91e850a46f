"""From a state to its mark, its words and its tone; from a tone to a style.

State is a word first, then a mark, then a colour. Normal is quiet: green is not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache

from rich.color import Color
from rich.style import Style

from tui.words import N_


class Tone(Enum):
    """How loud a piece of text is."""

    PLAIN = "plain"
    HEAD = "head"
    STRONG = "strong"
    WARN = "warn"
    BAD = "bad"
    NOTE = "note"
    TEST = "test"
    LIVE = "live"
    CURSOR = "cursor"


@dataclass(frozen=True, slots=True)
class Pixels:
    """Two pixels in one cell, as the numbers of two of the 16 colours."""

    top: int
    bottom: int


_COLOURED = {
    Tone.PLAIN: Style.null(),
    Tone.HEAD: Style(bold=True),
    Tone.STRONG: Style(bold=True),
    Tone.WARN: Style(color="yellow", bold=True),
    Tone.BAD: Style(color="red", bold=True),
    Tone.NOTE: Style(color="cyan"),
    Tone.TEST: Style(color="magenta"),
    Tone.LIVE: Style(reverse=True),
    Tone.CURSOR: Style(reverse=True),
}
_MONO = {
    tone: Style(bold=style.bold, reverse=style.reverse) for tone, style in _COLOURED.items()
} | {Tone.PLAIN: Style.null()}


def style(tone: Tone | Pixels, *, colours: bool) -> Style:
    """Return how a tone looks; without colours only bold and reverse are used."""
    if isinstance(tone, Pixels):
        return _pixels(tone) if colours else Style.null()
    return (_COLOURED if colours else _MONO)[tone]


@cache
def _pixels(tone: Pixels) -> Style:
    top, bottom = Color.from_ansi(tone.top), Color.from_ansi(tone.bottom)
    return Style.from_color(top, bottom)


@dataclass(frozen=True, slots=True)
class Sign:
    """What stands for a state: one mark, a tone, and one line of words for the help."""

    mark: str
    tone: Tone
    words: str = ""


STATES = {
    "LIVE": Sign("*", Tone.LIVE, "failed over: undo or commit is due"),
    "NONE": Sign("?", Tone.BAD, "no boot point: cannot start"),
    "FAIL": Sign("X", Tone.BAD, "the last boot point failed; older ones may start"),
    "LOST": Sign("?", Tone.WARN, "the target does not answer; last known state"),
    "LATE": Sign("!", Tone.WARN, "can start; its data is older than the goal"),
    "BUILD": Sign(">", Tone.NOTE, "a boot point is being made; older ones start"),
    "TEST": Sign("*", Tone.TEST, "a boot point runs, isolated"),
    "HELD": Sign("-", Tone.PLAIN, "stopped by an operator, with name and reason"),
    "READY": Sign("+", Tone.PLAIN, "the newest boot point is within its goal"),
}
"""By need, the neediest first: the order of the fleet."""

UNKNOWN = Sign("?", Tone.WARN, "a state this console does not know")
STAGES = {
    "pending": Sign(".", Tone.PLAIN, "waits"),
    "applying": Sign(">", Tone.NOTE, "is being copied"),
    "converting": Sign(">", Tone.NOTE, "is being made bootable"),
    "ready": Sign("+", Tone.PLAIN, "can start"),
    "failed": Sign("X", Tone.BAD, "failed"),
    "retired": Sign("-", Tone.PLAIN, "folded away"),
}
STAGE_NAMES = {
    "pending": N_("pending"),
    "applying": N_("applying"),
    "converting": N_("converting"),
    "ready": N_("ready"),
    "failed": N_("failed"),
    "retired": N_("retired"),
}
"""Stages as a column names them."""
NOT_BOOTABLE = Sign("X", Tone.BAD, "no VM could start from it; not tried again by itself")
RUNS = Sign("*", Tone.TEST, "runs, isolated")
JOBS = {
    "queued": Sign(".", Tone.PLAIN, "waits"),
    "running": Sign(">", Tone.NOTE, "runs"),
    "done": Sign("+", Tone.PLAIN, "done"),
    "failed": Sign("X", Tone.BAD, "failed"),
    "cancelled": Sign("-", Tone.PLAIN, "cancelled"),
}
SEVERITIES = {
    "info": Sign(" ", Tone.PLAIN),
    "note": Sign(" ", Tone.PLAIN),
    "warning": Sign("!", Tone.WARN),
    "error": Sign("X", Tone.BAD),
}
ARRIVALS = {
    "arriving": Sign(">", Tone.NOTE, "is arriving"),
    "complete": Sign("+", Tone.PLAIN, "complete"),
    "verified": Sign("+", Tone.PLAIN, "complete, every block checked"),
    "damaged": Sign("X", Tone.BAD, "damaged"),
}


def state_sign(code: str) -> Sign:
    """Return the sign of a machine's state; codes of a newer engine look like a warning."""
    return STATES.get(code, UNKNOWN)
