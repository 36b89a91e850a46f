"""A whole Debian with systemd, booted before and after conversion, to its login prompt."""

from __future__ import annotations

import pytest

from engine.model.machine import Firmware
from tests.guests.boot import Hardware
from tests.guests.debian import DRACUT, LOGICAL, UEFI_LVM
from tests.guests.rack import Rack, assert_runs_at_home, assert_runs_elsewhere
from tests.guests.whole import Whole

GUESTS = (LOGICAL, UEFI_LVM, DRACUT)
MATRIX = [
    *((LOGICAL, one) for one in (Hardware.VIRTIO_BLK, Hardware.PVSCSI, Hardware.MPTSAS)),
    *((UEFI_LVM, one) for one in (Hardware.VIRTIO_BLK, Hardware.NVME)),
    (DRACUT, Hardware.VIRTIO_BLK),
]
"""The distribution's UEFI has no driver for PVSCSI or LSI SAS."""
pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Rack:
    """Return a place for guests."""
    return Rack(tmp_path_factory.mktemp("rack"))


@pytest.mark.parametrize("whole", GUESTS, ids=str)
def test_it_boots_on_its_own_hardware(rack: Rack, whole: Whole) -> None:
    """The guest is whole: with its own disks, card and variables it gets to its login."""
    assert_runs_at_home(rack.guest(whole).at_home(), whole)


@pytest.mark.parametrize("whole", GUESTS, ids=str)
def test_the_conversion_is_small_and_checked(rack: Rack, whole: Whole) -> None:
    """The firmware is known, what was written is checked, and it is a small patch."""
    record = rack.guest(whole).record
    assert record.guest.firmware is (Firmware.UEFI if whole.is_efi else Firmware.BIOS)
    assert record.guest.name.startswith(whole.title)
    assert record.ledger.check == "full"
    assert record.ledger.bytes_written < 16 << 20


@pytest.mark.parametrize(("whole", "hardware"), MATRIX, ids=str)
def test_unconverted_it_does_not_boot(rack: Rack, whole: Whole, hardware: Hardware) -> None:
    """In a new machine it stops in words: no loader is found, or no root."""
    told = rack.guest(whole).as_it_was(hardware)
    assert told.word in ("Gave up waiting", "Shell>", "emergency mode"), told.said


@pytest.mark.parametrize(("whole", "hardware"), MATRIX, ids=str)
def test_converted_it_boots(rack: Rack, whole: Whole, hardware: Hardware) -> None:
    """One conversion fits all: the root by the new driver, the old name and address on the card."""
    assert_runs_elsewhere(rack.guest(whole).converted(hardware), whole, hardware)
