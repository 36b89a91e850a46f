"""What is remembered over restarts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from engine.model.alarms import Alert
from engine.model.images import PointId, RecoveryPoint
from engine.model.points import BootPoint, BootPointId
from engine.model.state import State
from engine.model.work import Job, JobId, JournalLine, Run, Severity


class Transaction(Protocol):
    """Changes that become durable together when the `with` block ends without an exception."""

    def state(self) -> State:
        """Return the picture inside the transaction."""

    def save_recovery_points(self, points: Sequence[RecoveryPoint]) -> None:
        """Insert or update by id."""

    def forget_recovery_points(self, ids: Sequence[PointId]) -> None:
        """Delete points that no boot point refers to; others are ignored."""

    def save_boot_point(self, point: BootPoint) -> None:
        """Insert, or move by `MOVES`.

        ValueError on an illegal move (the database rejects it too).
        """

    def add_job(self, job: Job) -> Job:
        """Store a job; returns it with its id (the given id is ignored)."""

    def save_job(self, job: Job) -> None:
        """Update a stored job."""

    def save_run(self, run: Run) -> None:
        """Remember a started VM."""

    def remove_run(self, standby: str) -> None:
        """Forget it; repeatable."""

    def save_alert(self, alert: Alert) -> None:
        """Insert or update by key."""

    def forget_alert(self, key: str) -> None:
        """Delete an alert; repeatable."""

    def forget_standby(self, standby: str) -> None:
        """Delete boot points, jobs and run of a removed standby; the journal stays."""

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
        """Append one line."""


class StateStore(Protocol):
    """Remembers. One writer; readers get consistent pictures."""

    def read(self) -> State:
        """Return one consistent, immutable picture."""

    def write(self) -> AbstractContextManager[Transaction]:
        """Open the one writing transaction; blocks while another is open."""

    def journal(
        self, *, after: int = 0, before: int | None = None, limit: int = 200, standby: str = ""
    ) -> Sequence[JournalLine]:
        """Return lines with `after` < number (< `before`), the newest `limit`, oldest first."""

    def job(self, number: JobId) -> Job | None:
        """Return a job, ended ones included."""

    def boot_point(self, point: BootPointId) -> BootPoint | None:
        """Return a boot point, retired ones included."""

    def close(self) -> None:
        """Close the store."""
