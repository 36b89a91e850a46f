"""A phony Windows on real NTFS, converted the whole way."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.guests.backend import GuestDisk
from engine.guests.backends.ntfs import NtfsVolume
from engine.guests.convert import GuestConverter
from engine.guests.windows.drivers.shelf import DriverShelf
from engine.guests.windows.hive import edit
from engine.model.cards import CardChange
from engine.model.guest import FileSystem, Volume, VolumeId
from engine.model.machine import Firmware
from engine.ports import NeverCancelled
from tests.guests.phony_drivers import files, iso, virtio_win, vmware_tools
from tests.guests.phony_hive import steps, system_hive
from tests.guests.phony_windows import (
    CONFIG,
    SERVER_2008_R2,
    SERVER_2019,
    SIZES,
    SYSTEM_RESERVED,
    WINDOWS,
    Recipe,
    Tree,
    build,
    run,
)
from tests.unit.guests.test_windows_injection import said
from tests.unit.guests.test_windows_plan import reglookup

CARDS = (CardChange("00:50:56:11:22:33"),)
DRIVERS = b"/Windows/System32/drivers/"


def test_a_phony_windows_is_converted_on_ntfs(tmp_path: Path) -> None:
    """The registry on the disk says what the plan said; converting again has nothing to do."""
    recipe = Recipe(files={CONFIG + b"SYSTEM": system_hive()})
    disk = GuestDisk(build(tmp_path / "disk.raw", recipe), "raw")
    converter = GuestConverter(tmp_path / "state")
    made = converter.convert([disk], CARDS, NeverCancelled(), lambda _progress: None)

    (entry,) = made.record.ledger.entries
    changed = {detail.key for detail in entry.details}
    assert r"ControlSet001\Services\storahci\StartOverride" in changed
    assert not [w for w in made.record.ledger.warnings if "once more" in w]
    assert converter.plan([disk], CARDS).ledger.entries == ()
    assert made.record.ledger.bytes_written <= 10 * 4096
    assert made.record.guest.drivers == ("storahci",)


@pytest.mark.parametrize(
    ("firmware", "version", "database"),
    [
        (Firmware.BIOS, SERVER_2008_R2, "/ControlSet001/Control/CriticalDeviceDatabase"),
        (Firmware.UEFI, SERVER_2019, "/DriverDatabase/DriverInfFiles/viostor.inf"),
    ],
)
def test_drivers_of_the_user_get_into_a_windows(
    tmp_path: Path, firmware: Firmware, version: Tree, database: str
) -> None:
    """From an ISO onto NTFS, old BIOS and new UEFI: files, registry, loader; the ledger has all."""
    system = edit(system_hive(), steps(said()))
    recipe = Recipe(firmware, version, files={CONFIG + b"SYSTEM": system})
    disk = GuestDisk(build(tmp_path / "disk.raw", recipe), "raw")
    disc = iso(virtio_win(tmp_path / "virtio"), tmp_path / "virtio.iso")
    shelf = DriverShelf([disc, vmware_tools(tmp_path / "tools")], tmp_path / "cache")
    converter = GuestConverter(tmp_path / "state", shelf=shelf)
    planned = converter.plan([disk], CARDS)
    made = converter.convert([disk], CARDS, NeverCancelled(), lambda _progress: None)

    assert set(made.record.guest.drivers) == {
        "storahci", "viostor", "vioscsi", "pvscsi", "netkvm", "vmxnet3",
    }  # fmt: skip
    assert planned.ledger.entries == made.record.ledger.entries
    assert not [w for w in made.record.ledger.warnings if "once more" in w]
    paths = {entry.path for entry in made.record.ledger.entries}
    assert "/Windows/System32/drivers/viostor.sys" in paths
    assert "/Windows/bootpoint/drivers/netkvm/netkvm.inf" in paths
    volume = Volume(VolumeId("w"), 0, 2, WINDOWS, SIZES[WINDOWS], FileSystem.NTFS)
    ntfs = NtfsVolume(disk.path, volume)
    decoration = "6.1" if version is SERVER_2008_R2 else "6.2"
    built = files("pvscsi", decorations=(f"NTamd64.{decoration}",))["pvscsi.sys"]
    assert ntfs.read(DRIVERS + b"pvscsi.sys", 1 << 20) == built
    hive = tmp_path / "SYSTEM"
    hive.write_bytes(ntfs.read(CONFIG + b"SYSTEM", 1 << 26))
    ntfs.close()
    assert [key for key in reglookup(hive) if key.startswith(database)]
    if firmware is Firmware.UEFI:
        image = f"{disk.path}@@{SYSTEM_RESERVED}"
        assert b"BOOTX64" in run("mdir", "-b", "-i", image, "::/EFI/Boot").upper()
