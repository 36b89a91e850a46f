"""Where VMs go: folder, resource pool, hosts, datastores and networks of one target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim

from engine.hypervisors.esxi.session import Session
from engine.model.errors import Problem, WrongUse
from engine.model.text import safe

_NEST = 64
_NETS = ("config.network.portgroup", "config.network.vswitch", "config.network.vnic")
_SYSTEMS = ("configManager.networkSystem", "configManager.datastoreSystem")
_WANTED = {
    vim.Folder: ("parent",),
    vim.Datacenter: ("parent", "vmFolder"),
    vim.ComputeResource: ("name", "parent", "resourcePool", "host"),
    vim.ResourcePool: ("name", "owner"),
    vim.HostSystem: (
        "name",
        "runtime.connectionState",
        "runtime.inMaintenanceMode",
        "summary.managementServerIp",
        "datastore",
        *_SYSTEMS,
        *_NETS,
    ),
    vim.Datastore: (
        "name",
        "summary.type",
        "summary.accessible",
        "summary.freeSpace",
        "summary.capacity",
        "info",
    ),
    vim.Network: ("name",),
}
_DISTRIBUTED = {
    vim.DistributedVirtualSwitch: ("uuid",),
    vim.dvs.DistributedVirtualPortgroup: ("name", "key", "config.distributedVirtualSwitch"),
}
_Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Host:
    """One ESXi host.

    Attributes:
        manager: Address of the vCenter that manages it, empty without one.
        networking, storing: The objects that change its networks and its datastores.
        groups, switches, kernel: Its port groups, standard switches and VMkernel ports.
        datastores: Ids of those it has.
    """

    ref: Any
    name: str
    connected: bool
    maintenance: bool
    manager: str
    networking: Any
    storing: Any
    groups: tuple[Any, ...] = ()
    switches: tuple[Any, ...] = ()
    kernel: tuple[Any, ...] = ()
    datastores: frozenset[str] = frozenset()


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
    """A port group. `key` and `switch`: of a distributed switch, empty for a standard one."""

    ref: Any
    name: str
    key: str = ""
    switch: str = ""


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
    """Return the inventory of a resource pool, cluster or host by its name, read in one go.

    Args:
        place: Empty: the only one there is.

    Raises:
        WrongUse: There is none, or more than one, of that name.
    """
    found = _Found(session.read_many(_WANTED | (_DISTRIBUTED if session.is_vcenter else {})))
    compute, pool = _chosen(session, place, found)
    wanted = {ref_id(ref) for ref in compute.get("host", ())}
    hosts = [_host(ref, seen) for ref, seen in found.of(vim.HostSystem) if ref_id(ref) in wanted]
    if not hosts:
        raise _no_place(session, place, "has no host")
    return Inventory(
        folder=_vm_folder(session, found, compute["parent"]),
        pool=pool,
        hosts=hosts,
        datastores=[_datastore(ref, seen) for ref, seen in found.of(vim.Datastore)],
        networks=list(_networks(found)),
    )


class _Found:
    """Everything that one reading brought."""

    def __init__(self, everything: Sequence[tuple[Any, _Values]]) -> None:
        self._all = everything
        self.by_id = {ref_id(ref): (ref, seen) for ref, seen in everything}

    def of(self, kind: Any) -> Sequence[tuple[Any, _Values]]:
        """Return the objects of a kind, or of a kind of that kind."""
        return [(ref, seen) for ref, seen in self._all if isinstance(ref, kind)]


def ref_id(ref: Any) -> str:
    """Return the id of a managed object, unique within its host or vCenter."""
    return str(ref._moId)  # noqa: SLF001 - the library has no other name for it


def _chosen(session: Session, place: str, found: _Found) -> tuple[_Values, Any]:
    """Return the compute resource and the pool that a name means."""
    computes = found.of(vim.ComputeResource)
    if not place:
        if len(computes) == 1:
            return computes[0][1], computes[0][1]["resourcePool"]
        names = ", ".join(sorted(safe(seen["name"]) for _, seen in computes)[:8]) or "none"
        raise _no_place(session, place, f"must be named, for there are several: {names}")
    fitting = [(seen, seen["resourcePool"]) for _, seen in computes if seen["name"] == place]
    for pool, seen in found.of(vim.ResourcePool):
        if seen["name"] == place:
            fitting.append((found.by_id[ref_id(seen["owner"])][1], pool))
    if len(fitting) != 1:
        raise _no_place(session, place, f"is the name of {len(fitting)} pools, clusters and hosts")
    return fitting[0]


def _host(ref: Any, seen: _Values) -> Host:
    groups, switches, kernel = (tuple(seen.get(path) or ()) for path in _NETS)
    networking, storing = (seen.get(path) for path in _SYSTEMS)
    return Host(
        ref,
        str(seen["name"]),
        str(seen.get("runtime.connectionState")) == "connected",
        bool(seen.get("runtime.inMaintenanceMode")),
        str(seen.get("summary.managementServerIp") or ""),
        networking,
        storing,
        groups,
        switches,
        kernel,
        frozenset(ref_id(one) for one in seen.get("datastore") or ()),
    )


def _datastore(ref: Any, seen: _Values) -> Datastore:
    nas = getattr(seen.get("info"), "nas", None)
    return Datastore(
        ref,
        str(seen["name"]),
        str(seen.get("summary.type", "")),
        bool(seen.get("summary.accessible")),
        int(seen.get("summary.freeSpace") or 0),
        int(seen.get("summary.capacity") or 0),
        f"{nas.remoteHost}:{nas.remotePath}" if nas is not None else "",
    )


def _networks(found: _Found) -> Iterator[NetworkPlace]:
    for ref, seen in found.of(vim.Network):
        if not isinstance(ref, vim.dvs.DistributedVirtualPortgroup):
            yield NetworkPlace(ref, str(seen["name"]))
            continue
        switch = seen.get("config.distributedVirtualSwitch")
        known = found.by_id.get(ref_id(switch)) if switch is not None else None
        uuid = str(known[1].get("uuid", "")) if known else ""
        yield NetworkPlace(ref, str(seen["name"]), str(seen.get("key", "")), uuid)


def _vm_folder(session: Session, found: _Found, parent: Any) -> Any:
    """Return the folder of VMs of the datacenter that a compute resource is in."""
    at = parent
    for _ in range(_NEST):
        known = found.by_id.get(ref_id(at)) if at is not None else None
        seen = known[1] if known else {}
        if isinstance(at, vim.Datacenter) and "vmFolder" in seen:
            return seen["vmFolder"]
        at = seen.get("parent")
    raise _no_place(session, "", "is in no datacenter that this user may see")


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
