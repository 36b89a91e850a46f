"""A VM whose host is out stands in nobody's way: another one is made for it on another host.

VM off, host in maintenance mode    deleted, and made anew on a host that starts it
VM off, host away from its vCenter  its run folder goes: nobody can start it any more; then another
                                    VM, `web (2)`, is made, with the same marks and one turn more
the host is back                    of two with the same id the later turn is the VM; the other goes

Only where the VM's disks are on our share, which shows whether a host has them open: a vCenter that
does not reach a host does not know what runs there.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from engine.hypervisors.esxi import faults, layers
from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.esxi.ground import Ground
from engine.hypervisors.esxi.looking import Machine
from engine.hypervisors.esxi.machine import Machines
from engine.hypervisors.esxi.nfs import RunFolders
from engine.hypervisors.esxi.session import Session
from engine.model.errors import HypervisorError, Problem
from engine.model.machine import Power
from engine.model.text import safe

log = logging.getLogger(__name__)

_HOST = (
    "name",
    "runtime.connectionState",
    "runtime.inMaintenanceMode",
    "runtime.powerState",
)
_MAINTENANCE = "in maintenance mode"
_ASLEEP = "in standby to save power"
_AWAY = "not connected to its vCenter"


class StandIns:
    """Looks after VMs whose host is out. One thread at a time per VM."""

    def __init__(
        self, session: Session, machines: Machines, ground: Ground, runs: RunFolders
    ) -> None:
        """Work with the parts of one target."""
        self._session, self._machines = session, machines
        self._ground, self._runs = ground, runs

    def out(self, there: Machine) -> tuple[str, str]:
        """Return the name of a VM's host and why it starts none; no reason: it does, or hides it.

        A host without a vCenter tells for itself.
        """
        if there.host is None or not self._session.is_vcenter:
            return "", ""
        for _, seen in self._session.read_each([there.host], *_HOST):
            wrong = (
                (str(seen.get("runtime.connectionState", "connected")) != "connected", _AWAY),
                (bool(seen.get("runtime.inMaintenanceMode")), _MAINTENANCE),
                (str(seen.get("runtime.powerState")) == "standBy", _ASLEEP),
            )
            return str(seen.get("name", "")), next((why for is_so, why in wrong if is_so), "")
        return "", ""

    def wanted(self, there: Machine) -> bool:
        """Tell whether a VM that is off is to be made on another host now.

        Raises:
            HypervisorError: Its host is away, and no other one starts VMs.
        """
        name, why = self.out(there)
        if not why or there.homing is not None:
            return False
        if any(one.starts for one in self._ground.look().hosts):
            return True
        if there.seen.connected:
            return False
        raise HypervisorError(_nowhere(there.seen.vm, name, why))

    def fence(self, there: Machine) -> None:
        """See to it that nobody starts a VM on a host that is away: its run folder goes.

        Raises:
            Refused: Somebody changed or started it.
            HypervisorError: A host has its disks open.
        """
        vm, state = there.seen.vm, there.seen.state
        if why := layers.drift(replace(there.seen, connected=True), self._runs.shown(vm)):
            raise faults.drifted(vm, why)
        if state is None or not state.operation:
            return
        if self._runs.is_touched(vm, state.operation):
            raise faults.drifted(vm, "it was started by somebody else")
        self._runs.forget(vm)
        if self._runs.allocated(vm, state.operation):
            raise HypervisorError(_open(vm, self.out(there)[0]))

    def is_left(self, there: Machine) -> bool:
        """Tell whether a VM cannot be deleted, as its host is away, and needs not; else raise."""
        if there.seen.connected or there.seen.power is not Power.OFF or there.homing is not None:
            return False
        if self.out(there)[1] != _AWAY:
            return False
        self.fence(there)
        log.warning("%s stays on a host that is away, without disks", safe(there.seen.name))
        self._machines.twins.setdefault(there.seen.vm, []).append(there.ref)
        return True

    def sweep(self, there: Machine) -> None:
        """Delete other VMs of this one's id: on hosts that are back, or made by a lost call."""
        vm, kept = there.seen.vm, list[object]()
        if vm in self._machines.doubted:
            self._machines.searched(vm)
        for ref in self._machines.twins.pop(vm, []):
            try:
                if ref_id(ref) != ref_id(there.ref) and not self._is_gone(there, ref):
                    kept.append(ref)
            except HypervisorError as failure:
                log.warning("a VM that %s stands in for stays: %s", safe(vm), failure)
                kept.append(ref)
        if kept:
            self._machines.twins[vm] = kept

    def _is_gone(self, there: Machine, ref: object) -> bool:
        """Delete one that is off and as we left it; tell whether it is gone, or nobody's."""
        try:
            old = self._machines.look(ref)
        except faults.Gone:
            return True
        seen = old.seen
        if (seen.engine, seen.vm) != (there.seen.engine, there.seen.vm):
            return True
        is_ours = seen.is_of(there.seen.engine, there.seen.vm)
        is_ours = is_ours and (seen.turn < there.seen.turn or seen.is_new)
        is_idle = seen.power is Power.OFF and seen.connected and old.homing is None
        if not is_ours or not is_idle or layers.drift(seen, self._runs.shown(seen.vm)):
            return False
        log.info("deleting %s, which another one stands in for", safe(seen.name))
        self._machines.destroy(old)
        return True

    def check(self, there: Machine) -> None:
        """Raise HypervisorError with what to do where a VM's host is why nothing can be done."""
        name, why = self.out(there)
        if why == _AWAY and there.seen.power is not Power.OFF:
            raise HypervisorError(_unknown(there.seen.vm, name))
        if why:
            raise HypervisorError(_nowhere(there.seen.vm, name, why))


def _nowhere(vm: str, host: str, why: str) -> Problem:
    return Problem(
        "vm.host-out",
        f"VM {safe(vm)} is on host {safe(host)}, which is {why}, and no other host of the target's "
        "place starts VMs now.",
        "No VM was started. Its boot points are on this appliance, and as they were.",
        "Bring that host back, or another one of the place: connected, out of maintenance mode and "
        "awake. Then start again; the VM is made anew where it can run.",
        {"vm": safe(vm), "host": safe(host)},
    )


def _open(vm: str, host: str) -> Problem:
    return Problem(
        "vm.host-open",
        f"VM {safe(vm)} is on host {safe(host)}, which is {_AWAY}, but still has the VM's disks "
        "open on our share: it may be running there.",
        "Nothing was started, so that it does not run twice. Its boot points are as they were.",
        f"See on the console of {safe(host)} whether the VM runs, and stop it there, or cut that "
        "host's power. Then remove the host from the vCenter's inventory, which changes nothing on "
        "it, and start again.",
        {"vm": safe(vm), "host": safe(host)},
    )


def _unknown(vm: str, host: str) -> Problem:
    return Problem(
        "vm.host-away",
        f"VM {safe(vm)} runs on host {safe(host)}, as far as its vCenter knows, and that host is "
        f"{_AWAY}: nobody knows whether it still runs.",
        "Nothing was changed, so that it does not run twice; what it wrote is kept.",
        f"Bring the host back. Where it is lost: cut its power, remove {safe(host)} from the "
        f"vCenter's inventory, which takes its VMs off the list, then stop {safe(vm)} here and "
        "start it again: it is made on another host. What it wrote since its start is then lost.",
        {"vm": safe(vm), "host": safe(host)},
    )
