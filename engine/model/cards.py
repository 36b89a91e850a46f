"""The standby VM's network cards: which address each has instead of the source's.

One plan fits all targets, so a card has the same address on each of them: from the range that
vCenter takes as assigned by hand, 00:50:56:00:00:00 to 00:50:56:3f:ff:ff.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.model.machine import Hints, Nic

_UNKNOWN = (Nic("", ""),)
"""Of a machine whose image says nothing: it has one card."""


@dataclass(frozen=True, slots=True)
class CardChange:
    """A card of the source, and the standby VM's card in its place.

    Attributes:
        new: Address of the VM's card, as `00:50:56:11:22:33`.
        old: Address of the source's card; empty when unknown.
        name: What the source calls it (`enp3s0`); empty when unknown.
    """

    new: str
    old: str = ""
    name: str = ""


def assigned_mac(standby: str, number: int) -> str:
    """Return the address of a standby VM's card, from 0: the same one each time."""
    first, second, third = hashlib.blake2b(f"{standby}/{number}".encode(), digest_size=3).digest()
    return f"00:50:56:{first & 0x3F:02x}:{second:02x}:{third:02x}"


def card_changes(standby: str, hints: Hints) -> Sequence[CardChange]:
    """Return the change of each card, in the source's order."""
    return [
        CardChange(assigned_mac(standby, number), nic.mac, nic.name)
        for number, nic in enumerate(hints.nics or _UNKNOWN)
    ]


def vm_cards(standby: str, hints: Hints) -> Sequence[Nic]:
    """Return the cards of a standby VM whose guest is converted."""
    return [
        replace(nic, name=nic.name or f"nic{number}", mac=assigned_mac(standby, number))
        for number, nic in enumerate(hints.nics or _UNKNOWN)
    ]
