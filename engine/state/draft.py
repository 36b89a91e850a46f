"""A picture under change: the rules every state store keeps, whatever it stores in.

A store opens a `Draft` of its newest picture, changes it (and its own medium alike), and shows
the draft's picture to readers once the medium has it durably. Mappings are copied at the first
change only, so pictures that were handed out never change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Generic, TypeVar

from engine.model.alarms import Alert
from engine.model.images import PointId, RecoveryPoint
from engine.model.points import MOVES, BootPoint, BootPointId, Stage
from engine.model.state import State, planned
from engine.model.work import LIVE, Job, JobId, JobKind, Run

ENDED_JOBS = 200
"""Ended jobs in a picture, besides the newest of each standby; the store itself keeps more."""

STARTS = 5
"""Ended starts of each standby in a picture, however long ago: how long a start takes is told by
them."""

RETIRED_POINTS = 48
"""Retired boot points of each standby in a picture; the store itself keeps all."""

_NUMBERED = re.compile(r"bp(\d+)")

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def _proxy(shown: Mapping[_Key, _Value]) -> MappingProxyType[_Key, _Value]:
    """Return a mapping as one that can be copied in one piece.

    `dict(proxy)` asks for each key: 3.4 ms for the 25,000 boot points of a large site, in each
    transaction; `proxy.copy()` takes 0.1 ms.
    """
    return shown if isinstance(shown, MappingProxyType) else MappingProxyType(dict(shown))


class _Shelf(Generic[_Key, _Value]):
    """A mapping that is copied before the first change after each look."""

    def __init__(self, shown: Mapping[_Key, _Value]) -> None:
        self._shown = _proxy(shown)
        self._own: dict[_Key, _Value] | None = None

    def look(self) -> Mapping[_Key, _Value]:
        if self._own is not None:
            self._shown = MappingProxyType(self._own)
            self._own = None
        return self._shown

    def change(self) -> dict[_Key, _Value]:
        if self._own is None:
            self._own = self._shown.copy()
        return self._own

    def now(self) -> Mapping[_Key, _Value]:
        return self._shown if self._own is None else self._own


class _Groups(Generic[_Key, _Value]):
    """What is on a shelf by owner; the groups in which nothing changed are the same objects."""

    def __init__(
        self,
        shown: Mapping[str, tuple[_Value, ...]],
        key: Callable[[_Value], _Key],
        in_order: Callable[[Iterable[_Value]], tuple[_Value, ...]],
    ) -> None:
        self._shown, self._key, self._in_order = _proxy(shown), key, in_order
        self._changes: dict[str, dict[_Key, _Value | None]] = {}

    def put(self, owner: str, value: _Value) -> None:
        self._changes.setdefault(owner, {})[self._key(value)] = value

    def take(self, owner: str, key: _Key) -> None:
        self._changes.setdefault(owner, {})[key] = None

    def of(self, owner: str) -> tuple[_Value, ...]:
        return self.look().get(owner, ())

    def look(self) -> Mapping[str, tuple[_Value, ...]]:
        if self._changes:
            shown = self._shown.copy()
            for owner, changes in self._changes.items():
                old = {self._key(one): one for one in shown.pop(owner, ())}
                kept = [one for one in {**old, **changes}.values() if one is not None]
                if kept:
                    shown[owner] = self._in_order(kept)
            self._shown, self._changes = MappingProxyType(shown), {}
        return self._shown


class Draft:
    """One transaction's picture."""

    def __init__(self, base: State) -> None:
        """Begin with `base`, which is not changed."""
        self._recovery_points = _Shelf(base.recovery_points)
        self._boot_points = _Shelf(base.boot_points)
        self._jobs = _Shelf(base.jobs)
        self._runs = _Shelf(base.runs)
        self._alerts = _Shelf(base.alerts)
        self._by_standby: _Groups[BootPointId, BootPoint]
        self._by_standby = _Groups(base.by_standby, lambda point: point.id, planned)
        self._by_machine: _Groups[PointId, RecoveryPoint]
        self._by_machine = _Groups(base.by_machine, lambda point: point.id, tuple)
        self.next_boot_point = base.next_boot_point

    def state(self) -> State:
        """Return the picture as it is now."""
        return State(
            recovery_points=self._recovery_points.look(),
            boot_points=self._boot_points.look(),
            jobs=self._jobs.look(),
            runs=self._runs.look(),
            next_boot_point=self.next_boot_point,
            alerts=self._alerts.look(),
        ).grouped(self._by_standby.look(), self._by_machine.look())

    def boot_point(self, point: BootPointId) -> BootPoint | None:
        """Return a boot point of the picture as it is now."""
        return self._boot_points.now().get(point)

    def is_new(self, point: BootPointId) -> bool:
        """Tell whether the number of a boot point is higher than that of any ever stored."""
        found = _NUMBERED.fullmatch(point)
        return found is not None and int(found[1]) >= self.next_boot_point

    def known_recovery_points(self, ids: Iterable[PointId]) -> set[PointId]:
        """Return those of `ids` that the picture holds."""
        held = self._recovery_points.now()
        return {one for one in ids if one in held}

    def has_run(self, standby: str) -> bool:
        """Tell whether a VM of the standby was started."""
        return standby in self._runs.now()

    def save_recovery_points(self, points: Sequence[RecoveryPoint]) -> None:
        """Insert or update by id."""
        for point in points:
            before = self._recovery_points.now().get(point.id)
            if before is not None and before.machine_uuid != point.machine_uuid:
                self._by_machine.take(before.machine_uuid, point.id)
            self._recovery_points.change()[point.id] = point
            self._by_machine.put(point.machine_uuid, point)

    def forget_recovery_points(self, ids: Sequence[PointId]) -> list[PointId]:
        """Delete points that no boot point still in use refers to; return those deleted."""
        if not ids:
            return []
        used = {
            point.recovery_point
            for point in self._boot_points.now().values()
            if point.stage is not Stage.RETIRED
        }
        gone = [one for one in ids if one not in used and one in self._recovery_points.now()]
        for one in gone:
            point = self._recovery_points.change().pop(one)
            self._by_machine.take(point.machine_uuid, one)
        return gone

    def save_boot_point(self, point: BootPoint, before: BootPoint | None) -> None:
        """Insert a boot point, or move the one stored as `before`. ValueError if it may not."""
        check_move(before, point)
        points = self._boot_points.change()
        points[point.id] = point
        self._by_standby.put(point.standby, point)
        if found := _NUMBERED.fullmatch(point.id):
            self.next_boot_point = max(self.next_boot_point, int(found[1]) + 1)
        if point.stage is Stage.RETIRED:
            mine = self._by_standby.of(point.standby)
            retired = [one.id for one in mine if one.stage is Stage.RETIRED]
            for old in retired[:-RETIRED_POINTS]:
                del points[old]
                self._by_standby.take(point.standby, old)

    def put_job(self, job: Job) -> None:
        """Insert or update a job that has its id."""
        jobs = self._jobs.change()
        jobs[job.id] = job
        ended = sorted(number for number, one in jobs.items() if one.status not in LIVE)
        if len(ended) <= ENDED_JOBS:
            return
        spared = _spared(jobs)
        for old in ended[:-ENDED_JOBS]:
            if old not in spared:
                del jobs[old]

    def save_run(self, run: Run) -> None:
        """Insert or update the standby's run. ValueError if its boot point does not exist."""
        if run.boot_point not in self._boot_points.now():
            message = f"{run.standby} cannot run {run.boot_point}, which does not exist"
            raise ValueError(message)
        self._runs.change()[run.standby] = run

    def remove_run(self, standby: str) -> None:
        """Delete the standby's run, if there is one."""
        if standby in self._runs.now():
            del self._runs.change()[standby]

    def has_alert(self, key: str) -> bool:
        """Tell whether there is an alert of this key."""
        return key in self._alerts.now()

    def save_alert(self, alert: Alert) -> None:
        """Insert or update an alert."""
        self._alerts.change()[alert.key] = alert

    def forget_alert(self, key: str) -> None:
        """Delete an alert, if there is one."""
        if key in self._alerts.now():
            del self._alerts.change()[key]

    def forget_standby(self, standby: str) -> None:
        """Delete the standby's boot points, jobs and run."""
        self.remove_run(standby)
        for point in self._by_standby.of(standby):
            del self._boot_points.change()[point.id]
            self._by_standby.take(standby, point.id)
        for number in [j.id for j in self._jobs.now().values() if j.standby == standby]:
            del self._jobs.change()[number]


def _spared(jobs: Mapping[JobId, Job]) -> set[JobId]:
    """Return the newest job of each standby and its newest ended starts."""
    newest: dict[str, JobId] = {}
    starts: dict[str, list[JobId]] = {}
    for number in sorted(jobs):
        job = jobs[number]
        newest[job.standby] = number
        if job.kind is JobKind.START and job.status not in LIVE:
            starts.setdefault(job.standby, []).append(number)
    return {*newest.values(), *(one for mine in starts.values() for one in mine[-STARTS:])}


def check_move(before: BootPoint | None, after: BootPoint) -> None:
    """Raise ValueError if a stored boot point may not become `after`."""
    if before is None or before.stage is after.stage:
        return
    if after.stage not in MOVES[before.stage]:
        message = f"{after.id} cannot go from {before.stage} to {after.stage}"
        raise ValueError(message)


def picture(
    recovery_points: Sequence[RecoveryPoint],
    boot_points: Sequence[BootPoint],
    jobs: Sequence[Job],
    runs: Sequence[Run],
    next_boot_point: int,
    alerts: Sequence[Alert] = (),
) -> State:
    """Return an immutable picture of rows."""
    points: dict[PointId, RecoveryPoint] = {point.id: point for point in recovery_points}
    made: dict[BootPointId, BootPoint] = {point.id: point for point in boot_points}
    work: dict[JobId, Job] = {job.id: job for job in jobs}
    started = {run.standby: run for run in runs}
    raised = {alert.key: alert for alert in alerts}
    return State(
        recovery_points=MappingProxyType(points),
        boot_points=MappingProxyType(made),
        jobs=MappingProxyType(work),
        runs=MappingProxyType(started),
        next_boot_point=next_boot_point,
        alerts=MappingProxyType(raised),
    )
