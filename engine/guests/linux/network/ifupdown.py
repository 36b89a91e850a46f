"""ifupdown (Debian): names cards; an address that it gives them (`hwaddress`) is changed.

What a stanza makes of cards is no card: a bridge names its ports, a bond its slaves, a VLAN its raw
device; those are cards even where they have no stanza of their own.

Source: interfaces(5), bridge-utils-interfaces(5), ifenslave(8), vlan-interfaces(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from engine.guests.linux.network.stack import Card, Stack, card

_KEY = re.compile(rb"(?i)^[ \t]*(?:hwaddress|rename|auto|allow-\S+|no-auto-down)[ \t]")
"""Address of a card, or `mac/…=lan`: the card with that address, called so."""
_START = re.compile(rb"(?m)^[ \t]*(?=(?:iface|auto|allow-\S+|mapping|source\S*|no-\S+)[ \t])")
_IFACE = re.compile(rb"iface[ \t]+(\S+)[^\n]*\n?")
_PARTS = re.compile(
    rb"(?m)^[ \t]*(?:bridge[_-]ports|(?:bond[_-])?slaves|vlan[_-]raw[_-]device|ovs_(?:ports|bonds))"
    rb"[ \t]+([^\n]*)"
)
_MAKES = re.compile(rb"(?m)^[ \t]*(?:bond[_-]mode|ovs_type|(?:vx|v)lan-(?:id|raw))")
_SOURCE = re.compile(rb"(?m)^[ \t]*source(-directory)?[ \t]+(/\S+)")
_NO_PARTS = (b"none", b"all", b"regex", b"noregex")


def _stanzas(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and body of each interface."""
    for text in _START.split(content):
        match = _IFACE.match(text)
        if match is not None:
            yield match[1], text[match.end() :]


def _cards(_path: bytes, content: bytes) -> Sequence[Card]:
    made = set(_makes(_path, content))
    found: list[bytes] = []
    for name, body in _stanzas(content):
        parts = [part for match in _PARTS.finditer(body) for part in match[1].split()]
        found += [part for part in parts if part not in _NO_PARTS] if name in made else [name]
    return [one for name in found if name not in made for one in card(name)]


def _makes(_path: bytes, content: bytes) -> Sequence[bytes]:
    return [name for name, body in _stanzas(content) if _PARTS.search(body) or _MAKES.search(body)]


def _sources(content: bytes) -> Sequence[bytes]:
    return [m[2] + b"/*" * bool(m[1]) for m in _SOURCE.finditer(content)][:16]


STACK = Stack(
    "ifupdown",
    (
        (b"/etc/network", re.compile(rb"interfaces")),
        (b"/etc/network/interfaces.d", re.compile(rb"[A-Za-z0-9_.-]+")),
    ),
    _KEY,
    _cards,
    makes=_makes,
    sources=_sources,
)
