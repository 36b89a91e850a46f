"""What a started VM was seen to do: noted with the job that started it, and as its proof.

A boot point is proven once a VM was started from it and its guest asked for a login on its serial
line, or its tools or agent answered. Words alone, such as those of a boot loader, prove nothing.
"""

from __future__ import annotations

from datetime import datetime

from engine.model.machine import Signs
from engine.model.pace import AGENT, PROMPT, last_start, with_signs
from engine.model.points import BootPointId, Stage
from engine.model.state import State
from engine.ports import StateStore


def note_signs(state: StateStore, standby: str, signs: Signs, now: datetime) -> None:
    """Note signs of life that were not seen before of this start; writes only then.

    Raises:
        Failure: They could not be stored.
    """
    now_known = state.read()
    job = last_start(now_known.jobs.values(), standby)
    run = now_known.runs.get(standby)
    if job is None or run is None or with_signs(job, run, signs, now) == job:
        return
    with state.write() as tx:
        fresh = tx.state()
        found, still = fresh.jobs.get(job.id), fresh.runs.get(standby)
        if found is not None and still is not None:
            tx.save_job(with_signs(found, still, signs, now))


_EVIDENCE = {
    AGENT: "the guest's tools or agent answered",
    PROMPT: "its guest asked for a login on its serial line",
}


def passed(state: State, standby: str) -> tuple[BootPointId, str] | None:
    """Return the boot point that a VM which runs has proven and nobody noted yet, and by what."""
    job, run = last_start(state.jobs.values(), standby), state.runs.get(standby)
    if job is None or run is None or job.boot_point != run.boot_point:
        return None
    if job.started_at is None or not job.started_at <= run.started_at:
        return None
    point = state.boot_points.get(run.boot_point)
    if point is None or point.stage is not Stage.READY or point.proven_at is not None:
        return None
    seen = {phase.name for phase in job.phases}
    by = next((words for name, words in _EVIDENCE.items() if name in seen), "")
    return (point.id, by) if by else None
