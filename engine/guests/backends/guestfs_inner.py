"""Volumes inside volumes: logical volumes of LVM, and md arrays that have all their members.

partition (LVM) ─► VG ─► /dev/mapper/vg-root ─► a `Volume` with these names, of no partition
partitions (md) ─► /dev/md1 (LVM) ─► VG ─► the same
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.guests.signatures import identify
from engine.model.guest import FileSystem, Volume, VolumeId

LIST_INNER = (
    "for d in /sys/block/dm-* /sys/block/md*; do [ -e $d/size ] || continue; b=$(basename $d); "
    'echo "$b|$(cat $d/dm/name 2>/dev/null)|$(cat $d/dm/uuid 2>/dev/null)|$(cat $d/size)|'
    "$(cat $d/md/degraded 2>/dev/null)|"
    '$(mdadm --detail --export /dev/$b 2>/dev/null | sed -n s/^MD_NAME=//p)"; done'
)
"""For the virtual machine's shell: one line for each device that is made of others."""
MAX_INNER = 256
INSIDE = -1
"""Partition number of a volume that is none."""
_NAME = re.compile(r"[A-Za-z0-9+_.][A-Za-z0-9+_.-]{0,254}")
_HYPHEN = re.compile(r"(?<!-)-(?!-)")
_OF_LVM = 68
"""Length of the identity of a logical volume that a user made; its hidden parts have a suffix."""


@dataclass(frozen=True, slots=True)
class Inner:
    """A logical volume or array: its device in the virtual machine, bytes, what holds it.

    Attributes:
        names: What the guest's own kernel calls it, as fstab does.
    """

    device: str
    size: int
    holder: FileSystem
    names: tuple[str, ...]


def parse_inner(listing: bytes) -> Sequence[Inner]:
    """Return what `LIST_INNER` printed, without arrays that lack a member."""
    found = []
    for line in listing.decode("ascii", "replace").splitlines()[:MAX_INNER]:
        words = line.split("|")
        if len(words) != 6 or not words[3].isdigit():
            continue
        block, name, identity, sectors, degraded, array = words
        made = _logical(name, identity) if block.startswith("dm-") else _array(block, array)
        if made and degraded in ("", "0") and int(words[3]):  # an array that lacks much has no size
            device, holder, names = made
            found.append(Inner(device, int(sectors) * 512, holder, names))
    return found


def inner_volumes(
    inner: Sequence[Inner], outer: Sequence[Volume], read: Callable[[str, int, int], bytes]
) -> Sequence[tuple[Volume, str]]:
    """Return the volumes in logical volumes and arrays, each with its device.

    They count to the disk that the first volume of their holder's kind is on; an array may hold a
    volume group.

    Args:
        outer: Partitions and whole disks.
        read: Returns up to some bytes at an offset of a device.
    """
    seen = {volume.id for volume in outer}
    found: list[tuple[Volume, str]] = []
    for one in sorted(inner, key=lambda one: one.holder is not FileSystem.RAID):
        there = [*outer, *(volume for volume, _ in found)]
        holders = [volume.disk for volume in there if volume.kind is one.holder]
        if not holders:
            continue
        what = identify(_reader(one, read), one.size)
        identifier = VolumeId(what.id or one.names[0].removeprefix("/dev/"))
        if identifier in seen:
            continue
        seen.add(identifier)
        volume = Volume(identifier, holders[0], INSIDE, 0, one.size, what.kind, what.label,
                        names=one.names, outside=what.outside,
                        started=what.started)  # fmt: skip
        found.append((volume, one.device))
    return found


def _reader(one: Inner, read: Callable[[str, int, int], bytes]) -> Callable[[int, int], bytes]:
    def at(offset: int, length: int) -> bytes:
        inside = 0 <= offset < one.size
        return read(one.device, offset, min(length, one.size - offset)) if inside else b""

    return at


def _logical(name: str, identity: str) -> tuple[str, FileSystem, tuple[str, ...]] | None:
    if not identity.startswith("LVM-") or len(identity) != _OF_LVM or not _NAME.fullmatch(name):
        return None
    group, *rest = [part.replace("--", "-") for part in _HYPHEN.split(name)]
    device = f"/dev/mapper/{name}"
    return device, FileSystem.LVM, (device, *(f"/dev/{group}/{volume}" for volume in rest))


def _array(block: str, name: str) -> tuple[str, FileSystem, tuple[str, ...]] | None:
    if not re.fullmatch(r"md[0-9]{1,4}", block):
        return None
    own = name.rpartition(":")[2]
    if not own:
        names: tuple[str, ...] = (f"/dev/{block}",)
    elif not _NAME.fullmatch(own):
        return None
    else:
        names = (f"/dev/md{own}", f"/dev/md/{own}") if own.isdigit() else (f"/dev/md/{own}",)
    return f"/dev/{block}", FileSystem.RAID, names
