"""ifcfg files (RHEL family, SUSE).

Source: nm-settings-ifcfg-rh(5): `HWADDR=` binds to a card, `DEVICE=` names it; ifcfg(5) of
wicked: the file's name is the card's, `LLADDR=` sets its address.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.guests.linux.network.stack import Card, Stack, card, values

_KEY = re.compile(rb"(?i)^[ \t]*HWADDR[ \t]*=")
_FILE = re.compile(rb"ifcfg-(?!.*(?:\.bak|\.old|\.orig|\.rpmsave|\.rpmnew|~)$).+")


def _cards(path: bytes, content: bytes) -> Sequence[Card]:
    found = values(content)
    name = found.get(b"device") or path.rpartition(b"/ifcfg-")[2]
    return card(name, found.get(b"hwaddr", b""))


STACK = Stack(
    "ifcfg",
    (
        (b"/etc/sysconfig/network-scripts", _FILE),
        (b"/etc/sysconfig/network", _FILE),
    ),
    _KEY,
    _cards,
)
