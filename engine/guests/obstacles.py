"""Why a guest cannot be made bootable, in words with a remedy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from engine.guests.linux.devices import Use
from engine.guests.members import lacking
from engine.guests.tree import Tree
from engine.model.errors import Failure
from engine.model.guest import FileSystem, Kernel, Member, Mount, Obstacle, Volume
from engine.model.text import safe

DIRTY_HIVE = Obstacle(
    "guest.dirty_hive",
    "The registry of Windows (SYSTEM) was saved in the middle of a write, and what its logs "
    "hold cannot be applied.",
    "Shut Windows down once, or let the next increment arrive.",
)
NO_WINDOWS_KERNEL = Obstacle(
    "guest.no_kernel",
    r"The registry of a Windows was found, but not its kernel (System32\ntoskrnl.exe).",
    "Check that the whole volume of Windows is in the backup.",
)
NO_BOOT_MANAGER = Obstacle(
    "guest.no_boot_loader",
    "No boot manager of Windows with its configuration (BCD) was found.",
    "Check that the small partition that Windows starts from (System Reserved, or the EFI system "
    "partition) is in the backup.",
)
FIRMWARE_32 = Obstacle(
    "guest.firmware_32",
    "The system is started by UEFI of 32 bits only; that of virtual machines has 64 bits and "
    "cannot run its loader.",
    "Install the loader for x86-64 beside it on the source machine (Debian: grub-efi-amd64-bin, "
    "then grub-install --target=x86_64-efi --removable), then let the next increment arrive; a "
    "Windows of 32 bits must be set up anew for BIOS.",
)
_NEEDED = (b"/", b"/boot", b"/usr", b"/var")


def unreadable(volume: Volume, failure: Failure) -> Obstacle:
    """Return the obstacle of a volume that a tool could not read."""
    return Obstacle(
        "guest.unreadable",
        f"Volume {safe(volume.id)} on disk {volume.disk + 1} cannot be read. "
        f"{failure.problem.happened}",
        "Check that file system on the source machine, then let the next increment arrive.",
    )


def outside(volume: Volume) -> Obstacle:
    """Return the obstacle of a file system that is not whole on its volume."""
    return Obstacle(
        "guest.outside",
        f"The file system {safe(volume.id)} on disk {volume.disk + 1} has its {volume.outside} on "
        "another volume, which is not supported.",
        "Give it a journal of its own on the source machine (ext: tune2fs -O ^has_journal, then "
        "tune2fs -j, while it is not mounted); XFS must be made anew.",
    )


def foreign_processor(name: str) -> Obstacle:
    """Return the obstacle of a system that no virtual machine here has the processor for."""
    return Obstacle(
        "guest.architecture",
        f"The system is for another kind of processor ({name}); virtual machines here have "
        "x86 ones, which cannot start it.",
        "Protect this machine by other means, with virtual machines on such processors.",
    )


def two_windows(names: Sequence[str]) -> Obstacle:
    """Return the obstacle of several installations, of which one must be meant."""
    listed = ", ".join(safe(name, 80) for name in names[:8])
    return Obstacle(
        "guest.two_windows",
        f"The disks hold {len(names)} installations of Windows ({listed}); which one the machine "
        "starts cannot be told.",
        "Leave the volume with the other installation out of the backup.",
    )


def damaged_hive(name: str) -> Obstacle:
    """Return the obstacle of a registry file that does not have its form."""
    return Obstacle(
        "guest.damaged_hive",
        f"The registry of Windows ({name}) is damaged and cannot be read.",
        "Check that the source machine still starts, then let the next increment arrive.",
    )


def fstab_too_long(size: int) -> Obstacle:
    """Return the obstacle of an fstab that nobody has written by hand."""
    return Obstacle(
        "guest.fstab",
        f"The guest's /etc/fstab has {size} bytes, which is too long to be read.",
        "Repair /etc/fstab on the source machine, then let the next increment arrive.",
    )


def menu_too_long(path: bytes, size: int, limit: int) -> Obstacle:
    """Return the obstacle of a boot menu that no tool has written."""
    return Obstacle(
        "guest.menu_too_long",
        f"The boot menu {safe(path, 200)} has {size} bytes; none longer than {limit} bytes is "
        "changed here, and a menu that is not changed loads no drivers for virtual machines.",
        "Write the boot menu anew on the source machine (update-grub, grub2-mkconfig) and take "
        "out entries that nobody starts, then let the next increment arrive.",
    )


def no_system(volumes: Sequence[Volume]) -> Obstacle:
    """Return the obstacle of disks on which no system is seen."""
    kinds = ", ".join(sorted({volume.kind.value for volume in volumes})) or "no volume at all"
    return Obstacle(
        "guest.no_system",
        f"No operating system was found on the disks; they hold: {kinds}.",
        "Check that the backup has the disk with the system on it.",
    )


def without_root(volumes: Sequence[Volume]) -> Iterator[Obstacle]:
    """Yield what may hide the root where none was found, what is known best first."""
    told = [*_of_groups(volumes), *_of_arrays(volumes), *_of_btrfs(volumes)]
    yield from told
    opened = {volume.kind for volume in volumes if volume.names}
    for kind in sorted({volume.kind for volume in volumes}):
        hidden = _HIDDEN.get(kind)
        is_general = kind in (FileSystem.LVM, FileSystem.RAID)
        if hidden is not None and not (is_general and (told or opened)):
            yield hidden


def _wholes(volumes: Sequence[Volume], kind: FileSystem) -> Iterator[tuple[str, Member]]:
    """Yield each group or array with what its first part says of it."""
    seen: set[str] = set()
    for volume in volumes:
        if volume.kind is kind and volume.member and volume.member.whole not in seen:
            seen.add(volume.member.whole)
            yield safe(volume.member.name, 80) or volume.member.whole, volume.member


def _of_groups(volumes: Sequence[Volume]) -> Iterator[Obstacle]:
    """Yield why logical volumes cannot be opened: a disk is missing, or they are of other kinds."""
    for name, group in _wholes(volumes, FileSystem.LVM):
        gone = lacking(group.whole, volumes)
        if gone:
            listed = ", ".join(f"{_dashed(own)} (it was {safe(at, 80)})" for own, at in gone[:4])
            yield Obstacle(
                "guest.lvm_incomplete",
                f"The volume group {name} (LVM) has {len(group.parts)} physical volumes, of which "
                f"{len(gone)} are in none of the image's disks: {listed}.",
                "Add the disk with each of them to the backup.",
            )
        odd = [kind for kind in group.kinds if kind not in _LOGICAL]
        if odd and not gone:
            yield Obstacle(
                "guest.lvm_kind",
                f"The system may be on a logical volume of the volume group {name} that is not "
                f"supported: the group has volumes of the kinds {', '.join(odd)}.",
                "Move the system to a plain logical volume (linear or striped) on the source "
                "machine, then let the next increment arrive.",
            )


def _of_arrays(volumes: Sequence[Volume]) -> Iterator[Obstacle]:
    """Yield why software RAID cannot be opened: a member is missing, or its level."""
    for name, array in _wholes(volumes, FileSystem.RAID):
        gone = lacking(array.whole, volumes)
        if array.kinds[0] not in _LEVELS:
            yield Obstacle(
                "guest.raid_level",
                f"The software RAID {name} (md) is of the level {array.kinds[0]}, which is not "
                "supported.",
                "Move the system to a RAID 1 or to a single disk on the source machine.",
            )
        elif gone:
            yield Obstacle(
                "guest.raid_incomplete",
                f"The software RAID {name} (md, {array.kinds[0]}) has {len(array.parts)} members, "
                f"of which {len(gone)} are in none of the image's disks.",
                "Add the disks with all members to the backup; rebuild a degraded array first.",
            )


def _of_btrfs(volumes: Sequence[Volume]) -> Iterator[Obstacle]:
    """Yield why a btrfs over several devices cannot be mounted: it is there in part only."""
    for name, whole in _wholes(volumes, FileSystem.BTRFS):
        there = sum(v.member is not None and v.member.whole == whole.whole for v in volumes)
        if there < len(whole.parts):
            yield Obstacle(
                "guest.btrfs_incomplete",
                f"The file system {name} (btrfs) is on {len(whole.parts)} devices, of which "
                f"{len(whole.parts) - there} are in none of the image's disks.",
                "Add the disks with all its devices to the backup.",
            )


def _dashed(identity: str) -> str:
    """Return the identity of a physical volume as LVM's tools print it."""
    cuts = (0, 6, 10, 14, 18, 22, 26, 32)
    return "-".join(safe(identity[a:b]) for a, b in itertools.pairwise(cuts))


def of_volumes(
    volumes: Sequence[Volume], mounts: Sequence[Mount], missing: Sequence[Use]
) -> Iterator[Obstacle]:
    """Yield obstacles of a system whose root was found: parts of it that are not there."""
    ids = [volume.id for volume in volumes]
    for twin in sorted({mount.volume for mount in mounts if ids.count(mount.volume) > 1}):
        yield Obstacle(
            "guest.twins",
            f"{ids.count(twin)} volumes have the UUID {safe(twin)}: a volume over several disks is "
            "not supported yet, and of copies it cannot be told which one boots.",
            "Give each copy a UUID of its own on the source machine, or leave it out.",
        )
    yield from of_sectors(volumes, {mount.volume for mount in mounts})
    for volume in volumes:
        if volume.kind is FileSystem.HIBERNATED:
            yield Obstacle(
                "guest.hibernated",
                f"The machine was hibernated when it was imaged: swap {safe(volume.id)} on disk "
                f"{volume.disk + 1} holds its memory, and a start would go on with that memory on "
                "other hardware.",
                "Start the source machine, or shut it down; then let the next increment arrive.",
            )
            return
    for use in missing:
        if use.path not in _NEEDED:
            continue
        yield next(
            without_root(volumes),
            Obstacle(
                "guest.incomplete",
                f"{safe(use.path)} of the system is on {safe(use.spec)}, which is in none of the "
                "image's disks.",
                "Add the disk with that volume to the backup.",
            ),
        )


def of_sectors(volumes: Sequence[Volume], used: AbstractSet[str]) -> Iterator[Obstacle]:
    """Yield the obstacle of a system on a disk whose sectors no disk of a VM has."""
    big = {v.disk for v in volumes if v.sector != _SECTOR and (v.id in used or v.is_esp)}
    if big:
        listed = ", ".join(str(disk + 1) for disk in sorted(big))
        yield Obstacle(
            "guest.sector_size",
            f"The system is on a disk with sectors of 4096 bytes (disk {listed}); disks of virtual "
            "machines have sectors of 512 bytes, with which no firmware finds its partitions.",
            "Move the system to a disk with sectors of 512 bytes (512n or 512e) on the source "
            "machine, or set that disk to 512 bytes (nvme format, sg_format) and install it anew.",
        )


def of_boot(tree: Tree, loader: str, kernels: Sequence[Kernel]) -> Iterator[Obstacle]:
    """Yield obstacles of kernels and boot loader."""
    unified = next(_unified(tree), None)
    if unified is not None and (not loader or not kernels):
        yield Obstacle(
            "guest.unified_kernel",
            f"The system starts from a unified kernel image ({safe(unified)}); nothing can be "
            "added to it.",
            "Build the drivers for virtual machines into the image on the source machine.",
        )
    elif not kernels:
        yield Obstacle(
            "guest.no_kernel",
            "No kernel with an image in /boot and modules in /lib/modules was found.",
            "Check that /boot is in the backup and that the kernel's package is complete.",
        )
    elif loader in _NOT_YET:
        yield Obstacle(
            "guest.boot_loader",
            f"The boot loader {loader} is not supported: it cannot load a second initrd.",
            "Install GRUB 2 on the source machine.",
        )
    elif not loader:
        yield Obstacle(
            "guest.no_boot_loader",
            "No configuration of a boot loader was found.",
            "Check that /boot, and the EFI system partition where there is one, are in the backup.",
        )


def _unified(tree: Tree) -> Iterator[bytes]:
    for top in (b"/boot/efi", b"/efi", b"/boot"):
        folder = top + b"/EFI/Linux"
        for name in tree.list(folder):
            if name.lower().endswith(b".efi"):
                yield folder + b"/" + name


_SECTOR = 512
_LOGICAL = frozenset(("striped", "linear", "error", "zero"))
"""Kinds of logical volumes that are opened; one that is not striped is `striped` over one."""
_LEVELS = frozenset(("linear", "raid0", "raid1", "raid10"))
_NOT_YET = frozenset(("lilo",))
_HIDDEN = {
    FileSystem.LUKS: Obstacle(
        "guest.luks",
        "The system is on an encrypted volume (LUKS); it cannot be read without its key.",
        "Protect a machine whose root is not encrypted; conversion with a key is not supported "
        "yet.",
    ),
    FileSystem.BITLOCKER: Obstacle(
        "guest.bitlocker",
        "A volume is encrypted with BitLocker; it cannot be read without its key.",
        "Suspend or decrypt BitLocker on the source machine, then let the next increment arrive.",
    ),
    FileSystem.ZFS: Obstacle(
        "guest.zfs",
        "The system is on ZFS, which cannot be changed here.",
        "Add the drivers for virtual machines to the initrd on the source machine, and set "
        'conversion = "none" for this standby.',
    ),
    FileSystem.BCACHEFS: Obstacle(
        "guest.bcachefs",
        "The system is on bcachefs, which cannot be changed here.",
        "Add the drivers for virtual machines to the initrd on the source machine, and set "
        'conversion = "none" for this standby.',
    ),
    FileSystem.BCACHE: Obstacle(
        "guest.bcache",
        "The system is on a volume with a cache (bcache), which cannot be opened here.",
        "Move the system to a plain volume on the source machine; or add the drivers for virtual "
        'machines to the initrd there, and set conversion = "none" for this standby.',
    ),
    FileSystem.LVM: Obstacle(
        "guest.lvm",
        "No system was found outside logical volumes (LVM), and those cannot be opened: a disk of "
        "their volume group is missing, or it is damaged.",
        "Back up all disks of the machine together.",
    ),
    FileSystem.RAID: Obstacle(
        "guest.raid",
        "No system was found outside a software RAID (md), and that cannot be opened: a member is "
        "missing or damaged.",
        "Back up all members of the array together; rebuild a degraded one first.",
    ),
}
