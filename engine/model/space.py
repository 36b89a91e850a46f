"""Room on a datastore: whether a boot point still fits, and when there is none left. Pure.

free ─┬─ reserve ─ what running jobs still take ─ the largest fold that may come ─► for this job
└─ growth, as free space shrank, or of the boot points made lately ─► full in n days
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from statistics import median

from engine.model.images import RecoveryPoint
from engine.model.layers import Layer, LayerName
from engine.model.line import path_for
from engine.model.points import BootPoint, Stage
from engine.model.standby import Standby
from engine.model.state import State
from engine.model.work import MAKING, Job

MARGIN = 1.3
"""Room taken for each byte of an image: what clones and overlays need besides, and conversion.

Source: RELIABILITY.md §3.8; even overwriting existing bytes allocates on a reflink store.
"""
LATELY = timedelta(days=14)
SHORTEST = timedelta(hours=1)
FAR = 365


@dataclass(frozen=True, slots=True)
class Room:
    """Room on the datastore of one target, as last seen.

    Attributes:
        free, total: Bytes of its file system.
        reserve: Bytes that stay free whatever happens.
        fold: Bytes that the largest consolidation that may come copies.
    """

    free: int
    total: int
    reserve: int
    fold: int = 0

    @property
    def usable(self) -> int:
        """Bytes that boot points may take, at least 0."""
        return max(self.free - self.reserve - self.fold, 0)


def need(point: BootPoint, state: State, left: int = 0) -> int:
    """Return the bytes that making a boot point takes; 0 once its trunk layer is there.

    Args:
        point: The boot point.
        state: The picture that holds its recovery points.
        left: Bytes of what an earlier try left (`left_behind`); the next one drops or goes on with
            it. Without that a store which filled up in the middle had no room for what fits it.
    """
    if point.has_trunk:
        return 0
    data = sum(brought(one) for one in path_for(point, state))
    return int(data * MARGIN) - min(left, data)


def left_behind(point: BootPoint, layers: Mapping[LayerName, Layer]) -> int:
    """Return the bytes of the trunk layer that an earlier try of a boot point began."""
    begun = layers.get(point.replica)
    return 0 if begun is None or begun.sealed else begun.used


def brought(point: RecoveryPoint) -> int:
    """Return the bytes of data that a recovery point brings."""
    parts = (disk.part for disk in point.disks)
    return sum(p.file_size if p.data_bytes is None else p.data_bytes for p in parts)


def promised(
    jobs: Iterable[Job], target: str, standbys: Mapping[str, Standby], state: State
) -> int:
    """Return the bytes that the live jobs of a target may still take."""
    total = 0
    for job in jobs:
        standby = standbys.get(job.standby)
        point = state.boot_points.get(job.boot_point) if job.boot_point else None
        if job.kind in MAKING and standby and standby.target == target and point:
            total += need(point, state)
    return total


def short(needed: int, room: Room, taken: int = 0) -> str:
    """Return why a boot point does not fit, a sentence; empty if it does.

    Args:
        needed: Bytes, as `need` says.
        room: Of its target.
        taken: Bytes promised to others.
    """
    left = max(room.usable - taken, 0)
    if needed <= left:
        return ""
    kept = f"{_size(room.reserve)} stay in reserve"
    kept += f", {_size(room.fold)} are for consolidation" if room.fold else ""
    kept += f", {_size(taken)} for jobs that run" if taken else ""
    return (
        f"There is no room for the next boot point: it needs {_size(needed)}, and "
        f"{_size(room.free)} are free, of which {kept}. It is made once there is room."
    )


def growth(
    target: str,
    standbys: Mapping[str, Standby],
    state: State,
    now: datetime,
    keeps: Mapping[str, int],
) -> float:
    """Return the bytes a day by which a target's boot points grow at present.

    By what was made lately. A standby that has as many boot points as it keeps lets an old one go
    for each new one: it does not grow.

    Args:
        target: Its name.
        standbys: By name.
        state: The picture.
        now: Aware.
        keeps: Standby -> boot points it keeps; absent: it lets none go.
    """
    total = 0.0
    for name, standby in standbys.items():
        if standby.target != target:
            continue
        alive = [p for p in state.by_standby.get(name, ()) if p.stage is Stage.READY]
        if name in keeps and len(alive) >= keeps[name]:
            continue
        lately = [
            p
            for p in alive
            if p.parent is not None and p.ready_at is not None and now - LATELY <= p.ready_at <= now
        ]
        if lately:
            first = min(p.ready_at for p in lately if p.ready_at is not None)
            days = max(now - first, SHORTEST) / timedelta(days=1)
            total += sum(p.bytes for p in lately) / days
    return total


def forecast(room: Room, growing: float) -> str:
    """Return when a target is full, a sentence; empty when that is far away."""
    days = days_left(room, growing)
    if days is None:
        return ""
    when = "less than a day" if days < 1 else f"{days:.0f} days"
    return f"Full in {when} at the present growth of {_size(int(growing))} a day."


def _size(count: int) -> str:
    if count < 2**30:
        return f"{count / 2**20:.0f} MiB"
    return f"{count / 2**30:.1f} GiB"


@dataclass(frozen=True, slots=True)
class Seen:
    """Free space at one moment."""

    at: datetime
    free: int
    total: int


KEPT = timedelta(days=14)
APART = timedelta(minutes=30)
"""Looks that are kept lie so far apart."""
BUCKET = timedelta(hours=6)
ENOUGH = timedelta(days=2)
"""History without which growth is not measured."""


def remembered(seen: Sequence[Seen], now: Seen) -> Sequence[Seen]:
    """Return what is remembered with one more look, oldest first; the same object: as before.

    A file system that was made larger, or a clock that was put back, begins a new history.
    """
    if not seen or seen[-1].total != now.total or now.at < seen[-1].at:
        return (now,)
    if now.at - seen[-1].at < APART:
        return seen
    return (*(one for one in seen if now.at - one.at <= KEPT), now)


def shrinking(seen: Sequence[Seen]) -> float | None:
    """Return the bytes a day by which free space shrinks; None while too little is known.

    The median of all slopes between the least values of each quarter of a day (Theil and Sen): a
    retention that frees much at once, or a copy somebody deleted, does not move it.
    """
    if not seen or seen[-1].at - seen[0].at < ENOUGH:
        return None
    lows: dict[int, Seen] = {}
    for one in seen:
        key = int(one.at.timestamp() // BUCKET.total_seconds())
        lows[key] = min(lows.get(key, one), one, key=lambda each: each.free)
    points = list(lows.values())
    slopes = [
        (first.free - second.free) / ((second.at - first.at) / timedelta(days=1))
        for first, second in combinations(points, 2)
        if second.at > first.at
    ]
    return median(slopes) if slopes else None


def days_left(room: Room, growing: float) -> float | None:
    """Return in how many days a target is full; None: not in the foreseeable future."""
    if growing <= 0:
        return None
    days = room.usable / growing
    return None if days > FAR else days
