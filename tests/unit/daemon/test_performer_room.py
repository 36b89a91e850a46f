"""A job that found no room, or no answer: tried again without end; its images are not bad."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from engine.daemon.clock import ManualClock
from engine.daemon.performer import Performer
from engine.daemon.targets import Target
from engine.guests.simulated import SimulatedConverter
from engine.jobs.power import Shape
from engine.model.due import PATIENT
from engine.model.errors import Failure, NoSpace, Problem, SourceSilent
from engine.model.points import Stage
from engine.model.work import Job, JobId, JobKind, JobStatus
from engine.ports import NeverCancelled
from engine.state.memory import MemoryState
from engine.stores.memory import MemoryStore
from tests.bench.largehub import Images
from tests.bench.largesite import START, Site, picture, standbys
from tests.world import no_hypervisor


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (NoSpace(Problem("store.full", "The store is full.")), PATIENT),
        (OSError(errno.ENOSPC, "No space left on device"), PATIENT),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), PATIENT),
        (SourceSilent(Problem("image.silent", "It does not answer.")), PATIENT),
        (OSError(errno.EIO, "Input/output error"), 9),
        (Failure(Problem("image.damaged", "It is damaged.")), 9),
    ],
)
def test_only_what_is_no_fault_of_the_images_counts_for_less(
    error: Exception, attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room or answer counts up to a few tries; a damaged image or medium counts each time."""
    site = Site(1, 1, 0)
    state = MemoryState()
    told = picture(site)
    (point,) = told.boot_points.values()
    with state.write() as tx:
        tx.save_recovery_points(list(told.recovery_points.values()))
        for stage in (Stage.PENDING, Stage.APPLYING):
            tx.save_boot_point(replace(point, stage=stage, attempts=9))
        blank = Job(JobId(0), JobKind.SYNC, "m0000", point.id, JobStatus.QUEUED, START)
        job = tx.add_job(blank)
    target = Target(
        "local", "simulated", MemoryStore(), "memory", no_hypervisor, SimulatedConverter()
    )
    performer = Performer(state, ManualClock(START), Images(), lambda _standby: target, Shape())

    def fail(*_told: object) -> None:
        raise error

    monkeypatch.setattr(performer, "_story", fail)
    performer.perform(job, standbys(site)["m0000"], NeverCancelled(), lambda _progress: None)
    (after,) = state.read().boot_points.values()
    assert (after.stage, after.attempts) == (Stage.FAILED, attempts)
