"""Windows beside Linux on the same disks: one is converted, the other one is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.guests.inspect import inspect
from engine.guests.plan import plan
from engine.model.guest import Family, FileSystem, Guest
from tests.guests.phony_hive import system_hive
from tests.guests.phony_windows import SERVER_2019, software
from tests.unit.guests.test_plan import NICS, overlay
from tests.unit.guests.trees import DATA, ROOT, MemoryGuest, debian12, volume

NTFS = "0123456789ABCDEF"
CONFIG = "/Windows/System32/config"


def both(*, registry: bytes | None = None) -> MemoryGuest:
    """Return a Debian with a Windows on the third partition."""
    linux = debian12()
    disk = MemoryGuest([*linux.volumes(), volume(NTFS, FileSystem.NTFS, number=3)], {})
    disk.files[ROOT] = linux.files[ROOT]
    files = {
        f"{CONFIG}/SYSTEM": system_hive(),
        f"{CONFIG}/SOFTWARE": software(SERVER_2019) if registry is None else registry,
        "/Windows/System32/ntoskrnl.exe": b"MZ",
        "/Windows/System32/drivers/storahci.sys": b"MZ",
        "/Windows/System32/drivers/stornvme.sys": b"MZ",
        "/bootmgr": b"MZ",
        "/Boot/BCD": b"regf",
    }
    for path, content in files.items():
        disk.put(NTFS, path, content)
    return disk


def told(disk: MemoryGuest, guest: Guest) -> str:
    """Return what the plan warns of, as one text."""
    return " ".join(plan(disk, guest, overlay, NICS).warnings)


def test_a_windows_beside_a_linux_is_named_and_left_alone() -> None:
    """The Linux is converted; nothing is written to the other volume."""
    disk = both()
    guest = inspect(disk)

    assert guest.family is Family.DEBIAN
    assert guest.others == (NTFS,)
    found = plan(disk, guest, overlay, NICS)
    assert all(edit.volume == ROOT for edit in found.edits)
    assert f"Another system (Windows) is on volume {NTFS} of disk 1" in told(disk, guest)


def test_a_linux_beside_a_windows_is_named_when_only_windows_can_start() -> None:
    """An old root without a boot loader does not stop the Windows that the machine runs."""
    disk = both()
    del disk.files[ROOT][b"/boot/grub/grub.cfg"]
    guest = inspect(disk)

    assert guest.family is Family.WINDOWS
    assert guest.obstacles == ()
    assert guest.others == (ROOT,)
    assert f"Another system (Linux) is on volume {ROOT} of disk 1" in told(disk, guest)


def test_when_neither_can_start_the_linux_is_told_with_its_obstacle() -> None:
    """A Windows with a damaged registry is no way out."""
    disk = both(registry=b"regf")
    del disk.files[ROOT][b"/boot/grub/grub.cfg"]
    guest = inspect(disk)

    assert guest.family is Family.DEBIAN
    assert [obstacle.key for obstacle in guest.obstacles] == ["guest.no_boot_loader"]
    assert guest.others == (NTFS,)


def test_ntfs_with_data_is_no_system() -> None:
    """Only a registry makes a Windows."""
    disk = both()
    disk.files[NTFS] = {b"/data": b"x"}

    assert inspect(disk).others == ()


def two_linuxes(*started: int, kind: FileSystem = FileSystem.EXT) -> MemoryGuest:
    """Return a Debian and a copy of it, each of which calls itself `/`; when each ran last."""
    one = debian12()
    volumes = [volume(ROOT, kind), volume(DATA, kind, number=3)]
    there = [replace(v, started=at) for v, at in zip(volumes, started, strict=True)]
    disk = MemoryGuest(there, {})
    for identity in (ROOT, DATA):
        disk.files[identity] = dict(one.files[ROOT])
        disk.put(identity, "/etc/fstab", f"UUID={identity} / auto defaults 0 1\n")
    return disk


@pytest.mark.parametrize(
    ("disk", "root"),
    [
        (two_linuxes(100, 200), DATA),
        (two_linuxes(200, 100), ROOT),
        (two_linuxes(0, 100), DATA),
        (two_linuxes(0, 0), ROOT),
        (two_linuxes(100, 200, kind=FileSystem.XFS), ROOT),
    ],
)
def test_of_two_linuxes_the_one_that_ran_last_is_converted(disk: MemoryGuest, root: str) -> None:
    """An old system that was left on the disk is no reason to convert it instead."""
    guest = inspect(disk)

    assert [mount.volume for mount in guest.mounts if mount.path == b"/"] == [root]
    assert set(guest.others) == {ROOT, DATA} - {root}


def test_a_copy_that_names_the_original_is_never_preferred() -> None:
    """Even if somebody started it for a test: its own fstab calls another volume `/`."""
    disk = two_linuxes(100, 200)
    disk.put(DATA, "/etc/fstab", f"UUID={ROOT} / auto defaults 0 1\n")

    assert inspect(disk).mounts[0].volume == ROOT
