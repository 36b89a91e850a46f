"""Where VMs go: folder, resource pool, hosts, datastores and networks of one target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim

from engine.hypervisors.esxi import answers
from engine.hypervisors.esxi.answers import Told
from engine.hypervisors.esxi.naming import Names, fits, is_named, listed, nearest
from engine.hypervisors.esxi.session import Session
from engine.model.errors import Problem, WrongUse
from engine.model.text import safe

_NEST = 64
_UPLINKS = "SYSTEM/DVS.UPLINKPG"
_NETS = ("config.network.portgroup", "config.network.vswitch", "config.network.vnic")
_SYSTEMS = ("configManager.networkSystem", "configManager.datastoreSystem")
_NEEDED = ("runtime.connectionState", "datastore", "network", *_SYSTEMS)
_WANTED = {
    vim.Folder: ("name", "parent"),
    vim.Datacenter: ("name", "parent", "vmFolder"),
    vim.ComputeResource: ("name", "parent", "resourcePool", "host"),
    vim.ResourcePool: ("name", "parent", "owner"),
    vim.HostSystem: (
        "name",
        "parent",
        "runtime.connectionState",
        "runtime.inMaintenanceMode",
        "summary.managementServerIp",
        "datastore",
        "network",
        *_SYSTEMS,
        "config.network.proxySwitch",
        *_NETS,
    ),
    vim.Datastore: (
        "name",
        "parent",
        "summary.type",
        "summary.accessible",
        "summary.freeSpace",
        "summary.capacity",
        "info",
    ),
    vim.Network: ("name", "parent"),
}
_DISTRIBUTED = {
    vim.DistributedVirtualSwitch: ("uuid",),
    vim.dvs.DistributedVirtualPortgroup: (
        "name",
        "parent",
        "key",
        "config.distributedVirtualSwitch",
        "tag",
    ),
}
_Values = Told


@dataclass(frozen=True, slots=True)
class Host:
    """One ESXi host.

    Attributes:
        manager: Address of the vCenter that manages it, empty without one.
        networking, storing: The objects that change its networks and its datastores.
        groups, switches, kernel: Its port groups, standard switches and VMkernel ports.
        proxies: What it has of distributed switches.
        datastores, networks: Ids of those it has.
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
    proxies: tuple[Any, ...] = ()
    datastores: frozenset[str] = frozenset()
    networks: frozenset[str] = frozenset()


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

    @property
    def standard(self) -> bool:
        """Tell whether it is of a switch of the host's own."""
        return type(self.ref) is vim.Network


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the place that was chosen consists of.

    Attributes:
        folder, pool: Where VMs are created.
        hosts: That may run them; never empty.
        datastores, networks: That these hosts have, those of the same datacenter at most: names
            are unique in a datacenter only.
    """

    folder: Any
    pool: Any
    hosts: Sequence[Host]
    datastores: Sequence[Datastore]
    networks: Sequence[NetworkPlace]

    @property
    def reached(self) -> Sequence[Host]:
        """Return the hosts that can be changed now; all, where none can."""
        return [one for one in self.hosts if one.connected] or self.hosts

    def datastore(self, name: str) -> Datastore | None:
        """Return a datastore by its name."""
        return next((one for one in self.datastores if is_named(one.name, name)), None)

    def network(self, name: str) -> NetworkPlace | None:
        """Return a port group by its name."""
        return next((one for one in self.networks if is_named(one.name, name)), None)


def look(session: Session, place: str) -> Inventory:
    """Return the inventory of a resource pool, cluster or host by its name, read in one go.

    Args:
        place: Empty: the only one there is. With slashes: names on the way to it, such as
            `cluster/pool`, or all of them from `/datacenter/host/` on.

    Raises:
        WrongUse: There is none, or more than one, of that name.
    """
    found = _Found(session.read_many(_WANTED | (_DISTRIBUTED if session.is_vcenter else {})))
    compute, pool = _chosen(session, place, found)
    wanted = {ref_id(ref) for ref in compute.get("host", ())}
    mine = [(ref, seen) for ref, seen in found.of(vim.HostSystem) if ref_id(ref) in wanted]
    for _, seen in mine:
        answers.check(seen, session.account.target, *_NEEDED)
    hosts = [_host(ref, seen) for ref, seen in mine]
    if not hosts:
        raise _no_place(session, place, "has no host that this user may see")
    centre = found.centre(compute.get("parent"))
    folder = found.by_id[ref_id(centre)][1].get("vmFolder") if centre is not None else None
    if folder is None:
        raise _no_place(session, place, "is in no datacenter that this user may see")
    return Inventory(
        folder=folder,
        pool=pool,
        hosts=hosts,
        datastores=[
            _datastore(ref, seen)
            for ref, seen in _near(found, vim.Datastore, centre, [one.datastores for one in hosts])
        ],
        networks=list(_networks(found, centre, [one.networks for one in hosts])),
    )


def _near(
    found: _Found, kind: Any, centre: Any, had: Sequence[frozenset[str]]
) -> Sequence[tuple[Any, _Values]]:
    """Return the objects of a kind in a datacenter, those that hosts say they have first.

    Datastores that no host has are left out, where hosts say what they have.
    """
    here = [
        (ref, seen)
        for ref, seen in found.of(kind)
        if (at := found.centre(seen.get("parent"))) is None or ref_id(at) == ref_id(centre)
    ]
    ids = frozenset[str]().union(*had)
    near = [one for one in here if ref_id(one[0]) in ids]
    if kind is vim.Datastore:
        return near or here
    return [*near, *(one for one in here if ref_id(one[0]) not in ids)]


class _Found:
    """Everything that one reading brought."""

    def __init__(self, everything: Sequence[tuple[Any, _Values]]) -> None:
        self._all = everything
        self.by_id = {ref_id(ref): (ref, seen) for ref, seen in everything}

    def of(self, kind: Any) -> Sequence[tuple[Any, _Values]]:
        """Return the objects of a kind, or of a kind of that kind."""
        return [(ref, seen) for ref, seen in self._all if isinstance(ref, kind)]

    def way(self, ref: Any) -> Iterator[tuple[Any, _Values]]:
        """Yield an object and what it is in, outwards, as far as this user may see."""
        at = ref
        for _ in range(_NEST):
            known = self.by_id.get(ref_id(at)) if at is not None else None
            if known is None:
                return
            yield known
            at = known[1].get("parent")

    def centre(self, ref: Any) -> Any:
        """Return the datacenter that an object is in; None when that is not seen."""
        return next((at for at, _ in self.way(ref) if isinstance(at, vim.Datacenter)), None)

    def names(self, ref: Any) -> Names:
        """Return the names on the way to an object, the outermost first."""
        return tuple(str(seen.get("name", "")) for _, seen in self.way(ref))[::-1]


def ref_id(ref: Any) -> str:
    """Return the id of a managed object, unique within its host or vCenter."""
    return str(ref._moId)  # noqa: SLF001 - the library has no other name for it


def _chosen(session: Session, place: str, found: _Found) -> tuple[_Values, Any]:
    """Return the compute resource and the pool that a name means."""
    computes, pools = _computes(found), _pools(found)
    if not place and len(computes) == 1:
        return next(iter(computes.values()))
    if not place:
        told = f"must be named, for there are {len(computes)}: {listed(list(computes))}"
        raise _no_place(session, place, told)
    fitting = fits([*computes, *pools], place)
    if len(fitting) == 1:
        return (computes | pools)[fitting[0]]
    if fitting:
        told = f"is the name of {len(fitting)}: {listed(fitting)}. Say which, by more of the way"
    elif cluster := _cluster_of(found, place):
        told = f"is one host of cluster {safe(cluster)}, which itself says where VMs run"
    else:
        there = listed(nearest(list(computes), place))
        told = f"is no pool, cluster or host of its own that this user may see; there are: {there}"
    raise _no_place(session, place, told)


def _computes(found: _Found) -> dict[Names, tuple[_Values, Any]]:
    """Return the clusters and the hosts of their own, by their ways, each with its whole pool."""
    return {
        found.names(ref): (seen, pool)
        for ref, seen in found.of(vim.ComputeResource)
        if (pool := seen.get("resourcePool")) is not None
    }


def _pools(found: _Found) -> dict[Names, tuple[_Values, Any]]:
    """Return the resource pools and vApps, by their ways, each with what it is a part of."""
    return {
        found.names(pool): (known[1], pool)
        for pool, seen in found.of(vim.ResourcePool)
        if (owner := seen.get("owner")) is not None
        and (known := found.by_id.get(ref_id(owner))) is not None
    }


def _cluster_of(found: _Found, name: str) -> str:
    """Return the cluster that a host of this name is a part of; empty without one."""
    ways = [found.names(ref) for ref, _ in found.of(vim.HostSystem)]
    return next((way[-2] for way in ways if len(way) > 1 and is_named(way[-1], name)), "")


def _host(ref: Any, seen: _Values) -> Host:
    groups, switches, kernel = (tuple(seen.get(path) or ()) for path in _NETS)
    networking, storing = (seen.get(path) for path in _SYSTEMS)
    return Host(
        ref,
        str(seen.get("name", "")),
        str(seen.get("runtime.connectionState")) == "connected",
        bool(seen.get("runtime.inMaintenanceMode")),
        str(seen.get("summary.managementServerIp") or ""),
        networking,
        storing,
        groups,
        switches,
        kernel,
        tuple(seen.get("config.network.proxySwitch") or ()),
        frozenset(ref_id(one) for one in seen.get("datastore") or ()),
        frozenset(ref_id(one) for one in seen.get("network") or ()),
    )


def _datastore(ref: Any, seen: _Values) -> Datastore:
    nas = getattr(seen.get("info"), "nas", None)
    return Datastore(
        ref,
        str(seen.get("name", "")),
        str(seen.get("summary.type", "")),
        bool(seen.get("summary.accessible")),
        int(seen.get("summary.freeSpace") or 0),
        int(seen.get("summary.capacity") or 0),
        f"{nas.remoteHost}:{nas.remotePath}" if nas is not None else "",
    )


def _networks(found: _Found, centre: Any, had: Sequence[frozenset[str]]) -> Iterator[NetworkPlace]:
    for ref, seen in _near(found, vim.Network, centre, had):
        name = str(seen.get("name", ""))
        if not isinstance(ref, vim.dvs.DistributedVirtualPortgroup):
            yield NetworkPlace(ref, name)
            continue
        if any(one.key == _UPLINKS for one in seen.get("tag") or ()):
            continue  # the way out of a switch: no VM is put there
        switch = seen.get("config.distributedVirtualSwitch")
        known = found.by_id.get(ref_id(switch)) if switch is not None else None
        uuid = str(known[1].get("uuid", "")) if known else ""
        yield NetworkPlace(ref, name, str(seen.get("key", "")), uuid)


def _no_place(session: Session, place: str, why: str) -> WrongUse:
    named = f"Place {safe(place)}" if place else "The place for VMs"
    return WrongUse(
        Problem(
            "target.place",
            f"{named} on target {safe(session.account.target)} {why}.",
            "Nothing was changed.",
            "Name a resource pool, a cluster or a host of its own as esxi.place (--place).",
        )
    )
