"""Room on the targets' datastores: looked at now and then, told once, shown with each target."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.model.errors import Failure
from engine.model.latency import Measure
from engine.model.space import Room, Seen, days_left, forecast, growth
from engine.model.text import safe
from engine.model.work import Severity

if TYPE_CHECKING:
    from engine.daemon.engine import Engine
    from engine.daemon.service import TargetStatus
    from engine.daemon.targets import Target
    from engine.model.state import State
    from engine.model.upkeep import Upkeep

EVERY_S = 5.0


class Rooms:
    """What is known of each target's room. Thread-safe: each look replaces the whole."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.known: Mapping[str, Room] = {}
        self.growing: dict[str, float] = {}
        """Target -> bytes a day by which its free space was seen to shrink."""
        self.cramped: Mapping[str, str] = {}
        self._looked: float | None = None

    def look(self, engine: Engine) -> None:
        """Look at all datastores, at most every few seconds; a share that hangs hangs us."""
        now = engine.clock.monotonic()
        if self._looked is not None and now - self._looked < EVERY_S:
            return
        self._looked = now
        percent = engine.settings.limits.reserve_percent
        targets = engine.targets  # one that is let go of meanwhile is in it to the end
        found = {name: room_of(target, percent) for name, target in targets.items()}
        folds = engine.folds.largest
        self.known = {
            name: replace(room, fold=folds.get(name, 0))
            for name, room in found.items()
            if room is not None
        }
        for name, room in self.known.items():
            pace = targets[name].remember(Seen(engine.clock.now(), room.free, room.total))
            if pace is not None:
                self.growing[name] = pace

    def forget(self, name: str) -> None:
        """Know nothing of a target any more."""
        self.known = {one: room for one, room in self.known.items() if one != name}
        self.growing.pop(name, None)

    def tell(self, engine: Engine, cramped: Mapping[str, str]) -> None:
        """Keep who has no room, and write into the journal what is new about it."""
        before, self.cramped = self.cramped, dict(cramped)
        fresh = [name for name in cramped if name not in before]
        gone = [name for name in before if name not in cramped and name in engine.standbys]
        if not fresh and not gone:
            return
        now = engine.clock.now()
        with engine.state.write() as tx:
            for name in fresh:
                tx.write_journal(
                    now,
                    Severity.WARNING,
                    name,
                    "space.short",
                    safe(cramped[name], 500),
                    "Ready boot points stay and can be started.",
                    "Free space on the target's datastore, keep fewer boot points, or enlarge it.",
                )
            for name in gone:
                text = f"There is room for boot points of {name} again."
                tx.write_journal(now, Severity.INFO, name, "space.back", text)
        engine.picture.touch()

    def with_cramped(self, waiting: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
        """Return what standbys wait for, the lack of room first."""
        told = {name: tuple(texts) for name, texts in waiting.items()}
        return told | {name: (why, *told.get(name, ())) for name, why in self.cramped.items()}

    def statuses(
        self, engine: Engine, state: State, upkeep: Mapping[str, Upkeep]
    ) -> list[TargetStatus]:
        """Return what is known of each target, with its room."""
        found = []
        slow = engine.latencies.slow(engine.clock.monotonic())
        for name, target in engine.targets.items():
            room = self.known.get(name)
            seen = target.status()
            growing = self._growing(engine, name, state, upkeep)
            write, call = (engine.latencies.of(name, what) for what in Measure)
            seen = replace(
                seen,
                slow=slow.get(name, ""),
                latency=write.now,
                usual_latency=write.usual,
                call_latency=call.now,
                usual_call_latency=call.usual,
            )
            if room is not None:
                seen = replace(
                    seen,
                    reserve=room.reserve,
                    room=room,
                    outlook=forecast(room, growing),
                    days_left=days_left(room, growing),
                )
            found.append(seen)
        return found

    def _growing(
        self, engine: Engine, target: str, state: State, upkeep: Mapping[str, Upkeep]
    ) -> float:
        """Return the bytes a day by which a target fills up: as seen, else by its boot points."""
        if target in self.growing:
            return self.growing[target]
        keeps = {
            name: min(care.rules.keep, care.rules.most or care.rules.keep)
            for name, care in upkeep.items()
            if not care.rules.hold
        }
        return growth(target, engine.standbys, state, engine.clock.now(), keeps)


def room_of(target: Target, percent: float) -> Room | None:
    """Return the room on a target's datastore; None where it cannot be told.

    Args:
        target: The target.
        percent: Of the whole that stays free.
    """
    try:
        elsewhere = _elsewhere(target)
        if elsewhere is not None:
            free, total = elsewhere
            return Room(free, total, int(total * percent / 100))
        free = target.store.chain("free-space").free()
    except (OSError, Failure):
        return None
    try:
        found = os.statvfs(target.store.path)
        total = found.f_blocks * found.f_frsize
    except OSError:
        total = free  # a store in memory has no file system
    return Room(free, total, int(total * percent / 100))


def _elsewhere(target: Target) -> tuple[int, int] | None:
    """Return free and all bytes of a datastore that is not in the store's own folder."""
    told = getattr(target.store, "room", None)
    found: tuple[int, int] | None = told() if told is not None else None
    return found
