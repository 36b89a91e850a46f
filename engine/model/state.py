"""One consistent, immutable picture of everything the engine remembers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from engine.model.alarms import Alert
from engine.model.images import PointId, RecoveryPoint
from engine.model.points import BootPoint, BootPointId, Stage, in_order
from engine.model.work import LIVE, Job, JobId, Run


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

    def points_of(self, standby: str) -> list[BootPoint]:
        """Return the standby's boot points that are not retired, oldest first (by id)."""
        mine = [p for p in self.boot_points.values() if p.standby == standby]
        return sorted(
            (p for p in mine if p.stage is not Stage.RETIRED), key=lambda p: in_order(p.id)
        )

    def alive(self) -> dict[str, list[BootPoint]]:
        """Return standby -> its boot points that are not retired, oldest first (by id)."""
        found: dict[str, list[BootPoint]] = {}
        for point in sorted(self.boot_points.values(), key=lambda p: in_order(p.id)):
            if point.stage is not Stage.RETIRED:
                found.setdefault(point.standby, []).append(point)
        return found

    def ready(self, standby: str) -> list[BootPoint]:
        """Return the standby's READY boot points, oldest data first."""
        ready = [p for p in self.points_of(standby) if p.stage is Stage.READY]
        return sorted(ready, key=lambda p: (p.taken_at, in_order(p.id)))

    def live_jobs(self, standby: str | None = None) -> Iterator[Job]:
        """Yield queued and running jobs, of one standby or of all."""
        return (
            job
            for job in self.jobs.values()
            if job.status in LIVE and standby in (None, job.standby)
        )
