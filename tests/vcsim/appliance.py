"""The appliance as a VM of a simulated host, and the standby VMs whose disks it gets."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pyVmomi import vim

from engine.hypervisors.esxi.appliance import Appliance
from engine.hypervisors.esxi.blockdevice import Devices
from engine.hypervisors.esxi.branches import Branches
from engine.hypervisors.esxi.ground import Ground
from engine.hypervisors.esxi.machine import Machines
from engine.hypervisors.esxi.preflight import Wishes
from engine.hypervisors.esxi.session import Session
from engine.hypervisors.esxi.tasks import TaskWaiter
from tests.vcsim.simulator import Sim

ENGINE = "engine-of-the-tests"


def wishes(session: Session) -> Wishes:
    """Return what the tests use of a simulated host."""
    place = "DC0_C0" if session.is_vcenter else ""
    return Wishes(place, "LocalDS_0", "VM Network", "bp-isolated", "127.0.0.1", "/nowhere")


def branches(session: Session, pauses: list[float] | None = None) -> Branches:
    """Return the standby VMs of this engine."""
    busy = (pauses if pauses is not None else []).append
    wanted = wishes(session)
    ground = Ground(session, wanted, "bp-none")
    machines = Machines(session, TaskWaiter(session), ENGINE, busy)
    return Branches(session, machines, ground, wanted, ENGINE)


def own_vm(sim: Sim) -> tuple[Any, UUID]:
    """Return the VM that stands for this machine: the one that every simulated host has."""
    return own_of(sim.foreigner())


def own_of(session: Session) -> tuple[Any, UUID]:
    """Return the same, where somebody is logged in."""
    found = session.read_all(vim.VirtualMachine, "name", "config.uuid")
    ref, told = min(found, key=lambda pair: "VM0" not in pair[1]["name"])
    return ref, UUID(told["config.uuid"])


def appliance(session: Session, sim: Sim, devices: Devices) -> Appliance:
    """Return this machine as a VM of the simulated host."""
    _, uuid = own_vm(sim)
    machines = Machines(session, TaskWaiter(session), ENGINE, lambda _seconds: None)
    return Appliance(session, machines, devices, lambda: [uuid])
