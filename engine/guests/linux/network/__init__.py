"""Network configuration: every stack found in the guest is handled."""

from __future__ import annotations

from collections.abc import Sequence

from engine.guests.linux.network import ifcfg, ifupdown, netplan, networkd, networkmanager, udev
from engine.guests.linux.network.others import OTHERS
from engine.guests.linux.network.stack import Stack

STACKS: Sequence[Stack] = (
    ifupdown.STACK,
    netplan.STACK,
    networkd.STACK,
    networkmanager.STACK,
    ifcfg.STACK,
    udev.STACK,
    *OTHERS,
)
