"""netplan (Ubuntu): `match: macaddress:` binds a block to a card, `set-name:` names it.

Source: netplan-yaml(5), "Properties for physical device types". Only the indentation of YAML is
read: no reader of YAML is needed to see keys, and none could write the file back byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.guests.linux.network.stack import Card, Stack, card

_LINE = re.compile(rb"([ ]*)([\"']?[^\s#:\"'][^:\"']*[\"']?):[ \t]*(.*)")
_KEY = re.compile(rb"\bmacaddress[\"']?[ \t]*:")


def _cards(_path: bytes, content: bytes) -> Sequence[Card]:
    """Return the blocks under `ethernets:` with their addresses."""
    found: list[dict[bytes, bytes]] = []
    top = deep = -1
    for text in content.split(b"\n"):
        match = _LINE.match(text)
        if match is None:
            continue
        indent, key, value = len(match[1]), match[2].strip(b"\"'"), match[3].strip()
        if key == b"ethernets":
            top, deep = indent, -1
        elif top >= 0 and indent <= top:
            top = -1
        elif top >= 0 and (deep < 0 or indent == deep):
            deep = indent
            found.append({b"key": key})
        elif top >= 0 and found and key in (b"macaddress", b"set-name", b"name"):
            found[-1].setdefault(key, value)
    return [each for block in found for each in _card(block)]


def _card(block: dict[bytes, bytes]) -> Sequence[Card]:
    name = block.get(b"set-name") or block.get(b"name") or block[b"key"]
    return card(name, block.get(b"macaddress", b""))


STACK = Stack(
    "netplan",
    ((b"/etc/netplan", re.compile(rb".+\.ya?ml")),),
    _KEY,
    _cards,
)
