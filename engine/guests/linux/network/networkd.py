"""systemd-networkd, and the `.link` files by which udev names cards.

Source: systemd.network(5), systemd.link(5): `[Match] MACAddress=`, `PermanentMACAddress=`,
`Name=`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.guests.linux.network.stack import MAC, Card, Stack, card, sections

_KEY = re.compile(rb"(?i)^[ \t]*(?:Permanent)?MACAddress[ \t]*=")
_SECTION = re.compile(rb"(?m)^[ \t]*\[([A-Za-z0-9]+)\][ \t]*\r?$")
_MATCHED = re.compile(rb"(?m)^[ \t]*(?:Permanent)?MACAddress[ \t]*=(.*)$")
_OLD = re.compile(rb"(?m)^[ \t]*((?:Path|Driver|Property)[ \t]*=.*)$")
_LISTED = 1024
"""Bytes of names that are looked at."""
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
    names = name[1][:_LISTED].split()
    if names and names[0].startswith(b"!"):
        return ()
    return [one for each in names for one in card(each, mac if len(names) == 1 else b"")]


def _makes(path: bytes, content: bytes) -> Sequence[bytes]:
    """Return what a `.netdev` makes, or the card's own name that other files may match."""
    name = _NAME.search(content) if path.endswith(b".netdev") else None
    return [name[1].strip()] if name else []


def _unbind(path: bytes, content: bytes, mac: bytes) -> bytes:
    """Take slot and driver of the old card out of `[Match]`; a link's name is given elsewhere."""
    if not path.endswith(b".network"):
        return content
    for start, end in sections(content, b"Match"):
        body = content[start:end]
        is_bound = bool(_MATCHED.search(body) or _NAME.search(body))
        if not _OLD.search(body) or not (is_bound or mac):
            continue
        line = b"" if is_bound else b"\nMACAddress=" + mac
        return content[:start] + line + _OLD.sub(rb"# bootpoint: \1", body) + content[end:]
    return content


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
    makes=_makes,
    unbind=_unbind,
)
