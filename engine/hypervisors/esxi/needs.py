"""What a target must have before a VM is made or started there, and the words when it has not."""

from __future__ import annotations

from typing import Any

from engine.hypervisors.esxi import faults
from engine.hypervisors.esxi.inventory import Host, Inventory, NetworkPlace
from engine.model.errors import HypervisorError, Problem
from engine.model.text import safe


def known(inventory: Inventory, name: str, target: str) -> NetworkPlace:
    """Return a port group. HypervisorError when there is none of that name."""
    found = inventory.network(name)
    if found is None:
        raise HypervisorError(
            Problem(
                "target.no-port-group",
                f"Target {safe(target)} has no port group {safe(name)}.",
                "No VM was started.",
                "Make it on the host, or correct the target's configuration.",
            )
        )
    return found


def system(of: Any, host: Host, target: str) -> Any:
    """Return a host's network or storage system. NeedsHuman where the role hides it."""
    if of is None:
        raise faults.NeedsHuman(
            Problem(
                "target.hidden",
                f"Target {safe(target)} does not show this user the networks and storage of host "
                f"{safe(host.name)}.",
                "No VM was made or started.",
                "Give the role on the host itself, with at least System.Read there.",
                {"target": target, "host": safe(host.name)},
            )
        )
    return of


def not_isolated(name: str, host: str, why: str) -> Problem:
    """Return the words for a port group with a way out."""
    return Problem(
        "target.not-isolated",
        f"Port group {safe(name)} on host {safe(host)} is not isolated: {why}.",
        "No VM was made or started.",
        "Choose another name as esxi.isolated, or take the uplink off its switch.",
    )


def no_server(target: str) -> Problem:
    """Return the words for a share that hosts cannot be told of."""
    return Problem(
        "target.no-server",
        f"Target {safe(target)} does not say under which address its hosts reach this appliance.",
        "No VM was started.",
        "Set esxi.server in its definition, and export the share to the hosts by NFSv3.",
    )
