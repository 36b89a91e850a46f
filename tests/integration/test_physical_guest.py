"""A guest that knows its own hardware only, and what the product's conversion makes of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.guests.convert import GuestConverter
from engine.guests.initrd import WANTED, overlay
from engine.model.cards import CardChange
from engine.model.guest import Kernel
from engine.ports import DiskFile, NeverCancelled
from tests.guests.boot import MAC, Boot, Hardware, boot
from tests.guests.physical import ROOT_UUID, SIZE, build_physical, content
from tests.guests.texts import ADDRESS, OLD_MAC

CACHE = Path(os.environ.get("BOOTPOINT_CACHE", Path.home() / ".cache/bootpoint"))
"""Keeps the downloaded packages from one test run to the next."""
CARDS = [CardChange(MAC, OLD_MAC)]
MENU = "/boot/grub/grub.cfg"
ROOTS = {
    Hardware.AHCI: "/dev/sda1 on sd ahci",
    Hardware.VIRTIO_BLK: "/dev/vda1 on virtio_blk virtio-pci",
    Hardware.VIRTIO_SCSI: "/dev/sda1 on sd virtio_scsi virtio-pci",
    Hardware.PVSCSI: "/dev/sda1 on sd vmw_pvscsi",
    Hardware.MPTSAS: "/dev/sda1 on sd mptsas",
    Hardware.NVME: "/dev/nvme0n1p1 on nvme",
}


@dataclass(frozen=True, slots=True)
class Machine:
    """A disk and the kernel in it."""

    disk: Path
    kernel: Kernel

    def ahead(self, paths: Sequence[bytes]) -> None:
        """Do nothing: a file here is read as quickly by itself."""

    def read(self, path: bytes, limit: int) -> bytes | None:
        """Return a file of the guest; debugfs follows its links."""
        found = content(self.disk, path)
        assert len(found) <= limit
        return found or None


@pytest.fixture(scope="module")
def physical(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Return the guest as it stood in its rack."""
    disk = tmp_path_factory.mktemp("physical") / "disk.raw"
    return Machine(disk, build_physical(disk, CACHE, print))


@pytest.fixture(scope="module")
def converted(physical: Machine, tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """Return a converted copy of it."""
    work = tmp_path_factory.mktemp("converted")
    disk = work / "disk.raw"
    shutil.copyfile(physical.disk, disk)
    converter = GuestConverter(work / "conversion")
    made = converter.convert([DiskFile(disk, "raw")], CARDS, NeverCancelled(), lambda _step: None)
    assert (made.record.ledger.backend, made.record.ledger.check) == ("userland", "full")
    return Machine(disk, physical.kernel)


def report(told: Boot) -> list[str]:
    """Return what the guest tells of itself."""
    lines = told.said.replace("\r", "").splitlines()
    return [line.removeprefix("physical ") for line in lines if line.startswith("physical ")]


def assert_runs_on(told: Boot, hardware: Hardware, nic: str) -> None:
    """Assert that the guest got to its login, its root on the right driver, its address up."""
    assert told.succeeded, told.said
    assert f"root {ROOTS[hardware]}" in report(told)
    assert nic in report(told)


def test_the_guest_is_small_and_has_the_traits_of_a_physical_machine(physical: Machine) -> None:
    """Raw device names, a card named by its MAC, an initrd of one driver: what conversion mends."""
    assert physical.disk.stat().st_size == SIZE
    assert physical.disk.stat().st_blocks * 512 < 48 << 20
    assert content(physical.disk, b"/etc/fstab").startswith(b"/dev/sda1 / ext4")
    assert b"root=/dev/sda1" in content(physical.disk, MENU.encode())
    assert OLD_MAC.encode() in content(physical.disk, b"/etc/systemd/network/10-old.link")
    listing = subprocess.run(
        ["busybox", "cpio", "-t"], input=content(physical.disk, physical.kernel.initrd),
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    names = {
        Path(os.fsdecode(line)).name.split(".")[0].replace("-", "_").encode()  # .ko, .ko.xz
        for line in listing.splitlines()
    }
    assert names & set(WANTED) == {b"ahci", b"sd_mod"}


def test_a_physical_machine_s_image_boots_on_its_own_hardware(physical: Machine) -> None:
    """On ahci, with the old card's MAC, it finds its root and has its address."""
    told = boot(physical.disk, Hardware.AHCI, mac=OLD_MAC)
    assert_runs_on(told, Hardware.AHCI, f"nic enp3s0 e1000e {OLD_MAC} {ADDRESS}")
    assert "fstab /dev/sda1 / ext4 errors=remount-ro 0 1" in report(told)


def test_a_physical_machine_s_image_does_not_boot_on_other_hardware(physical: Machine) -> None:
    """Unconverted, on virtio, it gives up waiting for its root."""
    told = boot(physical.disk, Hardware.VIRTIO_BLK)
    assert told.word == "Gave up waiting", told.said


def test_a_converted_guest_has_every_driver_and_no_name_of_the_old_hardware(
    physical: Machine, converted: Machine
) -> None:
    """The second archive, the root by UUID, the old name for the new card."""
    made = overlay(physical, physical.kernel)
    found = len(made.drivers) + len(made.built_in)  # Debian 13 has virtio_pci built in
    assert (found, made.missing, made.notes) == (len(WANTED), [], [])
    menu = content(converted.disk, MENU.encode())
    (line,) = [line for line in menu.splitlines() if b"\tinitrd\t" in line]
    first, second = line.split()[1:]
    assert first == physical.kernel.initrd
    assert content(converted.disk, second) == made.archive
    assert b"root=UUID=" + ROOT_UUID.encode() in menu
    for path in (MENU.encode(), b"/etc/fstab"):
        assert b"/dev/sd" not in content(converted.disk, path)


def test_converted_it_boots_on_virtio(converted: Machine) -> None:
    """The kernel unpacks both archives; the first one's modprobe loads the second one's drivers."""
    told = boot(converted.disk, Hardware.VIRTIO_BLK, nic="virtio-net-pci")
    assert_runs_on(told, Hardware.VIRTIO_BLK, f"nic enp3s0 virtio_net {MAC} {ADDRESS}")


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("hardware", "nic", "driver"),
    [
        (Hardware.AHCI, "e1000e", "e1000e"),
        (Hardware.VIRTIO_SCSI, "virtio-net-pci", "virtio_net"),
        (Hardware.PVSCSI, "vmxnet3", "vmxnet3"),
        (Hardware.MPTSAS, "vmxnet3", "vmxnet3"),
        (Hardware.NVME, "e1000", "e1000"),
    ],
)
def test_converted_it_boots_on_all_hardware_of_virtual_machines(
    converted: Machine, hardware: Hardware, nic: str, driver: str
) -> None:
    """One conversion fits KVM and ESXi; the card keeps its name and its address."""
    told = boot(converted.disk, hardware, nic=nic)
    assert_runs_on(told, hardware, f"nic enp3s0 {driver} {MAC} {ADDRESS}")


@pytest.mark.nightly
@pytest.mark.parametrize("hardware", [Hardware.PVSCSI, Hardware.MPTSAS, Hardware.NVME])
def test_unconverted_it_boots_on_none_of_them(physical: Machine, hardware: Hardware) -> None:
    """The failures are real: nothing but the conversion makes the difference."""
    told = boot(physical.disk, hardware)
    assert told.word == "Gave up waiting", told.said
