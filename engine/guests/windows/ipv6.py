r"""Static IPv6 addresses: the network store keeps them by a card's number, not by its GUID.

    Class\{4D36E972-…}\0007: NetCfgInstanceId, NetLuidIndex, *IfType ─► GUID, LUID
    Nsi\{eb004a01-…}\10:     LUID address = lifetimes, origins, length  ─► addresses of that card
    Nsi\{eb004a01-…}\16:     … LUID …                                   ─► it has routes of its own
    Tcpip6\Parameters\Interfaces\{GUID}: NameServer                     ─► name servers

A name in the store is the LUID (8 bytes, little-endian, the kind of card above bit 48, its index
above bit 24) and the address, in hex. How routes are written is not known, so they are only seen.

Source: netioapi.h, NET_LUID; MIB_UNICASTIPADDRESS_ROW; the network set-up tools of Citrix and
gprovision, which read the same values. Not proven on a real Windows.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.guests.windows.hive import Key, Path_

_STORE = ("Control", "Nsi", "{eb004a01-9b1a-11d4-9123-0050047759bc}")
_UNICAST, _ROUTES = (*_STORE, "10"), (*_STORE, "16")
_CARDS = ("Control", "Class", "{4D36E972-E325-11CE-BFC1-08002BE10318}")
_INTERFACES = ("Services", "Tcpip6", "Parameters", "Interfaces")
WANTED: Sequence[Path_] = (
    ("*", *_UNICAST),
    ("*", *_ROUTES),
    ("*", *_CARDS),
    ("*", *_INTERFACES),
)
"""What is read of the hive SYSTEM."""
_NAME = re.compile(r"[0-9a-f]{48}")
_LENGTH_AT = 16
_MOST = 64


@dataclass(frozen=True, slots=True)
class Six:
    """What is static of one card: addresses with the length of their prefix, name servers."""

    addresses: Sequence[tuple[str, int]] = ()
    dns: Sequence[str] = ()
    has_routes: bool = False


NONE = Six()


def by_card(control_set: Key) -> Mapping[str, Six]:
    """Return the cards with static addresses by their GUID in lower case, as keys are."""
    found = {}
    store = control_set.at(_UNICAST) or Key()
    routes = control_set.at(_ROUTES) or Key()
    for guid, luid in _luids(control_set).items():
        names = [name for name in sorted(store.values) if name.startswith(luid)][:_MOST]
        addresses = [(text, length) for name in names
                     for text, length in _address(name, store.values[name].data)]  # fmt: skip
        if addresses:
            key = control_set.at((*_INTERFACES, guid)) or Key()
            has_routes = any(luid in name for name in routes.values)
            found[guid] = Six(addresses, _servers(key), has_routes)
    return found


def _luids(control_set: Key) -> Mapping[str, str]:
    """Return each card's LUID as the store spells it, by GUID."""
    found = {}
    for key in (control_set.at(_CARDS) or Key()).keys.values():
        guid = key.values.get("netcfginstanceid")
        index, kind = _number(key, "netluidindex", 24), _number(key, "*iftype", 16)
        if guid is not None and guid.text and index is not None and kind is not None:
            found[guid.text.lower()] = struct.pack("<Q", kind << 48 | index << 24).hex()
    return found


def _number(key: Key, name: str, bits: int) -> int | None:
    value = key.values.get(name)
    number = value.number if value is not None else None
    return number if number is not None and number < 1 << bits else None


def _address(name: str, data: bytes) -> Sequence[tuple[str, int]]:
    """Return the address in a value's name with its prefix; nothing for what no card keeps."""
    if not _NAME.fullmatch(name) or len(data) <= _LENGTH_AT or not 0 < data[_LENGTH_AT] <= 128:
        return ()
    address = ipaddress.IPv6Address(bytes.fromhex(name[16:]))
    is_odd = address.is_multicast or address.is_loopback or address.is_unspecified
    return () if is_odd or address.is_link_local else ((str(address), data[_LENGTH_AT]),)


def _servers(key: Key) -> Sequence[str]:
    value = key.values.get("nameserver")
    texts = re.split(r"[ ,;]+", " ".join(value.texts[:_MOST])) if value else []
    return [text for text in texts if _is_address(text)]


def _is_address(text: str) -> bool:
    """Return whether a text is an address and nothing else: no zone, nothing that ends a string."""
    if not re.fullmatch(r"[0-9A-Fa-f:.]{2,45}", text):
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
