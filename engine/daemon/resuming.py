"""What the last engine was doing when it ended, in whatever way.

what it made       FAILED(interrupted); planned again like all else
starts             gone on with: somebody waits for that machine. Not after a quarter of an hour:
                   nobody expects it then, so it is theirs to ask again
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from engine.model import planner
from engine.model.points import BootPointId
from engine.model.state import State
from engine.model.work import Job, JobKind, JobStatus, Run, Severity, WantedJob

if TYPE_CHECKING:
    from engine.daemon.engine import Engine

EXPECTED = timedelta(minutes=15)


def take_up(engine: Engine) -> Sequence[Job]:
    """Store that what was being done has ended; return the starts that are to be gone on with."""
    now = engine.clock.now()
    with engine.state.write() as tx:
        state = tx.state()
        live = list(state.live_jobs())
        for job in live:
            reason = "The engine ended while this job ran."
            tx.save_job(replace(job, status=JobStatus.FAILED, ended_at=now, reason=reason))
        for point in planner.interrupted(state):
            tx.save_boot_point(point)
        tx.write_journal(now, Severity.INFO, "", "engine.started", "The engine started.")
    begun = [job for job in live if job.kind is JobKind.START and not job.cancel]
    return [job for job in begun if timedelta(0) <= now - job.queued_at < EXPECTED]


def go_on(engine: Engine, starts: Sequence[Job]) -> None:
    """Queue starts that were cut short, once more."""
    for job in starts:
        standby = engine.standbys.get(job.standby)
        if standby is not None:
            reason = f"{job.reason}; begun again after the engine ended"
            engine.queue(standby, WantedJob(job.kind, job.standby, job.boot_point, reason))


def was_cut(state: State, run: Run, point: BootPointId) -> bool:
    """Tell whether a run is of a start of that boot point that nobody saw the end of.

    A start that fails takes its run back, so one that has both ended with its engine.
    """
    starts = [
        job
        for job in state.jobs.values()
        if job.standby == run.standby and job.kind is JobKind.START
    ]
    last = max(starts, key=lambda job: job.id, default=None)
    return (
        last is not None
        and last.status is JobStatus.FAILED
        and last.boot_point == run.boot_point == point
        and last.started_at is not None
        and last.started_at <= run.started_at
    )
