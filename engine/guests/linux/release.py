"""What the guest calls itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.guests.tree import Tree
from engine.model.guest import Family
from engine.model.text import safe

_FAMILIES = {
    "debian": Family.DEBIAN,
    "ubuntu": Family.DEBIAN,
    "rhel": Family.REDHAT,
    "fedora": Family.REDHAT,
    "centos": Family.REDHAT,
    "suse": Family.SUSE,
    "sles": Family.SUSE,
    "opensuse": Family.SUSE,
    "arch": Family.ARCH,
    "alpine": Family.ALPINE,
}
_OLD = (
    (b"/etc/redhat-release", Family.REDHAT, "Red Hat family"),
    (b"/etc/SuSE-release", Family.SUSE, "SUSE"),
    (b"/etc/alpine-release", Family.ALPINE, "Alpine Linux"),
    (b"/etc/arch-release", Family.ARCH, "Arch Linux"),
    (b"/etc/debian_version", Family.DEBIAN, "Debian"),
)


@dataclass(frozen=True, slots=True)
class Release:
    """Family, name and version as shown."""

    family: Family
    name: str
    version: str


def read_release(tree: Tree) -> Release:
    """Return what the guest's release files say; a nameless Linux when there are none."""
    for path in (b"/etc/os-release", b"/usr/lib/os-release"):
        content = tree.read(path, 1 << 16)
        if content:
            return _parse(content)
    for path, family, name in _OLD:
        content = tree.read(path, 1 << 12)
        if content is not None:
            number = re.search(rb"\d[\d.]*", content)
            return Release(family, name, safe(number[0], 40) if number else "")
    return Release(Family.LINUX, "Linux", "")


def _parse(content: bytes) -> Release:
    """Return what os-release(5) says: `KEY=value` lines with shell quotes."""
    values: dict[bytes, str] = {}
    for line in content.split(b"\n")[:1000]:
        key, equals, value = line.strip().partition(b"=")
        if equals:
            values[key] = safe(value.strip().strip(b"\"'"), 80)
    ids = f"{values.get(b'ID', '')} {values.get(b'ID_LIKE', '')}".lower().split()
    known = [
        _FAMILIES[word] for one in ids for word in (one, one.split("-")[0]) if word in _FAMILIES
    ]
    name = values.get(b"NAME") or values.get(b"PRETTY_NAME") or "Linux"
    return Release(known[0] if known else Family.LINUX, name, values.get(b"VERSION_ID", ""))
