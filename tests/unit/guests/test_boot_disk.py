"""Which disk a machine's firmware starts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.guests.bootdisk import boot_disk
from engine.guests.inspect import inspect
from engine.guests.volumes import find_volumes
from engine.model.guest import BootCode, FileSystem, Volume
from engine.model.machine import Firmware
from tests.unit.guests.trees import BOOT, ESP, ROOT, separate_boot, volume

GRUB, OTHER, NONE = BootCode.GRUB, BootCode.OTHER, BootCode.NONE
SIGN = b"\x55\xaa"


def on(disk: int, code: BootCode = NONE) -> Volume:
    """Return a volume of a disk."""
    return replace(volume(f"v{disk}", FileSystem.EXT, disk=disk), code=code)


@pytest.mark.parametrize(
    ("codes", "loader", "expected"),
    [
        ([GRUB, NONE], 0, 0),
        ([NONE, GRUB], 1, 1),
        ([OTHER, GRUB], 1, 1),
        ([GRUB, OTHER], 1, 0),
        ([GRUB, GRUB], 1, 1),
        ([OTHER, OTHER], 1, 1),
        ([NONE, OTHER, OTHER], 0, 1),
        ([NONE, NONE], 1, 1),
    ],
)
def test_a_bios_starts_the_disk_of_the_loader_where_it_has_the_program(
    codes: list[BootCode], loader: int, expected: int
) -> None:
    """GRUB's program may stand on another disk than its files; tools write one that says no."""
    volumes = [on(disk, code) for disk, code in enumerate(codes)]
    assert boot_disk(volumes, Firmware.BIOS, volumes[loader]) == expected


def test_uefi_starts_the_disk_with_the_loader() -> None:
    """Whatever stands in first sectors; where nothing is known, the first disk."""
    volumes = [on(0, GRUB), on(1)]
    assert boot_disk(volumes, Firmware.UEFI, volumes[1]) == 1
    assert boot_disk([on(0), on(1)], Firmware.BIOS, None) == 0


def test_a_guest_tells_its_disk() -> None:
    """By its EFI system partition; without a loader there, by /boot."""
    made = separate_boot()
    made._volumes = tuple(replace(v, disk=1 + (v.id == ESP)) for v in made.volumes())
    assert inspect(made).boot_disk == 2
    made.files[ESP] = {}
    told = f"UUID={ROOT} / ext4 defaults 0 1\nUUID={BOOT} /boot ext4 defaults 0 2\n"
    made.put(ROOT, "/etc/fstab", told)
    made._volumes = tuple(replace(v, disk=3 * (v.id == BOOT)) for v in made.volumes())
    assert inspect(made).boot_disk == 3


@pytest.mark.parametrize(
    ("sector", "expected"),
    [
        (b"\xeb\x63" + bytes(382) + b"GRUB \0Geom".ljust(126, b"\0") + SIGN, GRUB),
        (b"\xfa\xb8".ljust(510, b"\0") + SIGN, OTHER),
        (bytes(440) + b"id".ljust(70, b"\0") + SIGN, NONE),
        (b"\xeb\x63GRUB".ljust(512, b"\0"), NONE),
        (b"GRUB", NONE),
    ],
    ids=["grub", "other", "a table alone", "no mark", "short"],
)
def test_what_a_first_sector_holds_is_told(sector: bytes, expected: BootCode) -> None:
    """A table alone has the mark as well, and nothing to start."""
    data = sector.ljust(1 << 20, b"\0")
    [found] = find_volumes(lambda _, at, length: data[at : at + length], [len(data)])
    assert found.code is expected
