"""The sample guest, built from packages and booted by real QEMU."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.daemon.clock import SystemClock
from engine.guests.convert import GuestConverter
from engine.hypervisors.libvirt import LibvirtHypervisor
from engine.model.cards import card_changes
from engine.model.layers import LayerKind
from engine.model.machine import DiskBus, Firmware, Hints, Network, Nic, Power, VMRef, VMSpec
from engine.ports import DiskFile, NeverCancelled
from engine.sample.guest import build_guest, check_guest, counter_of, grow_guest
from engine.sample.site import build, existing
from engine.sample.site import grow as grow_site
from engine.stores.probe import open_store
from tests.contract.disk_chains import grow
from tests.contract.targets import await_serial, emulators, libvirt_folder

__all__ = ["libvirt_folder"]

MIB = 1 << 20
VM = VMRef("guest")
CACHE = Path(os.environ.get("BOOTPOINT_CACHE", Path.home() / ".cache/bootpoint"))
"""Keeps the downloaded packages from one test run to the next."""
BOOT_S = 120
"""Alone on two idle processors it takes about 10 s."""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a freshly built guest's disk."""
    place = tmp_path_factory.mktemp("guest")
    build_guest(place / "disk.raw", CACHE, print)
    return place / "disk.raw"


def converted(disk: Path, work: Path) -> Path:
    """Return a copy of a disk whose guest was converted for virtual machines."""
    made = work / "converted.raw"
    shutil.copyfile(disk, made)
    cards = card_changes("guest", Hints())
    GuestConverter(work / "conversion").convert(
        [DiskFile(made, "raw")], cards, NeverCancelled(), lambda _progress: None
    )
    return made


@pytest.fixture
def target(tmp_path: Path, libvirt_folder: Path) -> Iterator[LibvirtHypervisor]:
    """Yield libvirt with a store of overlays."""
    store = open_store(tmp_path / "store", "qcow2", "local")
    made = LibvirtHypervisor("local", "", libvirt_folder, store.chain)
    yield made
    made.delete(VM)
    made.close()
    store.close()  # type: ignore[attr-defined]  # stores of this kind have it
    assert emulators(tmp_path) == []


def start(target: LibvirtHypervisor, disk: Path, bus: DiskBus = DiskBus.VIRTIO) -> None:
    """Copy a disk into a trunk and run it on scratch."""
    chain = target.chain(VM)
    size = disk.stat().st_size
    data = disk.read_bytes()
    parts = [(at, data[at : at + MIB]) for at in range(0, size, MIB) if any(data[at : at + MIB])]
    grow(chain, "base", None, {0: parts}, sizes=(size,))
    layer = grow(chain, "run", "base", kind=LayerKind.SCRATCH, sizes=(size,))
    nics = (Nic("eth0", "52:54:00:11:22:33"), Nic("eth1", "52:54:00:11:22:34"))
    target.create(VMSpec("guest", Firmware.BIOS, 2, 256 * MIB, nics, bus))
    target.power_on(VM, layer, Network.ISOLATED)


def test_a_built_guest_is_small_and_clean(disk: Path) -> None:
    """The disk is sparse, at most 256 MiB, its file system is clean and its counter is 1."""
    assert disk.stat().st_size <= 256 * MIB
    assert disk.stat().st_blocks * 512 < 100 * MIB
    check_guest(disk)
    assert counter_of(disk) == 1


def test_growing_changes_the_disk_and_keeps_it_clean(disk: Path, tmp_path: Path) -> None:
    """Each growth raises the counter and changes some MiB; old data goes, the rest stays."""
    grown = tmp_path / "grown.raw"
    shutil.copyfile(disk, grown)
    for counter in range(2, 8):
        assert grow_guest(grown) == counter
    before = grown.read_bytes()
    assert grow_guest(grown) == 8
    after = grown.read_bytes()
    steps = range(0, len(after), MIB)
    assert 2 <= sum(before[at : at + MIB] != after[at : at + MIB] for at in steps) <= 24
    partition = f"{grown}?offset={MIB}"
    listing = ["debugfs", "-R", "ls -p /var/lib/sample/data", partition]
    told = subprocess.run(listing, check=True, capture_output=True, text=True).stdout
    assert "000008.noise" in told
    assert "000003.noise" not in told


def test_the_guest_boots_to_its_login_and_shows_its_counter(
    target: LibvirtHypervisor, disk: Path, tmp_path: Path
) -> None:
    """A fresh guest gets to the login prompt with counter 1, and its service answers."""
    start(target, converted(disk, tmp_path))
    said = await_serial(target, VM, b"sample login:", BOOT_S)
    assert b"service on port 80: sample guest, counter 1" in said
    assert b"\nsample guest, counter 1" in said
    assert len(target.screen(VM)) > 500


def test_an_unconverted_guest_does_not_find_its_disk(target: LibvirtHypervisor, disk: Path) -> None:
    """On hardware that it has never seen the guest gives up, and says so."""
    start(target, disk)
    said = await_serial(target, VM, b"Gave up waiting for root device /dev/sda1", BOOT_S)
    assert b"login:" not in said


def test_a_grown_guest_shows_its_new_counter_and_shuts_down_cleanly(
    target: LibvirtHypervisor, disk: Path, tmp_path: Path
) -> None:
    """After growth the login prompt shows the new counter; the power button works."""
    grown = tmp_path / "grown.raw"
    shutil.copyfile(disk, grown)
    grow_guest(grown)
    start(target, converted(grown, tmp_path), DiskBus.SCSI)
    said = await_serial(target, VM, b"sample login:", BOOT_S)
    assert b"\nsample guest, counter 2" in said
    stop = threading.Thread(target=target.power_off, args=(VM,), kwargs={"grace": 90.0})
    stop.start()
    stop.join()
    signs = target.signs_of_life(VM)
    assert signs.power is Power.OFF
    assert b"Requesting system poweroff" in signs.serial_tail


def test_the_site_s_images_are_its_disk(tmp_path: Path) -> None:
    """The full image restores to the source disk by zstd alone; growth makes one increment more."""
    clock, never = SystemClock(), NeverCancelled()
    (tmp_path / "site/cache").parent.mkdir()
    (tmp_path / "site/cache").symlink_to(CACHE)
    site = build(tmp_path / "site", clock, never, lambda _: None, print)
    before = site.source.read_bytes()
    [full] = site.images.rglob("*.bpi")
    assert subprocess.run(["zstd", "-dc", full], check=True, capture_output=True).stdout == before
    assert not list(site.watched.rglob("*.bpi"))
    counter, made = grow_site(site, clock, never, lambda _: None)
    assert (counter, made.sequence, made.full) == (2, 2, False)
    assert made.stored_bytes < full.stat().st_size / 2
    assert len(list(site.watched.rglob("*.json"))) == 2
    assert existing(tmp_path / "site") == site
