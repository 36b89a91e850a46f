"""Which standbys are to be armed now: those whose newest boot point is another than the armed one.

What is armed is known from this engine's own jobs only, so each start of the engine asks the
target once; arming what is armed costs a look. A VM on its way home that nobody brings on, after
a crash or while its host was away, is brought on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from engine.daemon.targets import Target
from engine.model.errors import Failure
from engine.model.machine import VMRef
from engine.model.points import BootPointId
from engine.model.standby import Standby
from engine.model.state import State
from engine.model.work import Job, JobKind, JobStatus, Severity, WantedJob

if TYPE_CHECKING:
    from engine.daemon.engine import Engine

FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)


class Arming:
    """What is armed, as far as this engine knows. Thread-safe."""

    def __init__(self) -> None:
        """Know of nothing."""
        self._lock = threading.Lock()
        self._armed: dict[str, BootPointId] = {}
        self._tries: dict[str, tuple[int, datetime]] = {}
        self._homing: dict[str, datetime] = {}

    def wanted(
        self, engine: Engine, state: State, now: datetime, wishes: Sequence[WantedJob]
    ) -> Iterator[WantedJob]:
        """Yield a job for each standby that is to be armed.

        Args:
            wishes: Other jobs that are wanted; their standbys wait.
        """
        busy = (
            {job.standby for job in state.live_jobs()}
            | {one.standby for one in wishes}
            | state.runs.keys()
        )
        yield from self._on_their_way(engine, state, now)
        for name, standby in engine.standbys.items():
            target = engine.targets.get(standby.target)
            if name in busy or standby.is_held(now) or target is None or not _arms(target):
                continue
            newest = next(reversed(state.ready(name)), None)
            if newest is not None and self._is_due(name, newest.id, now):
                reason = "The newest boot point is kept ready to be powered on by hand."
                yield WantedJob(JobKind.ARM, name, newest.id, reason)

    def _on_their_way(self, engine: Engine, state: State, now: datetime) -> Iterator[WantedJob]:
        busy = {job.standby for job in state.live_jobs()}
        for name, signs in engine.picture.signs().items():
            run = state.runs.get(name)
            if run is None or name in busy or not signs.leaving or name not in engine.standbys:
                continue
            with self._lock:
                last = self._homing.get(name)
            if last is None or not last <= now < last + FIRST_PAUSE:
                reason = "Its VM is on its way home, and nobody brings it on."
                yield WantedJob(JobKind.HOME, name, run.boot_point, reason, to=signs.leaving)

    def _is_due(self, name: str, point: BootPointId, now: datetime) -> bool:
        with self._lock:
            if self._armed.get(name) == point:
                return False
            tries, last = self._tries.get(name, (0, now))
        pause = min(FIRST_PAUSE * 2 ** min(tries - 1, 10), LONGEST_PAUSE)
        return not tries or not last <= now < last + pause

    def ended(self, job: Job, status: JobStatus, now: datetime) -> None:
        """Take note of how a job ended: others leave nothing armed, or old."""
        with self._lock:
            if job.kind is JobKind.ARM and status is JobStatus.DONE and job.boot_point:
                self._armed[job.standby] = job.boot_point
                self._tries.pop(job.standby, None)
            elif job.kind is JobKind.ARM:
                self._tries[job.standby] = (self._tries.get(job.standby, (0, now))[0] + 1, now)
            elif job.kind is JobKind.HOME:
                self._homing[job.standby] = now
            elif job.kind in (JobKind.START, JobKind.STOP, JobKind.CONVERT):
                self._armed.pop(job.standby, None)


def _arms(target: Target) -> bool:
    opened = target.opened()
    return opened is not None and target.away is None and opened.capabilities.arms


def disarm(engine: Engine, standby: Standby, target: Target | None) -> None:
    """Delete the armed VM of a standby that is gone; one that somebody started is left."""
    vm = VMRef(standby.name)
    opened = target.opened() if target is not None else None
    if opened is None or not opened.capabilities.arms:
        return
    try:
        if opened.started_by_hand(vm) is None:
            opened.delete(vm)
    except Failure as failure:
        engine.tell(Severity.WARNING, standby.name, failure.problem)
