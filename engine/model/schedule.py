"""When boot points are made: of which recovery points does a trigger make some now? Pure.

    fresh recovery points ─► wanted(trigger, made so far, now) ─► those that become boot points

The planner asks each time anew; nothing is remembered but the boot points themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache

from engine.model.blackout import Blackout, closed_until
from engine.model.cron import Cron
from engine.model.images import RecoveryPoint
from engine.model.line import Line, counting
from engine.model.points import BootPoint
from engine.model.standby import Backlog, Standby, Trigger, TriggerKind


@dataclass(frozen=True, slots=True)
class Calendar:
    """What the clock on the wall says to all standbys of an engine.

    Attributes:
        zone: Of all times of day.
        blackouts: Of standbys that name none of their own.
    """

    zone: tzinfo = UTC
    blackouts: tuple[Blackout, ...] = ()

    def closed_until(self, standby: Standby, now: datetime) -> datetime | None:
        """Return when boot points of a standby may be begun again, in UTC; None: now."""
        return closed_until(self.blackouts_of(standby), now, self.zone)

    def blackouts_of(self, standby: Standby) -> tuple[Blackout, ...]:
        """Return the windows that hold for a standby: its own, else those of the engine."""
        return self.blackouts if standby.blackouts is None else standby.blackouts


def wanted(
    standby: Standby, line: Line, made: Sequence[BootPoint], now: datetime, zone: tzinfo
) -> Sequence[RecoveryPoint]:
    """Return the recovery points that a standby makes boot points of now.

    Of several that its trigger makes at once, only the newest where its backlog says so.
    """
    due = _triggered(standby.trigger, line, made, now, zone)
    return due[-1:] if standby.backlog is Backlog.NEWEST else due


def _triggered(
    trigger: Trigger, line: Line, made: Sequence[BootPoint], now: datetime, zone: tzinfo
) -> Sequence[RecoveryPoint]:
    if trigger.moments is not None:
        return [line.head] if is_time(trigger, made, now, zone) else []
    if trigger.kind is TriggerKind.EVERY and trigger.count is not None:
        return _every(line, trigger.count)
    return line.fresh


def is_time(trigger: Trigger, made: Sequence[BootPoint], now: datetime, zone: tzinfo) -> bool:
    """Tell whether no boot point was made since the newest moment that has passed.

    A moment that was missed is made up for once; the first boot point of all waits for none. What
    was made counts by its moment in UTC, so that another zone neither doubles nor skips anything.
    """
    last = max((p.created_at for p in counting(made) if p.created_at <= now), default=None)
    if last is None or trigger.moments is None:
        return True
    moment = trigger.moments.last(now, zone)
    return moment is not None and last < moment


def next_moment(trigger: Trigger, now: datetime, zone: tzinfo) -> datetime | None:
    """Return a trigger's next moment, in UTC; None: it has none."""
    if trigger.moments is None:
        return None
    return _next(trigger.moments, now.replace(second=0, microsecond=0), zone)


@lru_cache(maxsize=1024)
def _next(cron: Cron, minute: datetime, zone: tzinfo) -> datetime | None:
    """Return the next moment; asked for many times a minute while consoles look on."""
    return cron.next(minute, zone)


def _every(line: Line, count: int) -> Sequence[RecoveryPoint]:
    """Return a base at once, and then each `count`-th increment after it."""
    rest = list(line.fresh)
    due: list[RecoveryPoint] = []
    if rest and rest[0].is_base:
        due.append(rest.pop(0))
    if len(line.way) == 1 and len(rest) == 1 and line.siblings >= count:
        return [*due, line.head]  # differentials: each stands for all before it
    return [*due, *rest[count - 1 :: count]]


def more_needed(line: Line, count: int) -> int:
    """Return how many more increments `every:count` waits for; 0: none, one is due now."""
    if _every(line, count):
        return 0
    arrived = line.siblings if len(line.way) == 1 and line.siblings else len(line.fresh)
    return max(count - arrived, 1)
