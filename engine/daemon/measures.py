"""What boot points write that, counted whole, have no room: measured, and kept in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from engine.model.points import BootPoint, BootPointId, Stage
from engine.model.space import Measured
from engine.model.state import State

AGAIN = timedelta(hours=1)
"""After this what could not be measured is tried anew."""


@dataclass(frozen=True, slots=True)
class _Measure:
    point: BootPoint
    length: int | None
    at: datetime

    def is_of(self, point: BootPoint, now: datetime) -> bool:
        """Tell whether it still says something about a boot point."""
        mine = (self.point.parent, self.point.recovery_point)
        is_fresh = self.length is not None or self.at <= now < self.at + AGAIN
        return (point.parent, point.recovery_point) == mine and not point.has_trunk and is_fresh


class Measures:
    """Bytes that boot points write, by measurement. Thread-safe."""

    def __init__(self) -> None:
        """Know nothing."""
        self._known: dict[BootPointId, _Measure] = {}
        self._lock = Lock()

    def keep(self, point: BootPoint, length: int | None, now: datetime) -> None:
        """Remember what a boot point writes, in bytes; None: that could not be measured."""
        with self._lock:
            self._known[point.id] = _Measure(point, length, now)

    def knows(self, point: BootPoint) -> bool:
        """Tell whether it was measured what a boot point writes."""
        with self._lock:
            found = self._known.get(point.id)
        return found is not None and found.length is not None and found.is_of(point, found.at)

    def known(self, state: State, now: datetime) -> Measured:
        """Return what holds in a picture; what does not is forgotten."""
        with self._lock:
            kept: Mapping[BootPointId, _Measure] = {
                name: one
                for name, one in self._known.items()
                if (point := state.boot_points.get(name)) is not None
                and point.stage is not Stage.RETIRED
                and one.is_of(point, now)
            }
            self._known = dict(kept)
            return {name: one.length for name, one in kept.items()}
