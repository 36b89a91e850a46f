"""Which firmware starts a guest, by what its EFI system partition holds."""

from __future__ import annotations

import pytest

from engine.guests.inspect import inspect
from engine.guests.plan import ConversionOptions, plan
from engine.model.machine import Firmware
from tests.unit.guests.trees import ESP, separate_boot


def told(files: list[str]) -> tuple[Firmware, list[bytes], list[str]]:
    """Return the firmware of a Debian with these files in its ESP, what is written, warnings."""
    made = separate_boot()
    made.files[ESP] = {}
    for path in files:
        made.put(ESP, path, "MZ")
    guest = inspect(made)
    changes = plan(made, guest, lambda _kernel: b"overlay", ConversionOptions(()))
    written = [edit.path for edit in changes.edits if edit.volume == ESP]
    return guest.firmware, written, [one for one in changes.warnings if "EFI" in one]


@pytest.mark.parametrize(
    "files",
    [
        [],
        ["/EFI/debian/grub.cfg", "/EFI/readme.efi"],
        ["/EFI/Microsoft/Boot/bootmgfw.efi", "/EFI/Boot/bootx64.efi"],
    ],
    ids=["empty", "no program", "of Windows only"],
)
def test_an_efi_system_partition_alone_makes_no_guest_of_uefi(files: list[str]) -> None:
    """Installers make it on machines with a BIOS too: the VM gets a BIOS, the partition nothing."""
    assert told(files) == (Firmware.BIOS, [], [])


@pytest.mark.parametrize(
    "files",
    [
        ["/EFI/debian/grubx64.efi"],
        ["/efi/Boot/bootx64.EFI"],
        ["/EFI/Linux/arch.efi"],
        ["/EFI/Microsoft/Boot/BCD", "/EFI/ubuntu/shimx64.efi"],
    ],
)
def test_a_program_that_may_start_it_does(files: list[str]) -> None:
    """In whatever case the names are written."""
    assert told(files)[0] is Firmware.UEFI
