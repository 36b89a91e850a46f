"""When a boot point's turn has come: due, waiting after a failure, parked, or given up. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from engine.model.images import PointId, RecoveryPoint
from engine.model.line import is_usable, path_for
from engine.model.points import UNMADE, WORKING, BootPoint, BootPointId, Stage
from engine.model.slots import Limits
from engine.model.state import State

PATIENT = 5
"""Tries that count where there was no room, or the source hung: the pause between two grows to
eight minutes and no further."""


def is_due(point: BootPoint, state: State, now: datetime, limits: Limits) -> bool:
    """Tell whether a SYNC of this boot point can and should run now."""
    if point.stage not in UNMADE:
        return False
    parent = None if point.parent is None else state.boot_points.get(point.parent)
    if point.parent is not None and not _can_go_on(parent):
        return False
    path = path_for(point, state)
    if not path or not (point.has_trunk or all(is_usable(one) for one in path)):
        return False
    if point.obstacle or is_parked(point, state, limits):
        return False
    again = retry_at(point, limits)
    return again is None or again <= now or (point.failed_at is not None and point.failed_at > now)


def _can_go_on(parent: BootPoint | None) -> bool:
    """Tell whether an increment can be laid on this boot point, startable or not."""
    if parent is None:
        return False
    return parent.stage is Stage.READY or (parent.stage in UNMADE and parent.has_trunk)


def retry_at(point: BootPoint, limits: Limits) -> datetime | None:
    """Return when a FAILED boot point is tried again; None: at once."""
    if point.stage is not Stage.FAILED or point.failed_at is None:
        return None
    doublings = min(max(point.attempts - 1, 0), 30)
    pause = min(limits.retry_first_s << doublings, limits.retry_longest_s)
    return point.failed_at + timedelta(seconds=pause)


def is_parked(point: BootPoint, state: State, limits: Limits) -> bool:
    """Tell whether a FAILED boot point is not tried any more until its images change."""
    if point.stage is not Stage.FAILED or point.attempts < limits.attempts:
        return False
    failed_at = point.failed_at
    if failed_at is None:
        return False
    return not any(_changed_since(one, failed_at) for one in path_for(point, state))


def blameless(point: BootPoint) -> BootPoint:
    """Return a boot point whose try failed by no fault of its images, as one never parked for it.

    However long a disk is full or a source hangs, it goes on by itself afterwards.
    """
    return replace(point, attempts=min(point.attempts, PATIENT))


def _changed_since(point: RecoveryPoint, moment: datetime) -> bool:
    if point.arrived_at is not None and point.arrived_at > moment:
        return True
    moment_ns = int(moment.timestamp()) * 10**9
    return any(disk.mark is not None and disk.mark.ctime_ns > moment_ns for disk in point.disks)


def given_up(point: BootPoint, state: State, replaced: Collection[PointId]) -> str:
    """Return why a boot point that never was ready cannot be made any more; empty if it can.

    It is retired, and `new_boot_points` makes another one of what is there now.
    """
    if point.ready_at is not None:
        return ""
    parent = None if point.parent is None else state.boot_points.get(point.parent)
    if point.parent is not None and (parent is None or parent.stage is Stage.RETIRED):
        return f"{point.parent}, from which it was to be made, is gone."
    own = state.recovery_points.get(point.recovery_point)
    if own is None:
        return "Its recovery point is not known any more."
    if own.id in replaced and (point.stage is Stage.FAILED or not is_usable(own)):
        return "The source consolidated its images into a later one."
    if not path_for(point, state):
        return "A recovery point between it and the one it continues is gone."
    return ""


def replaced_points(unmade: Sequence[BootPoint], state: State) -> Collection[PointId]:
    """Return the ids of points that were folded into a usable one of the same machine."""
    own = (state.recovery_points.get(point.recovery_point) for point in unmade)
    machines = {point.machine_uuid for point in own if point is not None}
    return {
        old
        for machine in machines
        for point in state.by_machine[machine]
        if point.replaces and is_usable(point)
        for old in point.replaces
        if old != point.id
    }


def interrupted(
    state: State, running: Collection[BootPointId] = frozenset()
) -> Sequence[BootPoint]:
    """Return as FAILED, and due at once, the boot points that were being made when all ended.

    Args:
        state: The picture.
        running: Boot points that this engine's own jobs really work on; none right after a start.

    Returns:
        The try that was interrupted does not count: being killed is no fault of the images.
    """
    return [
        replace(
            point,
            stage=Stage.FAILED,
            reason="Interrupted: the engine stopped while this boot point was being made.",
            attempts=max(point.attempts - 1, 0),
            failed_at=None,
        )
        for point in state.boot_points.values()
        if point.stage in WORKING and point.id not in running
    ]
