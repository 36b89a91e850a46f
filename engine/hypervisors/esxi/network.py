"""The isolated port group: on a switch of its own that has no uplink and no VMkernel port.

A switch is called as its port group, as far as its name may be as long: at most 32 characters.
Source: `HostVirtualSwitch` of VMware's vSphere API reference; one is left for an end of a string.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any

from pyVmomi import vim

from engine.hypervisors.esxi import faults, needs
from engine.hypervisors.esxi.inventory import Host, Inventory, NetworkPlace, ref_id
from engine.hypervisors.esxi.session import Session
from engine.model.errors import Problem
from engine.model.text import safe

_LONGEST, _KEPT = 31, 22
"""Bytes of a switch's name; of those, what is kept of a longer one before its checksum."""
_PATHS = ("networkInfo.portgroup", "networkInfo.vswitch", "networkInfo.vnic")


def switch_of(name: str) -> str:
    """Return the name of the switch that an isolated port group is made on."""
    told = name.encode()
    if len(told) <= _LONGEST:
        return name
    return f"{told[:_KEPT].decode(errors='ignore')}-{blake2b(told, digest_size=4).hexdigest()}"


def isolation(session: Session, there: Inventory, name: str) -> Iterator[tuple[Host, str]]:
    """Yield each host with the reason why its port group is not isolated, or would not be.

    The reason is empty where the port group is isolated, or can be made. A switch that has its
    switch's name already, and a way out, is somebody else's: nothing is made on it.
    """
    known = there.network(name)
    for host in there.hosts:
        if known is not None and not known.standard:
            yield host, _may_lead_out(host, known)
        else:
            yield host, _why_not(_shape(session, host), name)


def _may_lead_out(host: Host, network: NetworkPlace) -> str:
    """Return why a port group of no standard switch is not isolated on a host.

    Only a host that has the distributed switch, and no uplink on it, shows that it is.
    """
    if not network.switch:
        return "it belongs to no switch whose uplinks can be looked at"
    mine = [one for one in host.proxies if one.dvsUuid == network.switch]
    if not mine:
        return "it belongs to a distributed switch, and the host does not tell its uplinks there"
    if up := [port for one in mine for port in one.pnic or ()]:
        return f"its distributed switch has the uplink {safe(str(up[0]))}"
    return ""


def lacking(session: Session, there: Inventory, name: str) -> Sequence[Host]:
    """Return the hosts that have no port group of this name, as far as they tell."""
    known = there.network(name)
    return [
        host
        for host in there.hosts
        if not (known is not None and ref_id(known.ref) in host.networks)
        and not _has(session, host, name)
    ]


@dataclass(frozen=True, slots=True)
class _Shape:
    """A host's port groups, switches and VMkernel ports, as the API gives them."""

    groups: tuple[Any, ...]
    switches: tuple[Any, ...]
    kernel: tuple[Any, ...]


def _shape(session: Session, host: Host) -> _Shape:
    """Return a host's networks, both as it is configured and as its network system says.

    A host says the same twice; for isolation, what either says counts. One that is away says
    nothing, and its vCenter knows how it was configured.
    """
    running: Mapping[str, Any] = {}
    if host.connected:
        running = session.read(_networking(session, host), *_PATHS)
    groups, switches, kernel = (tuple(running.get(path) or ()) for path in _PATHS)
    return _Shape(groups + host.groups, switches + host.switches, kernel + host.kernel)


def _why_not(seen: _Shape, name: str) -> str:
    group = next((one for one in seen.groups if one.spec.name == name), None)
    switch = switch_of(name) if group is None else group.spec.vswitchName
    for one in seen.switches:
        if one.name == switch and one.pnic:
            return f"its switch {safe(switch)} has the uplink {safe(str(one.pnic[0]))}"
    beside = {one.spec.name for one in seen.groups if one.spec.vswitchName == switch}
    for one in seen.kernel:
        if one.portgroup in beside:
            return f"the host itself is on its switch {safe(switch)} ({safe(one.device)})"
    return ""


def _make(session: Session, host: Host, name: str, is_done: Any, change: Any) -> None:
    try:
        faults.make_sure(partial(is_done, session, host, name), change)
    except faults.NeedsHuman as failure:
        raise faults.NeedsHuman(
            Problem(
                "target.no-isolated",
                f"The isolated port group {safe(name)} cannot be made on host {safe(host.name)}: "
                f"{failure.problem.happened}",
                "No VM was made or started.",
                f"Give the role Host.Config.Network on the host, or let an administrator make a "
                f"port group {safe(name)} on a standard switch of its own without uplink.",
                failure.problem.facts,
            )
        ) from failure


def make_isolated(session: Session, hosts: Sequence[Host], name: str) -> None:
    """Make the isolated port group on every host that lacks it; repeatable.

    Raises:
        HostFailure: A host refuses.
    """
    called = switch_of(name)
    for host in hosts:
        if _has(session, host, name):
            continue
        group = vim.host.PortGroup.Specification(
            name=name, vlanId=0, vswitchName=called, policy=vim.host.NetworkPolicy()
        )
        switch = vim.host.VirtualSwitch.Specification(numPorts=128)
        networking = _networking(session, host)
        add_switch = partial(networking.AddVirtualSwitch, called, switch)
        _make(session, host, name, _has_switch, add_switch)
        try:
            _make(session, host, name, _has, partial(networking.AddPortGroup, group))
        except faults.AlreadyThere:
            # Taken by the same group of another host, as the vCenter tells it: what is there is
            # what was wanted, unless no host has it.
            if not any(_has(session, one, name) for one in hosts):
                raise


def _networking(session: Session, host: Host) -> Any:
    return needs.system(host.networking, host, session.account.target)


def _has_switch(session: Session, host: Host, name: str) -> bool:
    return any(one.name == switch_of(name) for one in _shape(session, host).switches)


def _has(session: Session, host: Host, name: str) -> bool:
    return any(one.spec.name == name for one in _shape(session, host).groups)
