"""Where VMs go: folder, resource pool, hosts, datastores and networks of one target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pyVmomi import vim

from engine.hypervisors.esxi import answers
from engine.hypervisors.esxi.answers import Told, ref_id
from engine.hypervisors.esxi.filters import each
from engine.hypervisors.esxi.found import Found, chosen, no_place
from engine.hypervisors.esxi.naming import Names, closest, fits, listed, shown
from engine.hypervisors.esxi.session import Session
from engine.model.errors import Problem, WrongUse

_UPLINKS = "SYSTEM/DVS.UPLINKPG"
_NETS = ("config.network.portgroup", "config.network.vswitch", "config.network.vnic")
_SYSTEMS = ("configManager.networkSystem", "configManager.datastoreSystem")
_NEEDED = ("runtime.connectionState", "datastore", "network", *_SYSTEMS)
_STORE = (
    "name",
    "summary.type",
    "summary.accessible",
    "summary.maintenanceMode",
    "summary.freeSpace",
    "summary.capacity",
    "info",
)
_WANTED = {
    vim.Folder: ("name", "parent"),
    vim.Datacenter: ("name", "parent", "vmFolder"),
    vim.ComputeResource: ("name", "parent", "resourcePool", "host"),
    vim.ResourcePool: ("name", "parent", "owner"),
    vim.HostSystem: ("name", "parent"),
    vim.Datastore: ("parent", *_STORE),
    vim.Network: ("name", "parent"),
}
_NO_FILES = {
    "VFFS": "a cache of flash disks (VFFS), which holds no VM",
    "PMEM": "persistent memory (PMEM), which holds only disks of that kind",
}
"""Types of datastores that take no VM's files; see `DatastoreSummary.type`."""
_HOST = (
    *_WANTED[vim.HostSystem],
    "runtime.connectionState",
    "runtime.inMaintenanceMode",
    "runtime.powerState",
    "summary.managementServerIp",
    "datastore",
    "network",
    *_SYSTEMS,
    "config.network.proxySwitch",
    *_NETS,
)
"""Of the hosts of the place only: a vCenter has many others, and each tells all its networks."""
_DISTRIBUTED = {
    vim.DistributedVirtualSwitch: ("name", "uuid"),
    vim.OpaqueNetwork: ("name", "parent", "summary"),
    vim.dvs.DistributedVirtualPortgroup: (
        "name",
        "parent",
        "key",
        "config.distributedVirtualSwitch",
        "tag",
    ),
}


@dataclass(frozen=True, slots=True)
class Host:
    """One ESXi host.

    Attributes:
        sleeps: It is in standby, to save power; its vCenter wakes it when there is need.
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
    sleeps: bool = False

    @property
    def starts(self) -> bool:
        """Tell whether a VM can be started on it now."""
        return self.connected and not (self.maintenance or self.sleeps)


@dataclass(frozen=True, slots=True)
class Datastore:
    """A datastore: bytes, and what it is mounted from where it is NFS (`host:/path`).

    In `maintenance`, or on the way there, it takes no new files.
    """

    ref: Any
    name: str
    type: str
    accessible: bool
    free: int
    capacity: int
    mounted: str = ""
    maintenance: bool = False

    @property
    def kind(self) -> str:
        """Return what it is where its type holds no VM's files; empty for others."""
        return _NO_FILES.get(self.type.upper(), "")


@dataclass(frozen=True, slots=True)
class Pod:
    """A datastore cluster: its name, and those of the datastores in it that the hosts have."""

    name: str
    datastores: Sequence[str]


@dataclass(frozen=True, slots=True)
class NetworkPlace:
    """A port group.

    Attributes:
        way: Names on the way to it, its distributed switch the last but one.
        key, switch: Of a distributed switch, empty for a standard one.
        opaque: Type and id of one that another product manages; empty for others.
        had: A host here says that it has it.
    """

    ref: Any
    name: str
    way: Names = ()
    key: str = ""
    switch: str = ""
    opaque: tuple[str, str] | tuple[()] = ()
    had: bool = False

    @property
    def standard(self) -> bool:
        """Tell whether it is of a switch of the host's own."""
        return type(self.ref) is vim.Network


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the place that was chosen consists of.

    Attributes:
        folder, pool: Where VMs are created.
        hosts: That may run them, as far as this user may see; never empty.
        members: Ids of all hosts, also of those that the role hides.
        datastores, networks: That these hosts have, those of the same datacenter at most: names
            are unique in a datacenter only.
        pods: Datastore clusters of the same datacenter.
    """

    folder: Any
    pool: Any
    hosts: Sequence[Host]
    datastores: Sequence[Datastore]
    networks: Sequence[NetworkPlace]
    members: frozenset[str] = frozenset()
    pods: Sequence[Pod] = ()

    @property
    def reached(self) -> Sequence[Host]:
        """Return the hosts that can be changed now; all, where none can."""
        return [one for one in self.hosts if one.connected and not one.sleeps] or self.hosts

    def host(self, datastore: str, number: int) -> Any:
        """Return the host for a new VM; None where none starts any, so that the target says why.

        A cluster without DRS chooses none by itself. Source: `Folder.CreateVM_Task` of VMware's
        vSphere API reference, `host`.

        Args:
            datastore: Of the VM's own files, by its name.
            number: The VM's own, which spreads VMs over the hosts that fit.
        """
        found = self.datastore(datastore)
        ready = sorted((one for one in self.hosts if one.starts), key=lambda one: ref_id(one.ref))
        near = [one for one in ready if found and ref_id(found.ref) in one.datastores] or ready
        return near[number % len(near)].ref if near else None

    def datastore(self, name: str) -> Datastore | None:
        """Return a datastore by its name."""
        return next(iter(closest(self.datastores, name, lambda one: one.name)), None)

    def pod(self, name: str) -> Pod | None:
        """Return a datastore cluster by its name."""
        return next(iter(closest(self.pods, name, lambda one: one.name)), None)

    def network(self, name: str) -> NetworkPlace | None:
        """Return a port group by its name, or by names on the way to it; hosts' own go before.

        Raises:
            WrongUse: Several have the name, as port groups of several switches may.
        """
        ways = set(fits([one.way for one in self.networks], name))
        found = [one for one in self.networks if one.way in ways]
        if near := [one for one in found if one.had]:
            found = near
        if len({ref_id(one.ref) for one in found}) > 1:
            raise WrongUse(_which_network(name, [one.way for one in found]))
        return found[0] if found else None


def look(session: Session, place: str) -> Inventory:
    """Return the inventory of a resource pool, cluster or host by its name.

    One call, however many hosts there are; at the first look at a place one more, for its hosts.

    Args:
        place: Empty: the only one there is. With slashes: names on the way to it, such as
            `cluster/pool`, or all of them from `/datacenter/host/` on.

    Raises:
        WrongUse: There is none, or more than one, of that name.
    """
    known = session.hosts.get(place, ())
    kinds = _WANTED | (_DISTRIBUTED if session.is_vcenter else {})
    told = list(session.read_many(kinds, *([each(known, _HOST)] if known else ())))
    of_hosts = {ref_id(ref): (ref, seen) for ref, seen in told if _is_whole(seen)}
    found = Found(told)
    compute, pool = chosen(session, place, found)
    wanted = {ref_id(ref) for ref in compute.get("host", ())}
    hosts_by_id = {ref_id(ref): ref for ref, _ in found.of(vim.HostSystem)}
    refs = [ref for known_id, ref in hosts_by_id.items() if known_id in wanted]
    if not all(ref_id(ref) in of_hosts for ref in refs):
        of_hosts = {ref_id(ref): (ref, seen) for ref, seen in session.read_each(refs, *_HOST)}
    session.hosts[place] = refs
    mine = [of_hosts[ref_id(ref)] for ref in refs if ref_id(ref) in of_hosts]
    for _, seen in mine:
        answers.check(seen, session.account.target, *_NEEDED)
    hosts = [_host(ref, seen) for ref, seen in mine]
    if not hosts:
        raise no_place(session, place, "has no host that this user may see")
    centre = found.centre(compute.get("parent"))
    folder = found.by_id[ref_id(centre)][1].get("vmFolder") if centre is not None else None
    if folder is None:
        raise no_place(session, place, "is in no datacenter that this user may see")
    stores = _near(found, vim.Datastore, centre, [one.datastores for one in hosts])
    return Inventory(
        folder=folder,
        pool=pool,
        hosts=hosts,
        datastores=[_datastore(ref, seen) for ref, seen in stores],
        networks=list(_networks(found, centre, [one.networks for one in hosts])),
        members=frozenset(wanted),
        pods=[_pod(ref, seen, stores) for ref, seen in _near(found, vim.StoragePod, centre, [])],
    )


def _is_whole(seen: Told) -> bool:
    """Tell whether this is what a host of a place is asked for, not only its name."""
    return "runtime.connectionState" in seen or "runtime.connectionState" in seen.untold


def mounts(session: Session, host: Any) -> Sequence[Any]:
    """Return the datastores that a host has now."""
    return list(session.read(host, "datastore").get("datastore") or ())


def datastores_of(session: Session, host: Any) -> Sequence[Datastore]:
    """Return what a host has mounted now."""
    told = session.read_each(mounts(session, host), *_STORE)
    return [_datastore(ref, seen) for ref, seen in told]


def _near(
    found: Found, kind: Any, centre: Any, had: Sequence[frozenset[str]]
) -> Sequence[tuple[Any, Told]]:
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


def _host(ref: Any, seen: Told) -> Host:
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
        str(seen.get("runtime.powerState")) == "standBy",
    )


def _datastore(ref: Any, seen: Told) -> Datastore:
    nas = getattr(seen.get("info"), "nas", None)
    return Datastore(
        ref,
        str(seen.get("name", "")),
        str(seen.get("summary.type", "")),
        bool(seen.get("summary.accessible")),
        int(seen.get("summary.freeSpace") or 0),
        int(seen.get("summary.capacity") or 0),
        f"{nas.remoteHost}:{nas.remotePath}" if nas is not None else "",
        str(seen.get("summary.maintenanceMode") or "normal") != "normal",
    )


def _pod(ref: Any, seen: Told, stores: Sequence[tuple[Any, Told]]) -> Pod:
    inside = [
        str(one.get("name", ""))
        for _, one in stores
        if (at := one.get("parent")) is not None and ref_id(at) == ref_id(ref)
    ]
    return Pod(str(seen.get("name", "")), inside)


def _networks(found: Found, centre: Any, had: Sequence[frozenset[str]]) -> Iterator[NetworkPlace]:
    ids = frozenset[str]().union(*had)
    for ref, seen in _near(found, vim.Network, centre, had):
        name, way, near = str(seen.get("name", "")), found.names(ref), ref_id(ref) in ids
        if not isinstance(ref, vim.dvs.DistributedVirtualPortgroup):
            yield NetworkPlace(ref, name, way, opaque=_opaque(seen.get("summary")), had=near)
            continue
        if any(one.key == _UPLINKS for one in seen.get("tag") or ()):
            continue  # the way out of a switch: no VM is put there
        switch = seen.get("config.distributedVirtualSwitch")
        known = found.by_id.get(ref_id(switch)) if switch is not None else None
        uuid, called = (str(known[1].get(one, "")) if known else "" for one in ("uuid", "name"))
        way = (*way[:-1], *([called] if called else []), name)
        yield NetworkPlace(ref, name, way, str(seen.get("key", "")), uuid, had=near)


def _opaque(summary: Any) -> tuple[str, str] | tuple[()]:
    if not isinstance(summary, vim.OpaqueNetwork.Summary):
        return ()
    return str(summary.opaqueNetworkType or ""), str(summary.opaqueNetworkId or "")


def _which_network(name: str, ways: Sequence[Names]) -> Problem:
    short = [way[-2:] for way in ways]
    told = listed(short if len(set(short)) == len(short) else ways)
    return Problem(
        "target.which-port-group",
        f"Port group {shown(name)} is the name of {len(ways)}: {told}.",
        "No VM was started.",
        "Say in the target's definition which is meant: its switch, or more of the way, and a "
        "slash before its name.",
    )
