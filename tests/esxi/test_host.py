"""Standby VMs on a simulated host: made once, whatever gets lost; never touched when not ours."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from engine.config.engine import load_engine
from engine.daemon.targetstore import TargetStore
from engine.guests.windows.drivers.shelf import DriverShelf
from engine.hypervisors.esxi import faults
from engine.jobs.power import Shape, vm_spec
from engine.model.errors import HypervisorError, Refused, WrongUse
from engine.model.layers import LayerName
from engine.model.machine import (
    CardModel,
    DiskBus,
    Firmware,
    Hints,
    Network,
    Power,
    VMRef,
    VMSpec,
)
from engine.model.standby import Standby
from engine.targets import Targets
from tests.contract.disk_chains import MIB, grow, seen
from tests.vcsim.simulator import PASSWORD, USER, Sim
from tests.vcsim.stage import SPEC, VM, Stage, staged
from tests.vcsim.standby import hypervisor
from tests.vcsim.steps import Code, Drop, Fault, Step

SCRATCH = LayerName("bp000001-scratch")
WRITES = [
    "AddVirtualSwitch",
    "AddPortGroup",
    "CreateVM_Task",
    "CreateNasDatastore",
    "ReconfigVM_Task",
    "PowerOnVM_Task",
    "PowerOffVM_Task",
    "Destroy_Task",
]
_SPECS = vim.vm.device.VirtualDeviceSpec


def _whole_life(stage: Stage) -> None:
    """Create, start, stop and delete a VM, and look at what there is in between."""
    before, foreign = stage.boot_point(), stage.vms()
    sealed = seen(stage.store.chain("web01"), "bp000001-conversion")
    stage.target.create(SPEC)
    assert stage.vms() == sorted([*foreign, "web01"])
    stage.target.power_on(VM, before, Network.ISOLATED)
    assert stage.target.signs_of_life(VM).power is Power.ON
    assert stage.own_vms() == 1
    stage.target.power_off(VM, grace=0)
    assert stage.target.signs_of_life(VM).power is Power.OFF
    stage.target.delete(VM)
    assert stage.vms() == foreign
    assert seen(stage.store.chain("web01"), "bp000001-conversion") == sealed
    assert before in stage.store.chain("web01").layers()
    assert list((stage.store.path / ".run").iterdir()) == []


def _start(stage: Stage, layer: LayerName) -> None:
    stage.target.create(SPEC)
    stage.target.power_on(VM, layer, Network.ISOLATED)


def test_a_vm_lives_and_leaves_nothing(stage: Stage) -> None:
    """After its deletion the host and the store are as before, and nobody's VM was touched."""
    _whole_life(stage)


def test_one_that_knows_fewer_calls_will_do(each: Sim, xfs: Path, tmp_path: Path) -> None:
    """Such as vcsim as it is: of several VMs with one id it finds one, so all are read."""
    each.is_plain = True
    for stage in staged(each, xfs, tmp_path):
        _whole_life(stage)
        stage.target.create(SPEC)
        stage.target.close()
        again = hypervisor(each, stage.store, tmp_path / "state", production="VM Network")
        again.create(SPEC)
        assert stage.own_vms() == 1
        again.delete(VM)
    assert each.proxy.calls == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("method", WRITES)
def test_a_lost_reply_makes_nothing_twice(one: Stage, method: str, *, after: bool) -> None:
    """Whichever change loses its reply, before or after its effect, the outcome is the same."""
    one.sim.proxy.plan(method, Drop(after=after))
    _whole_life(one)
    assert one.sim.proxy.left() == {}


@pytest.mark.parametrize("method", WRITES)
def test_an_expired_session_costs_nothing(one: Stage, method: str) -> None:
    """Whichever change meets the expiry, it is made once, after one more login."""
    one.sim.proxy.plan(method, Fault("NotAuthenticated"))
    _whole_life(one)
    assert one.sim.proxy.left() == {}


@pytest.mark.parametrize("name", ["HostCommunication", "TaskInProgress"])
@pytest.mark.parametrize("method", WRITES)
def test_a_host_that_cannot_now_costs_a_pause(one: Stage, method: str, name: str) -> None:
    """Whichever change it refuses for a moment, nobody has to begin the step again."""
    one.sim.proxy.plan(method, *[Fault(name)] * 2)
    _whole_life(one)
    assert one.sim.proxy.left() == {}


@pytest.mark.parametrize(
    ("method", "step"),
    [
        ("CreateVM_Task", Fault("RestrictedVersion")),
        ("CreateVM_Task", Fault("NoPermission")),
        ("ReconfigVM_Task", Fault("NoDiskSpace")),
        ("PowerOnVM_Task", Fault("InsufficientResourcesFault")),
        ("CreateNasDatastore", Fault("PlatformConfigFault")),
    ],
)
def test_a_refusal_is_told_and_the_next_try_succeeds(one: Stage, method: str, step: Step) -> None:
    """A fault ends the step in words; what it left is found by the next try."""
    layer = one.boot_point()
    one.sim.proxy.plan(method, step)
    with pytest.raises(faults.HostFailure) as told:
        _start(one, layer)
    assert told.value.problem.remedy
    assert told.value.problem.unchanged
    assert one.own_vms() <= 1
    _start(one, layer)
    assert one.target.signs_of_life(VM).power is Power.ON
    assert one.own_vms() == 1


@pytest.mark.parametrize("name", ["TaskInProgress", "HostCommunication", "ConcurrentAccess"])
def test_a_busy_host_is_asked_again_after_a_pause(one: Stage, name: str) -> None:
    """Twice is waited out, each time longer; the third is told. Less is asked meanwhile."""
    waited: list[float] = []
    layer = one.boot_point()
    target = hypervisor(one.sim, one.store, one.folder / "state", pauses=waited)
    target.create(SPEC)
    one.sim.proxy.plan("ReconfigVM_Task", *[Fault(name)] * 3)
    with pytest.raises(faults.HostBusy):
        target.power_on(VM, layer, Network.NONE)
    assert [2.5 <= waited[0] <= 7.5, 5 <= waited[1] <= 15, len(waited)] == [True, True, 2]
    assert target._gate.open == 1
    one.sim.proxy.plan("PowerOnVM_Task", *[Fault(name)] * 2)
    target.power_on(VM, layer, Network.NONE)
    assert target.signs_of_life(VM).power is Power.ON


@pytest.mark.parametrize(
    ("step", "says"),
    [(Drop(), "broke the connection"), (Code(503), "HTTP")],
    ids=["drop", "code"],
)
def test_a_change_without_effect_tells_the_last_reason(one: Stage, step: Step, says: str) -> None:
    """Three tries that change nothing end with what the host said to the last of them."""
    one.target.create(SPEC)
    one.sim.proxy.plan("PowerOnVM_Task", *[step] * 3)
    with pytest.raises(faults.ReplyLost) as told:
        one.target.power_on(VM, one.boot_point(), Network.NONE)
    problem = told.value.problem
    assert "PowerOnVM_Task 3 times" in problem.happened
    assert says in problem.happened
    assert problem.unchanged


def test_without_an_address_nothing_is_mounted(one: Stage) -> None:
    """A host is never told to mount from nowhere."""
    layer = one.boot_point()
    target = hypervisor(one.sim, one.store, one.folder / "state", server="")
    target.create(SPEC)
    with pytest.raises(WrongUse, match="address"):
        target.power_on(VM, layer, Network.NONE)
    assert one.sim.proxy.count("CreateNasDatastore") == 0


def test_a_vm_is_made_as_vmware_hardware_and_not_connected(stage: Stage) -> None:
    """PVSCSI, vmxnet3 that does not connect, the source's firmware and address, our marks."""
    stage.target.create(SPEC)
    paths = ("config.hardware", "config.firmware", "config.extraConfig", "config.uuid")
    told = stage.other.read(stage.ref(), *paths)
    devices = told["config.hardware"].device
    assert any(isinstance(d, vim.vm.device.ParaVirtualSCSIController) for d in devices)
    (card,) = [d for d in devices if isinstance(d, vim.vm.device.VirtualVmxnet3)]
    assert (card.macAddress, card.connectable.startConnected) == ("00:50:56:11:22:33", False)
    assert card.backing.deviceName == "bp-isolated"
    assert not any(isinstance(d, vim.vm.device.VirtualDisk) for d in devices)
    assert (told["config.hardware"].memoryMB, told["config.hardware"].numCPU) == (64, 2)
    assert told["config.firmware"] == "efi"
    extra = {option.key: option.value for option in told["config.extraConfig"]}
    assert (extra["uuid.action"], extra["bootpoint.vm"]) == ("keep", "web01")


@pytest.mark.parametrize(
    ("network", "port", "connected"),
    [
        (Network.NONE, "bp-isolated", False),
        (Network.ISOLATED, "bp-isolated", True),
        (Network.PRODUCTION, "VM Network", True),
    ],
)
def test_cards_are_connected_as_asked(
    one: Stage, network: Network, port: str, *, connected: bool
) -> None:
    """Only a start on the production network reaches it, and NONE connects nothing."""
    one.target.create(SPEC)
    one.target.power_on(VM, one.boot_point(), network)
    devices = one.other.read(one.ref(), "config.hardware.device")["config.hardware.device"]
    (card,) = [d for d in devices if isinstance(d, vim.vm.device.VirtualVmxnet3)]
    assert (card.backing.deviceName, card.connectable.startConnected) == (port, connected)


def test_a_windows_gets_no_hardware_that_hosts_do_not_have(one: Stage) -> None:
    """Drivers for virtio, as a KVM needs them, are of no use here; PVSCSI and vmxnet3 are."""
    able = one.target.capabilities
    wanted = Standby("erp", "/images")
    virtio = Hints(os="Windows 2019", drivers=("viostor", "netkvm"))
    ours = Hints(os="Windows 2019", drivers=("pvscsi", "vmxnet3"))
    shapes = [vm_spec(wanted, one_of, Shape(), able) for one_of in (virtio, ours)]
    assert [(shape.bus, shape.card) for shape in shapes] == [
        (DiskBus.SATA, CardModel.E1000E),
        (DiskBus.PVSCSI, CardModel.VMXNET3),
    ]


def test_a_started_vm_has_the_layers_bytes(one: Stage) -> None:
    """Each disk's descriptor shows the scratch layer's own bytes to another program."""
    layer = one.boot_point(sizes=(MIB, MIB + 512))
    one.target.create(SPEC)
    one.target.power_on(VM, layer, Network.NONE)
    (run,) = (one.store.path / ".run" / "web01").iterdir()
    devices = one.other.read(one.ref(), "config.hardware.device")["config.hardware.device"]
    disks = [d for d in devices if isinstance(d, vim.vm.device.VirtualDisk)]
    names = [f"[bp-esx-01] web01/{run.name}/disk{number}.vmdk" for number in (0, 1)]
    assert [disk.backing.fileName for disk in disks] == names
    for number, file in enumerate(one.store.chain("web01").disk_files(layer)):
        compare = ["qemu-img", "compare", "-f", "vmdk", "-F", "raw"]
        words = [*compare, str(run / f"disk{number}.vmdk"), str(file.path)]
        subprocess.run(words, check=True, capture_output=True)
    flat = run / "disk0-flat.vmdk"
    with flat.open("r+b") as guest:
        guest.write(b"guest")
    assert seen(one.store.chain("web01"), layer)[:6] == b"guest1"
    assert seen(one.store.chain("web01"), "bp000001-conversion")[:6] == b"trunk1"


def test_a_run_folder_is_never_used_twice(one: Stage) -> None:
    """A second start has a folder of its own, the first is gone, an open one stays."""
    one.target.create(SPEC)
    one.target.power_on(VM, one.boot_point(1), Network.NONE)
    place = one.store.path / ".run" / "web01"
    (first,) = place.iterdir()
    one.target.power_off(VM, grace=0)
    one.target.power_on(VM, one.boot_point(2), Network.NONE)
    (second,) = place.iterdir()
    assert second.name != first.name
    (second / ".lck-0000000000000001").touch()
    one.target.power_off(VM, grace=0)
    assert second in list(place.iterdir())
    one.target.power_on(VM, one.boot_point(3), Network.NONE)
    assert second in list(place.iterdir())
    (second / ".lck-0000000000000001").unlink()


def test_one_start_needs_few_calls(one: Stage) -> None:
    """A VM is made and started with at most 25 calls altogether on a host that knows the share."""
    one.boot_point()
    one.target.create(SPEC)
    one.target.power_on(VM, SCRATCH, Network.ISOLATED)
    one.target.delete(VM)
    before = len(one.sim.proxy.calls)
    one.target.create(SPEC)
    one.target.power_on(VM, SCRATCH, Network.ISOLATED)
    assert len(one.sim.proxy.calls) - before <= 25


def test_another_shape_is_another_vm(one: Stage) -> None:
    """Created again with other hardware, a VM that is off gets it; one that runs keeps its own."""
    layer = one.boot_point()
    one.target.create(SPEC)
    sata = VMSpec("web01", Firmware.BIOS, 1, 32 * MIB, (), DiskBus.SATA, CardModel.E1000E)
    one.target.create(sata)
    one.target.power_on(VM, layer, Network.NONE)
    one.target.create(SPEC)
    devices = one.other.read(one.ref(), "config.hardware.device")["config.hardware.device"]
    assert any(isinstance(d, vim.vm.device.VirtualAHCIController) for d in devices)
    assert one.own_vms() == 1


def test_a_step_goes_on_with_no_other_vm(one: Stage) -> None:
    """A restored vCenter gives ids anew, also within a step: theirs is not stopped or deleted."""
    one.target.create(SPEC)
    one.target.power_on(VM, one.boot_point(), Network.NONE)
    machines, session = one.target._machines, one.target._session
    found = session.read_all(vim.VirtualMachine, "name", "runtime.powerState")
    ref = next(ref for ref, told in found if told["name"] != VM)
    swapped = replace(machines.find(VM), ref=ref)
    swapped = replace(swapped, seen=replace(swapped.seen, disks=()))
    one.sim.proxy.plan("PowerOffVM_Task", Drop())
    for step in (machines.power_off, machines.destroy):
        with pytest.raises(faults.ReplyLost, match="something else"):
            step(swapped)
    assert one.sim.proxy.count("PowerOffVM_Task") == 1
    assert one.sim.proxy.count("Destroy_Task") == 0
    assert session.read(ref, "runtime.powerState") == {"runtime.powerState": "poweredOn"}


# --- others -----------------------------------------------------------------------------------


def _snapshot(stage: Stage) -> None:
    stage.do(stage.ref().CreateSnapshot_Task("by hand", "", False, False))


def _started(stage: Stage) -> None:
    stage.do(stage.ref().PowerOnVM_Task(None))


def _marked(stage: Stage) -> None:
    option = vim.option.OptionValue(key="bootpoint.state", value="{}")
    stage.do(stage.ref().ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=[option])))


@pytest.mark.parametrize(
    ("change", "says"),
    [(_snapshot, "snapshot"), (_started, "started by somebody"), (_marked, "mark")],
)
def test_a_foreign_change_stops_the_engine(stage: Stage, change: Any, says: str) -> None:
    """The VM is left as it is, and the reason is told."""
    layer = stage.boot_point()
    stage.target.create(SPEC)
    change(stage)
    before = len(stage.sim.proxy.calls)
    with pytest.raises(Refused, match=says):
        stage.target.power_on(VM, layer, Network.ISOLATED)
    assert not set(stage.sim.proxy.calls[before:]) & set(WRITES)


def test_a_vm_that_somebody_started_is_his(stage: Stage) -> None:
    """After our stop its disks are out, so a start by hand is known as one and left running."""
    layer = stage.boot_point()
    stage.target.create(SPEC)
    stage.target.power_on(VM, layer, Network.NONE)
    stage.target.power_off(VM, grace=0)
    devices = stage.other.read(stage.ref(), "config.hardware.device")["config.hardware.device"]
    assert not any(isinstance(d, vim.vm.device.VirtualDisk) for d in devices)
    _started(stage)
    for stop in (lambda: stage.target.power_off(VM, grace=0), lambda: stage.target.delete(VM)):
        with pytest.raises(Refused, match="started by somebody"):
            stop()
    assert stage.target.signs_of_life(VM).power is Power.ON


def test_a_vm_with_somebodys_snapshot_is_not_deleted(one: Stage) -> None:
    """What is frozen in it is his."""
    one.target.create(SPEC)
    _snapshot(one)
    with pytest.raises(Refused, match="snapshot"):
        one.target.delete(VM)
    assert one.own_vms() == 1


@pytest.mark.parametrize("step", [Fault("ToolsUnavailable"), None])
def test_a_guest_is_asked_before_its_power_is_cut(one: Stage, step: Step | None) -> None:
    """A guest without tools, which the host cannot ask, is cut off at once."""
    layer = one.boot_point()
    one.target.create(SPEC)
    one.target.power_on(VM, layer, Network.NONE)
    if step is not None:
        one.sim.proxy.plan("ShutdownGuest", step)
    one.target.power_off(VM, grace=1)
    assert one.target.signs_of_life(VM).power is Power.OFF
    assert one.sim.proxy.count("ShutdownGuest") == 1
    assert one.sim.proxy.count("PowerOffVM_Task") == (0 if step is None else 1)


def _disk(file: str, controller: int, unit: int) -> Any:
    disk = vim.vm.device.VirtualDisk(
        key=-1,
        controllerKey=controller,
        unitNumber=unit,
        backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo(fileName=file, diskMode="persistent"),
    )
    return vim.vm.ConfigSpec(deviceChange=[_SPECS(operation=_SPECS.Operation.add, device=disk)])


def test_somebody_elses_disk_survives_our_vm(one: Stage) -> None:
    """A disk that an operator attached stops a start, and is not deleted with the VM."""
    layer = one.boot_point()
    grow(one.store.chain("other"), "bp000009-replica", None, {0: [(0, b"theirs")]})
    (theirs,) = one.store.chain("other").disk_files(LayerName("bp000009-replica"))
    runs = one.target._runs
    (shown,) = runs.expose("other", "f" * 32, [theirs])
    one.target.create(SPEC)
    one.target.power_on(VM, layer, Network.NONE)
    one.do(one.ref().PowerOffVM_Task())
    devices = one.other.read(one.ref(), "config.hardware.device")["config.hardware.device"]
    controller = next(d for d in devices if isinstance(d, vim.vm.device.VirtualSCSIController))
    one.do(one.ref().ReconfigVM_Task(_disk(shown, controller.key, 9)))
    with pytest.raises(Refused, match="not given"):
        one.target.power_on(VM, layer, Network.NONE)
    one.target.delete(VM)
    assert theirs.path.exists()
    flat = one.store.path / ".run" / "other" / ("f" * 32) / "disk0-flat.vmdk"
    assert flat.read_bytes()[:6] == b"theirs"
    runs.forget("other")


def test_a_name_that_somebody_has_is_left_alone(stage: Stage) -> None:
    """A VM without our marks is neither taken over nor deleted."""
    foreign = stage.vms()[0]
    with pytest.raises(Refused, match="did not create"):
        stage.target.create(VMSpec(foreign, Firmware.BIOS, 1, 32 * MIB, ()))
    stage.target.delete(VMRef(foreign))
    stage.target.power_off(VMRef(foreign), grace=0)
    assert foreign in stage.vms()
    told = stage.other.read(stage.ref(foreign), "runtime.powerState")
    assert str(told["runtime.powerState"]) == "poweredOn"


def test_two_engines_on_one_host_do_not_meet(one: Stage) -> None:
    """A second engine neither finds nor deletes the first one's VM of the same name."""
    one.target.create(SPEC)
    second = hypervisor(one.sim, one.store, one.folder / "another-engine")
    with pytest.raises(Refused):
        second.create(SPEC)
    second.delete(VM)
    assert one.vms().count("web01") == 1


def test_an_isolated_network_with_a_way_out_is_refused(stage: Stage) -> None:
    """A port group on a switch with an uplink is not isolated, whatever it is called."""
    target = hypervisor(stage.sim, stage.store, stage.folder / "state", isolated="VM Network")
    with pytest.raises(Refused, match="uplink"):
        target.create(SPEC)
    assert stage.own_vms() == 0


def test_another_share_under_our_name_is_refused(one: Stage) -> None:
    """A datastore of our name that shows another folder is no place for disks."""
    elsewhere = one.sim.folder / "elsewhere"
    elsewhere.mkdir()
    system = "configManager.datastoreSystem"
    storing = one.other.read_all(vim.HostSystem, system)[0][1][system]
    storing.CreateNasDatastore(
        vim.host.NasVolume.Specification(
            remoteHost="192.0.2.77",
            remotePath=str(elsewhere),
            localPath="bp-esx-01",
            accessMode="readWrite",
            type="NFS",
        )
    )
    one.target.create(SPEC)
    with pytest.raises(HypervisorError, match=r"192\.0\.2\.77"):
        one.target.power_on(VM, one.boot_point(), Network.NONE)
    assert one.target.signs_of_life(VM).power is Power.OFF


def test_a_vm_that_was_deleted_by_hand_is_made_again(stage: Stage) -> None:
    """What somebody deleted is unknown, and the next create makes it anew."""
    layer = stage.boot_point()
    stage.target.create(SPEC)
    stage.do(stage.ref().Destroy_Task())
    with pytest.raises(HypervisorError, match="does not exist"):
        stage.target.power_on(VM, layer, Network.NONE)
    stage.target.create(SPEC)
    stage.target.power_on(VM, layer, Network.NONE)
    assert stage.own_vms() == 1


def test_the_engine_opens_such_a_target_by_its_configuration(
    sim: Sim, xfs: Path, tmp_path: Path
) -> None:
    """What `target add` writes is what the engine runs on: preflight, store, standby VM."""
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    file = tmp_path / "engine.toml"
    file.write_text(
        f"""
        state_dir = "{tmp_path}/state"
        [targets.esx-01]
        kind = "esxi"
        uri = "{sim.proxy.url}"
        store = {{ path = "{xfs}/engine-{tmp_path.name}" }}
        [targets.esx-01.esxi]
        user = "{USER}"
        password = "file:{secret}"
        pin = "{sim.certificate.pin}"
        datastore = "LocalDS_0"
        server = "127.0.0.1"
        """
    )
    told = load_engine(file)
    shelf = DriverShelf((), tmp_path / "drivers")
    target = Targets(told, shelf).make(told.targets["esx-01"])
    try:
        target.store.check()
        opened = target.hypervisor()
        assert opened.create(SPEC) == VM
        status = target.status()
        assert (status.kind, status.problem, status.store) == ("esxi", "", "reflink")
        assert "esxi.version" in {one.key for one in status.findings}
    finally:
        target.close()
        assert isinstance(target.store, TargetStore)
        target.store.close()
