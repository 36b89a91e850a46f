"""Transport `hotadd` as the engine drives it, on a simulated host: the VM that has its layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from engine.daemon.clock import SystemClock
from engine.hypervisors.esxi.blockdevice import Devices
from engine.hypervisors.esxi.hotaddhost import HotaddHypervisor
from engine.hypervisors.esxi.hotaddlink import HotaddLink
from engine.hypervisors.esxi.hotaddstore import HotaddStore
from engine.hypervisors.esxi.layers import ENGINE
from engine.hypervisors.esxi.session import Session
from engine.hypervisors.esxi.tasks import TaskWaiter
from engine.hypervisors.esxi.tree import Mark
from engine.model.errors import HypervisorError, LayerError, Refused
from engine.model.layers import LayerKind, LayerName
from engine.model.machine import DiskBus, Firmware, Gravity, Network, Nic, Power, VMRef, VMSpec
from engine.ports import NeverCancelled
from engine.stores.probe import open_store
from tests.contract.disk_chains import MIB, grow
from tests.contract.doors import until
from tests.esxi.conftest import MODELS
from tests.vcsim.appliance import own_vm, wishes
from tests.vcsim.simulator import Certificate, Sim, running
from tests.vcsim.steps import Delay, Drop, Fault, Late, Queued

VM = VMRef("web01")
SPEC = VMSpec("web01", Firmware.UEFI, 2, 64 * MIB, (Nic("eth0", "00:50:56:11:22:33"),))
BOOT, RUN = LayerName("bp1-conversion"), LayerName("bp1-scratch")


@dataclass
class Place:
    """A target whose layers are on a simulated host, and somebody else there."""

    sim: Sim
    link: HotaddLink
    store: HotaddStore
    target: HotaddHypervisor
    other: Session

    def boot_point(self, number: int = 1) -> None:
        """Make a boot point; vcsim moves no bytes, so none are written."""
        chain, name = self.store.chain("web01"), f"bp{number}"
        below = f"bp{number - 1}-replica" if number > 1 else None
        grow(chain, f"{name}-replica", below)
        grow(chain, f"{name}-conversion", f"{name}-replica", kind=LayerKind.CONVERSION)

    def scratch(self) -> LayerName:
        """Lay scratch on the first boot point."""
        return grow(self.store.chain("web01"), RUN, BOOT, kind=LayerKind.SCRATCH)

    def ref(self) -> Any:
        """Return the standby VM as somebody else holds it."""
        found = self.other.read_all(vim.VirtualMachine, "name")
        return next(ref for ref, one in found if one["name"] == "web01")

    def do(self, task: Any) -> Any:
        """Let somebody else's task end."""
        return TaskWaiter(self.other).result(task, "somebody's", deadline_s=30)

    def snapshots(self) -> list[str]:
        """Return the names of the VM's snapshots."""
        there = self.link.connect().branches.look("web01")
        return sorted(one.name for one in there.tree.snapshots.values()) if there else []

    def own_vms(self) -> list[str]:
        """Return the names of the VMs that have this engine's mark."""
        told = self.other.read_all(vim.VirtualMachine, "name", "config.extraConfig")
        marked = [(seen["name"], seen.get("config.extraConfig") or ()) for _, seen in told]
        return [name for name, extra in marked if any(one.key == ENGINE for one in extra)]

    def devices(self, kind: type) -> Sequence[Any]:
        """Return the VM's devices of a kind."""
        told = self.other.read(self.ref(), "config.hardware.device")["config.hardware.device"]
        return [one for one in told if isinstance(one, kind)]


def placed(sim: Sim, folder: Path) -> Iterator[Place]:
    """Yield an empty target."""
    _, uuid = own_vm(sim)
    other = sim.foreigner()
    link = HotaddLink(
        sim.account(),
        wishes(other),
        folder / "state",
        SystemClock().now,
        timeout_s=20,
        pause=lambda _seconds: None,
        uuids=lambda: [uuid],
        devices=Devices(lambda _s: None, sys=folder / "no-sys"),
    )
    store = link.store(open_store(folder / "papers", "hotadd", "esx-01"))
    target = HotaddHypervisor(link, store.chain)
    sim.opened.append(target._session)
    yield Place(sim, link, store, target, other)
    store.close()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, made: Certificate) -> Iterator[Sim]:
    """Yield one simulated host for all tests here."""
    with running(tmp_path_factory.mktemp("host"), made, *MODELS["esxi"]) as sim:
        yield sim


@pytest.fixture
def place(host: Sim, tmp_path: Path) -> Iterator[Place]:
    """Yield an empty target; afterwards its VM is gone."""
    yield from placed(host, tmp_path)
    host.proxy.forget()
    for ref, told in host.foreigner().read_all(vim.VirtualMachine, "name", "runtime.powerState"):
        if told["name"].startswith("web01"):
            if told["runtime.powerState"] == "poweredOn":
                ref.PowerOffVM_Task()
            ref.Destroy_Task()


@pytest.mark.parametrize("model", ["esxi", pytest.param("vcenter", marks=pytest.mark.nightly)])
def test_a_standby_lives_on_a_host(model: str, tmp_path: Path, made: Certificate) -> None:
    """Two boot points; the newest started and stopped; the oldest retired; the rest set aside."""
    with running(tmp_path, made, *MODELS[model]) as sim:
        for place in placed(sim, tmp_path):
            place.boot_point(1)
            place.boot_point(2)
            chain = place.store.chain("web01")
            scratch = grow(chain, "run", "bp2-conversion", kind=LayerKind.SCRATCH)
            assert place.target.create(SPEC) == VM
            place.target.power_on(VM, scratch, Network.PRODUCTION)
            assert place.target.signs_of_life(VM).power is Power.ON
            card = place.devices(vim.vm.device.VirtualVmxnet3)[0]
            assert (card.macAddress, card.connectable.startConnected) == (SPEC.nics[0].mac, True)
            place.target.power_on(VM, scratch, Network.PRODUCTION)
            with pytest.raises(Refused, match="it runs"):
                chain.drop(LayerName("bp1-conversion"))
            place.target.power_off(VM, grace=0)
            chain.drop(scratch)
            place.target.delete(VM)
            assert place.snapshots() == [
                "bp1-conversion",
                "bp1-replica",
                "bp2-conversion",
                "bp2-replica",
            ]
            chain.drop(LayerName("bp1-conversion"))
            chain.fold(LayerName("bp1-replica"), NeverCancelled())
            assert place.snapshots() == ["bp2-conversion", "bp2-replica"]
            assert {one.name for one in chain.layers().values() if one.sealed} == {
                "bp2-conversion",
                "bp2-replica",
            }
            place.store.set_aside("web01", "20260301T020304Z")
            assert place.link.connect().branches.look("web01") is None
            names = [one["name"] for _, one in place.other.read_all(vim.VirtualMachine, "name")]
            assert "web01-20260301T020304Z" in names
            place.boot_point(1)
            assert place.snapshots() == ["bp1-conversion", "bp1-replica"]


def test_a_vm_without_layers_is_deleted_and_one_with_layers_loses_its_shape(place: Place) -> None:
    """With its last layer the VM goes; until then it must be created before it starts again."""
    target, chain = place.target, place.store.chain("web01")
    target.create(SPEC)
    target.delete(VM)
    assert place.link.connect().branches.look("web01") is None
    place.boot_point()
    place.scratch()
    target.create(SPEC)
    target.power_on(VM, RUN, Network.ISOLATED)
    with pytest.raises(Refused, match="runs already"):
        target.power_on(VM, RUN, Network.PRODUCTION)
    with pytest.raises(Refused, match="it runs"):
        chain.drop(RUN)
    target.create(replace(SPEC, cpus=4))
    place.sim.proxy.plan("ReconfigVM_Task", Drop(after=True))
    target.delete(VM)
    for call in (target.arm, lambda vm, layer: target.power_on(vm, layer, Network.NONE)):
        with pytest.raises(HypervisorError, match="does not exist"):
            call(VM, RUN)
    assert place.snapshots() == ["bp1-conversion", "bp1-replica"]
    target.create(SPEC)
    target.power_on(VM, RUN, Network.NONE)
    target.power_off(VM, grace=0)
    assert target.serial(VM, 0) == (b"", 0)
    with pytest.raises(HypervisorError):
        target.serial_input(VM, b"x")


def test_a_windows_without_a_driver_gets_its_disks_on_sata(place: Place) -> None:
    """The shape is exchanged below the same disks; their files and their order stay."""
    place.boot_point()
    before = [one.backing.fileName for one in place.devices(vim.vm.device.VirtualDisk)]
    place.scratch()
    spec = VMSpec("web01", Firmware.BIOS, 1, 64 * MIB, SPEC.nics, bus=DiskBus.SATA)
    place.target.create(spec)
    place.target.create(spec)
    disks = place.devices(vim.vm.device.VirtualDisk)
    sata = place.devices(vim.vm.device.VirtualAHCIController)
    assert [one.backing.fileName for one in disks] == before
    assert {one.controllerKey for one in disks} == {one.key for one in sata}
    assert len(place.devices(vim.vm.device.VirtualEthernetCard)) == 1


@pytest.mark.parametrize("step", [None, Drop(), Drop(after=True)])
@pytest.mark.parametrize("first", [True, False])
def test_after_the_move_to_sata_the_firmware_is_told_the_disk_to_start(
    place: Place, step: Drop | None, *, first: bool
) -> None:
    """A disk that moved has another key, so the order is told in a change of its own.

    Either change may lose its call or its reply; in between the shape counts as not given yet.
    """
    chain = place.store.chain("web01")
    grow(chain, "bp1-replica", sizes=(MIB, 2 * MIB))
    grow(chain, "bp1-conversion", "bp1-replica", kind=LayerKind.CONVERSION, sizes=(MIB, 2 * MIB))
    grow(chain, RUN, BOOT, kind=LayerKind.SCRATCH, sizes=(MIB, 2 * MIB))
    files = [one.backing.fileName for one in place.devices(vim.vm.device.VirtualDisk)]
    spec = VMSpec("web01", Firmware.BIOS, 1, 64 * MIB, SPEC.nics, DiskBus.SATA, boot_disk=1)
    if step is not None:
        place.sim.proxy.plan("ReconfigVM_Task", *([] if first else [Delay(0)]), step)
    place.target.create(spec)
    place.target.create(spec)
    disks = sorted(place.devices(vim.vm.device.VirtualDisk), key=lambda one: one.unitNumber)
    (sata,) = place.devices(vim.vm.device.VirtualAHCIController)
    assert {one.controllerKey for one in disks} == {sata.key}
    assert [one.backing.fileName for one in disks] == files
    told = place.other.read(place.ref(), "config.bootOptions")["config.bootOptions"]
    assert [one.deviceKey for one in told.bootOrder] == [disks[1].key]
    assert len(place.devices(vim.vm.device.VirtualEthernetCard)) == 1


def test_an_armed_vm_that_somebody_starts_is_known(place: Place) -> None:
    """Armed once; started by hand it is told, not touched, and not deleted."""
    place.boot_point()
    place.scratch()
    place.target.create(SPEC)
    place.target.arm(VM, RUN)
    calls = place.sim.proxy.count("ReconfigVM_Task")
    place.target.arm(VM, RUN)
    assert place.sim.proxy.count("ReconfigVM_Task") == calls
    assert place.target.started_by_hand(VM) is None
    assert not place.devices(vim.vm.device.VirtualVmxnet3)[0].connectable.startConnected
    place.do(place.ref().PowerOnVM_Task(None))
    assert place.target.started_by_hand(VM) == RUN
    for call in (
        lambda: place.boot_point(2),
        lambda: place.target.arm(VM, RUN),
        lambda: place.store.chain("web01").drop(RUN),
    ):
        with pytest.raises((Refused, HypervisorError)):
            call()
    assert place.snapshots() == ["bp1-conversion", "bp1-replica"]


def test_a_snapshot_of_somebody_else_pauses_and_explains(place: Place) -> None:
    """No boot point, no start, no retirement; preflight names it; undone, all goes on."""
    place.boot_point()
    place.do(place.ref().CreateSnapshot_Task("before update", "mine", False, False))
    for call in (lambda: place.boot_point(2), lambda: place.scratch()):
        with pytest.raises(Refused, match="not ours: before update"):
            call()
    with pytest.raises(Refused, match="before update"):
        place.target.create(SPEC)
    told = {one.key: one for one in place.target.preflight()}
    assert "before update" in told["esxi.foreign-snapshot"].text
    current = place.other.read(place.ref(), "snapshot")["snapshot"].currentSnapshot
    place.do(current.RemoveSnapshot_Task(False))
    place.boot_point(2)
    assert len(place.snapshots()) == 4


def test_lost_replies_make_no_second_snapshot(place: Place) -> None:
    """Whatever calls of a boot point's life are lost, its layers are there once."""
    for method in ("CreateSnapshot_Task", "RevertToSnapshot_Task", "RemoveSnapshot_Task"):
        place.sim.proxy.plan(method, Drop(after=True), Fault("TaskInProgress"))
    place.boot_point(1)
    place.boot_point(2)
    chain = place.store.chain("web01")
    chain.drop(LayerName("bp1-conversion"))
    chain.fold(LayerName("bp1-replica"), NeverCancelled())
    assert place.snapshots() == ["bp2-conversion", "bp2-replica"]
    assert not place.sim.proxy.left()


def test_preflight_finds_the_appliance_or_says_what_it_lacks(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine's own VM by UUID, its setting, its controller, its free units, the headroom."""
    told = {one.key: one for one in place.target.preflight()}
    assert "This machine is the VM" in told["esxi.appliance"].text
    assert told["esxi.enable-uuid"].gravity is Gravity.ERROR
    assert "disks can be attached" in told["esxi.units"].text
    assert "esxi.no-server" not in told
    place.boot_point()
    monkeypatch.setattr("engine.hypervisors.esxi.tree.MOST_POINTS", 1)
    told = {one.key: one for one in place.target.preflight()}
    assert told["esxi.headroom"].gravity is Gravity.WARNING
    place.target._appliance._uuids = list
    place.link.connect().machines.own = None
    told = {one.key: one for one in place.target.preflight()}
    assert told["esxi.appliance"].gravity is Gravity.ERROR
    assert "transport nfs" in told["esxi.appliance"].remedy


def test_a_look_reads_the_inventory_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inventory and standby VMs once each; a place that is not there hides no other finding."""
    session, asked = place.target._session, []
    real = session.read_many
    monkeypatch.setattr(session, "read_many", lambda wanted: asked.append(wanted) or real(wanted))
    place.target.preflight()
    assert [vim.HostSystem in wanted for wanted in asked] == [True, False]
    monkeypatch.setattr(place.target, "_wishes", replace(place.target._wishes, place="gone"))
    told = {one.key for one in place.target.preflight()}
    assert {"target.place", "esxi.appliance", "esxi.enable-uuid"} <= told
    place.sim.proxy.plan("HasPrivilegeOnEntities", Fault("NoPermission"))
    assert {"target.place", "target.privilege"} <= {one.key for one in place.target.preflight()}


def test_one_boot_point_needs_few_calls(place: Place) -> None:
    """Each change is a call and one reading of its task with the VM; without bytes, three each."""
    place.boot_point(1)
    before = len(place.sim.proxy.calls)
    place.boot_point(2)
    changing = [one for one in place.sim.proxy.calls[before:] if one.endswith("_Task")]
    assert changing == [
        *("RevertToSnapshot_Task", "ReconfigVM_Task", "CreateSnapshot_Task"),
        *("RevertToSnapshot_Task", "ReconfigVM_Task", "CreateSnapshot_Task"),
    ]
    assert len(place.sim.proxy.calls) - before <= 18


def test_a_host_that_is_away_is_not_asked_again_and_again(place: Place, tmp_path: Path) -> None:
    """A store whose host is away says so at once the second time, and is opened without it."""
    account = place.sim.account(pin="0" * 64)
    link = HotaddLink(account, place.link.wishes, tmp_path / "other", SystemClock().now)
    store = link.store(open_store(tmp_path / "more-papers", "hotadd", "esx-02"))
    assert store.chain("web01").layers() == {}
    calls = len(place.sim.proxy.calls)
    for _ in range(3):
        with pytest.raises(HypervisorError, match="another certificate"):
            store.chain("web01").free()
    assert len(place.sim.proxy.calls) == calls
    with pytest.raises((HypervisorError, LayerError)):
        store.chain("web01").add(LayerName("base"), None, LayerKind.REPLICA, [MIB])
    assert store.chain("web01").layers() == {}
    store.close()


def test_what_a_killed_engine_asked_for_is_waited_for(place: Place) -> None:
    """Its snapshot is still to be made: the layer is made anew, and the host has it once."""
    place.boot_point(1)
    chain, name = place.store.chain("web01"), LayerName("bp2-replica")
    grow(chain, name, "bp1-replica", seal=False)
    place.sim.proxy.plan("CreateSnapshot_Task", Queued(1))
    there = place.link.connect().branches.look("web01")
    assert there is not None
    mark = Mark(place.link.engine, "web01", name, LayerKind.REPLICA, "x", "", place.link.now())
    there.machine.ref.CreateSnapshot_Task(name, str(mark), False, False)
    chain.drop(name)
    grow(chain, name, "bp1-replica")
    assert place.snapshots() == ["bp1-conversion", "bp1-replica", "bp2-replica"]


def test_a_twin_that_a_late_call_made_hides_no_layer_and_goes_with_the_vm(place: Place) -> None:
    """A host finds either of two VMs by the id that both have."""
    place.sim.proxy.plan("CreateVM_Task", Late(1.0))
    place.boot_point()
    until(lambda: place.sim.proxy.late == 1)
    assert len(place.own_vms()) == 2
    machines = place.link.connect().machines
    for _ in range(8):
        machines._refs.clear()
        assert place.snapshots() == [BOOT, "bp1-replica"]
    for layer in (BOOT, LayerName("bp1-replica")):
        place.store.chain("web01").drop(layer)
    place.target.delete(VM)
    assert place.own_vms() == []
