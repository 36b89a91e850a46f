"""What VMs are made of, in the words of the vSphere API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyVmomi import vim

from engine.hypervisors.esxi import cards
from engine.hypervisors.esxi.layers import (
    BOOT,
    ENGINE,
    SHAPE,
    STATE,
    TURN,
    VM,
    Disk,
    identity,
    shape,
)
from engine.hypervisors.esxi.paths import may_be_on
from engine.model.machine import DiskBus, Firmware, VMSpec

CONTROLLER = 1000
SERIAL = "serial.log"
"""Beside a VM's disks: what its serial port printed."""
_MEMORY_STEP = 4
# PVSCSI and the others keep unit 7 for themselves; SATA has 30 units.
_UNITS = {True: tuple(range(30)), False: (*range(7), *range(8, 16))}
_Device = vim.vm.device.VirtualDeviceSpec


def shown_name(name: str, turn: int) -> str:
    """Return what a VM is called on the host; two of one folder cannot be called the same."""
    return f"{name} ({turn + 1})" if turn else name


def create_spec(spec: VMSpec, engine: str, home: str, network: Any, turn: int = 0) -> Any:
    """Return the specification of a standby VM without disks, its cards not connected.

    Args:
        home: Datastore for its own files.
        network: The isolated port group's managed object.
        turn: How many VMs it stands in for.
    """
    megabytes = -(-spec.memory // (_MEMORY_STEP << 20)) * _MEMORY_STEP
    return vim.vm.ConfigSpec(
        name=shown_name(spec.name, turn),
        uuid=str(identity(engine, spec.name)),
        annotation=(
            f"Standby VM {spec.name}, kept by Bootpoint. Its disks and snapshots are its boot "
            "points and change with each: add no disk, make no snapshot, delete none."
        ),
        guestId="otherGuest64",
        numCPUs=spec.cpus,
        memoryMB=megabytes,
        firmware="efi" if spec.firmware is Firmware.UEFI else "bios",
        files=vim.vm.FileInfo(vmPathName=f"[{home}]"),
        deviceChange=[
            _added(_controller(spec.bus)),
            *(
                _added(cards.made(number, nic, spec.card, network))
                for number, nic in enumerate(spec.nics)
            ),
        ],
        extraConfig=options(
            {
                ENGINE: engine,
                VM: spec.name,
                SHAPE: shape(spec),
                BOOT: str(spec.boot_disk) if spec.boot_disk else "",
                TURN: str(turn) if turn else "",
                STATE: "",
                "uuid.action": "keep",
                "disk.EnableUUID": "TRUE",
            }
        ),
    )


def options(told: dict[str, str]) -> list[Any]:
    """Return settings as the API wants them."""
    return [vim.option.OptionValue(key=key, value=value) for key, value in told.items()]


def _added(device: Any) -> Any:
    return _Device(operation=_Device.Operation.add, device=device)


def _controller(bus: DiskBus) -> Any:
    if bus is DiskBus.SATA:
        return vim.vm.device.VirtualAHCIController(key=-CONTROLLER, busNumber=0)
    return vim.vm.device.ParaVirtualSCSIController(
        key=-CONTROLLER,
        busNumber=0,
        sharedBus=vim.vm.device.VirtualSCSIController.Sharing.noSharing,
    )


def run_spec(
    devices: Sequence[Any],
    old: Sequence[Disk],
    files: Sequence[str],
    network: Any,
    state: str,
    *,
    connected: bool,
) -> Any:
    """Return the change that gives a VM other disks and sets its cards, all in one step.

    Its serial port prints into a file beside the disks.

    Args:
        devices: Of the VM, as read.
        old: Its disks; they are taken out, their files stay.
        files: Descriptors of the new disks, such as `[store] web/x/disk0.vmdk`.
        network: For all cards.

    Raises:
        ValueError: More disks than the controller has units.
    """
    change = _exchange(devices, old, files)
    if files:
        change += _serial(devices, f"{files[0].rpartition('/')[0]}/{SERIAL}")
    change += cards.all_set(devices, network, connected=connected)
    return vim.vm.ConfigSpec(deviceChange=change, extraConfig=options({STATE: state}))


def _exchange(devices: Sequence[Any], old: Sequence[Disk], files: Sequence[str]) -> list[Any]:
    """Return the changes that take disks out and put others in, in this order."""
    controller = next(
        one
        for one in devices
        if isinstance(
            one,
            vim.vm.device.VirtualSCSIController | vim.vm.device.VirtualSATAController,
        )
    )
    units = _UNITS[isinstance(controller, vim.vm.device.VirtualSATAController)]
    if len(files) > len(units):
        raise ValueError(f"{len(files)} disks, and the controller takes {len(units)}")
    keys = {disk.key for disk in old}
    change = [_without(one) for one in devices if one.key in keys]
    for number, (file, unit) in enumerate(zip(files, units, strict=False)):
        change.append(_added(_disk(number, file, controller.key, unit)))
    return change


def repoint_spec(devices: Sequence[Any], old: Sequence[Disk], files: Sequence[str]) -> Any:
    """Return the change that gives a VM other disks, and takes out the serial port we added."""
    gone = [_without(one) for one in devices if _is_ours(one)]
    return vim.vm.ConfigSpec(deviceChange=[*_exchange(devices, old, files), *gone])


def printing_into(devices: Sequence[Any], share: str) -> Sequence[Any]:
    """Return the serial ports of ours that print into a file on our share."""
    return [one for one in devices if _is_ours(one) and share in may_be_on(one.backing.fileName)]


def quiet_spec(ports: Sequence[Any], folder: str, *, is_off: bool) -> Any:
    """Return the change by which serial ports print no more into our share.

    A VM that runs keeps the port, disconnected, with a file in `folder`.
    """
    for one in ports:
        one.backing.fileName, one.backing.datastore = f"{folder}/{SERIAL}", None
        one.connectable.connected = one.connectable.startConnected = False
    change = [
        _without(one) if is_off else _Device(operation=_Device.Operation.edit, device=one)
        for one in ports
    ]
    return vim.vm.ConfigSpec(deviceChange=change)


def move_spec(disks: Sequence[Disk], datastore: Any) -> Any:
    """Return where a VM with all its files and these disks moves; its disks stay thin."""
    locator = vim.vm.RelocateSpec.DiskLocator
    return vim.vm.RelocateSpec(
        datastore=datastore,
        disk=[locator(diskId=disk.key, datastore=datastore) for disk in disks],
    )


def note_spec(told: dict[str, str]) -> Any:
    """Return the change that only writes settings down."""
    return vim.vm.ConfigSpec(extraConfig=options(told))


def detach_spec(devices: Sequence[Any], disks: Sequence[Disk], state: str) -> Any:
    """Return the change that takes disks out of a VM, leaves their files, and says so."""
    keys = {disk.key for disk in disks}
    return vim.vm.ConfigSpec(
        deviceChange=[_without(one) for one in devices if one.key in keys or _is_ours(one)],
        extraConfig=options({STATE: state}),
    )


def _is_ours(device: Any) -> bool:
    """Tell whether a device is the serial port that was added with the disks."""
    return isinstance(device, vim.vm.device.VirtualSerialPort) and str(
        getattr(device.backing, "fileName", "") or ""
    ).endswith(f"/{SERIAL}")


def _serial(devices: Sequence[Any], file: str) -> Sequence[Any]:
    """Return the changes that let a VM have one serial port that prints into a file."""
    port = vim.vm.device.VirtualSerialPort(
        key=-(CONTROLLER + 300),
        yieldOnPoll=True,
        backing=vim.vm.device.VirtualSerialPort.FileBackingInfo(fileName=file),
        connectable=vim.vm.device.VirtualDevice.ConnectInfo(
            startConnected=True, connected=False, allowGuestControl=False
        ),
    )
    return [*(_without(one) for one in devices if _is_ours(one)), _added(port)]


def _without(device: Any) -> Any:
    """Return the removal of a device; without a file operation its file stays."""
    return _Device(operation=_Device.Operation.remove, device=device)


def _disk(number: int, file: str, controller: int, unit: int) -> Any:
    return vim.vm.device.VirtualDisk(
        key=-(CONTROLLER + 200 + number),
        controllerKey=controller,
        unitNumber=unit,
        backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
            fileName=file, diskMode="persistent", thinProvisioned=True
        ),
    )


def first_disks_spec(devices: Sequence[Any], home: str, wanted: Sequence[tuple[int, str]]) -> Any:
    """Return the change that gives a VM new, thin disks in its own folder.

    Args:
        devices: Of the VM, as read.
        home: The VM's own folder, such as `[datastore1] web01`.
        wanted: Bytes in whole KiB, and UUID, of each.
    """
    disk = vim.vm.device.VirtualDisk
    controller = next(
        one for one in devices if isinstance(one, vim.vm.device.VirtualSCSIController)
    )
    return vim.vm.ConfigSpec(
        deviceChange=[
            _Device(
                operation=_Device.Operation.add,
                fileOperation=_Device.FileOperation.create,
                device=disk(
                    key=-(CONTROLLER + 200 + number),
                    controllerKey=controller.key,
                    unitNumber=unit,
                    capacityInKB=size >> 10,
                    capacityInBytes=size,
                    backing=disk.FlatVer2BackingInfo(
                        fileName=f"{home}/disk{number}.vmdk",
                        diskMode="persistent",
                        thinProvisioned=True,
                        uuid=uuid,
                    ),
                ),
            )
            for number, ((size, uuid), unit) in enumerate(zip(wanted, _UNITS[False], strict=False))
        ]
    )


def attach_spec(controller: int, files: Sequence[tuple[str, int]], *, writable: bool) -> Any:
    """Return the change that attaches existing files at units of a controller.

    Independent of the appliance's own snapshots; what is written to one that is not `writable` is
    dropped by the host at the detaching.
    """
    disk = vim.vm.device.VirtualDisk
    mode = "independent_persistent" if writable else "independent_nonpersistent"
    return vim.vm.ConfigSpec(
        deviceChange=[
            _added(
                disk(
                    key=-(CONTROLLER + 200 + number),
                    controllerKey=controller,
                    unitNumber=unit,
                    backing=disk.FlatVer2BackingInfo(fileName=file, diskMode=mode),
                )
            )
            for number, (file, unit) in enumerate(files)
        ]
    )


def take_out_spec(devices: Sequence[Any]) -> Any:
    """Return the change that takes devices out and leaves their files."""
    return vim.vm.ConfigSpec(deviceChange=[_without(one) for one in devices])


def cards_spec(devices: Sequence[Any], network: Any, state: str, *, connected: bool) -> Any:
    """Return the change that sets all cards of a VM and writes down the step."""
    return vim.vm.ConfigSpec(
        deviceChange=cards.all_set(devices, network, connected=connected),
        extraConfig=options({STATE: state}),
    )


def rehang_spec(devices: Sequence[Any], bus: DiskBus) -> Any:
    """Return the change that moves several disks to another controller; None: nothing to move.

    It goes before `shape_spec`: a disk that moved has another key, which that one names. The shape
    counts as not given meanwhile.
    """
    change, controller = _at_hand(devices, bus)
    moved = _moved(devices, bus, controller) if len(_disks(devices)) > 1 else []
    if not moved:
        return None
    return vim.vm.ConfigSpec(deviceChange=[*change, *moved], extraConfig=options({SHAPE: ""}))


def shape_spec(devices: Sequence[Any], spec: VMSpec, network: Any) -> Any:
    """Return the change that gives a VM another shape, with the disks that it has.

    One disk moves along to the controller that the guest has a driver for, its file stays; several
    are where `rehang_spec` brought them. They keep their order, by which the VM's snapshots are
    known, so the disk to start is named by its key.

    Source:
        vSphere API, VirtualMachineBootOptionsBootableDiskDevice: `deviceKey` is the key of a disk.
    """
    change = [
        _without(one) for one in devices if isinstance(one, vim.vm.device.VirtualEthernetCard)
    ]
    added, controller = _at_hand(devices, spec.bus)
    change += [*added, *_moved(devices, spec.bus, controller)]
    change += [
        _added(cards.made(number, nic, spec.card, network)) for number, nic in enumerate(spec.nics)
    ]
    disks = _disks(devices)
    first = [one.key for one in disks[spec.boot_disk : spec.boot_disk + 1]]
    order = [vim.vm.BootOptions.BootableDiskDevice(deviceKey=key) for key in first]
    return vim.vm.ConfigSpec(
        bootOptions=vim.vm.BootOptions(bootOrder=order) if order and len(disks) > 1 else None,
        numCPUs=spec.cpus,
        memoryMB=-(-spec.memory // (_MEMORY_STEP << 20)) * _MEMORY_STEP,
        firmware="efi" if spec.firmware is Firmware.UEFI else "bios",
        deviceChange=change,
        extraConfig=options({SHAPE: shape(spec)}),
    )


def _disks(devices: Sequence[Any]) -> list[Any]:
    """Return a VM's disks in their order."""
    disks = [one for one in devices if isinstance(one, vim.vm.device.VirtualDisk)]
    return sorted(disks, key=lambda one: (one.controllerKey or 0, one.unitNumber or 0))


def _at_hand(devices: Sequence[Any], bus: DiskBus) -> tuple[list[Any], Any]:
    """Return a VM's controller of a bus, and the change that adds it where it has none."""
    wanted = (
        vim.vm.device.VirtualSATAController
        if bus is DiskBus.SATA
        else vim.vm.device.VirtualSCSIController
    )
    for one in devices:
        if isinstance(one, wanted):
            return [], one
    made = _controller(bus)
    return [_added(made)], made


def _moved(devices: Sequence[Any], bus: DiskBus, controller: Any) -> list[Any]:
    """Return the changes that hang a VM's disks on a controller; none where they hang there."""
    disks = _disks(devices)
    if all(one.controllerKey == controller.key for one in disks):
        return []
    units = _UNITS[bus is DiskBus.SATA]
    return [
        *(_without(one) for one in disks),
        *(
            _added(_disk(number, one.backing.fileName, controller.key, unit))
            for number, (one, unit) in enumerate(zip(disks, units, strict=False))
        ),
    ]
