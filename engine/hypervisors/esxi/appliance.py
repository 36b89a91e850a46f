"""This machine as a VM on the host: disks of a standby VM are attached to it and taken out again.

    find      by what its own firmware says it is; never by name
    attach    existing files, units that are free, read back from the host with slot, unit and UUID
    detach    first the kernel lets go, then the host; the files stay

Which disks are of a standby is told by their folder, so what an interruption left attached is
found and taken out by whoever comes next.
"""

from __future__ import annotations

import contextlib
import logging
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from pyVmomi import vim

from engine.hypervisors.esxi import faults, specs
from engine.hypervisors.esxi.blockdevice import Devices, Wanted
from engine.hypervisors.esxi.branches import Backing, disk_bytes
from engine.hypervisors.esxi.gate import pauses
from engine.hypervisors.esxi.session import Session
from engine.hypervisors.esxi.tasks import TaskWaiter
from engine.model.errors import HypervisorError, LayerError, Problem
from engine.model.text import safe

log = logging.getLogger(__name__)

DMI = Path("/sys/class/dmi/id")
_SERIAL = re.compile(r"VMware-((?:[0-9a-f]{2}[ -]?){16})", re.IGNORECASE)
_DEADLINE_S = 300.0
_UNITS = (*range(7), *range(8, 16))


def own_uuids(dmi: Path = DMI) -> Sequence[UUID]:
    """Return what this machine's firmware says its UUID is, the likeliest first.

    VMware writes the UUID into the serial number byte by byte. The UUID field itself has its first
    three parts in the other byte order on some versions of virtual hardware: so both are tried.
    """
    found: list[UUID] = []
    with contextlib.suppress(OSError, ValueError):
        told = _SERIAL.match((dmi / "product_serial").read_text().strip())
        if told is not None:
            found.append(UUID(bytes=bytes.fromhex(told[1].replace("-", " "))))
    with contextlib.suppress(OSError, ValueError):
        told_by_field = UUID((dmi / "product_uuid").read_text().strip())
        found += [told_by_field, UUID(bytes_le=told_by_field.bytes)]
    return list(dict.fromkeys(found))


class Appliance:
    """The VM that this program runs in. One thread at a time."""

    def __init__(
        self,
        session: Session,
        devices: Devices,
        busy: Callable[[float], None],
        uuids: Callable[[], Sequence[UUID]] = own_uuids,
    ) -> None:
        """Look for it when it is needed first.

        Args:
            busy: Waits some seconds, after a host said that it cannot now.
        """
        self._session, self._devices, self._busy, self._uuids = session, devices, busy, uuids
        self._waiter = TaskWaiter(session)
        self._ref: Any = None

    def find(self) -> Any:
        """Return the managed object. HypervisorError when this machine is no VM of the target."""
        if self._ref is None:
            known = self._uuids()
            for uuid in known:
                found = self._session.content.searchIndex.FindByUuid(None, str(uuid), True, False)
                if found is not None:
                    self._ref = found
                    break
            else:
                raise HypervisorError(_not_there(self._session.account.target, known))
        return self._ref

    def hardware(self) -> Sequence[Any]:
        """Return its virtual devices as the host tells them now."""
        try:
            told = self._session.read(self.find(), "config.hardware.device")
        except faults.Gone:
            self._ref = None
            raise
        return list(told.get("config.hardware.device") or ())

    def settings(self) -> dict[str, str]:
        """Return its advanced settings."""
        told = self._session.read(self.find(), "config.extraConfig")
        return {one.key: str(one.value) for one in told.get("config.extraConfig") or ()}

    def attach(self, disks: Sequence[Backing], home: str, *, writable: bool) -> Sequence[Wanted]:
        """Attach disks, after whatever of that folder was attached is out; return how to know them.

        Args:
            home: Folder of the VM they belong to, such as `[datastore1] web01`.
            writable: Otherwise what is written is dropped by the host at the detaching.

        Raises:
            LayerError: No controller has room for them.
        """
        self.detach(home)
        controller, units = _room(self.hardware(), len(disks))
        spec = specs.attach_spec(
            controller.key,
            [(disk.path, unit) for disk, unit in zip(disks, units, strict=True)],
            writable=writable,
        )
        found = self._until(
            "ReconfigVM_Task",
            lambda devices: len(list(_of(devices, home))) == len(disks),
            lambda: self.find().ReconfigVM_Task(spec),
        )
        slot = getattr(getattr(controller, "slotInfo", None), "pciSlotNumber", None)
        by_unit = {one.unitNumber: one for one in _of(found, home)}
        wanted = []
        for disk, unit in zip(disks, units, strict=True):
            one = by_unit.get(unit)
            if one is None or disk.path not in _files(one):
                raise LayerError(_elsewhere(disk.path))
            uuid = str(getattr(one.backing, "uuid", "") or disk.uuid)
            wanted.append(Wanted(slot, unit, uuid, disk_bytes(one) or disk.size))
        return wanted

    def detach(self, home: str) -> None:
        """Take out all disks of a folder; their files stay. Repeatable."""
        found = list(_of(devices := self.hardware(), home))
        if not found:
            return
        self._let_go(devices, found)
        self._until(
            "ReconfigVM_Task",
            lambda devices: not any(_of(devices, home)),
            lambda: self.find().ReconfigVM_Task(
                specs.take_out_spec(list(_of(self.hardware(), home)))
            ),
        )

    def _let_go(self, devices: Sequence[Any], disks: Sequence[Any]) -> None:
        """Let the kernel drop what it shows of these disks; what is not found is not there."""
        slots = {
            one.key: getattr(getattr(one, "slotInfo", None), "pciSlotNumber", None)
            for one in devices
        }
        for disk in disks:
            uuid = str(getattr(disk.backing, "uuid", "") or "")
            slot = slots.get(disk.controllerKey)
            wanted = Wanted(slot, disk.unitNumber or 0, uuid, disk_bytes(disk))
            device, why = self._devices.look(wanted)
            if device is not None:
                self._devices.forget(device)
            else:
                log.info("nothing to let go of for %s: %s", safe(disk.backing.fileName), why)

    def _until(
        self,
        doing: str,
        is_done: Callable[[Sequence[Any]], bool],
        change: Callable[[], Any],
    ) -> Sequence[Any]:
        """Make a change until the VM's devices are as wanted; each try looks first."""
        waits = pauses(random.random)
        last: faults.HostFailure | None = None
        for left in reversed(range(faults.TRIES)):
            try:
                self._waiter.result(change(), doing, deadline_s=_DEADLINE_S)
            except faults.ReplyLost as failure:
                last = failure
                log.warning("looking at the appliance after a lost reply: %s", failure)
            except faults.HostBusy as failure:
                if not left:
                    raise
                last = failure
                self._busy(next(waits))
            if is_done(devices := self.hardware()):
                return devices
        unchanged = "Nothing was written to any disk."
        raise faults.no_effect(self._session.account.target, doing, last, unchanged)


def free_units(devices: Sequence[Any]) -> Iterator[tuple[Any, Sequence[int]]]:
    """Yield each PVSCSI controller with its free units, the one with most of them first."""
    found = []
    for one in devices:
        if isinstance(one, vim.vm.device.ParaVirtualSCSIController):
            taken = {disk.unitNumber for disk in devices if disk.controllerKey == one.key}
            found.append((one, [unit for unit in _UNITS if unit not in taken]))
    yield from sorted(found, key=lambda pair: -len(pair[1]))


def _room(devices: Sequence[Any], count: int) -> tuple[Any, Sequence[int]]:
    controller, units = next(free_units(devices), (None, ()))
    if controller is None or len(units) < count:
        raise LayerError(_no_room(count, len(units)))
    return controller, units[:count]


def _of(devices: Sequence[Any], home: str) -> Iterator[Any]:
    """Yield the disks of a folder."""
    for one in devices:
        if isinstance(one, vim.vm.device.VirtualDisk) and any(
            file.startswith(f"{home}/") for file in _files(one)
        ):
            yield one


def _files(disk: Any) -> Iterator[str]:
    """Yield a disk's file and those it lies on, as far as the host tells."""
    backing, depth = disk.backing, 0
    while backing is not None and depth < 64:
        yield str(getattr(backing, "fileName", "") or "")
        backing, depth = getattr(backing, "parent", None), depth + 1


def _not_there(target: str, known: Sequence[UUID]) -> Problem:
    shown = ", ".join(str(one) for one in known) or "none that it tells"
    return Problem(
        "hotadd.no-appliance",
        f"Target {safe(target)} has no VM that is this machine (UUID: {shown}).",
        "Nothing was attached or written.",
        "Transport hotadd needs this program in a VM on that very host or vCenter, run as root; "
        "elsewhere use transport nfs.",
    )


def _no_room(count: int, free: int) -> Problem:
    return Problem(
        "hotadd.no-unit",
        f"{count} disks do not fit: no PVSCSI controller of this appliance's VM has more than "
        f"{free} units free.",
        "Nothing was attached.",
        "Give the appliance's VM one more PVSCSI controller.",
    )


def _elsewhere(path: str) -> Problem:
    return Problem(
        "hotadd.elsewhere",
        f"The host attached something else than {safe(path)}.",
        "Nothing was written.",
        "Look at the appliance's disks in the vSphere client.",
    )
