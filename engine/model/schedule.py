"""When boot points are made: of which recovery points does a trigger make some now? Pure.

    fresh recovery points ─► wanted(trigger, made so far, now) ─► those that become boot points

The planner asks each time anew; nothing is remembered but the boot points themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo

from engine.model.cron import Cron
from engine.model.images import RecoveryPoint
from engine.model.line import Line, counting
from engine.model.points import BootPoint
from engine.model.standby import Standby, TriggerKind


def wanted(
    standby: Standby, line: Line, made: Sequence[BootPoint], now: datetime, zone: tzinfo
) -> Sequence[RecoveryPoint]:
    """Return the recovery points that the standby's trigger makes boot points of now."""
    trigger = standby.trigger
    if trigger.moments is not None:
        return [line.head] if _is_time(trigger.moments, made, now, zone) else []
    if trigger.kind is TriggerKind.EVERY and trigger.count is not None:
        return _every(line, trigger.count)
    return line.fresh


def _is_time(cron: Cron, made: Sequence[BootPoint], now: datetime, zone: tzinfo) -> bool:
    """Tell whether no boot point was made since the newest moment that has passed.

    A moment that was missed is made up for once; the first boot point of all waits for none. What
    was made counts by its moment in UTC, so that another zone neither doubles nor skips anything.
    """
    last = max((p.created_at for p in counting(made) if p.created_at <= now), default=None)
    if last is None:
        return True
    moment = cron.last(now, zone)
    return moment is not None and last < moment


def _every(line: Line, count: int) -> Sequence[RecoveryPoint]:
    """Return a base at once, and then each `count`-th increment after it."""
    rest = list(line.fresh)
    due: list[RecoveryPoint] = []
    if rest[0].is_base:
        due.append(rest.pop(0))
    if len(line.way) == 1 and len(rest) == 1 and line.siblings >= count:
        return [*due, line.head]  # differentials: each stands for all before it
    return [*due, *rest[count - 1 :: count]]
