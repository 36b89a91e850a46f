"""The isolated port group: on a switch of its own that has no uplink and no VMkernel port.

A switch is called as its port group, as far as its name may be as long: at most 32 characters.
Source: `HostVirtualSwitch` of VMware's vSphere API reference; one is left for an end of a string.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any

from pyVmomi import vim

from engine.hypervisors.esxi import faults, needs
from engine.hypervisors.esxi.answers import ref_id
from engine.hypervisors.esxi.gate import make_sure, wait
from engine.hypervisors.esxi.inventory import Host, Inventory, NetworkPlace
from engine.hypervisors.esxi.naming import is_same
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


def isolation(session: Session, there: Inventory, name: str) -> Sequence[tuple[Host, str]]:
    """Return each host with the reason why its port group is not isolated, or would not be.

    The reason is empty where the port group is isolated, or can be made. A switch that has its
    switch's name already, and a way out, is somebody else's: nothing is made on it. One call.
    """
    known = there.network(name)
    if known is not None and not known.standard:
        return [(host, _may_lead_out(host, known)) for host in there.hosts]
    shapes = _shapes(session, there.hosts)
    told = []
    for host in there.hosts:
        seen = shapes[ref_id(host.ref)]
        why = _why_not(seen, name)
        if not why and known is not None and host.connected and not _has(seen, name):
            has = ref_id(known.ref) in host.networks
            why = "the host does not tell on which switch it is" if has else ""
        told.append((host, why))
    return told


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
    """Return the hosts that have no port group of this name, as far as they tell. One call."""
    known = there.network(name)
    unsure = [
        host
        for host in there.hosts
        if not (known is not None and ref_id(known.ref) in host.networks)
    ]
    shapes = _shapes(session, unsure)
    return [host for host in unsure if not _has(shapes[ref_id(host.ref)], name)]


@dataclass(frozen=True, slots=True)
class _Shape:
    """A host's port groups, switches and VMkernel ports, as the API gives them."""

    groups: tuple[Any, ...]
    switches: tuple[Any, ...]
    kernel: tuple[Any, ...]


_Is = Callable[[_Shape, str], bool]


def _shapes(session: Session, hosts: Sequence[Host]) -> Mapping[str, _Shape]:
    """Return hosts' networks by the hosts' ids, as configured and as their network systems say.

    A host says the same twice; for isolation, what either says counts. One that is away says
    nothing, and its vCenter knows how it was configured. One call for all.
    """
    systems = {ref_id(one.ref): _networking(session, one) for one in hosts if one.connected}
    running = session.read_by_id(list(systems.values()), *_PATHS)
    return {
        ref_id(one.ref): _shape(
            one, running[ref_id(systems[ref_id(one.ref)])] if one.connected else {}
        )
        for one in hosts
    }


def _shape(host: Host, running: Mapping[str, Any]) -> _Shape:
    groups, switches, kernel = (tuple(running.get(path) or ()) for path in _PATHS)
    return _Shape(groups + host.groups, switches + host.switches, kernel + host.kernel)


def _why_not(seen: _Shape, name: str) -> str:
    mine = [one.spec.vswitchName for one in seen.groups if is_same(one.spec.name, name)]
    for switch in mine or [switch_of(name)]:
        for one in seen.switches:
            if one.name == switch and one.pnic:
                return f"its switch {safe(switch)} has the uplink {safe(str(one.pnic[0]))}"
        beside = {one.spec.name for one in seen.groups if one.spec.vswitchName == switch}
        for one in seen.kernel:
            if one.portgroup in beside:
                return f"the host itself is on its switch {safe(switch)} ({safe(one.device)})"
    return ""


def _make(
    session: Session,
    host: Host,
    name: str,
    is_done: _Is,
    change: Any,
    busy: Callable[[float], object],
) -> None:
    def is_so() -> bool:
        return is_done(_now(session, host), name)

    try:
        make_sure(is_so, change, busy)
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


def make_isolated(
    session: Session, hosts: Sequence[Host], name: str, busy: Callable[[float], object] = wait
) -> None:
    """Make the isolated port group on every host that lacks it; repeatable.

    Args:
        busy: Waits some seconds, after a host said that it cannot now.

    Raises:
        HostFailure: A host refuses.
    """
    called = switch_of(name)
    shapes = _shapes(session, hosts)
    for host in hosts:
        if _has(shapes[ref_id(host.ref)], name):
            continue
        group = vim.host.PortGroup.Specification(
            name=name, vlanId=0, vswitchName=called, policy=vim.host.NetworkPolicy()
        )
        switch = vim.host.VirtualSwitch.Specification(numPorts=128)
        networking = _networking(session, host)
        add_switch = partial(networking.AddVirtualSwitch, called, switch)
        _make(session, host, name, _has_switch, add_switch, busy)
        try:
            _make(session, host, name, _has, partial(networking.AddPortGroup, group), busy)
        except faults.AlreadyThere:
            # Taken by the same group of another host, as the vCenter tells it: what is there is
            # what was wanted, unless no host has it.
            if not any(_has(one, name) for one in _shapes(session, hosts).values()):
                raise


def _networking(session: Session, host: Host) -> Any:
    return needs.system(host.networking, host, session.account.target)


def _now(session: Session, host: Host) -> _Shape:
    return _shapes(session, [host])[ref_id(host.ref)]


def _has_switch(seen: _Shape, name: str) -> bool:
    return any(one.name == switch_of(name) for one in seen.switches)


def _has(seen: _Shape, name: str) -> bool:
    return any(is_same(one.spec.name, name) for one in seen.groups)
