"""What a part of a volume group (LVM) or of an array (md) says of the whole.

    PV ─ label ─► metadata as text ─► group, all its PVs, kinds of its logical volumes
    md ─ superblock ─► array, level, how many members, which one this is

So a part that is missing can be named, and a kind that is not supported, without opening anything.

Source: LVM2, lib/format_text/layout.h (label, header of the metadata area); Linux,
include/uapi/linux/raid/md_p.h (superblocks 0.90 and 1.x), include/uapi/linux/btrfs_tree.h
(superblock: number of devices, item of this device).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence

from engine.model.guest import FileSystem, Member, Volume, VolumeId

ReadAt = Callable[[int, int], bytes]
"""Return up to `length` bytes at `offset` of a volume; fewer at its end."""

TEXT = 1 << 20
"""Longest metadata of a volume group in bytes that is read."""
PARTS = 256
_AREA = b" LVM2 x[5A%r0N*>"
_GROUP = re.compile(rb"^([A-Za-z0-9+_.-]{1,127}) \{\s+id = \"([A-Za-z0-9-]{1,40})\"", re.MULTILINE)
_PART = re.compile(rb"id = \"([A-Za-z0-9-]{1,40})\"\s+device = \"([^\"\n]{0,255})\"")
_KIND = re.compile(rb"^\s*type = \"([a-z0-9_-]{1,40})", re.MULTILINE)
_MAGIC = 0xA92B4EFC
_LINEAR = -1
_BTRFS = 65536


def member(kind: FileSystem, read: ReadAt, size: int) -> Member | None:
    """Return what a volume says of the whole it is a part of; None when it does not tell."""
    try:
        if kind is FileSystem.LVM:
            return _physical_volume(read)
        if kind is FileSystem.BTRFS:
            return _btrfs_device(read)
        return _array_member(read, size) if kind is FileSystem.RAID else None
    except struct.error:  # cut off
        return None


def _btrfs_device(read: ReadAt) -> Member | None:
    """Return what one of several devices says; None of one that is alone."""
    raw = read(_BTRFS, 512)
    count, own = struct.unpack_from("<Q", raw, 0x88)[0], struct.unpack_from("<Q", raw, 0xC9)[0]
    if not 1 < count <= PARTS:
        return None
    label = raw[0x12B:0x1FF].partition(b"\0")[0].decode("utf-8", "replace")
    parts = tuple((str(number), "") for number in range(1, count + 1))
    return Member(raw[32:48].hex(), label, str(own), parts, ("btrfs",))


def further(volumes: Sequence[Volume]) -> frozenset[VolumeId]:
    """Return the devices of btrfs that are not the first of their file system."""
    seen: set[str] = set()
    found = set()
    for volume in volumes:
        if volume.kind is FileSystem.BTRFS and volume.member is not None:
            if volume.member.whole in seen:
                found.add(volume.id)
            seen.add(volume.member.whole)
    return frozenset(found)


def partial(volumes: Sequence[Volume]) -> frozenset[VolumeId]:
    """Return the devices of btrfs whose file system has more devices than there are."""
    parts = [v for v in volumes if v.kind is FileSystem.BTRFS and v.member is not None]
    wholes = [v.member.whole for v in parts if v.member is not None]
    return frozenset(
        v.id for v in parts if v.member and wholes.count(v.member.whole) < len(v.member.parts)
    )


def _physical_volume(read: ReadAt) -> Member | None:
    head = read(0, 2048)
    start = next((at for at in range(0, 2048, 512) if head[at : at + 8] == b"LABELONE"), None)
    if start is None:
        return None
    at = start + min(struct.unpack_from("<I", head, start + 20)[0], 480)
    own = head[at : at + 32].decode("ascii", "replace")
    # Pairs of offset and length: data areas, zeros, metadata areas, zeros.
    pairs = [struct.unpack_from("<QQ", head, place) for place in range(at + 40, len(head) - 15, 16)]
    areas = pairs[next((n for n, pair in enumerate(pairs) if not pair[0]), len(pairs)) + 1 :]
    for offset, length in areas[:2]:
        if not offset:
            break
        group = _group(_metadata(read, offset, length), own)
        if group is not None:
            return group
    return None


def _metadata(read: ReadAt, area: int, length: int) -> bytes:
    """Return the text of a metadata area; it runs on at the area's beginning behind its end."""
    header = read(area, 512)
    if len(header) < 512 or header[4:20] != _AREA:
        return b""
    offset, size = struct.unpack_from("<QQ", header, 40)
    if not 512 <= offset < length or not 0 < size <= min(TEXT, length - 512):
        return b""
    first = read(area + offset, min(size, length - offset))
    return first + (read(area + 512, size - len(first)) if len(first) < size else b"")


def _group(text: bytes, own: str) -> Member | None:
    found = _GROUP.search(text)
    if found is None:
        return None
    _, _, rest = text.partition(b"physical_volumes {")
    listed, _, logical = rest.partition(b"logical_volumes {")
    parts = tuple((_plain(match[1]), match[2].decode("utf-8", "replace"))
                  for match in _PART.finditer(listed))[:PARTS]  # fmt: skip
    kinds = tuple(sorted({match[1].decode() for match in _KIND.finditer(logical)}))
    return Member(_plain(found[2]), found[1].decode(), own, parts, kinds)


def _plain(identity: bytes) -> str:
    return identity.decode("ascii", "replace").replace("-", "")


def _array_member(read: ReadAt, size: int) -> Member | None:
    end = ((size >> 9) - 16) & ~7
    for sector in (0, 8, end):
        raw = read(sector << 9, 4096) if sector >= 0 else b""
        if len(raw) >= 512 and struct.unpack_from("<II", raw) == (_MAGIC, 1):
            level, members = struct.unpack_from("<i", raw, 72)[0], struct.unpack_from("<I", raw, 92)
            number = struct.unpack_from("<I", raw, 160)[0]
            at = 256 + 2 * number
            role = struct.unpack_from("<H", raw, at)[0] if at + 2 <= len(raw) else 0xFFFF
            name = raw[32:64].partition(b"\0")[0].decode("utf-8", "replace")
            return _array(raw[16:32].hex(), name, level, members[0], role)
    old = read((size & ~0xFFFF) - 0x10000, 4096) if size >= 0x20000 else b""
    if len(old) < 4096 or struct.unpack_from("<II", old) != (_MAGIC, 0):
        return None
    words = struct.unpack("<1024I", old)
    level = struct.unpack("<i", struct.pack("<I", words[7]))[0]
    return _array((old[20:24] + old[52:64]).hex(), "", level, words[10], words[995])


def _array(whole: str, name: str, level: int, members: int, role: int) -> Member:
    kind = "linear" if level == _LINEAR else f"raid{level}"
    parts = tuple((str(number), "") for number in range(min(members, PARTS)))
    return Member(whole, name, str(role), parts, (kind,))


def lacking(whole: str, volumes: Sequence[Volume]) -> tuple[tuple[str, str], ...]:
    """Return the parts of a group or array that are in none of the volumes.

    Returns:
        The identity of each, and the device it was when the metadata was written; empty when
        nothing is missing.
    """
    members = [v.member for v in volumes if v.member is not None and v.member.whole == whole]
    there = {member.own for member in members}
    longest = max((member.parts for member in members), key=len, default=())
    return tuple(part for part in longest if part[0] not in there)
