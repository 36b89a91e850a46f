"""The review of a start in words, the same on every front end. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from engine.api.review_views import ChoiceView, MissingView, PhaseView, ReviewView, UsualView
from engine.api.words import duration, size

PHASES = {
    "turn": "waits its turn",
    "scratch": "scratch layer",
    "define": "define the VM",
    "power on": "power on",
    "power off": "power off",
    "drop scratch": "drop scratch layer",
    "words": "first serial output",
    "prompt": "login prompt",
    "agent": "guest tools answer",
}
SIGNS = ("words", "prompt", "agent")
"""Phases that are signs of life of the guest, counted from power on."""
START = ("turn", "scratch", "define", "power on")
FATES = {
    "arriving": "still arriving",
    "damaged": "damaged",
    "locked": "encrypted, its key is not known here",
    "waits": "arrived, nothing was made of it yet",
    "made": "is being made into a boot point",
    "failed": "its boot point failed",
}
ENOUGH = 8
"""Increments before which the guard does not know what is usual."""


def phase(name: str) -> str:
    """Return a phase in a few words."""
    return PHASES.get(name, name)


def choice(view: ReviewView, point: str) -> ChoiceView | None:
    """Return a boot point among those that can start."""
    return next((one for one in view.choices if one.point == point), None)


def fate(one: MissingView) -> str:
    """Return why data is in no boot point that can start."""
    words = FATES.get(one.fate, one.fate)
    return f"{words}: {one.reason}" if one.reason else words


def missing(one: MissingView) -> str:
    """Return data that is lost, in a few words: which increment, how much, why."""
    return f"increment {one.sequence}, {size(one.size)}: {fate(one)}"


def guard(view: ReviewView) -> str:
    """Return what the ransomware guard found, a sentence or two."""
    if view.guard:
        return view.guard
    if view.judged < ENOUGH:
        return f"Nothing odd; too few increments so far ({view.judged}) to know what is usual."
    return f"Nothing odd in the newest {view.judged} increments."


def history(view: ReviewView) -> str:
    """Return whose starts the expected times are from, a sentence."""
    many = "1 start" if view.starts == 1 else f"{view.starts} starts"
    if view.whose == "machine":
        return f"Median of {many} of this machine."
    if view.whose == "target":
        return f"Median of {many} of other machines on its target; this one never ran here."
    return "No history yet: neither this machine nor another on its target was started here."


def expected(view: ReviewView) -> str:
    """Return how long a start takes in all, by what was measured."""
    if view.power_s is None:
        return "not known"
    told = f"about {duration(view.power_s)} to power on"
    if view.guest_s is not None:
        last = [one for one in view.usual if one.name in SIGNS]
        name = max(last, key=lambda one: one.seconds).name if last else ""
        return f"{told}, about {duration(view.guest_s)} to {phase(name)}"
    return f"{told}; no guest's sign of life was measured yet"


def usual(view: ReviewView, name: str) -> UsualView | None:
    """Return how long a phase usually takes."""
    return next((one for one in view.usual if one.name == name), None)


def longest(phases: Iterable[PhaseView]) -> PhaseView | None:
    """Return the phase that lasts now."""
    return next((one for one in phases if one.seconds is None), None)
