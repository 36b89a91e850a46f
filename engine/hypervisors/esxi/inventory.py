"""Where VMs go: folder, resource pool, hosts, datastores and networks of one target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim

from engine.hypervisors.esxi.session import Session
from engine.model.errors import Problem, WrongUse
from engine.model.text import safe

_NEST = 64


@dataclass(frozen=True, slots=True)
class Host:
    """One ESXi host. `manager`: address of the vCenter that manages it, empty without one."""

    ref: Any
    name: str
    connected: bool
    maintenance: bool
    manager: str


@dataclass(frozen=True, slots=True)
class Datastore:
    """A datastore: bytes, and what it is mounted from where it is NFS (`host:/path`)."""

    ref: Any
    name: str
    type: str
    accessible: bool
    free: int
    capacity: int
    mounted: str = ""


@dataclass(frozen=True, slots=True)
class NetworkPlace:
    """A port group, of a standard or a distributed switch."""

    ref: Any
    name: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the place that was chosen consists of.

    Attributes:
        folder, pool: Where VMs are created.
        hosts: That may run them; never empty.
        datastores, networks: That these hosts have.
    """

    folder: Any
    pool: Any
    hosts: Sequence[Host]
    datastores: Sequence[Datastore]
    networks: Sequence[NetworkPlace]

    def datastore(self, name: str) -> Datastore | None:
        """Return a datastore by its name."""
        return next((one for one in self.datastores if one.name == name), None)

    def network(self, name: str) -> NetworkPlace | None:
        """Return a port group by its name."""
        return next((one for one in self.networks if one.name == name), None)


def look(session: Session, place: str) -> Inventory:
    """Return the inventory of a resource pool, cluster or host by its name.

    Args:
        place: Empty: the only one there is.

    Raises:
        WrongUse: There is none, or more than one, of that name.
    """
    computes = session.read_all(vim.ComputeResource, "name", "parent", "resourcePool", "host")
    compute, pool = _chosen(session, place, computes)
    wanted = {ref._moId for ref in compute.get("host", ())}  # noqa: SLF001 - no other name for it
    hosts = [one for one in _hosts(session) if one.ref._moId in wanted]  # noqa: SLF001 - as above
    if not hosts:
        raise _no_place(session, place, "has no host")
    return Inventory(
        folder=_vm_folder(session, compute["parent"]),
        pool=pool,
        hosts=hosts,
        datastores=_datastores(session),
        networks=[
            NetworkPlace(ref, seen["name"]) for ref, seen in session.read_all(vim.Network, "name")
        ],
    )


def _chosen(session: Session, place: str, computes: Sequence[Any]) -> tuple[Any, Any]:
    """Return the compute resource and the pool that a name means."""
    if not place:
        if len(computes) == 1:
            return computes[0][1], computes[0][1]["resourcePool"]
        names = ", ".join(sorted(safe(seen["name"]) for _, seen in computes)[:8]) or "none"
        raise _no_place(session, place, f"must be named, for there are several: {names}")
    found = [(seen, seen["resourcePool"]) for _, seen in computes if seen["name"] == place]
    owners = {ref._moId: seen for ref, seen in computes}  # noqa: SLF001 - no other name for it
    for pool, seen in session.read_all(vim.ResourcePool, "name", "owner"):
        if seen["name"] == place:
            found.append((owners[seen["owner"]._moId], pool))  # noqa: SLF001 - as above
    if len(found) != 1:
        raise _no_place(session, place, f"is the name of {len(found)} pools, clusters and hosts")
    return found[0]


def _hosts(session: Session) -> Sequence[Host]:
    paths = (
        "name",
        "runtime.connectionState",
        "runtime.inMaintenanceMode",
        "summary.managementServerIp",
    )
    return [
        Host(
            ref,
            str(seen["name"]),
            str(seen.get("runtime.connectionState")) == "connected",
            bool(seen.get("runtime.inMaintenanceMode")),
            str(seen.get("summary.managementServerIp") or ""),
        )
        for ref, seen in session.read_all(vim.HostSystem, *paths)
    ]


def _datastores(session: Session) -> Sequence[Datastore]:
    paths = ("name", "summary.type", "summary.accessible", "summary.freeSpace")
    found = []
    for ref, seen in session.read_all(vim.Datastore, *paths, "summary.capacity", "info"):
        nas = getattr(seen.get("info"), "nas", None)
        found.append(
            Datastore(
                ref,
                str(seen["name"]),
                str(seen.get("summary.type", "")),
                bool(seen.get("summary.accessible")),
                int(seen.get("summary.freeSpace") or 0),
                int(seen.get("summary.capacity") or 0),
                f"{nas.remoteHost}:{nas.remotePath}" if nas is not None else "",
            )
        )
    return found


def _vm_folder(session: Session, parent: Any) -> Any:
    """Return the folder of VMs of the datacenter that a compute resource is in."""
    at = parent
    for _ in range(_NEST):
        if isinstance(at, vim.Datacenter):
            return session.read(at, "vmFolder")["vmFolder"]
        at = session.read(at, "parent")["parent"]
    raise _no_place(session, "", "is in no datacenter")


def _no_place(session: Session, place: str, why: str) -> WrongUse:
    named = f"Place {safe(place)}" if place else "The place for VMs"
    return WrongUse(
        Problem(
            "target.place",
            f"{named} on target {safe(session.account.target)} {why}.",
            "Nothing was changed.",
            "Name a resource pool, a cluster or a host of its own as esxi.place.",
        )
    )
