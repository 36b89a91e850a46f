"""NetworkManager keyfiles.

Source: nm-settings-keyfile(5): `mac-address=` in `[ethernet]` binds to a card,
`interface-name=` in `[connection]` names it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.guests.linux.network.stack import Card, Stack, card, sections, values

_KEY = re.compile(rb"(?i)^[ \t]*mac-address[ \t]*=|^[ \t]*match-device[ \t]*=.*mac:|\bmac:")
_OLD = re.compile(rb"(?m)^[ \t]*((?:path|driver)[ \t]*=.*)$")
_NAMES = re.compile(rb"(?:^|[;, \t])[|&]{0,2}([^;, \t!|&]+)")
"""Names that fit; `[match]` lists several, and forbids those behind a `!`."""
_LISTED = 1024
_WIRED = (b"", b"ethernet", b"802-3-ethernet")


def _cards(_path: bytes, content: bytes) -> Sequence[Card]:
    found = values(content)
    if found.get(b"type", b"") not in _WIRED:
        return ()
    names = _NAMES.findall(found.get(b"interface-name", b"")[:_LISTED])
    mac = found.get(b"mac-address", b"") if len(names) == 1 else b""
    return [one for name in names for one in card(name, mac)]


def _unbind(_path: bytes, content: bytes, mac: bytes) -> bytes:
    """Take slot and driver of the old card out of `[match]`."""
    found = values(content)
    is_bound = bool(found.get(b"interface-name") or found.get(b"mac-address"))
    for start, end in sections(content, b"match"):
        body = content[start:end]
        if not _OLD.search(body) or not (is_bound or mac):
            continue
        content = content[:start] + _OLD.sub(rb"# bootpoint: \1", body) + content[end:]
        return content if is_bound else _bound(content, mac)
    return content


def _bound(content: bytes, mac: bytes) -> bytes:
    line = b"\nmac-address=" + mac.upper()
    for start, _ in sections(content, b"ethernet"):
        return content[:start] + line + content[start:]
    return content.rstrip(b"\n") + b"\n\n[ethernet]" + line + b"\n"


STACK = Stack(
    "NetworkManager",
    (
        (b"/etc/NetworkManager/system-connections", re.compile(rb"[^.].*")),
        (b"/etc/NetworkManager/conf.d", re.compile(rb".+\.conf")),
    ),
    _KEY,
    _cards,
    unbind=_unbind,
)
