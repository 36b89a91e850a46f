"""What the planner must know of one network stack."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from engine.guests.tree import Tree

LONGEST = 1 << 20
"""Longest file in bytes that is looked into for others."""
FILES = 256
"""Files of one folder that are looked at."""
MAC = re.compile(rb"(?i)(?<![0-9a-f:-])(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?![0-9a-f:-])")
DECIMAL = re.compile(rb"(?<![\d;])\d{1,3}(?:;\d{1,3}){5}(?![\d])")
"""The same as NetworkManager before 0.9.10 wrote it into keyfiles: `170;187;204;0;17;34`."""
NAME = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{0,14}")
"""Names of network cards that are safe as a part of a file name."""
_VIRTUAL = re.compile(rb"lo|(?:br|bond|team|veth|virbr|docker|tun|tap|wg|dummy|vlan)\d.*")
_TAGGED = re.compile(rb"([^.:]+)(?:[.:]\d+)+")
"""A VLAN or a further address of a card: `eth0.7`, `eth0:1`."""
_PATTERN = re.compile(rb"[A-Za-z0-9._-]*[*?][A-Za-z0-9._*?-]*")
_SECTION = re.compile(rb"(?m)^[ \t]*\[([A-Za-z0-9-]+)\][ \t]*\r?$")
_USUAL = ("ens192", "ens3", "enp1s0", "eth0")
"""Names that cards of virtual machines get by themselves."""


@dataclass(frozen=True, slots=True)
class Card:
    """A network card that a configuration names.

    Attributes:
        mac: In lower case; empty when it is not bound to one.
        pattern: Which names fit, where the configuration has a pattern; `name` is one of them.
    """

    name: str
    mac: str = ""
    pattern: str = ""


def _nothing(_path: bytes, _content: bytes) -> Sequence[bytes]:
    return ()


def _as_it_is(_path: bytes, content: bytes, _mac: bytes) -> bytes:
    return content


def _no_sources(_content: bytes) -> Sequence[bytes]:
    return ()


def _fitting(tree: Tree, pattern: bytes) -> Sequence[bytes]:
    """Return the files whose last component fits a pattern, as a shell finds them."""
    folder, _, name = pattern.rpartition(b"/")
    names = tree.list(folder or b"/") if folder.startswith(b"/") else ()
    found = [one for one in names if fnmatchcase(one, name) and not one.startswith(b".")]
    return [folder + b"/" + one for one in found[:FILES]]


@dataclass(frozen=True, slots=True)
class Stack:
    """One network stack.

    Attributes:
        name: As shown.
        folders: Guest folders with a pattern of the file names that count.
        key: Matches lines whose MAC addresses are those of cards.
        cards: Returns what cards a file (guest path, content) names.
        makes: Returns the names of what a file makes of cards: bridges, bonds, VLANs.
        unbind: Takes what binds to the old hardware (slot, driver) out of a file; `mac` is of the
            card that it is bound to instead where nothing else tells which, empty for none.
        exact: Guest paths of files that count by themselves.
        sources: Returns the patterns of further files that a file names.
    """

    name: str
    folders: Sequence[tuple[bytes, re.Pattern[bytes]]]
    key: re.Pattern[bytes]
    cards: Callable[[bytes, bytes], Sequence[Card]]
    makes: Callable[[bytes, bytes], Sequence[bytes]] = _nothing
    unbind: Callable[[bytes, bytes, bytes], bytes] = _as_it_is
    sources: Callable[[bytes], Sequence[bytes]] = _no_sources
    exact: Sequence[bytes] = ()

    def files(self, tree: Tree) -> Sequence[bytes]:
        """Return the guest paths of its files, sorted within each folder."""
        found = list(self.exact)
        for folder, pattern in self.folders:
            there = tree.list(folder)
            names = [name for name in there if pattern.fullmatch(name)][:FILES]
            more = [name for name in there if pattern.fullmatch(name.removesuffix(b".d"))][:FILES]
            found += [folder + b"/" + name for name in names]
            found += [path for name in more if name.endswith(b".d")
                      for path in _fitting(tree, folder + b"/" + name + b"/*.conf")]  # fmt: skip
        for path in list(found):
            content = tree.read(path, LONGEST) or b"" if self.sources is not _no_sources else b""
            found += [more for pattern in self.sources(content) for more in _fitting(tree, pattern)]
        paths = list(dict.fromkeys(found))[: 4 * FILES]
        return [path for path in paths if (place := tree.locate(path)) and place.is_file]

    def convert(self, content: bytes, macs: Mapping[str, str]) -> bytes:
        """Return a file with old addresses replaced by new ones, in the old one's spelling."""
        lines = content.split(b"\n")
        for number, line in enumerate(lines):
            if not self.key.search(line):
                continue
            for form in (MAC, DECIMAL):
                line = form.sub(lambda match: _replaced(match[0], macs), line)
            lines[number] = line
        return b"\n".join(lines)


def plain_mac(raw: bytes) -> str:
    """Return an address as `aa:bb:cc:dd:ee:ff`; empty when it is none."""
    raw = raw.strip().strip(b"\"'").rstrip(b";")
    if DECIMAL.fullmatch(raw):
        raw = b":".join(b"%02x" % int(part) for part in raw.split(b";"))
    mac = raw.lower().replace(b"-", b":")
    return mac.decode("ascii") if MAC.fullmatch(mac) else ""


def card(name: bytes, mac: bytes = b"") -> Sequence[Card]:
    """Return the card of that name; nothing for names of virtual or unsafe ones.

    What is tagged is of its card. A pattern that no card of a VM fits by itself is a name that
    fits it.
    """
    name, pattern = name.strip().strip(b"\"'"), b""
    if tagged := _TAGGED.fullmatch(name):
        name = tagged[1]
    if _PATTERN.fullmatch(name):
        if any(fnmatchcase(usual, name.decode("ascii")) for usual in _USUAL):
            return ()
        pattern = name
        name = name.replace(b"*", b"0").replace(b"?", b"0")
    if not NAME.fullmatch(name) or _VIRTUAL.fullmatch(name):
        return ()
    return (Card(name.decode("ascii"), plain_mac(mac), pattern.decode("ascii")),)


def sections(content: bytes, name: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the body of each `[name]` begins and ends."""
    found = list(_SECTION.finditer(content))
    ends = [match.start() for match in found[1:]] + [len(content)]
    for match, end in zip(found, ends, strict=False):
        if match[1].lower() == name.lower():
            yield match.end(), end


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
    if b";" in old:
        return b";".join(b"%d" % int(part, 16) for part in new.split(":"))
    spelled = new.encode("ascii").replace(b":", old[2:3])
    return spelled.upper() if old != old.lower() else spelled
