"""What a volume holds, told from a few sectors, with UUIDs in the form `blkid` prints.

Order matters as it does for blkid: containers (md, LUKS, LVM, BitLocker) come before what they
may hold, since a member of a mirror with its superblock at the end looks like its file system.
"""

from __future__ import annotations

import itertools
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from engine.model.guest import FileSystem

ReadAt = Callable[[int, int], bytes]
"""Return up to `length` bytes at `offset` of a volume; fewer at its end."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What was found: kind, `id` as blkid prints it (empty when there is none), label.

    Attributes:
        outside: What of it is on another volume, in words; empty: nothing.
        started: When it was last mounted as a root, seconds since 1970; 0: untold, or never.
    """

    kind: FileSystem
    id: str = ""
    label: str = ""
    outside: str = ""
    started: int = 0


@dataclass(frozen=True, slots=True)
class _Head:
    """The first 68 KiB of a volume and a way to the rest."""

    data: bytes
    size: int
    read: ReadAt

    def at(self, offset: int, length: int) -> bytes:
        """Return bytes from the head, padded with zeros where the volume ends."""
        return self.data[offset : offset + length].ljust(length, b"\0")

    def number(self, form: str, offset: int) -> int:
        """Return one number at `offset`."""
        value: int = struct.unpack(form, self.at(offset, struct.calcsize(form)))[0]
        return value


def identify(read: ReadAt, size: int) -> Signature:
    """Tell what a volume of `size` bytes holds; UNKNOWN when no signature fits."""
    head = _Head(read(0, min(size, 68 << 10)), size, read)
    for probe in _PROBES:
        found = probe(head)
        if found is not None:
            return found
    return Signature(FileSystem.UNKNOWN)


def _uuid(raw: bytes) -> str:
    """Return 16 bytes as a UUID; all zeros mean that there is none."""
    return str(uuid.UUID(bytes=raw)) if any(raw) else ""


def _label(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "replace").rstrip(" ")


_MD_MAGIC = 0xA92B4EFC


def _md(head: _Head) -> Signature | None:
    end = ((head.size >> 9) - 16) & ~7
    for sector in (0, 8, end):
        if sector < 0:
            continue
        raw = head.read(sector << 9, 256)
        if len(raw) < 256:
            continue
        magic, major = struct.unpack_from("<II", raw)
        if magic == _MD_MAGIC and major == 1 and struct.unpack_from("<Q", raw, 144)[0] == sector:
            return Signature(FileSystem.RAID, _uuid(raw[16:32]), _label(raw[32:64]))
    return _md_old(head)


def _md_old(head: _Head) -> Signature | None:
    """Find a superblock of version 0.90: 64 KiB aligned, close to the end."""
    offset = (head.size & ~0xFFFF) - 0x10000
    raw = head.read(offset, 64) if offset >= 0 else b""
    if len(raw) < 64 or struct.unpack_from("<II", raw) != (_MD_MAGIC, 0):
        return None
    return Signature(FileSystem.RAID, _uuid(raw[20:24] + raw[52:64]))


def _luks(head: _Head) -> Signature | None:
    version = head.number(">H", 6)
    if head.at(0, 6) != b"LUKS\xba\xbe" or version not in (1, 2):
        return None
    label = _label(head.at(24, 48)) if version == 2 else ""
    return Signature(FileSystem.LUKS, _printable(_label(head.at(168, 40))), label)


def _printable(text: str) -> str:
    """Return an identifier that a header gives as text; empty when it is none."""
    fits = text.isascii() and all(c.isalnum() or c == "-" for c in text)
    return text if fits else ""


def _lvm(head: _Head) -> Signature | None:
    for sector in range(4):
        start = sector << 9
        fits = head.at(start, 8) == b"LABELONE" and head.at(start + 24, 8) == b"LVM2 001"
        if fits and head.number("<Q", start + 8) == sector:
            raw = head.at(start + min(head.number("<I", start + 20), 480), 32)
            text = _printable(raw.decode("ascii", "replace"))
            if len(text) != 32:
                return Signature(FileSystem.LVM)
            cuts = (0, 6, 10, 14, 18, 22, 26, 32)
            parts = (text[a:b] for a, b in itertools.pairwise(cuts))
            return Signature(FileSystem.LVM, "-".join(parts))
    return None


_BITLOCKER = uuid.UUID("4967d63b-2e29-4ad8-8399-f6a339e3d001").bytes_le


def _bitlocker(head: _Head) -> Signature | None:
    to_go = head.at(3, 8) == b"MSWIN4.1" and head.at(424, 16) == _BITLOCKER
    if head.at(3, 8) == b"-FVE-FS-" or to_go:
        return Signature(FileSystem.BITLOCKER)
    return None


_JOURNAL_DEVICE = 0x8
_HAS_JOURNAL = 4


_ROOTS = ("/", "/root", "/sysroot")
"""Where initrds have the root when its first file is opened."""
_ZFS_LISTS = (b"\1\0\0\0", b"\1\1\0\0")
_ZFS_BLOCKS, _ZFS_BLOCK = 128 << 10, 1024
_ZFS_MAGIC = (struct.pack("<Q", 0xBAB10C), struct.pack(">Q", 0xBAB10C))


def _zfs(head: _Head) -> Signature | None:
    """Find a label of ZFS: a list of properties at 16 KiB, from 128 KiB on the newest roots.

    Source: ZFS On-Disk Specification, 1.2 "Vdev Labels".
    """
    if head.at(16384, 4) not in _ZFS_LISTS:
        return None
    blocks = head.read(_ZFS_BLOCKS, _ZFS_BLOCKS)
    if not any(blocks[at : at + 8] in _ZFS_MAGIC for at in range(0, len(blocks), _ZFS_BLOCK)):
        return None
    after = head.at(16384, 4096).partition(b"\0\0\0\4name\0\0\0\t")[2]
    length = min(int.from_bytes(after[4:8], "big"), 255)
    return Signature(FileSystem.ZFS, "", _label(after[8 : 8 + length]))


_BCACHE = bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")
_BCACHEFS = bytes.fromhex("c68573f666ce90a9d96a60cf803df7ef")


def _bcache(head: _Head) -> Signature | None:
    """Source: Linux, include/uapi/linux/bcache.h, `struct cache_sb`, 4 KiB from the begin."""
    if head.at(4096 + 24, 16) != _BCACHE:
        return None
    return Signature(FileSystem.BCACHE, _uuid(head.at(4096 + 40, 16)))


def _bcachefs(head: _Head) -> Signature | None:
    """Source: bcachefs, fs/bcachefs/bcachefs_format.h, `struct bch_sb`, at the same place."""
    if head.at(4096 + 24, 16) != _BCACHEFS:
        return None
    label = _label(head.at(4096 + 72, 32))
    return Signature(FileSystem.BCACHEFS, _uuid(head.at(4096 + 56, 16)), label)


def _ext(head: _Head) -> Signature | None:
    if head.number("<H", 1080) != 0xEF53 or head.number("<I", 1048) > 6:
        return None
    if head.number("<I", 1120) & _JOURNAL_DEVICE:
        return None
    has_journal = head.number("<I", 1116) & _HAS_JOURNAL
    outside = "journal" if has_journal and not head.number("<I", 1248) else ""
    started = head.number("<I", 1068) if _label(head.at(1160, 64)) in _ROOTS else 0
    name, label = _uuid(head.at(1128, 16)), _label(head.at(1144, 16))
    return Signature(FileSystem.EXT, name, label, outside, started)


def _xfs(head: _Head) -> Signature | None:
    if head.at(0, 4) != b"XFSB" or head.number(">I", 4) not in _POWERS:
        return None
    log, data = not head.number(">Q", 48), head.number(">Q", 16)
    outside = "journal" if log else "realtime data" if data else ""
    return Signature(FileSystem.XFS, _uuid(head.at(32, 16)), _label(head.at(108, 12)), outside)


_POWERS = frozenset(1 << n for n in range(9, 17))


def _btrfs(head: _Head) -> Signature | None:
    if head.at(65600, 8) != b"_BHRfS_M":
        return None
    return Signature(FileSystem.BTRFS, _uuid(head.at(65568, 16)), _label(head.at(65835, 256)))


_SWAP = (b"SWAP-SPACE", b"SWAPSPACE2")
_HIBERNATED = (b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001")


def _swap(head: _Head) -> Signature | None:
    for page in (4096, 8192, 16384, 32768, 65536):
        magic = head.at(page - 10, 10)
        is_swap, is_asleep = magic in _SWAP, magic.startswith(_HIBERNATED)
        if is_swap or is_asleep:
            kind = FileSystem.SWAP if is_swap else FileSystem.HIBERNATED
            return Signature(kind, _uuid(head.at(1036, 16)), _label(head.at(1052, 16)))
    return None


def _ntfs(head: _Head) -> Signature | None:
    sector = head.number("<H", 11)
    if head.at(3, 8) != b"NTFS    " or sector not in (256, 512, 1024, 2048, 4096):
        return None
    return Signature(FileSystem.NTFS, f"{head.number('<Q', 72):016X}", _ntfs_label(head, sector))


def _ntfs_label(head: _Head, sector: int) -> str:
    """Return the name in `$Volume`, the fourth record of the file table."""
    per = head.number("<B", 13)
    cluster = sector * (per if per <= 128 else 1 << (256 - per if per > 240 else 0))
    records = head.number("<b", 64)
    length = records * cluster if records > 0 else 1 << min(-records, 16)
    offset = head.number("<Q", 48) * cluster + 3 * length
    if not 512 <= length <= 65536 or offset + length > head.size:
        return ""
    record = head.read(offset, length)
    return _volume_name(record) if record[:4] == b"FILE" and len(record) == length else ""


def _volume_name(record: bytes) -> str:
    at = int(struct.unpack_from("<H", record, 20)[0])
    while at + 24 <= len(record):
        kind, length = struct.unpack_from("<II", record, at)
        if kind == 0x60 and not record[at + 8]:
            size, start = struct.unpack_from("<IH", record, at + 16)
            raw = record[at + start : at + start + min(size, 512)]
            return bytes(raw).decode("utf-16-le", "replace").rstrip("\0")
        if kind == 0xFFFFFFFF or length < 16:
            break
        at += length
    return ""


@dataclass(frozen=True, slots=True)
class FatShape:
    """Where the parts of a FAT file system lie, in bytes, from its boot sector.

    Attributes:
        bits: 12, 16 or 32.
        table: Offset of the first table; `root`, `root_size`: fixed root folder (0 for FAT32).
        data: Offset of cluster 2; `first`: root cluster of FAT32.
    """

    bits: int
    cluster: int
    table: int
    root: int
    root_size: int
    data: int
    clusters: int
    first: int


def fat_shape(boot: bytes) -> FatShape | None:
    """Read a FAT boot sector; None when it is none or contradicts itself."""
    if len(boot) < 512:
        return None
    sector, per, reserved, tables, entries, total = struct.unpack_from("<HBHBHH", boot, 11)
    total = total or struct.unpack_from("<I", boot, 32)[0]
    length = struct.unpack_from("<H", boot, 22)[0] or struct.unpack_from("<I", boot, 36)[0]
    powers = sector in (512, 1024, 2048, 4096) and per in {1 << n for n in range(8)}
    media = boot[21] == 0xF0 or boot[21] >= 0xF8
    if not (powers and media and reserved and tables in (1, 2, 3, 4) and total and length):
        return None
    root = (reserved + tables * length) * sector
    root_size = -(-entries * 32 // sector) * sector
    clusters = (total * sector - root - root_size) // (sector * per)
    if clusters <= 0:
        return None
    is_32 = not struct.unpack_from("<H", boot, 22)[0]
    bits = 32 if is_32 else 12 if clusters < 4085 else 16
    first = struct.unpack_from("<I", boot, 44)[0] if is_32 else 0
    table = reserved * sector
    return FatShape(bits, sector * per, table, root, root_size, root + root_size, clusters, first)


def _fat(head: _Head) -> Signature | None:
    shape = fat_shape(head.at(0, 512))
    if shape is None or head.at(0, 1) not in (b"\xeb", b"\xe9"):
        return None
    serial, name = (67, 71) if shape.bits == 32 else (39, 43)
    if shape.bits != 32 and head.at(510, 2) != b"\x55\xaa" and head.at(54, 3) != b"FAT":
        return None
    low, high = head.number("<H", serial), head.number("<H", serial + 2)
    number = f"{high:04X}-{low:04X}" if high or low else ""
    return Signature(FileSystem.FAT, number, _fat_label(head, shape, head.at(name, 11)))


def _fat_label(head: _Head, shape: FatShape, in_boot: bytes) -> str:
    """Return the label in the root folder, else the boot sector's."""
    start = shape.data + (shape.first - 2) * shape.cluster if shape.bits == 32 else shape.root
    size = min(shape.root_size or shape.cluster, 16384)
    root = head.read(start, size) if 0 <= start < head.size else b""
    for at in range(0, len(root) - 31, 32):
        if not root[at]:
            break
        if root[at] != 0xE5 and root[at + 11] & 0x18 == 0x08 and root[at + 11] != 0x0F:
            return _label(root[at : at + 11])
    label = _label(in_boot)
    return "" if label == "NO NAME" else label


_PROBES: tuple[Callable[[_Head], Signature | None], ...] = (
    _md,
    _luks,
    _lvm,
    _bitlocker,
    _bcache,
    _bcachefs,
    _zfs,
    _btrfs,
    _xfs,
    _ext,
    _swap,
    _ntfs,
    _fat,
)
