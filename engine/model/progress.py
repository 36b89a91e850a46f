"""How far, how fast, how long still: figures of long work."""

from __future__ import annotations

from dataclasses import dataclass

from engine.model.readrate import FREE, Pace


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of long work.

    Attributes:
        step: What is being done now, such as `apply`.
        done, total: Bytes; total None while unknown.
        rate: Bytes per second, smoothed; None in the first seconds.
        eta_s: Seconds to the end; None while unknown.
        pace: How fast its images may be read.
    """

    step: str
    done: int
    total: int | None
    rate: float | None = None
    eta_s: float | None = None
    pace: Pace = FREE


class Meter:
    """Turn (time, bytes) into a smoothed rate and an ETA. Time is an argument, in seconds."""

    _HALF_LIFE_S = 5.0
    _QUIET_S = 1.0

    def __init__(self, total: int | None, now: float) -> None:
        """Start at `now` (any monotonic seconds) with nothing done."""
        self.total = total
        self._started = self._last = now
        self._seen = 0
        self._rate: float | None = None

    def at(self, step: str, done: int, now: float) -> Progress:
        """Return the progress at `now`, with `done` bytes since the start."""
        span = now - self._last
        if span >= self._QUIET_S:
            fresh = (done - self._seen) / span
            weight = 1 - 0.5 ** (span / self._HALF_LIFE_S)
            self._rate = fresh if self._rate is None else self._rate + weight * (fresh - self._rate)
            self._last, self._seen = now, done
        eta = None
        if self._rate and self.total is not None:
            eta = max(0.0, (self.total - done) / self._rate)
        return Progress(step, done, self.total, self._rate, eta)
