"""Which firmware starts a guest, by what its EFI system partition holds."""

from __future__ import annotations

import pytest

from engine.guests.inspect import inspect
from engine.guests.plan import ConversionOptions, plan
from engine.model.machine import Firmware
from tests.unit.guests.trees import ESP, MemoryGuest, separate_boot


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


def program(machine: int) -> bytes:
    """Return the head of a program for a processor."""
    return b"MZ".ljust(60, b"\0") + b"\x40\0\0\0PE\0\0" + machine.to_bytes(2, "little")


def with_loaders(files: dict[str, bytes]) -> MemoryGuest:
    """Return a Debian with these programs in its ESP."""
    made = separate_boot()
    made.files[ESP] = {}
    for path, content in files.items():
        made.put(ESP, path, content)
    return made


@pytest.mark.parametrize("name", ["/EFI/debian/grubia32.efi", "/EFI/debian/loader.efi"])
def test_a_loader_of_32_bits_only_starts_no_vm(name: str) -> None:
    """Its firmware has 64 bits: no file that is added lets it run such a program."""
    made = with_loaders({name: program(0x14C), "/EFI/BOOT/BOOTIA32.EFI": program(0x14C)})
    guest = inspect(made)

    assert [obstacle.key for obstacle in guest.obstacles] == ["guest.firmware_32"]
    assert "x86_64-efi" in guest.obstacles[0].remedy
    assert not plan(made, guest, lambda _kernel: b"overlay", ConversionOptions(())).edits


@pytest.mark.parametrize(
    "other",
    [{"/EFI/BOOT/bootx64.efi": b"MZ"}, {"/EFI/refind/refind.efi": program(0x8664)}],
    ids=["by name", "by head"],
)
def test_one_loader_of_64_bits_is_enough(other: dict[str, bytes]) -> None:
    """Installers of many systems lay both side by side."""
    made = with_loaders({"/EFI/debian/grubia32.efi": program(0x14C), **other})

    assert inspect(made).obstacles == ()
