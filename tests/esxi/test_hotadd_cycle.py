"""Transport `hotadd` as the engine's own jobs drive it, on a simulated host with bytes."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from engine.daemon.performer import Performer
from engine.daemon.targets import Target
from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.esxi.branches import tree_of
from engine.hypervisors.esxi.hotaddhost import HotaddHypervisor
from engine.hypervisors.esxi.hotaddlink import HotaddLink
from engine.hypervisors.esxi.tasks import TaskWaiter
from engine.hypervisors.esxi.tree import foreign
from engine.jobs.power import Shape
from engine.model.errors import Cancelled, Failure
from engine.model.images import RecoveryPoint
from engine.model.points import Stage
from engine.model.work import JobKind, JobStatus, WantedJob
from engine.ports import CancelFlag, NeverCancelled
from engine.state.memory import MemoryState
from tests.esxi.conftest import seeds
from tests.site import wait_for
from tests.vcsim.kept import hotadd
from tests.vcsim.simulator import Sim
from tests.vcsim.steps import Code, Delay, Drop, Fault, Says, Spoil, Step
from tests.world import MemoryDisk, MemoryImages, World, data

SIZE = 200_000
CALLS = 25
"""Most calls of a boot point with its bytes, of arming it, of retiring one."""


class Counted(World):
    """A world that counts what each job asks of the host."""

    sim: Sim
    link: HotaddLink
    step: Callable[[], object]
    counts: list[tuple[JobKind, int]]
    last: RecoveryPoint | None = None

    def arrive_next(self) -> None:
        """Let the next increment arrive."""
        number = self.last.sequence + 1 if self.last is not None else 1
        disks = [MemoryDisk(SIZE, [data(number * 10_000, bytes([number]) * 9_000)])]
        self.last = self.images.add(disks, self.last, number)
        self.arrive(self.last)

    def perform(self, wanted: WantedJob) -> None:
        """Perform a job."""
        before = len(self.sim.proxy.calls)
        super().perform(wanted)
        self.counts.append((wanted.kind, len(self.sim.proxy.calls) - before))

    def last_job(self) -> JobStatus:
        """Return how the last job ended."""
        jobs = self.state.read().jobs
        return jobs[max(jobs)].status

    def told(self) -> list[str]:
        """Return why jobs failed."""
        return [f"{one.kind}: {one.reason}" for one in self.state.read().jobs.values()]

    def do(self, kind: JobKind) -> int:
        """Perform a job on the newest boot point; return how many calls it took."""
        newest = max(self.state.read().ready("erp"), key=lambda one: one.sequence)
        self.perform(WantedJob(kind, "erp", newest.id, ""))
        return self.counts[-1][1]


@pytest.fixture
def world(chosen: Sim, tmp_path: Path) -> Iterator[Counted]:
    """Yield a world that keeps two boot points on a simulated host."""
    sim = chosen
    link, store = hotadd(sim, tmp_path)
    target = HotaddHypervisor(link, store.chain)
    made = Counted(store, MemoryState(), MemoryImages(), keep=2)
    made.sim, made.counts, made.link = sim, [], link
    there = Target("esx-01", "esxi", store, lambda: target, made.converter)
    made.performer = Performer(made.state, made.clock, made.images, lambda _name: there, Shape())
    yield made
    store.close()


def test_a_boot_point_with_its_bytes_needs_few_calls(world: Counted) -> None:
    """Five changes for each of its two layers, two calls each, and five looks."""
    for _ in range(3):
        world.arrive_next()
        world.work()
    assert [kind for kind, _ in world.counts] == [JobKind.SYNC] * 3 + [JobKind.RETIRE]
    assert world.counts[2][1] <= CALLS
    assert world.counts[3][1] <= 9


def test_arming_and_starting_need_few_calls(world: Counted) -> None:
    """Each new leaf is a revert and a change; then come shape, cards with mark, and power."""
    for _ in range(2):
        world.arrive_next()
        world.work()
    world.do(JobKind.ARM)  # the first one looks at the target as well
    assert world.do(JobKind.ARM) <= 11
    assert world.do(JobKind.START) <= CALLS
    assert world.do(JobKind.STOP) <= 14
    world.arrive_next()
    world.work()
    assert world.do(JobKind.ARM) <= 22
    assert world.do(JobKind.START) <= CALLS
    assert world.last_job() is JobStatus.DONE


def test_writers_wait_for_a_slot_and_a_start_for_none(
    world: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a host has enough to do, boot points wait and merges can be cancelled; a start goes."""
    for _ in range(2):
        world.arrive_next()
        world.work()
    gate, chain = world.link.gate, world.store.chain("erp")
    first = min(world.state.read().ready("erp"), key=lambda one: one.sequence)
    monkeypatch.setattr("engine.hypervisors.esxi.gate.PATIENCE_S", 0.0)
    cancelled = CancelFlag()
    cancelled.set()
    with gate.heavy(NeverCancelled()), gate.heavy(NeverCancelled()):
        world.arrive_next()
        world.work()
        assert "others wrote to it" in world.told()[-1]
        removals = world.sim.proxy.count("RemoveSnapshot_Task")
        with pytest.raises(Cancelled):
            chain.fold(first.replica, cancelled)
        assert world.sim.proxy.count("RemoveSnapshot_Task") == removals
        world.do(JobKind.START)
        assert "erp" in world.state.read().runs
        world.do(JobKind.STOP)
    world.clock.advance(7200)
    world.work()
    assert len(world.state.read().ready("erp")) == 2
    world.check()


def test_a_writer_that_waits_hears_a_cancel_within_a_second(world: Counted) -> None:
    """A boot point that waits for its turn ends as cancelled, and is made later."""
    gate, world.cancel = world.link.gate, (flag := CancelFlag())
    world.arrive_next()

    def one_job() -> None:
        with contextlib.suppress(AssertionError):  # there is more to do
            world.work(rounds=1)

    with gate.heavy(NeverCancelled()), gate.heavy(NeverCancelled()):
        job = threading.Thread(target=one_job)
        job.start()
        wait_for(lambda: bool(world.sim.proxy.count("CreateVM_Task")), 20, lambda: "no VM")
        job.join(0.5)
        assert job.is_alive()
        flag.set()
        began = time.monotonic()
        job.join(10)
        assert time.monotonic() - began < 1
    assert world.last_job() is JobStatus.CANCELLED
    world.cancel = NeverCancelled()
    world.clock.advance(7200)
    world.work()
    assert len(world.state.read().ready("erp")) == 1
    world.check()


def test_an_id_that_another_vm_has_now_attaches_nothing_to_it(world: Counted) -> None:
    """A vCenter that was restored gives ids anew: this machine is told by its UUID each time."""
    world.arrive_next()
    world.work()
    other, machines = world.sim.foreigner(), world.link.connect().machines
    folder, pool = (
        other.read_all(kind, path)[0][1][path]
        for kind, path in ((vim.Datacenter, "vmFolder"), (vim.ComputeResource, "resourcePool"))
    )
    controller = vim.vm.device.ParaVirtualSCSIController(key=-1, busNumber=0, sharedBus="noSharing")
    add = vim.vm.device.VirtualDeviceSpec(operation="add", device=controller)
    files = vim.vm.FileInfo(vmPathName="[LocalDS_0]")
    spec = vim.vm.ConfigSpec(name="theirs", guestId="otherGuest", files=files, deviceChange=[add])
    task = folder.CreateVM_Task(spec, pool, None)
    theirs = TaskWaiter(other).result(task, "theirs", deadline_s=30)
    machines.own = vim.VirtualMachine(ref_id(theirs), world.link.connect().session._stub)
    seen: list[Any] = []

    def look() -> None:
        told = other.read(theirs, "config.hardware.device")["config.hardware.device"]
        seen.extend(one for one in told if isinstance(one, vim.vm.device.VirtualDisk))

    world.sim.proxy.effects["ReconfigVM_Task"] = look
    world.arrive_next()
    world.work()
    assert seen == []
    assert [one.stage for one in world.state.read().points_of("erp")] == [Stage.READY] * 2
    world.check()


class _KilledError(BaseException):
    """The end of an engine's process."""


@pytest.mark.parametrize("kind", [JobKind.START, JobKind.ARM])
def test_after_a_revert_that_was_cut_short_the_vm_has_what_was_converted(
    world: Counted, monkeypatch: pytest.MonkeyPatch, kind: JobKind
) -> None:
    """Killed after the revert for the next boot point: the VM's mark still says it is armed."""
    world.arrive_next()
    world.work()
    world.do(JobKind.ARM)
    world.arrive_next()
    branches = world.link.connect().branches

    def killed(*_: object) -> None:
        raise _KilledError

    with monkeypatch.context() as patch:
        patch.setattr(branches, "mark", killed)
        with pytest.raises(_KilledError):
            world.work()
    world.restart()
    first = min(world.state.read().ready("erp"), key=lambda one: one.sequence)
    world.perform(WantedJob(kind, "erp", first.id, ""))
    assert world.last_job() is JobStatus.DONE, world.told()
    assert _lies_on(world) == first.boot


def _lies_on(world: Counted) -> str:
    """Return the snapshot that the VM's disks lie on."""
    there = world.link.connect().branches.look("erp")
    assert there is not None
    assert there.tree.current is not None
    return there.tree.snapshots[there.tree.current].name


# --- whatever goes wrong ----------------------------------------------------------------------

CHANGES = [
    "CreateVM_Task",
    "ReconfigVM_Task",
    "CreateSnapshot_Task",
    "RevertToSnapshot_Task",
    "RemoveSnapshot_Task",
    "PowerOnVM_Task",
    "PowerOffVM_Task",
]
READS = ["RetrievePropertiesEx", "FindAllByUuid", "CreateContainerView"]


def _wrong(rng: random.Random, call: str) -> Step:
    kinds: list[Step] = [Drop(), Drop(after=True), Fault("NotAuthenticated"), Code(503)]
    kinds += [Says(), Says(half=True), Fault("ManagedObjectNotFound"), Fault("RuntimeFault")]
    if call in CHANGES:
        kinds += [Fault("TaskInProgress"), Fault("HostCommunication"), Drop(after=True)]
        kinds += [Fault("HostCommunication", after=True), Fault("InvalidState")]
        kinds += [Spoil("SystemError"), Spoil("HostCommunication"), Spoil("RequestCanceled")]
    return rng.choice(kinds)


def _plan(world: Counted, rng: random.Random) -> None:
    """Let some calls go wrong, each after some that go well."""
    for call in (*rng.sample(CHANGES, 3), *rng.sample(READS, 1)):
        well = [Delay(0)] * rng.randrange(8)
        world.sim.proxy.plan(call, *well, *[_wrong(rng, call) for _ in range(rng.randint(1, 3))])


class Host:
    """The host as somebody else sees it, and what must not change there."""

    def __init__(self, world: Counted) -> None:
        """Remember what is not ours."""
        self._world, self._other = world, world.sim.foreigner()
        self._before = self._others()

    def _vms(self) -> list[tuple[Any, Any]]:
        paths = ("name", "config.extraConfig", "config.hardware.device", "runtime.powerState")
        return list(self._other.read_all(vim.VirtualMachine, *paths, "snapshot"))

    def _others(self) -> list[str]:
        told = []
        for ref, seen in self._vms():
            extra = seen.get("config.extraConfig") or ()
            if not any(one.key == "bootpoint.vm" for one in extra):
                own = [str(one) for one in seen["config.hardware.device"] if not _is_ours(one)]
                told.append(f"{ref_id(ref)} {seen['runtime.powerState']} {extra} {own}")
        return sorted(told)

    def check(self) -> None:
        """One VM at most; its snapshots ours, one of each layer; others as before; points kept."""
        self._world.sim.proxy.spare()
        ours = [seen for _, seen in self._vms() if seen["name"] == "erp"]
        assert len(ours) <= 1
        assert self._others() == self._before
        for seen in ours:
            tree = tree_of(seen.get("snapshot"))
            marks = [one.mark for one in tree.snapshots.values()]
            layers = [mark.layer for mark in marks if mark is not None]
            assert len(set(layers)) == len(marks)
            assert foreign(tree, self._world.link.engine, "erp") == ""
        layers_there = self._world.store.chain("erp").layers()
        for point in self._world.state.read().ready("erp"):
            assert layers_there[point.replica].sealed
            assert layers_there[point.boot].sealed


def _is_ours(device: Any) -> bool:
    """Tell whether a device is a disk of the standby."""
    return "] erp" in str(getattr(device.backing, "fileName", "")) if device.backing else False


def _until(world: Counted, rng: random.Random, host: Host, is_so: Callable[[], bool]) -> None:
    """Let the engine work until something is so, with faults and then without."""
    for turn in range(30):
        if turn < 6:
            _plan(world, rng)
        with contextlib.suppress(Failure):  # looks beside the jobs may fail as well
            world.step()
        host.check()
        if is_so():
            return
        world.clock.advance(7200)
    raise AssertionError(f"it never ended well: {world.told()}")


@pytest.mark.parametrize(("chosen", "seed"), seeds(24, up_to=40), indirect=["chosen"])
def test_any_sequence_of_faults_keeps_what_is_sealed(world: Counted, seed: int) -> None:
    """Boot points, retiring, arming, start, stop: each goes on until it is done, whatever fails."""
    rng, host = random.Random(seed), Host(world)
    state = world.state.read

    def all_ready() -> bool:
        points = state().points_of("erp")
        live = [one for one in points if one.stage is not Stage.RETIRED]
        return {one.stage for one in live} == {Stage.READY} and len(live) <= 2

    for _ in range(rng.randint(3, 4)):
        world.arrive_next()
        world.step = world.work
        _until(world, rng, host, all_ready)
        for kind, is_so in (
            (JobKind.ARM, lambda: world.last_job() is JobStatus.DONE),
            (JobKind.START, lambda: "erp" in state().runs),
            (JobKind.STOP, lambda: "erp" not in state().runs),
        ):
            if rng.random() < 0.7:
                world.step = lambda kind=kind: world.do(kind)
                _until(world, rng, host, is_so)
        if "erp" in state().runs:
            world.step = lambda: world.do(JobKind.STOP)
            _until(world, rng, host, lambda: "erp" not in state().runs)
    world.check()
