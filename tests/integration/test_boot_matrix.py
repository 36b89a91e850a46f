"""Guests of every shape, booted before and after conversion on the hardware of virtual machines.

A guest's own hardware comes first: only then does a failure elsewhere say something.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.guests.convert import GuestConverter
from engine.local.tools import run_tool
from engine.model.cards import CardChange
from engine.model.conversion import Record
from engine.model.machine import Firmware
from engine.ports import DiskFile, NeverCancelled
from tests.guests.boot import DRIVERS, MAC, NICS, Boot, Hardware, boot
from tests.guests.shapes import FALLBACK, ROOT_OFFSET, Built, Shape, build
from tests.guests.texts import ADDRESS, ANSWER, OLD_MAC

CACHE = Path(os.environ.get("BOOTPOINT_CACHE", Path.home() / ".cache/bootpoint"))
"""Keeps the downloaded packages from one test run to the next."""
pytestmark = pytest.mark.timeout(1500)

NIGHTLY = pytest.mark.nightly
BIOS = (Hardware.VIRTIO_BLK, Hardware.PVSCSI, Hardware.MPTSAS)
UEFI = (Hardware.VIRTIO_BLK, Hardware.NVME)
"""The distribution's UEFI has no driver for PVSCSI or LSI SAS."""
MATRIX = [
    pytest.param(
        shape,
        hardware,
        marks=() if (shape, hardware) == (Shape.EXT4_UEFI, Hardware.VIRTIO_BLK) else NIGHTLY,
        id=f"{shape}-{hardware}",
    )
    for shape in Shape
    for hardware in (UEFI if shape.is_efi else BIOS)
    # With a loader that every firmware finds, its own NVMe is no hardware that it has never seen.
    if not shape.has_fallback or hardware is not Hardware.NVME
]
"""Of all pairs, UEFI on virtio takes the least time: 10 s without a loader, 30 s with one."""
GAVE_UP = ("Gave up waiting", "Shell>")
"""An initrd without its root; a firmware without a loader."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A converted copy of a guest, and what the conversion said."""

    built: Built
    record: Record


class Rack:
    """Guests, built and converted once in a run: either takes a minute under emulation."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._built: dict[Shape, Built] = {}
        self._converted: dict[Shape, Copy] = {}

    def built(self, shape: Shape) -> Built:
        """Return a guest as it stood in its rack."""
        if shape not in self._built:
            place = self._folder / shape
            place.mkdir()
            self._built[shape] = build(place, shape, CACHE, print)
        return self._built[shape]

    def restored(self, shape: Shape) -> Built:
        """Return the guest in a machine that was just made: its disks and nothing else."""
        return self.built(shape).elsewhere(self._folder)

    def converted(self, shape: Shape) -> Copy:
        """Return a converted copy."""
        if shape not in self._converted:
            place = self._folder / f"{shape}-converted"
            place.mkdir()
            copy = self.built(shape).copy(place)
            disks = [DiskFile(disk, "raw") for disk in copy.disks]
            converter = GuestConverter(self._folder / "conversion")
            cards = [CardChange(MAC, OLD_MAC)]
            made = converter.convert(disks, cards, NeverCancelled(), lambda _step: None)
            self._converted[shape] = Copy(copy, made.record)
        return self._converted[shape]


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Rack:
    """Return a place for guests."""
    return Rack(tmp_path_factory.mktemp("rack"))


def report(told: Boot) -> list[str]:
    """Return what the guest tells of itself."""
    lines = told.said.replace("\r", "").splitlines()
    begin = f"{ANSWER} "
    return [line.removeprefix(begin) for line in lines if line.startswith(begin)]


def assert_runs_on(told: Boot, shape: Shape, hardware: Hardware, nic: str) -> None:
    """Assert a login, the root on the right driver, the address up, every mount there."""
    assert told.succeeded, told.said
    lines = report(told)
    (root,) = [line for line in lines if line.startswith("root ")]
    assert set(root.partition(" on ")[2].split()) == DRIVERS[hardware], root
    assert nic in lines, told.said
    mounts = [line for line in lines if line.startswith("mounted ")]
    assert mounts == [f"mounted {place}" for place in shape.mounts]


@pytest.mark.nightly
@pytest.mark.parametrize("shape", list(Shape))
def test_it_boots_on_its_own_hardware(rack: Rack, shape: Shape) -> None:
    """Every guest is whole: with its own disks, card and variables it gets to its login."""
    own = rack.built(shape)
    hardware = Hardware.NVME if shape.is_efi else Hardware.AHCI
    told = boot(own.disks, hardware, nvram=own.nvram, mac=OLD_MAC)
    assert_runs_on(told, shape, hardware, f"nic enp3s0 e1000e {OLD_MAC} {ADDRESS}")


@pytest.mark.parametrize(("shape", "hardware"), MATRIX)
def test_unconverted_it_does_not_boot(rack: Rack, shape: Shape, hardware: Hardware) -> None:
    """In a new machine it stops in words: no loader is found, or no root."""
    restored = rack.restored(shape)
    nic, _ = NICS[hardware]
    told = boot(restored.disks, hardware, nvram=restored.nvram, nic=_quiet(nic, shape))
    assert told.word in GAVE_UP, told.said


@pytest.mark.parametrize(
    "shape",
    [pytest.param(shape, marks=() if shape is Shape.EXT4_UEFI else NIGHTLY) for shape in Shape],
)
def test_the_conversion_is_checked_and_made_once(rack: Rack, shape: Shape, tmp_path: Path) -> None:
    """File systems are clean afterwards, the firmware is known, and a second plan is empty."""
    copy = rack.converted(shape)
    firmware = Firmware.UEFI if shape.is_efi else Firmware.BIOS
    assert copy.record.guest.firmware is firmware
    assert copy.record.ledger.check == "full"
    if shape.is_efi:
        run_tool(["e2fsck", "-fn", f"{copy.built.disks[0]}?offset={ROOT_OFFSET}"], cpu_s=60,
                 memory=1 << 30, timeout_s=120)  # fmt: skip
    loaders = [e for e in copy.record.ledger.entries if e.path.upper() == FALLBACK.decode()]
    assert len(loaders) == (shape.is_efi and not shape.has_fallback)
    converter = GuestConverter(tmp_path)
    disks = [DiskFile(disk, "raw") for disk in copy.built.disks]
    assert converter.plan(disks, [CardChange(MAC, OLD_MAC)]).ledger.entries == ()


@pytest.mark.parametrize(("shape", "hardware"), MATRIX)
def test_converted_it_boots(rack: Rack, shape: Shape, hardware: Hardware) -> None:
    """One conversion fits all: the root by the new driver, the old name and address on the card."""
    copy = rack.converted(shape).built
    nic, driver = NICS[hardware]
    told = boot(copy.disks, hardware, nvram=copy.nvram, nic=nic)
    assert_runs_on(told, shape, hardware, f"nic enp3s0 {driver} {MAC} {ADDRESS}")


@pytest.mark.nightly
@pytest.mark.parametrize("shape", [shape for shape in Shape if shape.is_md])
@pytest.mark.parametrize("left", [0, 1])
def test_a_converted_mirror_boots_from_either_of_its_disks(
    rack: Rack, left: int, shape: Shape
) -> None:
    """Both members were converted alike: each disk alone gets to the login."""
    disk = rack.converted(shape).built.disks[left]
    nic, driver = NICS[Hardware.VIRTIO_BLK]
    told = boot([disk], Hardware.VIRTIO_BLK, nic=nic)
    assert_runs_on(told, shape, Hardware.VIRTIO_BLK, f"nic enp3s0 {driver} {MAC} {ADDRESS}")


def _quiet(nic: str, shape: Shape) -> str:
    """Return a card that UEFI has no driver for: else it looks for a loader in the network."""
    return "e1000e" if shape.is_efi else nic
