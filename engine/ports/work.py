"""What all work is given: a way to be ended, somebody to report to, a clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from engine.model.errors import Cancelled
from engine.model.progress import Progress
from engine.model.readrate import FREE, Pace


class Cancel(Protocol):
    """Somebody may want the work to end."""

    def check(self) -> None:
        """Raise `Cancelled` once the end was asked for; cheap, called at least every 4 MiB."""


class NeverCancelled:
    """A `Cancel` that never fires."""

    def check(self) -> None:
        """Do nothing."""


NEVER = NeverCancelled()
"""For whoever is given no way to be ended."""


class CancelFlag:
    """A `Cancel` that another thread sets."""

    def __init__(self) -> None:
        """Start unset."""
        self.is_set = False

    def set(self) -> None:
        """Ask the work to end."""
        self.is_set = True

    def check(self) -> None:
        """Raise `Cancelled` when set."""
        if self.is_set:
            raise Cancelled


Copied = Callable[[int], None]
"""Told each number of bytes that were copied; cheap, may be called from any thread."""


def unseen(_length: int) -> None:
    """Do nothing: a `Copied` for work that nobody watches."""


Report = Callable[[Progress], None]
"""Told now and then how far long work is; cheap, may be called from any thread."""


def unreported(_progress: Progress) -> None:
    """Do nothing: a `Report` for work that nobody watches."""


class Reading(Protocol):
    """How fast images may be read. Thread-safe."""

    def pace(self, path: str) -> Pace:
        """Return the rate that holds for a file now."""

    def take(self, path: str, length: int, cancel: Cancel) -> None:
        """Wait until so many bytes of a file may be read. Cancelled within a second."""


class Unpaced:
    """A `Reading` without limits."""

    def pace(self, _path: str) -> Pace:
        """Return none."""
        return FREE

    def take(self, _path: str, _length: int, _cancel: Cancel) -> None:
        """Do not wait."""


class Clock(Protocol):
    """Time as an argument; the only way to it outside `engine/daemon/clock.py`."""

    def now(self) -> datetime:
        """Return the wall clock, aware UTC."""

    def monotonic(self) -> float:
        """Return seconds that never jump."""

    def sleep(self, seconds: float, cancel: Cancel) -> None:
        """Wait; wakes at least every 0.5 s to ask `cancel`."""
