"""Which volume lies where: partition tables and signatures, from a few sectors.

    disk:  [ MBR | GPT header | entries | part 1 | part 2 … | entries' | header' ]

Tables come from guests and may be hostile. Every walk is bounded, an entry that does not fit the
disk or lies over an earlier one is ignored, and a table that is there but unreadable is a
`Failure`, since guessing where file systems lie would risk writing into the wrong place.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from engine.guests.members import member
from engine.guests.signatures import identify
from engine.model.errors import Failure, Problem
from engine.model.guest import BootCode, FileSystem, Volume, VolumeId

ReadDisk = Callable[[int, int, int], bytes]
"""`read(disk, offset, length)`: up to `length` bytes; fewer at the end of the disk."""

MAX_PARTITIONS = 256
"""Most partitions of one disk that are looked at."""
SECTOR, BIG_SECTOR = 512, 4096
_EXTENDED = frozenset({0x05, 0x0F, 0x85})
_PROTECTIVE = 0xEE
_PROGRAM = 440
"""Bytes of a first sector before the disk's own number and the table."""
_ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
_NO_AUTO = 0x80
"""In the last byte of an entry's flags: not to be mounted by its type."""
_TABLE_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Partition:
    """One entry of a partition table; start, size and `sector`, its unit, in bytes."""

    number: int
    start: int
    size: int
    entry: str
    is_esp: bool
    name: str = ""
    sector: int = SECTOR
    type: str = ""


@dataclass(frozen=True, slots=True)
class _Disk:
    """One disk: its number for messages, its size, a way to its bytes, what an MBR counts in."""

    number: int
    size: int
    read: ReadDisk
    sector: int = SECTOR

    def at(self, offset: int, length: int) -> bytes:
        """Return bytes of this disk; empty outside of it."""
        if not 0 <= offset < self.size:
            return b""
        return self.read(self.number, offset, min(length, self.size - offset))


def find_volumes(read: ReadDisk, sizes: Sequence[int]) -> Sequence[Volume]:
    """Return all volumes of all disks, by disk and start, with unique ids.

    Where two volumes carry the same UUID (halves of a mirror, cloned disks), the first keeps it
    and the others are named by their place, such as `disk1-part2`.

    Args:
        read: Returns bytes of a disk; called a few times for each volume, for 68 KiB at most.
        sizes: Bytes of each disk.

    Raises:
        Failure: A GPT is announced, but neither of its copies can be used.
    """
    found: list[Volume] = []
    seen: set[VolumeId] = set()
    for number, size in enumerate(sizes):
        for volume in _of_disk(_Disk(number, size, read)):
            if volume.id in seen:
                volume = replace(volume, id=_place(volume.disk, volume.number))
            seen.add(volume.id)
            found.append(volume)
    return tuple(found)


def partitions(read: ReadDisk, disk: int, size: int) -> Sequence[Partition] | None:
    """Return a disk's partitions by start; None when it has no partition table.

    Raises:
        Failure: A GPT is announced, but neither of its copies can be used.
    """
    table = _table(_Disk(disk, size, read))
    if table is None:
        return None
    return sorted(_fitting(table, size), key=lambda part: part.start)


def _place(disk: int, number: int) -> VolumeId:
    return VolumeId(f"disk{disk}-part{number}")


def _of_disk(disk: _Disk) -> Sequence[Volume]:
    table = partitions(disk.read, disk.number, disk.size)
    if table is None:
        table = [Partition(0, 0, disk.size, "", is_esp=False)] if disk.size > 0 else []
    code = _code(disk.at(0, SECTOR))
    found = [replace(_volume(disk, part), code=code) for part in table]
    if any(part.sector != SECTOR or not part.number for part in table):
        return found
    return found if any(map(_holds, found)) else _of_big_sectors(disk) or found


def _code(sector: bytes) -> BootCode:
    """Return what a BIOS would start. Source: GRUB, boot/i386/pc/boot.S (its name is in it)."""
    program = sector[:_PROGRAM]
    if sector[SECTOR - 2 :] != b"\x55\xaa" or not program.strip(b"\0"):
        return BootCode.NONE
    return BootCode.GRUB if b"GRUB" in program else BootCode.OTHER


def _of_big_sectors(disk: _Disk) -> Sequence[Volume]:
    """Return an MBR's volumes by sectors of 4 KiB, where these and not the usual ones hold data.

    An MBR does not say in what it counts; only what lies there tells.
    """
    table = _table(replace(disk, sector=BIG_SECTOR)) or iter(())
    found = sorted(_fitting(table, disk.size), key=lambda part: part.start)
    volumes = [_volume(disk, part) for part in found]
    return volumes if any(map(_holds, volumes)) else ()


def _holds(volume: Volume) -> bool:
    return volume.kind is not FileSystem.UNKNOWN


def _volume(disk: _Disk, part: Partition) -> Volume:
    def read(offset: int, length: int) -> bytes:
        if not 0 <= offset < part.size:
            return b""
        return disk.at(part.start + offset, min(length, part.size - offset))

    found = identify(read, part.size)
    return Volume(
        id=VolumeId(found.id) if found.id else _place(disk.number, part.number),
        disk=disk.number,
        number=part.number,
        start=part.start,
        size=part.size,
        kind=found.kind,
        label=found.label,
        entry=part.entry,
        is_esp=part.is_esp,
        member=member(found.kind, read, part.size),
        entry_name=part.name,
        sector=part.sector,
        outside=found.outside,
        type=part.type,
        started=found.started,
    )


def _fitting(table: Iterator[Partition], size: int) -> Iterator[Partition]:
    """Yield the entries that lie on the disk and not over an earlier one, at most 256."""
    taken: list[Partition] = []
    for part in table:
        inside = part.size > 0 and part.start >= SECTOR and part.start + part.size <= size
        clear = all(
            part.start + part.size <= other.start or other.start + other.size <= part.start
            for other in taken
        )
        if inside and clear:
            taken.append(part)
            yield part
        if len(taken) == MAX_PARTITIONS:
            return


def _table(disk: _Disk) -> Iterator[Partition] | None:
    """Return the entries of the disk's table in the table's order; None without a table."""
    sector = disk.at(0, SECTOR)
    entries = _entries(sector)
    if entries is None or _is_boot_sector(disk, sector, entries):
        return None
    if any(entry.type == _PROTECTIVE for entry in entries):
        return _gpt(disk)
    if not any(entry.sectors for entry in entries):
        return None
    return _mbr(disk, entries, struct.unpack_from("<I", sector, 440)[0])


@dataclass(frozen=True, slots=True)
class _Entry:
    """One of four entries of an MBR or of a link in the chain of logical partitions."""

    type: int
    first: int
    sectors: int


def _entries(sector: bytes) -> Sequence[_Entry] | None:
    if len(sector) < SECTOR or sector[510:] != b"\x55\xaa":
        return None
    raw = [sector[446 + 16 * n : 462 + 16 * n] for n in range(4)]
    if any(entry[0] not in (0, 0x80) for entry in raw):
        return None
    return [_Entry(entry[4], *struct.unpack_from("<II", entry, 8)) for entry in raw]


def _is_boot_sector(disk: _Disk, sector: bytes, entries: Sequence[_Entry]) -> bool:
    """Tell a file system's own boot sector from a table: both end with the same two bytes."""
    named = sector[3:11] in (b"NTFS    ", b"-FVE-FS-") or sector[54:57] == b"FAT"
    named = named or sector[82:87] == b"FAT32"
    plausible = any(
        entry.type
        and entry.first
        and entry.sectors
        and (entry.first + entry.sectors) * SECTOR <= disk.size
        for entry in entries
    )
    return named and not plausible


def _mbr(disk: _Disk, entries: Sequence[_Entry], signature: int) -> Iterator[Partition]:
    chain: _Entry | None = None
    for number, entry in enumerate(entries, 1):
        if entry.type in _EXTENDED:
            chain = chain or entry
        elif entry.type and entry.sectors:
            yield _mbr_partition(disk, number, entry.first, entry, signature)
    if chain is not None:
        yield from _logical(disk, chain, signature)


def _logical(disk: _Disk, chain: _Entry, signature: int) -> Iterator[Partition]:
    """Yield logical partitions; each link is visited once, which ends every loop."""
    seen: set[int] = set()
    at, number = chain.first, 5
    while at not in seen and len(seen) < MAX_PARTITIONS:
        seen.add(at)
        links = _entries(disk.at(at * disk.sector, SECTOR))
        if links is None:
            return
        for entry in links:
            if entry.sectors and entry.type and entry.type not in _EXTENDED:
                yield _mbr_partition(disk, number, at + entry.first, entry, signature)
                number += 1
                break
        following = [entry for entry in links if entry.type in _EXTENDED and entry.sectors]
        if not following:
            return
        at = chain.first + following[0].first


def _mbr_partition(
    disk: _Disk, number: int, first: int, entry: _Entry, signature: int
) -> Partition:
    identity, size = f"{signature:08x}-{number:02x}", disk.sector
    start, length, is_esp = first * size, entry.sectors * size, entry.type == 0xEF
    return Partition(number, start, length, identity, is_esp, sector=size)


@dataclass(frozen=True, slots=True)
class _Header:
    """A GPT header whose checksum is right."""

    backup: int
    first: int
    last: int
    entries: int
    count: int
    length: int
    checksum: int


def _gpt(disk: _Disk) -> Iterator[Partition]:
    for sector in (SECTOR, BIG_SECTOR):
        last = disk.size // sector - 1
        primary = _header(disk, sector, 1)
        places = [1, last] if primary is None else [1, primary.backup, last]
        for place in places:
            header = _header(disk, sector, place)
            table = _gpt_entries(disk, sector, header) if header else None
            if header is not None and table is not None:
                return _gpt_partitions(header, table, sector)
    raise Failure(
        Problem(
            "guest.gpt.damaged",
            f"Disk {disk.number} says that it has a GPT, but both of its copies are damaged.",
            "Nothing was changed.",
            "Repair the table on the source machine (gdisk can rebuild one copy from the other) "
            "and make a new backup.",
            {"disk": disk.number},
        )
    )


def _header(disk: _Disk, sector: int, place: int) -> _Header | None:
    raw = disk.at(place * sector, sector)
    if len(raw) < 92 or raw[:8] != b"EFI PART":
        return None
    length, checksum = struct.unpack_from("<II", raw, 12)
    if not 92 <= length <= len(raw):
        return None
    if zlib.crc32(raw[:16] + bytes(4) + raw[20:length]) != checksum:
        return None
    own, backup, first, last = struct.unpack_from("<QQQQ", raw, 24)
    entries, count, width, crc = struct.unpack_from("<QIII", raw, 72)
    if own != place or width < 128 or count * width > _TABLE_LIMIT:
        return None
    return _Header(backup, first, last, entries, count, width, crc)


def _gpt_entries(disk: _Disk, sector: int, header: _Header) -> bytes | None:
    size = header.count * header.length
    raw = disk.at(header.entries * sector, size)
    return raw if len(raw) == size and zlib.crc32(raw) == header.checksum else None


def _gpt_partitions(header: _Header, table: bytes, sector: int) -> Iterator[Partition]:
    for index in range(header.count):
        raw = table[index * header.length :][:128]
        kind, unique = raw[:16], uuid.UUID(bytes_le=raw[16:32])
        first, last = struct.unpack_from("<QQ", raw, 32)
        if not any(kind) or not header.first <= first <= last <= header.last:
            continue
        is_esp = uuid.UUID(bytes_le=kind) == _ESP
        size = (last - first + 1) * sector
        name = raw[56:128].decode("utf-16-le", "replace").partition("\0")[0]
        is_hidden = raw[55] & _NO_AUTO
        own = "" if is_hidden else str(uuid.UUID(bytes_le=kind))
        yield Partition(index + 1, first * sector, size, str(unique), is_esp, name, sector, own)
