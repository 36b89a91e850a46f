r"""LVM's filter: on which devices volume groups are looked for, often by the names of old hardware.

    filter = [ "a|/dev/cciss/.*|",                          "r|.*|" ]
    filter = [ "a|/dev/cciss/.*|", "a|^/dev/(sd|vd|nvme)|", "r|.*|" ]

The first pattern that fits a device decides. A VM's disks are let in before what rejects them all;
what is rejected by a name of its own before that stays out.

Source: lvm.conf(5); LVM2, conf/example.conf.in, "devices/filter" and "devices/global_filter".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from engine.guests.linux.draft import Draft
from engine.model.guest import FileSystem, Volume

FOLDER = b"/etc/lvm/"
FILES = (b"lvm.conf", b"lvmlocal.conf")
LIMIT = 1 << 20
"""Longest file of settings in bytes that is looked at."""
ACCEPT = b'"a|^/dev/(sd|vd|nvme)|"'
"""The disks of VMs. Parts of arrays are passed over by LVM itself."""
_FILTER = re.compile(
    rb'(?m)^[ \t]*(?:devices/)?(?:global_)?filter[ \t]*=[ \t]*\[((?:[^\]"=]|"[^"\n]*")*+)\]'
)
_PATTERN = re.compile(rb'"[ \t]*([ar])([^\w\s])([^"\n]*)"')
_ALL = re.compile(rb"\^?(?:/dev/)?(?:\.\*|\.)?/?(?:\.\*)?\$?")
_ALL_DISKS = re.compile(rb"\^?(?:/dev/)?sd(?:\.\*|\[a-z\](?:\.\*|\*)?)?\$?")
_OLD = re.compile(
    rb"(?<![a-z])(?:[shv]d|xvd)(?![a-z]{4})|nvme|cciss|mpath|emcpower|by-(?:id|path)|wwn-|mapper/3"
)
"""Names of devices that depend on the hardware."""


def widened(content: bytes) -> bytes:
    """Return settings whose filters let a VM's disks in; empty where none keeps them out."""
    new = _FILTER.sub(_widened, content)
    return new if ACCEPT in new else b""


def plan_filter(draft: Draft, volumes: Sequence[Volume]) -> None:
    """Collect the changes that let LVM find its volumes on a VM's disks."""
    if all(volume.kind is not FileSystem.LVM for volume in volumes):
        return
    for name in FILES:
        content = draft.read(FOLDER + name, LIMIT)
        new = widened(content) if content is not None else b""
        if new and new != content:
            draft.write(FOLDER + name, new, "LVM looked at the devices of the old hardware only.")


def notes(version: str, *, has_list: bool, has_filter: bool) -> Iterator[str]:
    """Yield what the operator should know of a kernel's initrd, by what it has of LVM's."""
    if has_list:
        yield (
            f"The initrd of kernel {version} lists devices of the old hardware for LVM; the "
            "overlay hides that list."
        )
    if has_filter:
        yield (
            f"The initrd of kernel {version} lets LVM look at devices of the old hardware only; "
            "the overlay lets it look at a VM's disks too."
        )


def _widened(match: re.Match[bytes]) -> bytes:
    inside = match[1]
    if ACCEPT in inside:
        return match[0]
    is_old = False
    for pattern in _PATTERN.finditer(inside):
        kind, what = pattern[1], pattern[3].rstrip().removesuffix(pattern[2])
        if kind == b"a":
            if _ALL.fullmatch(what):
                break  # whatever follows
            is_old = is_old or _OLD.search(what) is not None
        elif _ALL_DISKS.fullmatch(what) or (is_old and _ALL.fullmatch(what)):
            at = match.start(1) - match.start(0) + pattern.start()
            return match[0][:at] + ACCEPT + b", " + match[0][at:]
    return match[0]
