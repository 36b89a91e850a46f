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
from engine.model.points import BootPoint, BootPointId, Stage
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


Layers = Mapping[LayerName, Layer]
_NONE: Layers = {}
Measured = Mapping[BootPointId, int | None]
"""Boot point -> bytes it writes, as measured; None: that could not be measured; absent: not yet."""
_UNMEASURED: Measured = {}


def need(
    point: BootPoint, state: State, layers: Layers = _NONE, measured: Measured = _UNMEASURED
) -> int:
    """Return the bytes that making a boot point takes; 0 once its trunk layer is there.

    Args:
        point: The boot point.
        state: The picture that holds its recovery points.
        layers: Of its standby, as last seen: how much a disk holds that moves to another place.
        measured: Takes the place of what is counted whole.
    """
    return int(_data(point, state, layers, measured) * MARGIN)


def still_needed(
    point: BootPoint, state: State, layers: Layers, measured: Measured = _UNMEASURED
) -> int:
    """Return what a boot point needs besides what an earlier try left of it, margin included.

    The next try drops that or goes on with it; else a store that filled up in the middle would
    have no room for what fits it.
    """
    data, begun = _data(point, state, layers, measured), layers.get(point.replica)
    left = 0 if begun is None or begun.sealed else begun.used
    return int(data * MARGIN) - min(left, data)


def can_measure(point: BootPoint, state: State, measured: Measured, left: int) -> bool:
    """Tell whether comparing it with the layer below may show that a boot point fits `left` bytes.

    So it may where a full is laid on another layer, or a disk is in another place; not where the
    increments after it have no room as it is.
    """
    parent = state.boot_points.get(point.parent) if point.parent else None
    if point.has_trunk or point.id in measured or parent is None or left <= 0:
        return False
    path = path_for(point, state)
    if not path:
        return False
    compared = path[0].is_base or _has_moved(path, parent, state)
    later = path[1:] if path[0].is_base else path
    return compared and int(sum(brought(one) for one in later) * MARGIN) <= left


def _has_moved(path: Sequence[RecoveryPoint], parent: BootPoint, state: State) -> bool:
    below = state.recovery_points.get(parent.recovery_point)
    if below is None:
        return False
    before = {disk.part.uuid: place for place, disk in enumerate(below.disks)}
    return any(
        before.get(disk.part.uuid, place) != place for place, disk in enumerate(path[-1].disks)
    )


def _data(point: BootPoint, state: State, layers: Layers, measured: Measured) -> int:
    if point.has_trunk:
        return 0
    if (told := measured.get(point.id)) is not None:
        return told
    path = path_for(point, state)
    return sum(brought(one) for one in path) + _moved(point, path, state, layers)


def _moved(point: BootPoint, path: Sequence[RecoveryPoint], state: State, layers: Layers) -> int:
    """Return the bytes, rather more than less, of disks in another place than in the layer below.

    Such a disk is copied whole, whatever its increment brings, unless a base of it is on the path.
    """
    parent = state.boot_points.get(point.parent) if point.parent else None
    below = state.recovery_points.get(parent.recovery_point) if parent else None
    if parent is None or below is None or not path:
        return 0
    pairs = zip(path[-1].disks, below.disks, strict=False)
    if all(one.part.uuid == two.part.uuid for one, two in pairs):
        return 0
    before = {disk.part.uuid: place for place, disk in enumerate(below.disks)}
    anew = {disk.part.uuid for one in path for disk in one.disks if disk.part.base}
    sizes = sum(
        disk.part.size
        for place, disk in enumerate(path[-1].disks)
        if disk.part.uuid not in anew and before.get(disk.part.uuid, place) != place
    )
    return min(sizes, _held(layers, parent.replica))


def _held(layers: Layers, name: LayerName) -> int:
    """Return the bytes of a layer and of all below it."""
    total, at = 0, layers.get(name)
    while at is not None:
        total, at = total + at.used, layers.get(at.parent) if at.parent else None
    return total


def brought(point: RecoveryPoint) -> int:
    """Return the bytes of data that a recovery point brings."""
    parts = (disk.part for disk in point.disks)
    return sum(p.file_size if p.data_bytes is None else p.data_bytes for p in parts)


def promised(
    jobs: Iterable[Job],
    target: str,
    standbys: Mapping[str, Standby],
    state: State,
    layers: Mapping[str, Layers],
    measured: Measured = _UNMEASURED,
) -> int:
    """Return the bytes that the live jobs of a target may still take; `layers`: by standby."""
    total = 0
    for job in jobs:
        standby = standbys.get(job.standby)
        point = state.boot_points.get(job.boot_point) if job.boot_point else None
        if job.kind in MAKING and standby and standby.target == target and point:
            total += need(point, state, layers.get(job.standby, _NONE), measured)
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
