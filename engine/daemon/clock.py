"""Time: the one place that asks the machine for it."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

from engine.ports import Cancel


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """Return the wall clock, aware UTC."""
        return datetime.now(UTC)  # noqa: TID251  (this is the clock the rule points to)

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        return time.monotonic()

    def sleep(self, seconds: float, cancel: Cancel) -> None:
        """Wait; asks `cancel` at least every 0.2 s."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            cancel.check()
            time.sleep(min(left, 0.2))  # noqa: TID251  (this is the clock the rule points to)
        cancel.check()


class ManualClock:
    """A clock that moves only when told; for simulations and tests."""

    def __init__(self, start: datetime) -> None:
        """Stand at `start` (aware UTC)."""
        self._start = start
        self._elapsed = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the start plus what was advanced."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Return the seconds advanced so far."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._elapsed += seconds

    def set(self, moment: datetime) -> None:
        """Set the wall clock, forward or back; what `monotonic` gives does not jump."""
        with self._lock:
            self._start = moment - timedelta(seconds=self._elapsed)

    def sleep(self, seconds: float, cancel: Cancel) -> None:
        """Advance at once."""
        cancel.check()
        self.advance(seconds)
