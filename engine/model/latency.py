"""Whether a target has become slow, by its own usual value, with hysteresis. Pure.

    time of a small durable write ─► median of the newest ─ against ─ median of the last hour

Slow is what takes four times as long as usual, and a quarter of a second at least; it is over at
twice as long. What is measured while it is slow does not become usual, unless that lasts for hours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median

LEAST = 20
"""Measurements without which nothing is called slow."""
WINDOW, NEWEST = 240, 5
"""Measurements that the usual value is taken of (an hour of them), and the present one."""
TIMES_IN, TIMES_OUT = 4.0, 2.0
FLOOR_S = 0.25
NEW_NORMAL = 1440
"""Measurements in a row (six hours) after which a slow target's value is its usual one."""


@dataclass(frozen=True, slots=True)
class Latency:
    """What was measured of one target; oldest first, in seconds.

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


def slow_words(target: str, known: Latency) -> str:
    """Return why fewer jobs run on a slow target, with the figures; empty where it is not slow."""
    if not known.is_slow or known.now is None or known.usual is None:
        return ""
    return (
        f"Target {target} is slow: a small durable write takes {_ms(known.now)}, usually "
        f"{_ms(known.usual)}. One job at a time is begun there until that is over."
    )


def hangs_words(target: str, seconds: float) -> str:
    """Return why fewer jobs run on a target that has not answered for so long."""
    return (
        f"Target {target} is slow: a small durable write has not ended for {seconds:.0f} s. One "
        "job at a time is begun there until that is over."
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.0f} s"
