"""When boot points are made: of which recovery points does a trigger make some now? Pure.

    fresh recovery points ─► wanted(trigger, made so far, now) ─► those that become boot points

The planner asks each time anew; nothing is remembered but the boot points themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta, tzinfo

from engine.model.images import RecoveryPoint
from engine.model.line import Line, counting
from engine.model.points import BootPoint
from engine.model.standby import Standby, TriggerKind


def wanted(
    standby: Standby, line: Line, made: Sequence[BootPoint], now: datetime, zone: tzinfo
) -> Sequence[RecoveryPoint]:
    """Return the recovery points that the standby's trigger makes boot points of now."""
    trigger = standby.trigger
    if trigger.kind is TriggerKind.DAILY and trigger.at is not None:
        return [line.head] if _is_time(trigger.at, made, now, zone) else []
    if trigger.kind is TriggerKind.EVERY and trigger.count is not None:
        return _every(line, trigger.count)
    return line.fresh


def _is_time(at: time, made: Sequence[BootPoint], now: datetime, zone: tzinfo) -> bool:
    """Tell whether no boot point was made since the newest moment `at` that has passed.

    A moment that was missed is made up for once; the first boot point of all waits for none.
    """
    last = max((p.created_at for p in counting(made) if p.created_at <= now), default=None)
    return last is None or last < last_moment(at, now, zone)


def last_moment(at: time, now: datetime, zone: tzinfo) -> datetime:
    """Return the newest moment up to `now` at which the clocks in `zone` showed `at`, in UTC.

    A time that the clocks skip counts as if they had not been put forward yet; of one that comes
    twice, the first counts.
    """
    today = now.astimezone(zone).date()
    days = (today + timedelta(days=back) for back in (1, 0, -1, -2))
    moments = (datetime.combine(day, at, tzinfo=zone).astimezone(UTC) for day in days)
    return max(moment for moment in moments if moment <= now)


def _every(line: Line, count: int) -> Sequence[RecoveryPoint]:
    """Return a base at once, and then each `count`-th increment after it."""
    rest = list(line.fresh)
    due: list[RecoveryPoint] = []
    if rest[0].is_base:
        due.append(rest.pop(0))
    if len(line.way) == 1 and len(rest) == 1 and line.siblings >= count:
        return [*due, line.head]  # differentials: each stands for all before it
    return [*due, *rest[count - 1 :: count]]
