"""Looks at what transport `hotadd` needs, and says what stands in the way. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pyVmomi import vim

from engine.hypervisors.esxi import layers
from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.esxi.appliance import Appliance, free_units
from engine.hypervisors.esxi.branches import tree_of
from engine.hypervisors.esxi.homestore import home_datastore
from engine.hypervisors.esxi.inventory import Inventory
from engine.hypervisors.esxi.preflight import Wishes, missing
from engine.hypervisors.esxi.privileges import HOTADD, On
from engine.hypervisors.esxi.session import Session
from engine.hypervisors.esxi.tree import LONGEST, MOST_POINTS, foreign
from engine.model.errors import Failure
from engine.model.machine import Gravity
from engine.model.text import safe
from engine.ports import Finding

_HARDWARE = "config.hardware.device"
_FEW = 2
"""Boot points that may still be added when it is said beforehand."""


_PATHS = ("name", "runtime.host", "config.files.vmPathName", "config.extraConfig", _HARDWARE)


def findings(
    session: Session, wishes: Wishes, appliance: Appliance, engine: str, there: Inventory | None
) -> Iterator[Finding]:
    """Yield what is to be said of the appliance's VM and of the standby VMs' snapshots.

    Args:
        engine: Whose VMs are looked at.
        there: None: the place is not found, so nothing is said of what it has.

    Raises:
        HostFailure: The host does not answer any more.
    """
    try:
        ref = appliance.find()
    except Failure as failure:
        problem = failure.problem
        yield Finding(Gravity.ERROR, "esxi.appliance", problem.happened, problem.remedy)
    else:
        told = session.read(ref, *_PATHS)
        yield from _appliance(told)
        if there is not None:
            yield from _reach(session, there, wishes, told)
        yield from _privileges(session, ref)
    yield from _snapshots(session, engine)


def _appliance(told: Mapping[str, Any]) -> Iterator[Finding]:
    name, hardware = safe(str(told.get("name", ""))), list(told.get(_HARDWARE) or ())
    extra = {one.key: str(one.value) for one in told.get("config.extraConfig") or ()}
    yield Finding(Gravity.NOTE, "esxi.appliance", f"This machine is the VM {name} there.")
    if extra.get("disk.EnableUUID", "").upper() != "TRUE":
        yield Finding(
            Gravity.ERROR,
            "esxi.enable-uuid",
            f"VM {name} has not disk.EnableUUID=TRUE, so an attached disk cannot be known for "
            "certain.",
            "Set it in the VM's advanced settings, and start the VM again.",
        )
    controller, units = next(free_units(hardware), (None, ()))
    if controller is None:
        yield Finding(
            Gravity.ERROR,
            "esxi.no-pvscsi",
            f"VM {name} has no PVSCSI controller to attach disks to.",
            "Add one of type VMware Paravirtual; this needs the VM off.",
        )
    elif not units:
        yield Finding(
            Gravity.ERROR,
            "esxi.no-unit",
            f"Every unit of VM {name}'s PVSCSI controllers is taken.",
            "Add one more controller, or take out disks that were left attached.",
        )
    else:
        yield Finding(
            Gravity.NOTE, "esxi.units", f"{len(units)} disks can be attached to VM {name} at once."
        )
    home = str(told.get("config.files.vmPathName", "")).rpartition("/")[0]
    for one in hardware:
        file = str(getattr(getattr(one, "backing", None), "fileName", "") or "")
        if isinstance(one, vim.vm.device.VirtualDisk) and not file.startswith(f"{home}/"):
            yield Finding(
                Gravity.NOTE,
                "esxi.attached",
                f"Disk {safe(file)} of another folder is attached to VM {name}: of a boot point "
                "that is being made, or left by an interruption.",
            )


def _reach(
    session: Session, there: Inventory, wishes: Wishes, told: Mapping[str, Any]
) -> Iterator[Finding]:
    """Say whether the appliance's host has the datastore that the standby VMs lie on."""
    home = home_datastore(there, wishes.datastore)
    host = told.get("runtime.host")
    if home is None or host is None:
        return
    has = session.read(host, "datastore").get("datastore") or ()
    if ref_id(home.ref) not in {ref_id(one) for one in has}:
        yield Finding(
            Gravity.ERROR,
            "esxi.appliance-elsewhere",
            f"The host that this appliance's VM is on has not the datastore {safe(home.name)}.",
            "Move the appliance's VM to a host that has it, or choose another datastore.",
        )


def _privileges(session: Session, ref: Any) -> Iterator[Finding]:
    key = session.need(session.content.sessionManager, "currentSession")["currentSession"].key
    needed = [one for one in HOTADD if one.on is On.APPLIANCE]
    for one in missing(session, [ref], needed, key):
        yield Finding(
            Gravity.ERROR,
            f"esxi.privilege.{one.id}",
            f"The user's role lacks {one.id} on the {one.on}, which is needed to {one.purpose}.",
            "Add it to the role, and give the role on that VM.",
        )


def _snapshots(session: Session, engine: str) -> Iterator[Finding]:
    """Say of each standby VM how many boot points it may still get, and what is wrong with it."""
    paths = ("name", "config.extraConfig", "snapshot", "runtime.consolidationNeeded")
    for _, told in session.read_all(vim.VirtualMachine, *paths):
        if told.untold:
            continue  # what is not told is not "no snapshot"
        extra = {one.key: str(one.value) for one in told.get("config.extraConfig") or ()}
        vm = extra.get(layers.VM, "")
        if extra.get(layers.ENGINE) != engine or not vm or vm.startswith("aside/"):
            continue
        tree, name = tree_of(told.get("snapshot")), safe(str(told.get("name", "")))
        if why := foreign(tree, engine, vm):
            yield Finding(
                Gravity.WARNING,
                "esxi.foreign-snapshot",
                f"Standby VM {name} is not as this engine left it: {why}. It is paused.",
                "Undo that on the host; snapshots of a standby VM are its boot points.",
            )
        if told.get("runtime.consolidationNeeded"):
            yield Finding(
                Gravity.WARNING,
                "esxi.consolidate",
                f"The disks of standby VM {name} need consolidation.",
                "It is done before the next boot point, while the VM is off.",
            )
        if tree.snapshots and tree.room() <= _FEW:
            yield Finding(
                Gravity.NOTE if tree.room() else Gravity.WARNING,
                "esxi.headroom",
                f"Standby VM {name} has {len(tree.trunk())} of {MOST_POINTS} boot points: "
                f"{LONGEST} snapshots are the most in a chain, and one of the host's 32 stays "
                "free.",
                "Keep fewer boot points; the oldest is folded away first.",
            )
