"""Whole Ubuntus as their installers left them, booted before and after conversion."""

from __future__ import annotations

import pytest

from engine.model.machine import Firmware
from tests.guests.boot import Hardware
from tests.guests.rack import Rack, assert_runs_at_home, assert_runs_elsewhere, report
from tests.guests.texts import ADDRESS
from tests.guests.ubuntu import FOCAL, GUESTS, JAMMY, NOBLE
from tests.guests.whole import Whole

BIOS = (Hardware.VIRTIO_BLK, Hardware.PVSCSI, Hardware.MPTSAS)
STOPS = [
    *((JAMMY, one) for one in BIOS),
    *((FOCAL, one) for one in BIOS),
    (NOBLE, Hardware.AHCI),
]
"""Where the initrd has no driver for the disk. 24.04 has virtio in its kernel, PVSCSI is not in
the distribution's UEFI."""
pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Rack:
    """Return a place for guests."""
    return Rack(tmp_path_factory.mktemp("rack"))


@pytest.mark.parametrize("whole", GUESTS, ids=str)
def test_it_boots_on_its_own_hardware(rack: Rack, whole: Whole) -> None:
    """The guest is whole: with its own disk, card and variables it gets to its login."""
    assert_runs_at_home(rack.guest(whole).at_home(), whole)


@pytest.mark.parametrize("whole", GUESTS, ids=str)
def test_the_conversion_is_small_and_checked(rack: Rack, whole: Whole) -> None:
    """The release is known, what was written is checked, and it is a small patch."""
    record = rack.guest(whole).record
    assert record.guest.firmware is (Firmware.UEFI if whole.is_efi else Firmware.BIOS)
    assert f"{record.guest.name} {record.guest.version}" == whole.title
    assert record.guest.networks[0] == "netplan"
    assert record.ledger.check == "full"
    assert record.ledger.bytes_written < 4 << 20


@pytest.mark.parametrize(("whole", "hardware"), STOPS, ids=str)
def test_unconverted_it_finds_no_root(rack: Rack, whole: Whole, hardware: Hardware) -> None:
    """Its loader and its kernel start, then its initrd gives up."""
    told = rack.guest(whole).as_it_was(hardware)
    assert told.word == "Gave up waiting", told.said


def test_unconverted_it_has_no_address_even_where_it_boots(rack: Rack) -> None:
    """A kernel with virtio built in starts, but the card has another name than netplan's."""
    told = rack.guest(NOBLE).as_it_was(Hardware.VIRTIO_BLK)
    assert told.succeeded, told.said
    assert not any(line.endswith(f" {ADDRESS}") for line in report(told))


@pytest.mark.parametrize(("whole", "hardware"), [*STOPS, (NOBLE, Hardware.VIRTIO_BLK)], ids=str)
def test_converted_it_boots(rack: Rack, whole: Whole, hardware: Hardware) -> None:
    """One conversion fits all: the root by the new driver, the old name and address on the card."""
    assert_runs_elsewhere(rack.guest(whole).converted(hardware), whole, hardware)
