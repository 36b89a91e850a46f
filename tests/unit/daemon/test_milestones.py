"""What a start took is stored: its steps by whoever performs it, the guest's signs by the pulse."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from engine.daemon.clock import ManualClock
from engine.daemon.milestones import note_signs
from engine.daemon.performer import Performer
from engine.daemon.targets import Target
from engine.guests.simulated import SimulatedConverter
from engine.jobs.power import Shape
from engine.model.errors import NoSpace, Problem
from engine.model.layers import LayerName
from engine.model.machine import Power, Signs
from engine.model.points import Stage
from engine.model.progress import Progress
from engine.model.work import Job, JobId, JobKind, JobStatus, Run
from engine.ports import NeverCancelled
from engine.state.memory import MemoryState
from engine.stores.memory import MemoryStore
from tests.scripted import NOW, boot_point, recovery_point, site
from tests.world import MemoryImages, no_hypervisor


class Starting:
    """A state with one ready boot point, and a performer whose start is two reported steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state, self.clock = MemoryState(), ManualClock(NOW)
        image = recovery_point("erp", 1, NOW)
        point = boot_point(1, image, stage=Stage.PENDING)
        with self.state.write() as tx:
            tx.save_recovery_points([image])
            for stage in (Stage.PENDING, Stage.APPLYING, Stage.CONVERTING, Stage.READY):
                tx.save_boot_point(replace(point, stage=stage))
            blank = Job(JobId(0), JobKind.START, "erp", point.id, JobStatus.QUEUED, NOW)
            self.job = tx.add_job(blank)
        target = Target("l", "simulated", MemoryStore(), no_hypervisor, SimulatedConverter())
        self.performer = Performer(
            self.state, self.clock, MemoryImages(), lambda _standby: target, Shape()
        )
        monkeypatch.setattr(self.performer, "_story", self.story)
        self.seen: list[str] = []

    def story(self, job: Job, _standby: object, _cancel: object, report: object) -> None:
        """Report two steps, the second twice, and remember the VM."""
        for step in ("scratch", "power on", "power on"):
            report(Progress(step, 0, None))  # type: ignore[operator]
            self.seen.append(step)
            self.clock.advance(2.0)
        with self.state.write() as tx:
            run = Run("erp", job.boot_point, LayerName("s"), self.clock.now())  # type: ignore[arg-type]
            tx.save_run(run)

    def perform(self) -> Job:
        """Perform the start and return it as stored."""
        self.performer.perform(
            self.job, site(1).standbys["erp"], NeverCancelled(), lambda _progress: None
        )
        stored = self.state.job(self.job.id)
        assert stored is not None
        return stored


def test_each_step_is_stored_once_with_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step reported again is the same step."""
    stored = Starting(monkeypatch).perform()
    assert stored.status is JobStatus.DONE
    told = [(one.name, (one.at - NOW).total_seconds()) for one in stored.phases]
    assert told == [("scratch", 0.0), ("power on", 2.0)]


def test_a_start_goes_on_when_a_step_cannot_be_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk of the state costs the figures, not the start."""
    starting = Starting(monkeypatch)
    save, calls = starting.performer._save, []

    def full(job: Job) -> None:
        calls.append(job)
        if job.phases and job.status is JobStatus.RUNNING:
            raise NoSpace(Problem("state.full", "The disk is full."))
        save(job)

    monkeypatch.setattr(starting.performer, "_save", full)
    assert starting.perform().status is JobStatus.DONE
    assert starting.seen == ["scratch", "power on", "power on"]


def test_a_guests_signs_are_stored_with_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """First words, then the prompt; what was seen once is not written again."""
    starting = Starting(monkeypatch)
    starting.perform()
    state, later = starting.state, starting.clock.now() + timedelta(seconds=5)
    note_signs(state, "erp", Signs(Power.ON, serial_tail=b"Linux"), later)
    before = state.read()
    note_signs(state, "erp", Signs(Power.ON, serial_tail=b"Linux .."), later)
    assert state.read() is before
    note_signs(state, "erp", Signs(Power.ON, serial_tail=b"erp login: "), later)
    note_signs(state, "web", Signs(Power.ON, serial_tail=b"web login: "), later)
    stored = state.job(starting.job.id)
    assert stored is not None
    assert [one.name for one in stored.phases] == ["scratch", "power on", "words", "prompt"]
