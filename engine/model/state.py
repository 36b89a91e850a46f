"""One consistent, immutable picture of everything the engine remembers.

Pictures that follow one another share the groups that did not change between them, so what was
worked out from a group once (`engine.model.memo`) holds for as long as the group lives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from engine.model.alarms import Alert
from engine.model.images import PointId, RecoveryPoint
from engine.model.points import BootPoint, BootPointId, Stage, in_order
from engine.model.work import LIVE, Job, JobId, Run

BootPointGroups = Mapping[str, tuple[BootPoint, ...]]
"""Standby -> all its boot points, in the order in which they were planned."""

RecoveryPointGroups = Mapping[str, tuple[RecoveryPoint, ...]]
"""Machine UUID -> all its recovery points."""


def planned(points: Iterable[BootPoint]) -> tuple[BootPoint, ...]:
    """Return boot points in the order in which they were planned."""
    return tuple(sorted(points, key=lambda point: in_order(point.id)))


@dataclass(frozen=True, slots=True)
class State:
    """What was stored at one moment.

    Attributes:
        recovery_points: All points ever seen that still matter, by id.
        boot_points: All boot points, RETIRED ones included for a while, by id.
        jobs: Live jobs and the newest ended ones.
        runs: Started VMs by standby.
        alerts: By key, those that are over but not told everywhere included.
        next_boot_point: Number for the next `boot_point_id`.
    """

    recovery_points: Mapping[PointId, RecoveryPoint] = field(default_factory=dict)
    boot_points: Mapping[BootPointId, BootPoint] = field(default_factory=dict)
    jobs: Mapping[JobId, Job] = field(default_factory=dict)
    runs: Mapping[str, Run] = field(default_factory=dict)
    next_boot_point: int = 1
    alerts: Mapping[str, Alert] = field(default_factory=dict)
    _by_standby: BootPointGroups | None = field(default=None, init=False, compare=False, repr=False)
    _by_machine: RecoveryPointGroups | None = field(
        default=None, init=False, compare=False, repr=False
    )

    @property
    def by_standby(self) -> BootPointGroups:
        """All boot points, RETIRED ones included, by standby; made once for each picture."""
        if self._by_standby is None:
            found: dict[str, list[BootPoint]] = {}
            for point in self.boot_points.values():
                found.setdefault(point.standby, []).append(point)
            self._keep({name: planned(points) for name, points in found.items()}, None)
        return self._by_standby or {}

    @property
    def by_machine(self) -> RecoveryPointGroups:
        """All recovery points by the UUID of their machine; made once for each picture."""
        if self._by_machine is None:
            found: dict[str, list[RecoveryPoint]] = {}
            for point in self.recovery_points.values():
                found.setdefault(point.machine_uuid, []).append(point)
            self._keep(None, {uuid: tuple(points) for uuid, points in found.items()})
        return self._by_machine or {}

    def grouped(self, by_standby: BootPointGroups, by_machine: RecoveryPointGroups) -> State:
        """Return this picture, told its groups by whoever knows them already."""
        self._keep(by_standby, by_machine)
        return self

    def _keep(self, made: BootPointGroups | None, arrived: RecoveryPointGroups | None) -> None:
        if made is not None:
            object.__setattr__(self, "_by_standby", made)
        if arrived is not None:
            object.__setattr__(self, "_by_machine", arrived)

    def points_of(self, standby: str) -> list[BootPoint]:
        """Return the standby's boot points that are not retired, oldest first (by id)."""
        mine = self.by_standby.get(standby, ())
        return [point for point in mine if point.stage is not Stage.RETIRED]

    def alive(self) -> dict[str, list[BootPoint]]:
        """Return standby -> its boot points that are not retired, oldest first (by id)."""
        alive = {
            name: [point for point in points if point.stage is not Stage.RETIRED]
            for name, points in self.by_standby.items()
        }
        return {name: points for name, points in alive.items() if points}

    def ready(self, standby: str) -> list[BootPoint]:
        """Return the standby's READY boot points, oldest data first.

        In the order of the line, in which they are numbered: a source whose clock was ahead for a
        while, or was put back, must not make an older one the newest.
        """
        ready = [p for p in self.points_of(standby) if p.stage is Stage.READY]
        return sorted(ready, key=lambda p: in_order(p.id))

    def live_jobs(self, standby: str | None = None) -> Iterator[Job]:
        """Yield queued and running jobs, of one standby or of all."""
        return (
            job
            for job in self.jobs.values()
            if job.status in LIVE and standby in (None, job.standby)
        )
