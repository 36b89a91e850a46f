"""The guests whose conversion is measured, built by name.

tiny                            one ext4 behind a BIOS; made so that the peer takes it
ext4-uefi xfs btrfs lvm lvm-two the same small system in the shapes of real machines
windows                         phony: NTFS, hives and files that a converter reads
debian debian-lvm               a whole distribution: logical partitions; UEFI and LVM
jammy noble focal               whole Ubuntus: btrfs; UEFI and ext4; LVM and an initrd of lz4
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.guests.backend import GuestDisk
from engine.model.guest import Kernel
from tests.bench import peer
from tests.guests import debian, phony_windows, shapes, ubuntu
from tests.guests.phony_hive import system_hive
from tests.guests.whole import Whole

CACHE = Path(os.environ.get("BOOTPOINT_CACHE", Path.home() / ".cache/bootpoint"))
"""Keeps downloaded packages, and the distribution's root file system."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A guest as it came.

    Attributes:
        takes: Whether the peer can be asked to convert it.
        tiny: Kernel of the tiny guest, which gets what the peer looks for; None: another guest.
    """

    name: str
    disks: Sequence[GuestDisk]
    takes: bool = False
    tiny: Kernel | None = None


def build(name: str, folder: Path) -> Subject:
    """Make the raw disks of a guest in an empty folder."""
    return BUILDERS[name](name, folder)


def _tiny(name: str, folder: Path) -> Subject:
    disk = folder / "physical.raw"
    kernel = peer.build_guest(disk, CACHE)
    return Subject(name, [GuestDisk(disk, "raw")], takes=True, tiny=kernel)


def _shape(name: str, folder: Path) -> Subject:
    built = shapes.build(folder, shapes.Shape(name), CACHE, print)
    return Subject(name, [GuestDisk(disk, "raw") for disk in built.disks])


def _windows(name: str, folder: Path) -> Subject:
    recipe = phony_windows.Recipe(files={phony_windows.CONFIG + b"SYSTEM": system_hive()})
    disk = phony_windows.build(folder / "windows.raw", recipe)
    return Subject(name, [GuestDisk(disk, "raw")])


def _whole(name: str, folder: Path) -> Subject:
    built = WHOLE[name].build(folder, CACHE)
    return Subject(name, [GuestDisk(disk, "raw") for disk in built.disks], takes=True)


WHOLE: dict[str, Whole] = {
    "debian": debian.LOGICAL,
    "debian-lvm": debian.UEFI_LVM,
    **{guest.name: guest for guest in ubuntu.GUESTS},
}
"""Whole distributions by the names of their guests."""
BUILDERS: dict[str, Callable[[str, Path], Subject]] = {
    "tiny": _tiny,
    **{shape.value: _shape for shape in shapes.Shape},
    "windows": _windows,
    **dict.fromkeys(WHOLE, _whole),
}
"""Every guest by its name."""
