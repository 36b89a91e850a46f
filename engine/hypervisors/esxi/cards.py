"""The network cards of VMs, in the words of the vSphere API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyVmomi import vim

from engine.model.machine import CardModel, Nic

_KEY = 1100
"""Of the first new card, negative: the host gives it its own."""
_Change = vim.vm.device.VirtualDeviceSpec


def made(number: int, nic: Nic, model: CardModel, network: Any) -> Any:
    """Return a new card on a port group, not connected."""
    kind = (
        vim.vm.device.VirtualE1000e if model is CardModel.E1000E else vim.vm.device.VirtualVmxnet3
    )
    return kind(
        key=-(_KEY + number),
        addressType="manual" if nic.mac else "generated",
        macAddress=nic.mac or None,
        backing=_backing(network),
        connectable=_plug(connected=False),
    )


def all_set(devices: Sequence[Any], network: Any, *, connected: bool) -> list[Any]:
    """Return the changes that hang all cards of a VM on a port group."""
    change = []
    for one in devices:
        if isinstance(one, vim.vm.device.VirtualEthernetCard):
            one.backing, one.connectable = _backing(network), _plug(connected=connected)
            change.append(_Change(operation=_Change.Operation.edit, device=one))
    return change


def _plug(*, connected: bool) -> Any:
    """Return whether a card is connected when the VM starts."""
    return vim.vm.device.VirtualDevice.ConnectInfo(
        startConnected=connected, connected=False, allowGuestControl=False
    )


def _backing(network: Any) -> Any:
    """Return how a card hangs on a port group: of a standard or a distributed switch, or of none.

    Source: `VirtualEthernetCard*BackingInfo` of VMware's vSphere API reference.
    """
    card = vim.vm.device.VirtualEthernetCard
    if isinstance(network.ref, vim.dvs.DistributedVirtualPortgroup):
        port = vim.dvs.PortConnection(portgroupKey=network.key, switchUuid=network.switch)
        return card.DistributedVirtualPortBackingInfo(port=port)
    if network.opaque:
        kind, told = network.opaque
        return card.OpaqueNetworkBackingInfo(opaqueNetworkType=kind, opaqueNetworkId=told)
    return card.NetworkBackingInfo(deviceName=network.name, network=network.ref)
