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
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from pyVmomi import vim

from engine.hypervisors.esxi import faults, specs
from engine.hypervisors.esxi.blockdevice import Devices, Wanted
from engine.hypervisors.esxi.branches import Backing, Standing, disk_bytes, standing
from engine.hypervisors.esxi.looking import Machine
from engine.hypervisors.esxi.machine import Machines
from engine.hypervisors.esxi.session import Session
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
        machines: Machines,
        devices: Devices,
        uuids: Callable[[], Sequence[UUID]] = own_uuids,
    ) -> None:
        """Look for it when it is needed first.

        Args:
            machines: From then on they read it beside each standby VM.
        """
        self._session, self._machines = session, machines
        self._devices, self._uuids = devices, uuids

    def find(self) -> Any:
        """Return the managed object. HypervisorError when this machine is no VM of the target."""
        if self._machines.own is None:
            known = self._uuids()
            for uuid in known:
                found = self._session.content.searchIndex.FindByUuid(None, str(uuid), True, False)
                if found is not None:
                    self._machines.own, self._machines.own_uuid = found, str(uuid)
                    break
            else:
                raise HypervisorError(_not_there(self._session.account.target, known))
        return self._machines.own

    def hardware(self) -> Sequence[Any]:
        """Return its virtual devices as the host tells them now."""
        try:
            told = self._session.read(self.find(), "config.hardware.device")
        except faults.Gone:
            self._machines.own = None
            raise
        return list(told.get("config.hardware.device") or ())

    def attach(
        self, there: Standing, disks: Sequence[Backing], *, writable: bool
    ) -> tuple[Standing, Sequence[Wanted]]:
        """Attach disks, after whatever of that VM was attached is out; return how to know them.

        Args:
            there: The VM they belong to; returned as it is then.
            writable: Otherwise what is written is dropped by the host at the detaching.

        Raises:
            LayerError: No controller has room for them.
        """
        home = there.seen.home
        there = self.detach(there)
        controller, units = _room(self._of(there.machine), len(disks))
        spec = specs.attach_spec(
            controller.key,
            [(disk.path, unit) for disk, unit in zip(disks, units, strict=True)],
            writable=writable,
        )
        now = self._change(
            there.machine,
            lambda now: len(list(_disks_of(self._of(now), home))) == len(disks),
            lambda _: self.find().ReconfigVM_Task(spec),
        )
        slot = getattr(getattr(controller, "slotInfo", None), "pciSlotNumber", None)
        by_unit = {one.unitNumber: one for one in _disks_of(self._of(now), home)}
        wanted = []
        for disk, unit in zip(disks, units, strict=True):
            one = by_unit.get(unit)
            if one is None or disk.path not in _files(one):
                raise LayerError(_elsewhere(disk.path))
            uuid = str(getattr(one.backing, "uuid", "") or disk.uuid)
            wanted.append(Wanted(slot, unit, uuid, disk_bytes(one) or disk.size))
        return standing(now), wanted

    def detach(self, there: Standing) -> Standing:
        """Take out all disks of a VM; their files stay. Repeatable. Return the VM as it is then."""
        now, home = there.machine, there.seen.home
        if now.own is None:
            self.find()
            now = self._machines.look(now.ref)
        if not (found := list(_disks_of(devices := self._of(now), home))):
            return standing(now)
        self._let_go(devices, found)
        return standing(
            self._change(
                now,
                lambda now: not any(_disks_of(self._of(now), home)),
                lambda now: self.find().ReconfigVM_Task(
                    specs.take_out_spec(list(_disks_of(self._of(now), home)))
                ),
            )
        )

    def _change(
        self,
        there: Machine,
        is_done: Callable[[Machine], bool],
        change: Callable[[Machine], Any],
    ) -> Machine:
        return self._machines.bring(
            there,
            "ReconfigVM_Task",
            lambda now, _: is_done(now),
            change,
            deadline_s=_DEADLINE_S,
            unchanged="Nothing was written to any disk.",
            holder=self.find(),
        )

    def _of(self, there: Machine) -> Sequence[Any]:
        """Return this machine's devices, read with a VM. HypervisorError when it is gone."""
        if there.own is None:
            self._machines.own = None
            raise HypervisorError(_not_there(self._session.account.target, self._uuids()))
        return there.own

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


def _disks_of(devices: Sequence[Any], home: str) -> Iterator[Any]:
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
