"""A VM whose system is not on its first disk."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pyVmomi import vim

from engine.hypervisors.esxi.layers import shape
from engine.hypervisors.esxi.specs import rehang_spec, shape_spec
from engine.model.machine import DiskBus, Network
from tests.contract.disk_chains import MIB
from tests.vcsim.stage import SPEC, VM, Stage

SECOND = replace(SPEC, boot_disk=1)


def _disk(number: int) -> Any:
    backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(fileName=f"[ds] web/{number}.vmdk")
    return vim.vm.device.VirtualDisk(
        key=2000 + number, controllerKey=1000, unitNumber=number, backing=backing
    )


def test_on_a_share_the_disk_to_start_is_the_first_one(one: Stage) -> None:
    """The firmware looks there; the files are the layer's own, whatever unit they hang on."""
    layer = one.boot_point(sizes=(MIB, 2 * MIB, 3 * MIB))
    one.target.create(replace(SPEC, boot_disk=2))
    one.target.power_on(VM, layer, Network.NONE)
    devices = one.other.read(one.ref(), "config.hardware.device")["config.hardware.device"]
    disks = [d for d in devices if isinstance(d, vim.vm.device.VirtualDisk)]
    disks.sort(key=lambda disk: disk.unitNumber)
    assert [disk.backing.fileName[-10:] for disk in disks] == [
        "disk2.vmdk",
        "disk0.vmdk",
        "disk1.vmdk",
    ]


def test_disks_with_snapshots_keep_their_order_and_the_firmware_is_told() -> None:
    """Branches know their disks by their order; a key names the one to start."""
    devices = [vim.vm.device.ParaVirtualSCSIController(key=1000), _disk(0), _disk(1)]
    network = type("Network", (), {"ref": None, "name": "isolated", "opaque": None})()

    told = shape_spec(devices, SECOND, network)

    assert [one.deviceKey for one in told.bootOptions.bootOrder] == [2001]
    assert not any(isinstance(one.device, vim.vm.device.VirtualDisk) for one in told.deviceChange)
    back = shape_spec(devices, SPEC, network)
    assert [one.deviceKey for one in back.bootOptions.bootOrder] == [2000]
    assert shape_spec(devices[:2], SPEC, network).bootOptions is None


def test_several_disks_move_before_the_shape_is_given() -> None:
    """One disk moves with the shape: no order is told, so one change does."""
    devices = [vim.vm.device.ParaVirtualSCSIController(key=1000), _disk(0), _disk(1)]
    assert rehang_spec(devices, DiskBus.PVSCSI) is None
    assert rehang_spec(devices[:2], DiskBus.SATA) is None
    moved = rehang_spec(devices, DiskBus.SATA)
    assert [one.operation for one in moved.deviceChange] == ["add", *["remove"] * 2, *["add"] * 2]
    assert [(one.key, one.value) for one in moved.extraConfig] == [("bootpoint.shape", "")]


def test_the_mark_of_a_shape_is_as_it_was_where_the_first_disk_starts() -> None:
    """VMs that an earlier release made are not made anew."""
    assert shape(SPEC) != shape(SECOND)
    assert shape(replace(SECOND, boot_disk=0)) == shape(SPEC)
