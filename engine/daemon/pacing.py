"""Holds back the reading of images: one bucket of bytes for each limited directory.

Tokens flow in at the rate that holds at the moment, half a second's worth at most. Whoever reads
takes them first, and may go below zero with one piece: then the next waits until that is made up
for. So the mean rate is exact whatever the size of a piece, and a rate that changes with the clock
bites at once.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import tzinfo

from engine.model.readrate import FREE, Pace, ReadLimit, limit_of, pace
from engine.ports import Cancel, Clock

BURST_S = 0.5
STEP_S = 0.25
"""Longest sleep before the rate and the cancel flag are looked at again."""


class Bucket:
    """What one directory may still give. Thread-safe."""

    def __init__(self, limit: ReadLimit, zone: tzinfo, clock: Clock) -> None:
        """Begin empty."""
        self._limit, self._zone, self._clock = limit, zone, clock
        self._lock = threading.Lock()
        self._tokens, self._filled = 0.0, clock.monotonic()

    def pace(self) -> Pace:
        """Return the rate that holds now."""
        return pace(self._limit, self._clock.now(), self._zone)

    def take(self, length: int, cancel: Cancel) -> None:
        """Wait until so many bytes may be read. Cancelled when `cancel` fires meanwhile."""
        while (wait := self._taken(length)) > 0:
            self._clock.sleep(min(wait, STEP_S), cancel)

    def _taken(self, length: int) -> float:
        """Take the bytes and return 0, or return about how many seconds to wait."""
        rate = self.pace().rate
        with self._lock:
            now = self._clock.monotonic()
            passed, self._filled = now - self._filled, now
            if rate is None:
                self._tokens = 0.0
                return 0
            self._tokens = min(self._tokens + passed * rate, BURST_S * rate)
            if self._tokens <= 0:
                return max(-self._tokens / rate, 0.001)
            self._tokens -= length
            return 0


class Pacing:
    """All limits of a site."""

    def __init__(self, limits: Sequence[ReadLimit], zone: tzinfo, clock: Clock) -> None:
        """Know them."""
        self._limits = tuple(limits)
        self._buckets = {one.directory: Bucket(one, zone, clock) for one in limits}

    def pace(self, path: str) -> Pace:
        """Return how fast a file may be read now."""
        limit = limit_of(path, self._limits)
        return FREE if limit is None else self._buckets[limit.directory].pace()

    def take(self, path: str, length: int, cancel: Cancel) -> None:
        """Wait until so many bytes of a file may be read. Cancelled when `cancel` fires."""
        limit = limit_of(path, self._limits)
        if limit is not None:
            self._buckets[limit.directory].take(length, cancel)
