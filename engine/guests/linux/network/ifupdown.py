"""ifupdown (Debian): names cards, never addresses, so nothing is changed.

Source: interfaces(5).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.guests.linux.network.stack import Card, Stack, card

_IFACE = re.compile(rb"(?m)^[ \t]*iface[ \t]+(\S+)[ \t]+inet6?[ \t]")
_NEVER = re.compile(rb"(?!)")


def _cards(_path: bytes, content: bytes) -> Sequence[Card]:
    return [found for match in _IFACE.finditer(content) for found in card(match[1])]


STACK = Stack(
    "ifupdown",
    (
        (b"/etc/network", re.compile(rb"interfaces")),
        (b"/etc/network/interfaces.d", re.compile(rb"[A-Za-z0-9_.-]+")),
    ),
    _NEVER,
    _cards,
)
