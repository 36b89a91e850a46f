"""NetworkManager keyfiles.

Source: nm-settings-keyfile(5): `mac-address=` in `[ethernet]` binds to a card,
`interface-name=` in `[connection]` names it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.guests.linux.network.stack import Card, Stack, card, values

_KEY = re.compile(rb"(?i)^[ \t]*mac-address[ \t]*=|^[ \t]*match-device[ \t]*=.*mac:|\bmac:")
_WIRED = (b"", b"ethernet", b"802-3-ethernet")


def _cards(_path: bytes, content: bytes) -> Sequence[Card]:
    found = values(content)
    if found.get(b"type", b"") not in _WIRED:
        return ()
    return card(found.get(b"interface-name", b""), found.get(b"mac-address", b""))


STACK = Stack(
    "NetworkManager",
    (
        (b"/etc/NetworkManager/system-connections", re.compile(rb"[^.].*")),
        (b"/etc/NetworkManager/conf.d", re.compile(rb".+\.conf")),
    ),
    _KEY,
    _cards,
)
