"""Runs jobs: one named thread each, with a cancel flag and the newest progress."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.model.errors import Problem
from engine.model.progress import Progress
from engine.model.work import Job, JobId
from engine.ports import CancelFlag, Clock, Report

log = logging.getLogger(__name__)

PROGRESS_S = 0.25

Work = Callable[[CancelFlag, Report], None]


@dataclass(slots=True)
class _Running:
    job: Job
    flag: CancelFlag
    thread: threading.Thread
    progress: Progress | None = None
    ended: threading.Event = field(default_factory=threading.Event)


class Runner:
    """Threads for jobs.

    `on_progress` is told at most four times a second a job, `on_end` after each end, both from
    the job's thread.
    """

    def __init__(
        self, clock: Clock, on_progress: Callable[[], None], on_end: Callable[[], None]
    ) -> None:
        """Start with nothing running."""
        self._clock, self._on_progress, self._on_end = clock, on_progress, on_end
        self._running: dict[JobId, _Running] = {}
        self._lock = threading.Lock()

    def start(self, job: Job, work: Work) -> None:
        """Run `work` in a thread of its own; it must not raise (what it raises is only logged)."""
        flag = CancelFlag()
        thread = threading.Thread(
            target=self._run, args=(job, work), name=f"job-{job.id}-{job.kind}", daemon=True
        )
        with self._lock:
            self._running[job.id] = _Running(job, flag, thread)
        thread.start()

    def _run(self, job: Job, work: Work) -> None:
        mine = self._running[job.id]
        told = -PROGRESS_S

        def report(progress: Progress) -> None:
            nonlocal told
            mine.progress = progress
            if self._clock.monotonic() - told >= PROGRESS_S:
                told = self._clock.monotonic()
                self._on_progress()

        try:
            work(mine.flag, report)
        except BaseException:
            log.exception("job %s left by an exception", job.id)
        finally:
            with self._lock:
                del self._running[job.id]
            mine.ended.set()
            self._on_end()

    def progress(self) -> Mapping[JobId, Progress]:
        """Return the newest progress of each running job that reported any."""
        with self._lock:
            return {n: r.progress for n, r in self._running.items() if r.progress is not None}

    def running(self) -> Mapping[JobId, Job]:
        """Return the jobs whose threads have not ended."""
        with self._lock:
            return {n: r.job for n, r in self._running.items()}

    def cancel(self, number: JobId) -> bool:
        """Ask a job to end; False when it does not run."""
        with self._lock:
            found = self._running.get(number)
        if found is not None:
            found.flag.set()
        return found is not None

    def wait(self, number: JobId, timeout_s: float) -> bool:
        """Wait for a job's thread to end; True when it has."""
        with self._lock:
            found = self._running.get(number)
        return found is None or found.ended.wait(timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Ask all jobs to end and wait for them; True when all have."""
        with self._lock:
            left = list(self._running.values())
        for one in left:
            one.flag.set()
        ended = [one.ended.wait(timeout_s) for one in left]
        return all(ended)


def internal(job: Job, error: BaseException) -> Problem:
    """Return the words for an exception nobody foresaw."""
    return Problem(
        "engine.internal",
        f"The {job.kind} job {job.id} stopped at an error inside the engine: "
        f"{type(error).__name__}.",
        "Ready boot points are not touched.",
        "The engine's log has the details; the work is tried again.",
    )
