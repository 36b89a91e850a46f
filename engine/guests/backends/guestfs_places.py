"""Where a guest's volumes lie in the virtual machine, and how each kind is mounted there.

    disk 0, partition 2 ─► /dev/disk/guestfs/diska2 ─► mounted on /v1 ─► /v1/etc/fstab

Nothing is ever mounted on `/`: several commands of guestfish take `/dev/…` for a device, and a
guest may have a file of such a name. Each volume has a mount point of its own, so that no path
begins so.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.guests.backend import Stat, Type
from engine.guests.backends import verdict
from engine.guests.backends.guestfish import failed
from engine.model.errors import Failure, Problem
from engine.model.guest import FileSystem, Obstacle, Owner, Volume
from engine.model.text import safe

SECTOR = 512
_NEEDS_RECOVERY, _ORPHANS = 0x4, 0x10000
_FOLDER = "/dev/disk/guestfs"
_TYPES = {0o100000: Type.FILE, 0o040000: Type.FOLDER, 0o120000: Type.LINK}
_FIELDS = ("st_mode", "st_size", "st_uid", "st_gid")
_FIXED_OWNER = Owner(0o755, 0, 0)
"""Of everything on a file system that keeps no owners."""

LIST_PLACES = (
    f"for f in {_FOLDER}/*; do b=$(basename $(readlink -f $f)); "
    "echo $(basename $f) $(cat /sys/class/block/$b/start 2>/dev/null || echo 0) "
    "$(cat /sys/class/block/$b/size); done"
)
"""For the virtual machine's shell: name, first sector and sectors of all disks and partitions."""


@dataclass(frozen=True, slots=True)
class Way:
    """How one kind of file system is used.

    Attributes:
        type: As the kernel, or the mount program, calls it.
        read: Mount options that write nothing, not even a journal.
        write: Mount options for changing it.
        check: Program that checks it without writing; empty where there is none.
        damage: Takes its exit code and words; returns the words of damage, empty without.
        depth: What a check without damage has looked at: `full`, or `files` where it sees the main
            structures only, so that what was written is all that is known to be right.
        has_owners: Whether it keeps modes, owners and labels; a file is then written anew, else
            in its place, so that it keeps what else it has.
        ignores_case: Whether the guest finds names in any case, but the mount does not.
    """

    type: str
    read: str
    write: str
    check: str = ""
    damage: Callable[[int, bytes], bytes] = verdict.by_code
    depth: str = "full"
    has_owners: bool = True
    ignores_case: bool = False

    @property
    def checker(self) -> str:
        """The name of the check's program."""
        return next(word for word in self.check.split() if "=" not in word and word != "env")


# e2fsck takes a time in the future for damage: to it, it is the year 2100.
_FUTURE = "env E2FSCK_TIME=4102444800 E2FSPROGS_FAKE_TIME=4102444800"
WAYS: Mapping[FileSystem, Way] = {
    FileSystem.EXT: Way("ext4", "ro,noload", "noatime", f"{_FUTURE} e2fsck -fn"),
    FileSystem.XFS: Way("xfs", "ro,norecovery,nouuid", "nouuid,noatime", "xfs_repair -n"),
    FileSystem.BTRFS: Way(
        "btrfs",
        "ro,rescue=nologreplay,subvolid=5",
        "noatime,subvolid=5",
        "btrfs check --readonly",
    ),
    FileSystem.FAT: Way(
        "vfat", "ro,utf8", "noatime,utf8", "fsck.vfat -n", verdict.of_fat, has_owners=False
    ),
    # With these options a new file gets the access rights that its folder passes on: ntfs-3g(8).
    FileSystem.NTFS: Way(
        "ntfs-3g",
        "ro,norecover",
        "noatime,norecover,permissions,inherit",
        "ntfsfix -n",
        verdict.of_ntfs,
        "files",
        has_owners=False,
        ignores_case=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Place:
    """A disk or partition as the virtual machine's kernel sees it; bytes."""

    start: int
    size: int


def places(listing: bytes) -> Mapping[str, Place]:
    """Parse what `LIST_PLACES` printed."""
    found = {}
    for line in listing.decode("ascii", "replace").splitlines():
        words = line.split()
        if len(words) == 3 and words[1].isdigit() and words[2].isdigit():
            found[words[0]] = Place(int(words[1]) * SECTOR, int(words[2]) * SECTOR)
    return found


def label(disk: int) -> str:
    """Return the name of a disk in the virtual machine: letters only, as libguestfs wants it."""
    letters = ""
    number = disk + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return f"disk{letters}"


def device(volume: Volume, known: Mapping[str, Place]) -> str:
    """Return a volume's device in the virtual machine.

    Raises:
        Failure: Its kernel sees that partition elsewhere than we do, or not at all.
    """
    name = label(volume.disk) + (str(volume.number) if volume.number else "")
    seen = known.get(name)
    if seen is None or (seen.start, seen.size) != (volume.start, volume.size):
        identifier = safe(volume.id)
        happened = f"The kernel of libguestfs's virtual machine sees the volume {identifier} " + (
            "nowhere." if seen is None else "at another place than its partition table says."
        )
        remedy = "Look at the partition table on the source machine."
        facts = {"volume": identifier}
        raise Failure(Problem("guest.volume.elsewhere", happened, "", remedy, facts))
    return f"{_FOLDER}/{name}"


def parse_stat(answer: bytes, *, has_owners: bool) -> Stat:
    """Parse what guestfish's `lstatns` printed.

    Raises:
        ToolFailed: It printed something else.
    """
    fields = {}
    for line in answer.decode("ascii", "replace").splitlines():
        name, _, value = line.partition(": ")
        if name in _FIELDS and value.isdigit():
            fields[name] = int(value)
    if len(fields) != len(_FIELDS):
        raise failed("printed something else than a file's properties", answer)
    mode = fields["st_mode"]
    kind = _TYPES.get(mode & 0o170000, Type.OTHER)
    owner = Owner(mode & 0o7777, fields["st_uid"], fields["st_gid"])
    return Stat(kind, fields["st_size"], owner if has_owners else _FIXED_OWNER)


def is_clean(superblock: bytes) -> bool:
    """Whether an ext superblock of 1,024 bytes tells of an empty journal and of no orphans.

    Source: Linux, Documentation/filesystems/ext4/super.rst.
    """
    if len(superblock) < 1024:
        return False
    writable, incompatible = struct.unpack_from("<I", superblock, 100)[0], superblock[96]
    orphans = struct.unpack_from("<I", superblock, 232)[0]
    return not (incompatible & _NEEDS_RECOVERY or orphans or writable & _ORPHANS)


def ntfs_obstacle(volume: Volume, code: int) -> Obstacle | None:
    """Return what an exit code of ntfs-3g.probe stands for; None when NTFS can be written."""
    name = f"{safe(volume.id)} on disk {volume.disk + 1}"
    match code:
        case 0:
            return None
        case 14:
            return Obstacle(
                "guest.hibernated",
                f"Windows on volume {name} is hibernated, or was shut down with fast start-up: a "
                "part of the volume is in the memory that it saved.",
                "Switch off hibernation and fast start-up on the source machine (powercfg /h off), "
                "then let the next increment arrive.",
            )
        case 15:
            return Obstacle(
                "guest.ntfs_journal",
                f"The journal of NTFS on volume {name} is not empty, and libguestfs replays none.",
                "Shut Windows down completely on the source machine (shutdown /s /t 0), or let the "
                "backend userland convert this guest.",
            )
    return Obstacle(
        "guest.ntfs_damaged",
        f"NTFS on volume {name} cannot be opened for writing: ntfs-3g.probe says {code}.",
        "Run chkdsk /f on the source machine, then let the next increment arrive.",
    )
