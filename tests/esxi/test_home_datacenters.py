"""Bringing home where there are several hosts, datacenters and appliances: who keeps what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyVmomi import vim

from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.esxi.destination import destination
from engine.model.errors import WrongUse
from engine.model.machine import Power
from engine.ports import NeverCancelled
from tests.esxi.test_home import TWO
from tests.vcsim.homing import from_share, is_home, mounted
from tests.vcsim.simulator import Certificate, Sim, running
from tests.vcsim.stage import VM, Stage
from tests.vcsim.steps import Fault

NEVER = NeverCancelled()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, made: Certificate) -> Iterator[Sim]:
    """Yield a vCenter with two datacenters of two hosts."""
    with running(tmp_path_factory.mktemp("two"), made, *TWO) as started:
        yield started


@pytest.fixture(params=["DC0_C0", "DC1_C0"])
def at(request: pytest.FixtureRequest, two: Sim, xfs: Path, tmp_path: Path) -> Iterator[Stage]:
    """Yield a target in either datacenter with a VM that runs from the share."""
    yield from from_share(two, xfs, tmp_path, place=request.param)


@pytest.fixture
def second(two: Sim, xfs: Path, tmp_path: Path) -> Iterator[Stage]:
    """Yield one in the second datacenter."""
    yield from from_share(two, xfs, tmp_path, place="DC1_C0")


def test_each_datacenter_is_its_own(at: Stage) -> None:
    """Both have a LocalDS_1: the VM comes onto its own, and its hosts let go of the share."""
    centre = "DC0" if "DC0" in mounted(at)[0] else "DC1"
    assert mounted(at) == [f"{centre}_C0_H0", f"{centre}_C0_H1"]
    came = at.target.bring_home(VM, "LocalDS_1", NEVER)
    assert (came.datastore, came.stays) == ("LocalDS_1", "")
    is_home(at, "LocalDS_1")
    assert mounted(at) == []
    assert centre in str(at.on("LocalDS_1"))


def test_a_vm_of_somebody_else_on_the_share_keeps_it(second: Stage) -> None:
    """He cloned ours, say, and its disk lies in a run folder: no host lets go, and he is named."""
    vms = second.other.read_all(vim.VirtualMachine, "name", "runtime.host")
    his, name = next((ref, one["name"]) for ref, one in vms if "DC1" in str(one["name"]))
    file = second.store.path / ".run" / "his.vmdk"
    for one in (file, file.with_name("his-flat.vmdk")):
        one.touch()
    disk = vim.vm.device.VirtualDisk(key=-1, controllerKey=_controller(second, his), unitNumber=9)
    disk.backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
        fileName="[bp-esx-01] his.vmdk", diskMode="persistent"
    )
    spec = vim.vm.device.VirtualDeviceSpec
    second.do(his.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[_add(spec, disk)])))
    for one in (file, file.with_name("his-flat.vmdk")):
        one.unlink()
    came = second.target.bring_home(VM, "", NEVER)
    assert came.stays == f"it is used by {name}"
    assert len(mounted(second)) == 2
    is_home(second)
    (mine,) = (
        one
        for one in second.other.read(his, "config.hardware.device")["config.hardware.device"]
        if isinstance(one, vim.vm.device.VirtualDisk) and one.unitNumber == 9
    )
    second.do(
        his.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[spec(operation="remove", device=mine)]))
    )


def test_a_vm_that_was_moved_away_is_offered_what_its_host_has(
    second: Stage, tmp_path: Path
) -> None:
    """Somebody moved it to another datacenter: the datastores are those that it can get to there.

    By their names they may be those of the target's place as well, and are others.
    """
    told = ("name", "configManager.datastoreSystem", "datastore")
    hosts = second.other.read_all(vim.HostSystem, *told)
    host, seen = next((ref, one) for ref, one in hosts if one["name"] == "DC0_C0_H0")
    (tmp_path / "far").mkdir()
    far = seen[told[1]].CreateLocalDatastore("Far_0", str(tmp_path / "far"))
    home = second.other.read(second.ref(), "runtime.host")["runtime.host"]
    second.do(second.ref().RelocateVM_Task(vim.vm.RelocateSpec(host=host), None))
    try:
        with pytest.raises(WrongUse, match="not among") as refused:
            second.target.bring_home(VM, "LocalDS_9", NEVER)
        assert "Far_0, LocalDS_0, LocalDS_1" in refused.value.problem.remedy
        there, inventory = second.target._machines.find(VM), second.target._ground.look()
        assert there is not None
        place = destination(second.target._session, there, inventory, "LocalDS_1", "bp-esx-01")
        assert ref_id(place.ref) in {ref_id(one) for one in seen["datastore"]}
    finally:  # vcsim never ends a change of a VM in another datacenter than its files
        second.do(second.ref().RelocateVM_Task(vim.vm.RelocateSpec(host=home), None))
        seen[told[1]].RemoveDatastore(far)


def _add(spec: type, disk: object) -> object:
    return spec(operation="add", device=disk)


def _controller(stage: Stage, ref: object) -> int:
    devices = stage.other.read(ref, "config.hardware.device")["config.hardware.device"]
    return next(one.key for one in devices if isinstance(one, vim.vm.device.VirtualSCSIController))


def test_hosts_that_can_let_go_do_so(second: Stage) -> None:
    """One of two keeps the share: it is named, and the other one has it no more."""
    second.sim.proxy.plan("RemoveDatastore", Fault("PlatformConfigFault"))
    came = second.target.bring_home(VM, "", NEVER)
    (left,) = mounted(second)
    assert f"host {left} keeps it" in came.stays
    is_home(second)


def test_one_that_is_off_comes_home_off(at: Stage) -> None:
    """A vCenter moves it as well, and nobody starts it."""
    at.do(at.ref().PowerOffVM_Task())
    assert at.target.bring_home(VM, "LocalDS_1", NEVER).stays == ""
    is_home(at, "LocalDS_1", Power.OFF)
    assert at.sim.proxy.count("PowerOnVM_Task") == 0
