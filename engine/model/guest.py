"""Guests and what conversion changes in them: pure data.

    volumes ─► inspect ─► Guest ─► plan (pure) ─► ConversionPlan ─► backend replays ─► Ledger

Guest paths and contents are bytes, hostile, and capped. A plan holds every change before anything
is written; each change names what must be there before, so a backend refuses another guest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

from engine.model.machine import Firmware

VolumeId = NewType("VolumeId", str)
"""UUID of a file system in the form its tools print, or `disk0-part1` where it has none."""


class FileSystem(StrEnum):
    """What a volume holds, by signature."""

    EXT = "ext"
    XFS = "xfs"
    BTRFS = "btrfs"
    FAT = "fat"
    NTFS = "ntfs"
    SWAP = "swap"
    HIBERNATED = "hibernated"
    LVM = "lvm"
    RAID = "raid"
    LUKS = "luks"
    BITLOCKER = "bitlocker"
    ZFS = "zfs"
    BCACHE = "bcache"
    BCACHEFS = "bcachefs"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Member:
    """What a part of a volume group (LVM) or of an array (md) says of the whole.

    Attributes:
        whole, name: Identity and name of the group or array; an array may have no name.
        own: Identity of this part.
        parts: Identity of each part, and the device it was on the source machine, if that is told.
        kinds: Of the group's logical volumes (`striped`, `thin` …); an array's level (`raid5`).
    """

    whole: str
    name: str
    own: str
    parts: tuple[tuple[str, str], ...]
    kinds: tuple[str, ...]


class BootCode(StrEnum):
    """Program in the first sector of a disk. OTHER: any but GRUB's, such as a tool's that says no.

    NONE: no program, no mark of a sector that may be started, or nobody looked.
    """

    NONE = "none"
    GRUB = "grub"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Volume:
    """A partition, or a whole disk without a table.

    Attributes:
        disk: Number of the disk; start, size: bytes on it.
        number: Partition number as the guest's kernel counts (sda1 -> 1); 0 for a whole disk, -1
            for a volume inside others (LVM, md), which then has `names` and starts at 0.
        label, kind: Of the file system; PARTUUID-like id of the table entry in `entry`, and the
            name that a GPT gives it in `entry_name`.
        sector: Bytes of the sectors that the disk's table counts in.
        is_esp: The table calls it an EFI system partition.
        names: Devices as which the guest knows a volume inside others: `/dev/mapper/vg-root`.
        code: What a BIOS starts from its disk's first sector.
        outside: What of the file system is on another volume, in words; empty: nothing.
        started: When an ext was last mounted as a root, seconds since 1970; 0: untold, or never.
        type: GUID by which a GPT tells its use; empty where it is not to be mounted by that.
        member: What a part of LVM or md says of the whole; None for others.
    """

    id: VolumeId
    disk: int
    number: int
    start: int
    size: int
    kind: FileSystem
    label: str = ""
    entry: str = ""
    is_esp: bool = False
    names: tuple[str, ...] = ()
    member: Member | None = None
    entry_name: str = ""
    sector: int = 512
    outside: str = ""
    code: BootCode = BootCode.NONE
    type: str = ""
    started: int = field(default=0, compare=False)


class Family(StrEnum):
    """Kinds of guests that are told apart."""

    DEBIAN = "debian"
    REDHAT = "redhat"
    SUSE = "suse"
    ARCH = "arch"
    ALPINE = "alpine"
    LINUX = "linux"
    WINDOWS = "windows"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Kernel:
    """An installed kernel.

    Attributes:
        version: As in `/lib/modules/VERSION`.
        image, initrd: Guest paths; `initrd` empty when none belongs to it.
        modules: Folder of its modules, such as `/lib/modules/6.1.0-50-amd64`.
    """

    version: str
    image: bytes
    initrd: bytes
    modules: bytes


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a guest cannot be made bootable: key, sentence, remedy."""

    key: str
    text: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume in the guest's own tree. `subvolume`: of btrfs, empty otherwise."""

    path: bytes
    volume: VolumeId
    subvolume: bytes = b""


@dataclass(frozen=True, slots=True)
class Guest:
    """What inspection found in the disks of one layer.

    Attributes:
        others: Volumes with further systems, which are no part of this one.
        boot_disk: Number of the disk that its firmware starts it from.
    """

    family: Family
    name: str
    version: str
    firmware: Firmware
    volumes: Sequence[Volume]
    mounts: Sequence[Mount]
    kernels: Sequence[Kernel]
    boot_loader: str
    networks: Sequence[str]
    obstacles: Sequence[Obstacle] = ()
    others: Sequence[VolumeId] = ()
    boot_disk: int = 0


class Action(StrEnum):
    """What one edit does."""

    WRITE = "write"
    MKDIR = "mkdir"
    SYMLINK = "symlink"
    RENAME = "rename"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Owner:
    """Mode (permission bits), uid, gid of a file that is written."""

    mode: int = 0o644
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class RegistryEdit:
    r"""One change of the registry, as it is shown; the file edit of its hive makes it.

    Attributes:
        hive, key: Such as `SYSTEM`, `ControlSet001\Services\storahci`.
        value: Name of the value; empty for the whole key.
        type: Such as `REG_DWORD`; `key` for the whole key.
        before, after: In words; None: is not there.
    """

    hive: str
    key: str
    value: str
    type: str
    before: str | None
    after: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class FileEdit:
    """One change of one file.

    Attributes:
        path: Absolute in the volume (not in the guest's tree), no symbolic link in it.
        before: SHA-256 hex of the content that must be there; None: must not exist.
        after: New content (WRITE), link target (SYMLINK), new path (RENAME); empty otherwise.
        reason: One sentence, shown in the ledger.
        details: Of a registry hive: what changes inside.
    """

    volume: VolumeId
    path: bytes
    action: Action
    before: str | None
    after: bytes
    owner: Owner
    reason: str
    details: Sequence[RegistryEdit] = ()


@dataclass(frozen=True, slots=True)
class ConversionPlan:
    """Every change, sorted by (volume, path), and what the operator should know.

    Attributes:
        drivers: Of a Windows: names of the drivers that it can start with afterwards.
    """

    edits: Sequence[FileEdit]
    warnings: Sequence[str] = ()
    obstacles: Sequence[Obstacle] = ()
    drivers: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One change as it was made. Texts up to 64 KiB in full, else empty with size and digest."""

    volume: VolumeId
    path: str
    action: Action
    reason: str
    before: str
    after: str
    before_digest: str
    after_digest: str
    after_size: int
    details: Sequence[RegistryEdit] = ()


@dataclass(frozen=True, slots=True)
class Ledger:
    """What one conversion did: entries sorted by (volume, path), how, how long, how checked.

    Attributes:
        check: `full`, `files` or `skipped(reason)`.
    """

    entries: Sequence[LedgerEntry]
    backend: str
    seconds: float
    bytes_written: int
    warnings: Sequence[str]
    check: str
