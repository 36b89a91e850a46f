"""What the planner must know of one network stack."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from engine.guests.tree import Tree

FILES = 256
"""Files of one folder that are looked at."""
MAC = re.compile(rb"(?i)(?<![0-9a-f:-])(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?![0-9a-f:-])")
NAME = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")
"""Names of network cards that are safe as a part of a file name."""
_VIRTUAL = re.compile(rb"lo|(?:br|bond|team|veth|virbr|docker|tun|tap|wg|dummy|vlan)\d.*|.*[.:].*")


@dataclass(frozen=True, slots=True)
class Card:
    """A network card that a configuration names; `mac` in lower case, empty when not bound."""

    name: str
    mac: str = ""


@dataclass(frozen=True, slots=True)
class Stack:
    """One network stack.

    Attributes:
        name: As shown.
        folders: Guest folders with a pattern of the file names that count.
        key: Matches lines whose MAC addresses are those of cards.
        cards: Returns what cards a file (guest path, content) names.
    """

    name: str
    folders: Sequence[tuple[bytes, re.Pattern[bytes]]]
    key: re.Pattern[bytes]
    cards: Callable[[bytes, bytes], Sequence[Card]]

    def files(self, tree: Tree) -> Sequence[bytes]:
        """Return the guest paths of its files, sorted within each folder."""
        found = []
        for folder, pattern in self.folders:
            names = [name for name in tree.list(folder) if pattern.fullmatch(name)]
            found += [folder + b"/" + name for name in names[:FILES]]
        return [path for path in found if (place := tree.locate(path)) and place.is_file]

    def convert(self, content: bytes, macs: Mapping[str, str]) -> bytes:
        """Return a file with old addresses replaced by new ones, in the old one's spelling."""
        lines = content.split(b"\n")
        for number, line in enumerate(lines):
            if MAC.search(line) and self.key.search(line):
                lines[number] = MAC.sub(lambda match: _replaced(match[0], macs), line)
        return b"\n".join(lines)


def plain_mac(raw: bytes) -> str:
    """Return an address as `aa:bb:cc:dd:ee:ff`; empty when it is none."""
    mac = raw.strip().strip(b"\"'").lower().replace(b"-", b":")
    return mac.decode("ascii") if MAC.fullmatch(mac) else ""


def card(name: bytes, mac: bytes = b"") -> Sequence[Card]:
    """Return the card of that name; nothing for names of virtual or unsafe ones."""
    name = name.strip().strip(b"\"'")
    if not NAME.fullmatch(name) or _VIRTUAL.fullmatch(name):
        return ()
    return (Card(name.decode("ascii"), plain_mac(mac)),)


def values(content: bytes) -> Mapping[bytes, bytes]:
    """Return `KEY=value` lines, keys in lower case, the last one wins."""
    pairs = (line.strip().partition(b"=") for line in content.split(b"\n"))
    return {
        key.strip().lower(): value.strip().strip(b"\"'")
        for key, equals, value in pairs
        if equals and not key.startswith((b"#", b";"))
    }


def _replaced(old: bytes, macs: Mapping[str, str]) -> bytes:
    new = macs.get(plain_mac(old))
    if new is None:
        return old
    spelled = new.encode("ascii").replace(b":", old[2:3])
    return spelled.upper() if old != old.lower() else spelled
