"""ifcfg files (RHEL family, SUSE).

Source: nm-settings-ifcfg-rh(5): `HWADDR=` binds to a card, `DEVICE=` names it; ifcfg(5) of
wicked: the file's name is the card's, `LLADDR=` sets its address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from engine.guests.linux.network.stack import Card, Stack, card, values

_KEY = re.compile(rb"(?i)^[ \t]*HWADDR[ \t]*=")
_FILE = re.compile(rb"ifcfg-(?!.*(?:\.bak|\.old|\.orig|\.rpmsave|\.rpmnew|~)$).+")


_MADE = frozenset(
    (b"bridge", b"bond", b"vlan", b"team", b"ovsbridge", b"ovsbond", b"tun", b"tap", b"dummy")
)
_PARTS = re.compile(rb"bonding_slave_?\d+|bridge_ports|etherdevice|physdev")


def _name(path: bytes, found: Mapping[bytes, bytes]) -> bytes:
    """Return the card's name; in the RHEL family the file's name is none where an address binds."""
    if b"device" in found:
        return found[b"device"]
    is_bound = bool(found.get(b"hwaddr")) and b"/network-scripts/" in path
    return b"" if is_bound else path.rpartition(b"/ifcfg-")[2]


def _is_made(found: Mapping[bytes, bytes]) -> bool:
    kinds = {found.get(key, b"").lower() for key in (b"type", b"devicetype")}
    told = (found.get(key, b"").lower() for key in (b"bonding_master", b"bridge", b"vlan"))
    return bool(kinds & _MADE) or b"yes" in told or b"etherdevice" in found or b"physdev" in found


def _cards(path: bytes, content: bytes) -> Sequence[Card]:
    found = values(content)
    if not _is_made(found):
        return card(_name(path, found), found.get(b"hwaddr", b""))
    parts = [
        name for key, value in found.items() if _PARTS.fullmatch(key) for name in value.split()
    ]
    return [one for part in parts for one in card(part)]


def _makes(path: bytes, content: bytes) -> Sequence[bytes]:
    found = values(content)
    return [_name(path, found)] if _is_made(found) else []


STACK = Stack(
    "ifcfg",
    (
        (b"/etc/sysconfig/network-scripts", _FILE),
        (b"/etc/sysconfig/network", _FILE),
    ),
    _KEY,
    _cards,
    makes=_makes,
)
