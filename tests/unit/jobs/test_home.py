"""Bringing home as a job: what it tells, what it drops, what a stop of a VM at home costs."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from engine.daemon.arming import Arming
from engine.daemon.performer import Performer
from engine.daemon.targets import Target
from engine.hypervisors.simulated import SimulatedHypervisor
from engine.jobs.home import home
from engine.jobs.power import Shape
from engine.model.errors import Cancelled, Refused
from engine.model.machine import Home, Power, Signs, VMRef
from engine.model.work import JobKind, JobStatus, WantedJob
from engine.state.memory import MemoryState
from engine.stores.memory import MemoryStore
from tests.contract.disk_chains import MIB
from tests.world import MemoryDisk, MemoryImages, World, data

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def running() -> tuple[World, SimulatedHypervisor]:
    """Return a standby whose only boot point runs, and its target."""
    images = MemoryImages()
    first = images.add([MemoryDisk(MIB, [data(0, b"1" * 512)])], None, 1)
    store = MemoryStore()
    made = World(store, MemoryState(), images)
    hypervisor = SimulatedHypervisor("local", store.chain)
    opened = Target("local", "simulated", store, lambda: hypervisor, made.converter)
    made.performer = Performer(made.state, made.clock, images, lambda _standby: opened, Shape())
    made.arrive(first)
    made.work()
    point = made.state.read().ready("erp")[0]
    made.perform(WantedJob(JobKind.START, "erp", point.id, ""))
    assert made.state.read().runs
    return made, hypervisor


@pytest.fixture
def world(running: tuple[World, SimulatedHypervisor]) -> World:
    """Return the standby."""
    return running[0]


def _bring(running: tuple[World, SimulatedHypervisor], came: Any) -> list[tuple[Any, ...]]:
    """Perform a HOME job on a target that answers so; return what it was asked."""
    asked: list[tuple[Any, ...]] = []

    def bring_home(vm: VMRef, to: str, _cancel: object, _report: object) -> Home:
        asked.append((vm, to))
        if isinstance(came, BaseException):
            raise came
        return Home(*came)

    world, target = running
    target.bring_home = bring_home  # type: ignore[method-assign, assignment]  # plays a host
    run = world.state.read().runs["erp"]
    world.perform(WantedJob(JobKind.HOME, "erp", run.boot_point, "", to="ds2"))
    return asked


def _last(world: World) -> tuple[JobKind, JobStatus, str]:
    job = list(world.state.read().jobs.values())[-1]
    return job.kind, job.status, job.to


def _scratch(world: World) -> list[str]:
    return [name for name in world.store.chain("erp").layers() if name.endswith("-scratch")]


def test_a_vm_that_came_home_needs_no_scratch(
    world: World, running: tuple[World, SimulatedHypervisor]
) -> None:
    """Its scratch layer goes, its run stays, and the journal says where it is and what stays."""
    assert _bring(running, ("ds2", False, "disks of crm lie on it")) == [("erp", "ds2")]
    assert _last(world) == (JobKind.HOME, JobStatus.DONE, "ds2")
    assert _scratch(world) == []
    assert "erp" in world.state.read().runs
    told = world.state.journal()[-1]
    assert told.key == "vm.home"
    assert "ds2" in told.text
    assert "stays mounted on its hosts: disks of crm lie on it" in told.text


def test_a_vm_that_did_not_come_home_keeps_its_scratch(
    world: World, running: tuple[World, SimulatedHypervisor]
) -> None:
    """Cancelled, it runs on from where it was."""
    _bring(running, Cancelled())
    assert _last(world)[1] is JobStatus.CANCELLED
    assert len(_scratch(world)) == 1
    assert "erp" in world.state.read().runs


def test_a_target_whose_vms_are_at_home_says_so(world: World) -> None:
    """On a target with disks of its own there is nothing to bring."""
    run = world.state.read().runs["erp"]
    world.perform(WantedJob(JobKind.HOME, "erp", run.boot_point, ""))
    assert _last(world)[1] is JobStatus.FAILED
    assert any("at home there" in line.text for line in world.state.journal())


def test_what_does_not_run_is_not_brought_home() -> None:
    """It is refused before the target is asked."""
    tools: Any = SimpleNamespace(
        standby=SimpleNamespace(name="erp"),
        state=SimpleNamespace(read=lambda: SimpleNamespace(runs={})),
    )
    with pytest.raises(Refused, match="does not run"):
        home("", tools)


def test_a_vm_between_two_places_is_brought_on() -> None:
    """After a crash nobody is asked; a try that failed is waited out for a minute."""
    run = SimpleNamespace(boot_point="bp000001")
    state: Any = SimpleNamespace(runs={"erp": run}, live_jobs=list)
    signs = {"erp": Signs(Power.OFF, leaving="ds2"), "crm": Signs(Power.ON, home="ds1")}
    engine: Any = SimpleNamespace(
        picture=SimpleNamespace(signs=lambda: signs), standbys={"erp": None}, targets={}
    )
    arming = Arming()
    (wanted,) = arming._on_their_way(engine, state, NOW)
    assert (wanted.kind, wanted.standby, wanted.to) == (JobKind.HOME, "erp", "ds2")
    job: Any = SimpleNamespace(kind=JobKind.HOME, standby="erp", boot_point=None)
    arming.ended(job, JobStatus.FAILED, NOW)
    assert list(arming._on_their_way(engine, state, NOW)) == []
    busy: Any = SimpleNamespace(standby="erp")
    assert not list(Arming()._on_their_way(engine, _with(state, busy), NOW))


def _with(state: Any, job: Any) -> Any:
    return SimpleNamespace(runs=state.runs, live_jobs=lambda: [job])


def test_a_stop_that_cannot_throw_away_what_was_written_says_that_the_vm_is_off(
    world: World,
) -> None:
    """Somebody has the disk open: the run is kept, and the next stop ends it."""
    run = world.state.read().runs["erp"]
    with world.store.chain("erp").open(run.scratch, 0):
        world.perform(WantedJob(JobKind.STOP, "erp", run.boot_point, ""))
    last = list(world.state.read().jobs.values())[-1]
    assert last.status is JobStatus.FAILED
    assert last.reason == (
        f"erp is off, but what it wrote here could not be dropped: A disk of {run.scratch} is "
        "open. Its boot points are as before. Ask for the same again."
    )
    assert world.state.read().runs["erp"] == run

    world.perform(WantedJob(JobKind.STOP, "erp", run.boot_point, ""))
    assert _last(world)[1] is JobStatus.DONE
    assert not world.state.read().runs


def test_a_layer_that_cannot_be_dropped_after_the_way_home_is_told_as_that(
    running: tuple[World, SimulatedHypervisor],
) -> None:
    """The VM is at home; asked again, the rest is done."""
    world, _ = running
    run = world.state.read().runs["erp"]
    with world.store.chain("erp").open(run.scratch, 0):
        _bring(running, ("ds2", False, ""))
    last = list(world.state.read().jobs.values())[-1]
    assert last.status is JobStatus.FAILED
    assert last.reason == (
        f"erp is at home, but what it wrote here could not be dropped: A disk of {run.scratch} is "
        "open. Its boot points are as before. Ask for the same again."
    )
    assert _scratch(world)

    _bring(running, ("ds2", True, ""))
    assert not _scratch(world)
