"""The simulated state store: all rules of the real one, and nothing is kept after the process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from engine.model.alarms import Alert
from engine.model.images import PointId, RecoveryPoint
from engine.model.points import BootPoint, BootPointId
from engine.model.state import State
from engine.model.work import Job, JobId, JournalLine, Run, Severity
from engine.ports import Transaction
from engine.state.codec import frozen
from engine.state.draft import Draft, picture
from engine.state.gate import Gate


class MemoryState:
    """Remembers in memory."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._gate = Gate()
        self._shown = picture((), (), (), (), 1)
        self._journal: tuple[JournalLine, ...] = ()
        self._boot_points: dict[BootPointId, BootPoint] = {}
        self._jobs: dict[JobId, Job] = {}
        self._last_job = 0
        self._lock = threading.Lock()

    def read(self) -> State:
        """Return one consistent, immutable picture."""
        return self._shown

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Open the one writing transaction; blocks while another is open."""
        with self._gate:
            tx = _Change(self._shown, self._boot_points, self._jobs, self._journal, self._last_job)
            yield tx
            with self._lock:
                self._shown, self._journal = tx.state(), tx.journal
                self._boot_points, self._jobs = tx.boot_points, tx.jobs
                self._last_job = tx.last_job

    def journal(
        self, *, after: int = 0, before: int | None = None, limit: int = 200, standby: str = ""
    ) -> Sequence[JournalLine]:
        """Return lines with `after` < number (< `before`), the newest `limit`, oldest first."""
        found = [
            line
            for line in self._journal
            if line.number > after
            and (before is None or line.number < before)
            and standby in ("", line.standby)
        ]
        return tuple(found[-limit:]) if limit > 0 else ()

    def job(self, number: JobId) -> Job | None:
        """Return a job, ended ones included."""
        return self._jobs.get(number)

    def boot_point(self, point: BootPointId) -> BootPoint | None:
        """Return a boot point, retired ones included."""
        return self._boot_points.get(point)

    def close(self) -> None:
        """Let go of nothing."""


class _Change:
    """The open transaction: works on copies, which the store takes over at the end."""

    def __init__(
        self,
        base: State,
        boot_points: dict[BootPointId, BootPoint],
        jobs: dict[JobId, Job],
        journal: tuple[JournalLine, ...],
        last_job: int,
    ) -> None:
        self._draft = Draft(base)
        self.last_job = last_job
        self.boot_points, self.jobs, self.journal = dict(boot_points), dict(jobs), journal

    def state(self) -> State:
        return self._draft.state()

    def save_recovery_points(self, points: Sequence[RecoveryPoint]) -> None:
        self._draft.save_recovery_points([frozen(point) for point in points])

    def forget_recovery_points(self, ids: Sequence[PointId]) -> None:
        self._draft.forget_recovery_points(ids)

    def save_boot_point(self, point: BootPoint) -> None:
        self._draft.save_boot_point(point, self.boot_points.get(point.id))
        self.boot_points[point.id] = point

    def add_job(self, job: Job) -> Job:
        self.last_job += 1
        added = replace(job, id=JobId(self.last_job))
        self._draft.put_job(added)
        self.jobs[added.id] = added
        return added

    def save_job(self, job: Job) -> None:
        if job.id not in self.jobs:
            message = f"job {job.id} was never added"
            raise ValueError(message)
        self._draft.put_job(job)
        self.jobs[job.id] = job

    def save_run(self, run: Run) -> None:
        self._draft.save_run(run)

    def remove_run(self, standby: str) -> None:
        self._draft.remove_run(standby)

    def save_alert(self, alert: Alert) -> None:
        self._draft.save_alert(alert)

    def forget_alert(self, key: str) -> None:
        self._draft.forget_alert(key)

    def forget_standby(self, standby: str) -> None:
        self._draft.forget_standby(standby)
        self.boot_points = {i: p for i, p in self.boot_points.items() if p.standby != standby}
        self.jobs = {i: j for i, j in self.jobs.items() if j.standby != standby}

    def write_journal(
        self,
        at: datetime,
        severity: Severity,
        standby: str,
        key: str,
        text: str,
        unchanged: str = "",
        remedy: str = "",
    ) -> None:
        number = len(self.journal) + 1
        line = JournalLine(number, at, severity, standby, key, text, unchanged, remedy)
        self.journal = (*self.journal, line)
