"""Arming: the newest boot point starts by a power-on in somebody else's client."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from pyVmomi import vim

from engine.daemon.arming import Arming, disarm
from engine.daemon.performer import Performer
from engine.daemon.targets import Target
from engine.guests.simulated import SimulatedConverter
from engine.jobs.power import Shape
from engine.model.errors import HypervisorError, Refused
from engine.model.machine import Power, VMRef
from engine.model.points import BootPoint
from engine.model.standby import Standby
from engine.model.work import JobKind, JobStatus, WantedJob
from engine.state.memory import MemoryState
from tests.contract.disk_chains import MIB, seen
from tests.vcsim.stage import SPEC, VM, Stage
from tests.vcsim.steps import Drop
from tests.world import MemoryDisk, MemoryImages, World, data

WRITES = ("CreateVM_Task", "ReconfigVM_Task", "PowerOnVM_Task", "Destroy_Task")
ERP = VMRef("erp")


@pytest.fixture
def world(one: Stage) -> World:
    """Return a standby with two boot points whose target is the simulated host."""
    images = MemoryImages()
    first = images.add([MemoryDisk(MIB, [data(0, b"1" * 512)])], None, 1)
    second = images.add([MemoryDisk(MIB, [data(0, b"2" * 512)])], first, 2)
    made = World(one.store, MemoryState(), images)
    opened = Target("esx-01", "esxi", one.store, lambda: one.target, SimulatedConverter())
    made.performer = Performer(made.state, made.clock, images, lambda _standby: opened, Shape())
    made.arrive(first)
    made.work()
    made.arrive(second)
    return made


def _arm(world: World) -> BootPoint:
    """Arm the newest boot point by a job; return it."""
    newest = max(world.state.read().ready("erp"), key=lambda point: point.taken_at)
    world.perform(WantedJob(JobKind.ARM, "erp", newest.id, ""))
    return newest


def _last(world: World) -> JobStatus:
    return list(world.state.read().jobs.values())[-1].status


def _scratch(world: World) -> list[str]:
    return [name for name in world.store.chain("erp").layers() if name.endswith("-scratch")]


def _files(stage: Stage) -> list[str]:
    told = stage.other.read(stage.ref("erp"), "config.hardware.device", "runtime.powerState")
    assert str(told["runtime.powerState"]) == "poweredOff"
    devices = told["config.hardware.device"]
    cards = [d for d in devices if isinstance(d, vim.vm.device.VirtualVmxnet3)]
    assert all(not card.connectable.startConnected for card in cards)
    return [d.backing.fileName for d in devices if isinstance(d, vim.vm.device.VirtualDisk)]


def _bytes(stage: Stage, file: str) -> bytes:
    flat = stage.store.path / ".run" / file.partition("] ")[2].replace(".vmdk", "-flat.vmdk")
    return flat.read_bytes()[:1]


def test_each_new_boot_point_is_armed_and_again_costs_a_look(one: Stage, world: World) -> None:
    """The VM's disks are scratch on the newest twig; the older scratch is gone."""
    first = _arm(world)
    assert _last(world) is JobStatus.DONE
    (file,) = _files(one)
    assert _bytes(one, file) == b"1"
    world.work()
    before = len(one.sim.proxy.calls)
    second = _arm(world)
    assert len(one.sim.proxy.calls) - before <= 25
    assert second.id != first.id
    (again,) = _files(one)
    assert (again != file, _bytes(one, again)) == (True, b"2")
    assert _scratch(world) == [f"{second.id}-scratch"]
    assert len(list((one.store.path / ".run" / "erp").iterdir())) == 1
    done = len(one.sim.proxy.calls)
    _arm(world)
    assert not set(one.sim.proxy.calls[done:]) & set(WRITES)
    assert _files(one) == [again]
    world.check()


def test_arming_and_starting_need_few_calls(one: Stage, world: World) -> None:
    """The VM is looked at, its networks, its place; then it is changed, and read with the task."""

    def calls(kind: JobKind) -> int:
        before = len(one.sim.proxy.calls)
        newest = max(world.state.read().ready("erp"), key=lambda point: point.taken_at)
        world.perform(WantedJob(kind, "erp", newest.id, ""))
        assert _last(world) is JobStatus.DONE
        return len(one.sim.proxy.calls) - before

    calls(JobKind.ARM)  # the first one looks at the target as well, and makes what it lacks
    world.work()
    assert calls(JobKind.ARM) <= 7
    assert calls(JobKind.ARM) <= 3
    assert calls(JobKind.START) <= 9
    assert calls(JobKind.STOP) <= 14
    assert calls(JobKind.START) <= 17
    assert calls(JobKind.STOP) <= 14
    assert calls(JobKind.ARM) <= 15


@pytest.mark.parametrize("is_off_again", [False, True], ids=["runs", "off again"])
def test_what_somebody_started_by_hand_is_taken_up(
    one: Stage, world: World, *, is_off_again: bool
) -> None:
    """The engine was away: its VM is shown as a run, keeps what it wrote, and can be stopped."""
    point = _arm(world)
    (file,) = _files(one)
    one.do(one.ref("erp").PowerOnVM_Task(None))
    run = one.store.path / ".run" / file.partition("] ")[2]
    with (run.parent / "disk0-flat.vmdk").open("r+b") as guest:
        guest.write(b"guest")
    (run.parent / "serial.log").write_bytes(b"login: ")
    if is_off_again:
        one.do(one.ref("erp").PowerOffVM_Task())
    world.perform(WantedJob(JobKind.START, "erp", point.id, ""))
    assert _last(world) is JobStatus.FAILED
    world.work()
    _arm(world)
    (taken,) = world.state.read().runs.values()
    assert (taken.boot_point, taken.scratch) == (point.id, f"{point.id}-scratch")
    assert seen(one.store.chain("erp"), taken.scratch)[:5] == b"guest"
    assert any(line.key == "vm.started-by-hand" for line in world.state.journal())
    world.perform(WantedJob(JobKind.STOP, "erp", None, ""))
    assert one.target.signs_of_life(ERP).power is Power.OFF
    assert _scratch(world) == []
    assert _last(world) is JobStatus.DONE
    world.check()


def test_a_start_after_arming_takes_fresh_scratch(one: Stage, world: World) -> None:
    """An armed VM that nobody touched is no hindrance; after its stop it can be armed again."""
    point = _arm(world)
    world.perform(WantedJob(JobKind.START, "erp", point.id, ""))
    assert one.target.signs_of_life(ERP).power is Power.ON
    assert one.target.started_by_hand(ERP) is None
    _arm(world)
    assert one.target.signs_of_life(ERP).power is Power.ON
    world.perform(WantedJob(JobKind.STOP, "erp", None, ""))
    _arm(world)
    assert len(_files(one)) == 1
    world.check()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("method", ["CreateVM_Task", "ReconfigVM_Task"])
def test_a_lost_reply_arms_once(one: Stage, world: World, method: str, *, after: bool) -> None:
    """Whatever is lost, the VM is armed on one scratch layer."""
    one.sim.proxy.plan(method, Drop(after=after))
    point = _arm(world)
    assert (len(_files(one)), _scratch(world)) == (1, [f"{point.id}-scratch"])


def test_a_changed_vm_is_not_armed(one: Stage) -> None:
    """A snapshot by somebody, a running VM, an unknown one: refused, and left as it is."""
    layer = one.boot_point()
    with pytest.raises(HypervisorError, match="does not exist"):
        one.target.arm(VM, layer)
    one.target.create(SPEC)
    one.do(one.ref().CreateSnapshot_Task("by hand", "", False, False))
    with pytest.raises(Refused, match="snapshot"):
        one.target.arm(VM, layer)
    one.do(one.ref().RemoveAllSnapshots_Task())
    one.do(one.ref().PowerOnVM_Task(None))
    with pytest.raises(Refused, match="started by somebody else"):
        one.target.arm(VM, layer)


def test_the_vm_of_a_standby_that_is_gone_is_deleted_but_not_a_running_one(one: Stage) -> None:
    """What somebody started by hand is his."""
    layer = one.boot_point()
    target: Any = SimpleNamespace(opened=lambda: one.target)
    engine: Any = SimpleNamespace()
    standby = Standby("web01", "/images", target="esx-01")
    one.target.create(SPEC)
    one.target.arm(VM, layer)
    one.do(one.ref().PowerOnVM_Task(None))
    assert one.target.started_by_hand(VM) == layer
    disarm(engine, standby, target)
    assert one.own_vms() == 1
    one.do(one.ref().PowerOffVM_Task())
    disarm(engine, standby, target)
    assert one.own_vms() == 0


def test_the_engine_asks_for_arming_when_it_is_due(one: Stage, world: World) -> None:
    """Once for each newest boot point; after a failure again with pauses; not beside other jobs."""
    arming, now = Arming(), world.clock.now()
    engine: Any = SimpleNamespace(
        standbys={"erp": replace(world.standby, target="esx-01")},
        targets={"esx-01": SimpleNamespace(opened=lambda: one.target, away=None)},
        picture=SimpleNamespace(signs=dict),
    )

    def wanted(*others: WantedJob) -> list[WantedJob]:
        return list(arming.wanted(engine, world.state.read(), now, others))

    (job,) = wanted()
    assert (job.kind, wanted(job)) == (JobKind.ARM, [])
    world.perform(job)
    ended = list(world.state.read().jobs.values())[-1]
    arming.ended(ended, JobStatus.FAILED, now)
    assert wanted() == []
    arming.ended(ended, JobStatus.DONE, now)
    assert wanted() == []
    arming.ended(replace(ended, kind=JobKind.STOP), JobStatus.DONE, now)
    assert wanted() == [job]
    world.work()
    assert wanted()[0].boot_point != job.boot_point


def test_a_boot_point_that_was_converted_again_is_armed_anew(one: Stage, world: World) -> None:
    """Its old twig goes, with the scratch that nobody wrote to; what somebody wrote to stays."""
    point = _arm(world)
    (old,) = _files(one)
    world.perform(WantedJob(JobKind.CONVERT, "erp", point.id, ""))
    assert _last(world) is JobStatus.DONE
    _arm(world)
    (new,) = _files(one)
    assert new != old
    layers = world.store.chain("erp").layers()
    (again,) = [layer for layer in layers.values() if layer.name.endswith("-scratch")]
    assert again.parent == max(world.state.read().ready("erp"), key=lambda p: p.taken_at).boot
    with world.store.chain("erp").open(again.name, 0) as device:
        device.write(0, memoryview(b"x" * 4096))
        device.flush()
    world.perform(WantedJob(JobKind.CONVERT, "erp", point.id, ""))
    assert _last(world) is JobStatus.FAILED
    assert again.name in world.store.chain("erp").layers()
