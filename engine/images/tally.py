"""Counts the bytes of long work and tells how far it is, a few times a second."""

from __future__ import annotations

import threading

from engine.model.progress import Meter
from engine.ports import Clock, Report

_EVERY_S = 0.2


class Tally:
    """Bytes done of a total; any thread may add."""

    def __init__(self, step: str, total: int | None, clock: Clock, report: Report) -> None:
        """Start with nothing done.

        Args:
            step: What is being done, as `Progress.step`.
        """
        self.done = 0
        self._step, self._clock, self._report = step, clock, report
        self._told = clock.monotonic()
        self._meter = Meter(total, self._told)
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Count bytes; told at most five times a second."""
        with self._lock:
            self.done += count
            now = self._clock.monotonic()
            if now - self._told < _EVERY_S:
                return
            self._told = now
            progress = self._meter.at(self._step, self.done, now)
        self._report(progress)

    def end(self) -> None:
        """Tell the last figures."""
        self._report(self._meter.at(self._step, self.done, self._clock.monotonic()))
