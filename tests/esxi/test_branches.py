"""Each step of transport `hotadd` on a host, done once: also when replies get lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from pyVmomi import vim

from engine.hypervisors.esxi import faults
from engine.hypervisors.esxi.appliance import Appliance, own_uuids
from engine.hypervisors.esxi.blockdevice import Devices
from engine.hypervisors.esxi.branches import Branches, Standing, standing
from engine.hypervisors.esxi.layers import Seen, State
from engine.hypervisors.esxi.leaf import armed_note, grew
from engine.hypervisors.esxi.looking import Machine
from engine.hypervisors.esxi.machine import Machines
from engine.hypervisors.esxi.tasks import TaskWaiter
from engine.hypervisors.esxi.tree import Mark, foreign
from engine.model.errors import HypervisorError, LayerError
from engine.model.layers import LayerKind, LayerName
from engine.model.machine import Power
from tests.esxi.conftest import MODELS
from tests.site import wait_for
from tests.vcsim.appliance import ENGINE, appliance, branches
from tests.vcsim.simulator import Certificate, Sim, running
from tests.vcsim.steps import Drop, Fault, Late

MIB = 1 << 20
AT = datetime(2026, 3, 1, tzinfo=UTC)
LOST = [(Drop(),), (Drop(after=True),), (Fault("TaskInProgress"),)]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, made: Certificate) -> Iterator[Sim]:
    """Yield one simulated host for all tests here."""
    with running(tmp_path_factory.mktemp("host"), made, *MODELS["esxi"]) as sim:
        yield sim


@pytest.fixture
def steps(host: Sim) -> Iterator[Branches]:
    """Yield the standby VMs; afterwards the one of the test is gone."""
    made = branches(host.session())
    yield made
    host.proxy.forget()
    host.proxy.scattered = False
    if (left := made.look("web01")) is not None:
        made.discard(left)


def mark(name: str, kind: LayerKind = LayerKind.REPLICA) -> Mark:
    """Return our mark of a layer."""
    return Mark(ENGINE, "web01", LayerName(name), kind, f"op-{name}", "p1", AT)


def seed(steps: Branches) -> Standing:
    """Make a VM with two disks and its first snapshot."""
    made = steps.make("web01", [MIB, 3 * MIB], State("op-base", "base"))
    return steps.snapshot(made, mark("base"))


def sealed(steps: Branches, there: Standing, name: str, below: str, kind: LayerKind) -> Standing:
    """Grow a layer and seal it, as a sync does."""
    base = there.tree.layer(LayerName(below))
    assert base is not None
    there = steps.revert(there, base.id, State(f"op-{name}", name))
    assert there.tree.current == base.id
    return steps.snapshot(there, mark(name, kind))


def test_the_tree_grows_and_shrinks_as_a_standby_needs(each: Sim) -> None:
    """Trunk, twig, trunk; the twig goes, then the trunk's base; the VM is ours all the while."""
    steps = branches(each.session())
    there = seed(steps)
    assert [disk.size for disk in there.disks] == [MIB, 3 * MIB]
    assert all(UUID(disk.uuid).hex.startswith("6000c29") for disk in there.disks)
    there = sealed(steps, there, "boot1", "base", LayerKind.CONVERSION)
    there = sealed(steps, there, "day1", "base", LayerKind.REPLICA)
    assert foreign(there.tree, ENGINE, "web01") == ""
    assert [one.name for one in there.tree.trunk()] == ["base", "day1"]
    base = there.tree.trunk()[0]
    assert steps.frozen(there, base.id) == there.disks  # vcsim has no deltas
    twig = there.tree.layer(LayerName("boot1"))
    assert twig is not None
    there = steps.remove(steps.remove(there, twig.id), base.id)
    assert [one.name for one in there.tree.snapshots.values()] == ["day1"]
    assert foreign(there.tree, ENGINE, "web01") == ""


@pytest.mark.parametrize("trouble", LOST)
@pytest.mark.parametrize(
    "method", ["ReconfigVM_Task", "CreateSnapshot_Task", "RevertToSnapshot_Task"]
)
def test_no_step_is_done_twice(
    host: Sim, steps: Branches, method: str, trouble: tuple[Drop | Fault, ...]
) -> None:
    """A call that is lost before or after its effect leaves one VM, its disks, one snapshot."""
    host.proxy.plan(method, *trouble)
    there = seed(steps)
    there = sealed(steps, there, "boot1", "base", LayerKind.CONVERSION)
    assert len(there.disks) == 2
    assert sorted(one.name for one in there.tree.snapshots.values()) == ["base", "boot1"]
    assert there.seen.state == State("op-boot1", "boot1")
    assert not host.proxy.left()


@pytest.mark.parametrize("trouble", LOST[:2])
def test_a_removal_is_found_done(
    host: Sim, steps: Branches, trouble: tuple[Drop | Fault, ...]
) -> None:
    """A removal that is lost is looked for, and only what is still there is removed again."""
    there = sealed(steps, seed(steps), "boot1", "base", LayerKind.CONVERSION)
    twig = there.tree.current
    there = sealed(steps, there, "day1", "base", LayerKind.REPLICA)
    assert twig is not None
    host.proxy.plan("RemoveSnapshot_Task", *trouble)
    there = steps.remove(there, twig)
    assert sorted(one.name for one in there.tree.snapshots.values()) == ["base", "day1"]


def test_what_a_removal_leaves_over_is_consolidated_while_off(host: Sim, steps: Branches) -> None:
    """The host says afterwards that disks need consolidation: done, but never while the VM runs."""
    there = sealed(steps, seed(steps), "boot1", "base", LayerKind.CONVERSION)
    host.proxy.scattered = True
    before = host.proxy.count("ConsolidateVMDisks_Task")
    looked = steps.look("web01")
    assert looked is not None
    assert not steps.consolidate(looked).seen.consolidate
    assert host.proxy.count("ConsolidateVMDisks_Task") == before + 1
    host.proxy.scattered = True
    there.machine.ref.PowerOnVM_Task(None)
    looked = steps.look("web01")
    assert looked is not None
    with pytest.raises(HypervisorError, match="it runs"):
        steps.consolidate(looked)
    assert host.proxy.count("ConsolidateVMDisks_Task") == before + 1
    there.machine.ref.PowerOffVM_Task()


def test_a_host_that_takes_no_more_snapshots_says_so(host: Sim, steps: Branches) -> None:
    """The chain is as long as the host allows: told as that, with nothing made."""
    there = steps.make("web01", [MIB], State("op-base", "base"))
    host.proxy.plan("CreateSnapshot_Task", Fault("TooManySnapshotLevels"))
    with pytest.raises(faults.HostFailure, match="as long as the host allows"):
        steps.snapshot(there, mark("base"))
    left = steps.look("web01")
    assert left is not None
    assert not left.tree.snapshots


def test_a_snapshot_that_is_made_late_is_not_asked_for_again(host: Sim, steps: Branches) -> None:
    """The host had not even begun with a call whose reply was lost: it is given some time."""
    there, late = steps.make("web01", [MIB], State("op-base", "base")), host.proxy.late
    steps._machines._busy = lambda _s: wait_for(
        lambda: host.proxy.late > late, 20, lambda: "it is not carried out"
    )
    before = host.proxy.count("CreateSnapshot_Task")
    host.proxy.plan("CreateSnapshot_Task", Late(0.3))
    there = steps.snapshot(there, mark("base"))
    assert len(there.tree.snapshots) == 1
    assert host.proxy.count("CreateSnapshot_Task") == before + 1


def test_what_somebody_wrote_shows_after_a_retirement_as_well() -> None:
    """What a removal frees is more than a VM wrote that was started by hand: its leaf tells."""

    def told(trunk: int, leaf: int) -> Standing:
        sizes = {1: 500, 2: trunk, 3: 500, 4: leaf}
        info, layout = vim.vm.FileLayoutEx.FileInfo, vim.vm.FileLayoutEx.DiskLayout
        unit = vim.vm.FileLayoutEx.DiskUnit
        files = [
            info(key=key, name=f"{key}.vmdk", type="diskExtent", size=size)
            for key, size in sizes.items()
        ]
        chain = [unit(fileKey=[1, 2]), unit(fileKey=[3, 4])]
        made = vim.vm.FileLayoutEx(file=files, disk=[layout(key=2000, chain=chain)])
        seen = Seen("web01", ENGINE, "web01", "", State(), Power.OFF, connected=True, home="")
        return standing(Machine(None, seen, [], layout=made))

    note = armed_note(told(trunk=9000, leaf=100))
    assert not grew(told(trunk=1000, leaf=100), note)
    assert grew(told(trunk=1000, leaf=200), note)


@pytest.fixture
def own(host: Sim) -> Appliance:
    """Return this machine as a VM of the host."""
    return appliance(host.session(), host, Devices(lambda _s: None, sys=Path("/nonexistent")))


@pytest.mark.parametrize("trouble", LOST)
def test_disks_are_attached_once_and_taken_out_whole(
    host: Sim, steps: Branches, own: Appliance, trouble: tuple[Drop | Fault, ...]
) -> None:
    """Two disks come at free units, with the UUIDs they were made with, and their files stay."""
    there, before = seed(steps), len(own.hardware())
    host.proxy.plan("ReconfigVM_Task", *trouble)
    there, wanted = own.attach(there, there.disks, writable=True)
    assert [(one.uuid, one.size) for one in wanted] == [(d.uuid, d.size) for d in there.disks]
    assert len({one.unit for one in wanted}) == 2
    assert len(own.hardware()) == before + 2
    there, again = own.attach(there, there.disks[:1], writable=False)
    assert len(again) == 1
    assert len(own.hardware()) == before + 1
    host.proxy.plan("ReconfigVM_Task", *trouble)
    there = own.detach(there)
    own.detach(there)
    assert len(own.hardware()) == before
    looked = steps.look("web01")
    assert looked is not None
    assert looked.disks == there.disks


def test_too_many_disks_are_refused_before_anything_is_attached(
    steps: Branches, own: Appliance
) -> None:
    """A controller has 15 units; the appliance's own disks have some of them."""
    there, before = seed(steps), len(own.hardware())
    with pytest.raises(LayerError, match="do not fit"):
        own.attach(there, [*there.disks] * 8, writable=True)
    assert len(own.hardware()) == before


def test_a_machine_that_is_no_vm_of_the_target_says_so(host: Sim, steps: Branches) -> None:
    """Found by its firmware's UUID or not at all."""
    there, session = seed(steps), host.session()
    machines = Machines(session, TaskWaiter(session), ENGINE, lambda _s: None)
    nowhere = Appliance(session, machines, Devices(lambda _s: None), lambda: [UUID(int=7)])
    with pytest.raises(HypervisorError, match="no VM that is this machine"):
        nowhere.attach(there, [], writable=True)


def test_the_firmware_tells_the_uuid_in_two_ways(tmp_path: Path) -> None:
    """The serial number has it byte by byte; the field has it in either order."""
    (tmp_path / "product_serial").write_text(
        "VMware-56 4d 3a 71 2b 8e 9c 7d-1c 2b 3a 4d 5e 6f 70 81\n"
    )
    (tmp_path / "product_uuid").write_text("713a4d56-8e2b-7d9c-1c2b-3a4d5e6f7081\n")
    first, second = own_uuids(tmp_path)
    assert str(first) == "564d3a71-2b8e-9c7d-1c2b-3a4d5e6f7081"
    assert str(second) == "713a4d56-8e2b-7d9c-1c2b-3a4d5e6f7081"
    (tmp_path / "product_serial").write_text("None\n")
    assert set(own_uuids(tmp_path)) == {first, second}
    assert own_uuids(tmp_path / "nothing") == []
