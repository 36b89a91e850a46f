"""systemd-networkd, and the `.link` files by which udev names cards.

Source: systemd.network(5), systemd.link(5): `[Match] MACAddress=`, `PermanentMACAddress=`,
`Name=`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.guests.linux.network.stack import MAC, Card, Stack, card

_KEY = re.compile(rb"(?i)^[ \t]*(?:Permanent)?MACAddress[ \t]*=")
_SECTION = re.compile(rb"(?m)^[ \t]*\[([A-Za-z0-9]+)\][ \t]*\r?$")
_MATCHED = re.compile(rb"(?m)^[ \t]*(?:Permanent)?MACAddress[ \t]*=(.*)$")
_NAME = re.compile(rb"(?m)^[ \t]*Name[ \t]*=(.*)$")


def _cards(path: bytes, content: bytes) -> Sequence[Card]:
    """Return the card that a file matches; a `.link` file names it in `[Link]`."""
    parts = _SECTION.split(content)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    matched = _MATCHED.search(sections.get(b"Match", b""))
    macs = MAC.findall(matched[1]) if matched else []
    mac = macs[0] if len(macs) == 1 else b""
    naming = sections.get(b"Link" if path.endswith(b".link") else b"Match", b"")
    name = _NAME.search(naming)
    if name is None or path.endswith(b".netdev"):
        return ()
    return card(name[1], mac)


def is_rule(path: bytes, content: bytes) -> bool:
    """Return whether a file is a `.link` that names a card by its address and nothing else."""
    parts = _SECTION.split(content)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    lines = [line.strip() for line in sections.get(b"Match", b"").split(b"\n")]
    conditions = [line for line in lines if line and not line.startswith((b"#", b";"))]
    return path.endswith(b".link") and len(conditions) == 1 and bool(_MATCHED.match(conditions[0]))


STACK = Stack(
    "networkd",
    ((b"/etc/systemd/network", re.compile(rb".+\.(?:network|link|netdev)")),),
    _KEY,
    _cards,
)
