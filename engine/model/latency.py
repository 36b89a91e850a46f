"""Whether a target has become slow, by its own usual value, with hysteresis. Pure.

    time of a small durable write ─┐
    time of a small API call ──────┴─► median of the newest ─ against ─ median of the last hour

Slow is what takes four times as long as usual, and a quarter of a second at least; it is over at
twice as long. What is measured while it is slow does not become usual, unless that lasts for hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import median

LEAST = 20
"""Measurements without which nothing is called slow."""
WINDOW, NEWEST = 240, 5
"""Measurements that the usual value is taken of (an hour of them), and the present one."""
TIMES_IN, TIMES_OUT = 4.0, 2.0
FLOOR_S = 0.25
NEW_NORMAL = 1440
"""Measurements in a row (six hours) after which a slow target's value is its usual one."""


class Measure(StrEnum):
    """What is measured of a target."""

    WRITE = "write"
    CALL = "call"


_SUBJECT = {
    Measure.WRITE: "a small durable write",
    Measure.CALL: "a small question to its hypervisor",
}


@dataclass(frozen=True, slots=True)
class Latency:
    """What was measured of one thing of a target; oldest first, in seconds.

    Attributes:
        usual_ones: Those that were not slow.
        newest: The last few, slow or not.
        slow_for: Measurements since it became slow; 0: it is not.
    """

    usual_ones: tuple[float, ...] = ()
    newest: tuple[float, ...] = ()
    slow_for: int = 0

    @property
    def is_slow(self) -> bool:
        """Tell whether it is slow now."""
        return self.slow_for > 0

    @property
    def usual(self) -> float | None:
        """Return what it usually takes; None while that is not known."""
        return median(self.usual_ones) if len(self.usual_ones) >= LEAST else None

    @property
    def now(self) -> float | None:
        """Return what it takes at present; None before anything was measured."""
        return median(self.newest) if self.newest else None


def measured(known: Latency, seconds: float) -> Latency:
    """Return what is known after one more measurement."""
    newest = (*known.newest, seconds)[-NEWEST:]
    usual, present = known.usual, median(newest)
    if usual is None:
        return Latency((*known.usual_ones, seconds)[-WINDOW:], newest)
    times = TIMES_OUT if known.is_slow else TIMES_IN
    floor = FLOOR_S * times / TIMES_IN
    is_slow = len(newest) == NEWEST and present > max(usual * times, floor)
    if not is_slow:
        return Latency((*known.usual_ones, seconds)[-WINDOW:], newest)
    if known.slow_for >= NEW_NORMAL:
        return Latency((present,) * LEAST, newest)
    return replace(known, newest=newest, slow_for=known.slow_for + 1)


def slow_phrase(what: Measure, known: Latency) -> str:
    """Return what is slow and how slow, a phrase; empty where it is not."""
    if not known.is_slow or known.now is None or known.usual is None:
        return ""
    return f"{_SUBJECT[what]} takes {ms(known.now)}, usually {ms(known.usual)}"


def hangs_phrase(what: Measure, seconds: float) -> str:
    """Return what has not ended for so long, a phrase."""
    return f"{_SUBJECT[what]} has not ended for {seconds:.0f} s"


def quick_words(target: str, what: Measure, known: Latency) -> str:
    """Return that a target is as quick as usual again, a sentence."""
    return f"Target {target} is quick again: {_SUBJECT[what]} takes {ms(known.now or 0)}."


def slow_words(target: str, phrases: Sequence[str]) -> str:
    """Return why fewer jobs run on a slow target, with the figures."""
    return (
        f"Target {target} is slow: {'; '.join(phrases)}. One job at a time is begun there until "
        "that is over."
    )


def ms(seconds: float) -> str:
    """Return a measurement as text."""
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.0f} s"
