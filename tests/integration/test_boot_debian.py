"""A whole Debian with systemd, booted before and after conversion, to its login prompt."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.guests.convert import GuestConverter
from engine.model.cards import CardChange
from engine.model.conversion import Record
from engine.model.machine import Firmware
from engine.ports import DiskFile, NeverCancelled
from tests.guests.boot import DRIVERS, MAC, NICS, Boot, Hardware, boot
from tests.guests.debian import Layout, build_debian
from tests.guests.shapes import Built
from tests.guests.texts import ADDRESS, ANSWER, OLD_MAC

CACHE = Path(os.environ.get("BOOTPOINT_CACHE", Path.home() / ".cache/bootpoint"))
MEMORY = 1024
PATIENCE_S = 900
"""Under emulation, systemd takes one to three minutes to the login."""
MATRIX = [
    *((Layout.LOGICAL, one) for one in (Hardware.VIRTIO_BLK, Hardware.PVSCSI, Hardware.MPTSAS)),
    *((Layout.UEFI_LVM, one) for one in (Hardware.VIRTIO_BLK, Hardware.NVME)),
    (Layout.DRACUT, Hardware.VIRTIO_BLK),
]
"""The distribution's UEFI has no driver for PVSCSI or LSI SAS."""
pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest, and its converted copy."""

    built: Built
    copy: Built
    record: Record


class Rack:
    """Guests, built and converted once in a run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guests: dict[Layout, Guest] = {}

    def guest(self, layout: Layout) -> Guest:
        """Return a guest as it stood in its rack, and a converted copy."""
        if layout not in self._guests:
            place = self._folder / layout
            (place / "copy").mkdir(parents=True)
            built = build_debian(place, layout, CACHE)
            copy = built.copy(place / "copy")
            disks = [DiskFile(disk, "raw") for disk in copy.disks]
            converter = GuestConverter(place / "conversion")
            cards = [CardChange(MAC, OLD_MAC)]
            made = converter.convert(disks, cards, NeverCancelled(), lambda _step: None)
            self._guests[layout] = Guest(built, copy, made.record)
        return self._guests[layout]


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Rack:
    """Return a place for guests."""
    return Rack(tmp_path_factory.mktemp("rack"))


def _boot(built: Built, hardware: Hardware, nic: str, mac: str = MAC) -> Boot:
    return boot(
        built.disks, hardware, nvram=built.nvram, nic=nic, mac=mac, memory=MEMORY,
        timeout_s=PATIENCE_S,
    )  # fmt: skip


def assert_runs_on(told: Boot, layout: Layout, hardware: Hardware, nic: str) -> None:
    """Assert a login, the root on the right driver, the address up, every mount there."""
    assert told.succeeded, told.said
    said = told.said.replace("\r", "").splitlines()
    lines = [line.removeprefix(f"{ANSWER} ") for line in said if line.startswith(f"{ANSWER} ")]
    (root,) = [line for line in lines if line.startswith("root ")]
    assert set(root.partition(" on ")[2].split()) == DRIVERS[hardware], root
    assert nic in lines, lines
    mounts = [line.split()[1] for line in lines if line.startswith("mounted ")]
    assert mounts == layout.mounts
    assert "units" in [line.strip() for line in lines], lines


@pytest.mark.parametrize("layout", list(Layout))
def test_it_boots_on_its_own_hardware(rack: Rack, layout: Layout) -> None:
    """The guest is whole: with its own disks, card and variables it gets to its login."""
    hardware = Hardware.NVME if layout.is_efi else Hardware.AHCI
    told = _boot(rack.guest(layout).built, hardware, "e1000e", OLD_MAC)
    assert_runs_on(told, layout, hardware, f"nic enp3s0 e1000e {OLD_MAC} {ADDRESS}")


@pytest.mark.parametrize("layout", list(Layout))
def test_the_conversion_is_small_and_checked(rack: Rack, layout: Layout) -> None:
    """The firmware is known, what was written is checked, and it is a small patch."""
    record = rack.guest(layout).record
    assert record.guest.firmware is (Firmware.UEFI if layout.is_efi else Firmware.BIOS)
    assert record.guest.name.startswith("Debian")
    assert record.ledger.check == "full"
    assert record.ledger.bytes_written < 16 << 20


@pytest.mark.parametrize(("layout", "hardware"), MATRIX)
def test_unconverted_it_does_not_boot(rack: Rack, layout: Layout, hardware: Hardware) -> None:
    """In a new machine it stops in words: no loader is found, or no root."""
    guest = rack.guest(layout)
    nic = "e1000e" if layout.is_efi else NICS[hardware][0]
    told = _boot(guest.built.elsewhere(guest.copy.disks[0].parent), hardware, nic)
    assert told.word in ("Gave up waiting", "Shell>", "emergency mode"), told.said


@pytest.mark.parametrize(("layout", "hardware"), MATRIX)
def test_converted_it_boots(rack: Rack, layout: Layout, hardware: Hardware) -> None:
    """One conversion fits all: the root by the new driver, the old name and address on the card."""
    nic, driver = NICS[hardware]
    told = _boot(rack.guest(layout).copy, hardware, nic)
    assert_runs_on(told, layout, hardware, f"nic enp3s0 {driver} {MAC} {ADDRESS}")
