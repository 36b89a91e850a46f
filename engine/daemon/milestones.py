"""What a started VM was seen to do is noted with the job that started it."""

from __future__ import annotations

from datetime import datetime

from engine.model.machine import Signs
from engine.model.pace import last_start, with_signs
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
