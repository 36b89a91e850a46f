"""Stacks that name cards in one place and never bind them: dhcpcd, netctl (Arch), netifrc (Gentoo).

connman keeps its settings by the card's address, in the name of a folder.

Source: dhcpcd.conf(5) (`interface`), netctl.profile(5) (`Interface=`), Gentoo handbook, "Network
configuration" (`config_NAME=`), connman-service.config(5) and its storage under /var/lib/connman.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from engine.guests.linux.draft import Draft
from engine.guests.linux.network.stack import Card, Stack, card

_NEVER = re.compile(rb"(?!)")
_DHCPCD = re.compile(rb"(?m)^[ \t]*interface[ \t]+(\S+)")
_NETCTL = re.compile(rb"(?m)^[ \t]*Interface=(\S+)")
_NETCTL_KIND = re.compile(rb"(?m)^[ \t]*Connection=[\"']?ethernet\b")
_NETIFRC = re.compile(rb"(?m)^[ \t]*config_([A-Za-z0-9_]+)=")
_CONNMAN = b"/var/lib/connman/ethernet_%s_cable/settings"


def _of_dhcpcd(_path: bytes, content: bytes) -> Sequence[Card]:
    return [one for name in _DHCPCD.findall(content) for one in card(name)]


def _of_netctl(_path: bytes, content: bytes) -> Sequence[Card]:
    if not _NETCTL_KIND.search(content):
        return []
    return [one for name in _NETCTL.findall(content) for one in card(name)]


def _of_netifrc(_path: bytes, content: bytes) -> Sequence[Card]:
    return [one for name in _NETIFRC.findall(content) for one in card(name)]


OTHERS = (
    Stack("dhcpcd", (), _NEVER, _of_dhcpcd, exact=(b"/etc/dhcpcd.conf",)),
    Stack("netctl", ((b"/etc/netctl", re.compile(rb"[^.].*")),), _NEVER, _of_netctl),
    Stack("netifrc", (), _NEVER, _of_netifrc, exact=(b"/etc/conf.d/net",)),
)


def keep_connman(draft: Draft, macs: Mapping[str, str]) -> None:
    """Give what connman knows of an old card to the new one, such as its static address."""
    for old, new in macs.items() if draft.tree.has_folder(b"/var/lib/connman") else ():
        before, after = (mac.replace(":", "").encode() for mac in (old, new))
        content = draft.read(_CONNMAN % before)
        wanted = None if content is None else content.replace(before, after)
        if wanted is not None and draft.read(_CONNMAN % after) is None:
            reason = "connman keeps the settings of a card, such as its address, by its MAC."
            draft.write(_CONNMAN % after, wanted, reason)
