"""Rules by which older systems keep card names: `70-persistent-net.rules`.

Source: udev(7): `ATTR{address}=="aa:…", … NAME="eth0"`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.guests.linux.network.stack import Card, Stack, card

_KEY = re.compile(rb"(?i)ATTRS?\{address\}[ \t]*==")
_RULE = re.compile(rb"ATTRS?\{address\}[ \t]*==[ \t]*\"([^\"]*)\".*NAME[ \t]*:?=[ \t]*\"([^\"]*)\"")


def _cards(_path: bytes, content: bytes) -> Sequence[Card]:
    rules = (line for line in content.split(b"\n") if not line.lstrip().startswith(b"#"))
    return [
        found
        for line in rules
        for match in [_RULE.search(line)]
        if match
        for found in card(match[2], match[1])
    ]


STACK = Stack(
    "udev rules",
    ((b"/etc/udev/rules.d", re.compile(rb"[0-9]+-(?:persistent-)?net.*\.rules")),),
    _KEY,
    _cards,
)
