"""Performs one job: finds its story, runs it, stores how it ended."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from engine.daemon.measures import Measures
from engine.daemon.runner import internal
from engine.daemon.targets import Target
from engine.jobs.arm import arm, refuse_started_by_hand
from engine.jobs.home import home
from engine.jobs.measure import measure
from engine.jobs.power import Shape, start, stop, vm_spec
from engine.jobs.retire import retire
from engine.jobs.sync import apply, sync
from engine.jobs.tools import Tools
from engine.jobs.twig import convert_again
from engine.model import planner
from engine.model.due import blameless
from engine.model.errors import (
    Cancelled,
    Failure,
    NoSpace,
    NotBootable,
    NotFound,
    Problem,
    SourceSilent,
)
from engine.model.images import RecoveryPoint
from engine.model.layers import LayerName
from engine.model.machine import Hints, Network, VMRef
from engine.model.points import UNREADY, BootPoint, Stage
from engine.model.progress import Progress
from engine.model.standby import Standby
from engine.model.work import MAKING, Job, JobKind, JobStatus, Phase, Severity
from engine.ports import Cancel, Clock, ImageSource, Reading, Report, StateStore, Unpaced

log = logging.getLogger(__name__)

_ROUND, _WHOLE = 4, 2
"""The third of four tries writes a new generation whole: what it was compared with may be bad.

Not each one after that: for want of room tries are counted only up to the sixth, and with less to
write the next may find it.
"""

Story = Callable[[BootPoint, LayerName | None, Sequence[RecoveryPoint], Tools], None]
POWERING = (JobKind.START, JobKind.STOP)
MOST_PHASES = 32


class Performer:
    """Knows which story a job is."""

    def __init__(
        self,
        state: StateStore,
        clock: Clock,
        source: ImageSource,
        target_of: Callable[[Standby], Target],
        shape: Shape,
        reading: Reading | None = None,
    ) -> None:
        """Keep the world that every story needs."""
        self.measures = Measures()
        self._reading = reading or Unpaced()
        self._state, self._clock, self._source = state, clock, source
        self._target_of, self._shape = target_of, shape

    def perform(self, job: Job, standby: Standby, cancel: Cancel, report: Report) -> JobStatus:
        """Run a job to its end and return how it ended; never raises for what a job may meet."""
        job = replace(job, status=JobStatus.RUNNING, started_at=self._clock.now())
        self._save(job)
        steps = _Steps(job, report, self._clock, self._save)
        try:
            self._story(job, standby, cancel, steps.report)
        except Cancelled:
            self._ended(steps.job, JobStatus.CANCELLED, _cancelled(job))
        except NotBootable as failure:
            self._ended(steps.job, JobStatus.FAILED, failure.problem, failure.problem.key)
        except Failure as failure:
            passes = isinstance(failure, NoSpace | SourceSilent)
            self._ended(steps.job, JobStatus.FAILED, failure.problem, passes=passes)
        except OSError as error:
            passes = error.errno in (errno.ENOSPC, errno.EDQUOT)
            self._ended(steps.job, JobStatus.FAILED, _medium(error), passes=passes)
        except Exception as error:
            log.exception("job %s", job.id)
            self._ended(steps.job, JobStatus.FAILED, internal(job, error))
        else:
            now = self._clock.now()
            self._save(replace(steps.job, status=JobStatus.DONE, ended_at=now, reason=""))
            return JobStatus.DONE
        return JobStatus.FAILED

    def _story(self, job: Job, standby: Standby, cancel: Cancel, report: Report) -> None:
        target = self._target_of(standby)
        t = Tools(
            standby=standby,
            state=self._state,
            clock=self._clock,
            source=self._source,
            chain=target.chain(standby.name),
            converter=target.converter,
            hypervisor=target.hypervisor,
            cancel=cancel,
            report=report,
            reading=self._reading,
        )
        if job.kind is JobKind.STOP:
            stop(t)
        elif job.kind is JobKind.HOME:
            home(job.to, t)
        elif job.kind in (JobKind.START, JobKind.ARM):
            point = self._point(job)
            able = target.hypervisor().capabilities
            spec = vm_spec(standby, self._hints(point, t), self._shape, able)
            if job.kind is JobKind.ARM:
                arm(point, spec, t)
            else:
                refuse_started_by_hand(VMRef(standby.name), t)
                start(point, spec, Network.ISOLATED, t)
        elif job.kind is JobKind.RETIRE:
            retire(self._point(job), job.reason, t)
        elif job.kind is JobKind.CONVERT:
            convert_again(self._point(job), t)
        elif job.kind is JobKind.MEASURE:
            self._measure(self._point(job), t)
        else:
            self._sync(self._point(job), apply if job.kind is JobKind.APPLY else sync, t)

    def _sync(self, point: BootPoint, story: Story, t: Tools) -> None:
        path = planner.path_for(point, self._state.read())
        parent = self._state.boot_point(point.parent) if point.parent else None
        begins_anew = bool(path) and path[0].is_base
        if begins_anew and point.attempts % _ROUND == _WHOLE and not self.measures.knows(point):
            parent = None
        story(point, parent.replica if parent else None, path, t)

    def _measure(self, point: BootPoint, t: Tools) -> None:
        """Compare a boot point with the layer it is to be laid on, and keep what it would write."""
        path = planner.path_for(point, self._state.read())
        parent = self._state.boot_point(point.parent) if point.parent else None
        length = None
        try:
            length = measure(parent.replica, path, t) if parent is not None and path else None
        finally:
            self.measures.keep(point, length, self._clock.now())
        if length is not None:
            t.tell(
                "point.measured",
                f"Boot point {point.id} would write {length / 2**20:.1f} MiB: that much differs "
                "from the newest trunk layer.",
            )

    def _point(self, job: Job) -> BootPoint:
        found = self._state.boot_point(job.boot_point) if job.boot_point else None
        if found is None:
            raise NotFound(Problem("point.unknown", f"Boot point {job.boot_point} does not exist."))
        return found

    def _hints(self, point: BootPoint, t: Tools) -> Hints:
        sealed = t.hints(point.boot)
        from_state = self._state.read().recovery_points.get(point.recovery_point)
        return from_state.hints if from_state and sealed == Hints() else sealed

    def _save(self, job: Job) -> None:
        with self._state.write() as tx:
            tx.save_job(job)

    def _ended(
        self,
        job: Job,
        status: JobStatus,
        problem: Problem,
        obstacle: str = "",
        *,
        passes: bool = False,
    ) -> None:
        """Store how a job ended badly, and its boot point as FAILED where it was being made.

        `passes`: all that it lacked was room on the disk, or a source that answers.
        """
        now = self._clock.now()
        with self._state.write() as tx:
            tx.save_job(replace(job, status=status, ended_at=now, reason=str(problem)))
            point = tx.state().boot_points.get(job.boot_point) if job.boot_point else None
            if point is not None and job.kind in MAKING and point.stage in UNREADY:
                point = blameless(point) if passes else point
                tx.save_boot_point(
                    replace(
                        point,
                        stage=Stage.FAILED,
                        failed_at=now,
                        reason=str(problem),
                        obstacle=obstacle,
                    )
                )
            words = (
                f"{_title(job)} {'was cancelled' if status is JobStatus.CANCELLED else 'failed'}: "
            )
            tx.write_journal(
                now,
                Severity.WARNING if status is JobStatus.CANCELLED else Severity.ERROR,
                job.standby,
                problem.key,
                words + problem.happened,
                problem.unchanged,
                problem.remedy,
            )


class _Steps:
    """A running job, and when each of its steps began; those of starts and stops are stored."""

    def __init__(self, job: Job, report: Report, clock: Clock, save: Callable[[Job], None]) -> None:
        self.job = job
        self._report, self._clock, self._save = report, clock, save

    def report(self, progress: Progress) -> None:
        """Note a step that begins, and pass the progress on."""
        known = self.job.phases
        if self.job.kind in POWERING and (not known or known[-1].name != progress.step):
            began = Phase(progress.step, self._clock.now())
            self.job = replace(self.job, phases=(*known, began)[-MOST_PHASES:])
            try:
                self._save(self.job)
            except Failure as failure:
                # A start is not given up because how long it takes could not be written down.
                log.warning("steps of job %s: %s", self.job.id, failure)
        self._report(progress)


def _cancelled(job: Job) -> Problem:
    again = (
        "It is tried again by itself after a pause; put the standby on hold to keep it from that."
    )
    return Problem(
        "job.cancelled",
        "It was asked to end before it was done.",
        "Ready boot points are not touched.",
        again if job.kind in (*MAKING, JobKind.MEASURE, JobKind.RETIRE) else "",
    )


def _title(job: Job) -> str:
    names = {
        JobKind.SYNC: "Making boot point",
        JobKind.APPLY: "Applying the images of boot point",
        JobKind.MEASURE: "Measuring boot point",
        JobKind.CONVERT: "Converting boot point",
        JobKind.RETIRE: "Retiring boot point",
        JobKind.ARM: "Arming boot point",
        JobKind.START: "Starting boot point",
        JobKind.HOME: "Bringing home the VM of boot point",
        JobKind.STOP: "Stopping",
    }
    return f"{names[job.kind]} {job.boot_point or ''}".rstrip()


def _medium(error: OSError) -> Problem:
    """Return the words for an error of a disk or share."""
    where = error.filename or "a file of the store or the watched folder"
    return Problem(
        "medium.error",
        f"{where}: {error.strerror or error}.",
        "Ready boot points are not touched.",
        "Check the disk or share; the work is tried again by itself.",
        {"errno": error.errno or 0},
    )
