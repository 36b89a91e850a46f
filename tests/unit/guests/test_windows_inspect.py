"""What inspection sees in the disks of machines with Windows."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.guests.backend import GuestDisk
from engine.guests.backends.choose import open_guest
from engine.guests.backends.userland import UserlandBackend, open_userland
from engine.guests.inspect import inspect
from engine.guests.windows.inspect import spelled
from engine.guests.windows.version import HiveDamaged, is_dirty, read_version
from engine.model.guest import Family, FileSystem, Guest, VolumeId
from engine.model.machine import Firmware
from tests.guests.phony_windows import (
    CONFIG,
    SERVER_2008_R2,
    SERVER_2019,
    WINDOWS,
    WINDOWS_11,
    Recipe,
    build,
    hive,
    run,
    software,
)
from tests.unit.guests.trees import MemoryGuest, volume

Look = Callable[[Recipe], Guest]
KERNEL = "/Windows/System32/ntoskrnl.exe"


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Build a machine and inspect it."""

    def at(recipe: Recipe) -> Guest:
        with open_userland([build(tmp_path / "disk.img", recipe)]) as backend:
            return inspect(backend)

    return at


def keys(guest: Guest) -> list[str]:
    """Return the keys of a guest's obstacles."""
    return [obstacle.key for obstacle in guest.obstacles]


def test_a_server_is_told_in_full(look: Look) -> None:
    """Name, build, firmware, boot manager and system volume come from the disks alone."""
    guest = look(Recipe())

    assert (guest.family, guest.name) == (Family.WINDOWS, "Windows Server 2019 Standard")
    assert guest.version == "10.0.17763.5329"
    assert guest.firmware is Firmware.BIOS
    assert guest.boot_loader == "bootmgr"
    system = next(volume for volume in guest.volumes if volume.start == WINDOWS)
    assert [(mount.path, mount.volume) for mount in guest.mounts] == [(b"/", system.id)]
    assert guest.obstacles == ()


def test_uefi_is_told_by_the_efi_boot_manager(look: Look) -> None:
    """A GPT disk with Microsoft's loader in its ESP belongs to UEFI."""
    guest = look(Recipe(firmware=Firmware.UEFI, version=WINDOWS_11))

    assert guest.firmware is Firmware.UEFI
    assert guest.name == "Windows 11 Pro"
    assert guest.obstacles == ()


def test_an_old_server_is_told(look: Look) -> None:
    """2008 R2 knows no major version number; its registry says 6.1."""
    guest = look(Recipe(version=SERVER_2008_R2))

    assert guest.name == "Windows Server 2008 R2 Enterprise"
    assert guest.version == "6.1.7601"


def test_a_hibernated_windows_is_an_obstacle(look: Look) -> None:
    """Its memory is in hiberfil.sys, and with it a part of the volume; the remedy is named."""
    guest = look(Recipe(hibernated=True))

    assert guest.family is Family.WINDOWS
    assert keys(guest) == ["guest.hibernated"]
    assert "powercfg /h off" in guest.obstacles[0].remedy


def test_bitlocker_is_an_obstacle(look: Look) -> None:
    """The boot manager is in the clear, so it is known to be Windows, and why it cannot be read."""
    guest = look(Recipe(bitlocker=True))

    assert guest.family is Family.WINDOWS
    assert keys(guest) == ["guest.bitlocker"]


def test_two_installations_are_an_obstacle(look: Look) -> None:
    """Which of the two boots cannot be told; both are named."""
    guest = look(Recipe(second=True))

    assert keys(guest) == ["guest.two_windows"]
    assert "Windows Server 2019 Standard, Windows Server 2008 R2" in guest.obstacles[0].text


def test_a_missing_boot_partition_is_an_obstacle(look: Look) -> None:
    """Without bootmgr and BCD nothing starts Windows."""
    assert keys(look(Recipe(boots=False))) == ["guest.no_boot_loader"]


DIRTY = hive({"Select": {"Current": 1}}, sequences=(8, 7))


def test_a_dirty_hive_without_a_log_is_an_obstacle(look: Look) -> None:
    """An unfinished write that nothing can finish is told."""
    assert keys(look(Recipe(files={CONFIG + b"SYSTEM": DIRTY}))) == ["guest.dirty_hive"]


def test_a_dirty_hive_with_a_log_may_be_finished(look: Look) -> None:
    """Backups of running machines have such hives: they are for the planner to replay."""
    log = DIRTY[:512] + b"HvLE".ljust(4096, b"\0")
    recipe = Recipe(files={CONFIG + b"SYSTEM": DIRTY, CONFIG + b"SYSTEM.LOG2": log})

    assert look(recipe).obstacles == ()


def test_a_registry_that_is_none_is_an_obstacle(look: Look) -> None:
    """A file that is no hive is damaged, and it is said which."""
    guest = look(Recipe(files={CONFIG + b"SOFTWARE": b"x" * 9000}))

    assert keys(guest) == ["guest.damaged_hive"]
    assert "(SOFTWARE)" in guest.obstacles[0].text


def test_a_journal_that_cannot_be_replayed_is_an_obstacle(tmp_path: Path) -> None:
    """On the twig the log of NTFS is replayed first; when that fails, the reason is kept."""
    with open_userland([build(tmp_path / "disk.img", Recipe(journal=True))]) as backend:
        backend.recover()
        guest = inspect(backend)

    assert guest.family is Family.WINDOWS
    assert keys(guest) == ["guest.ntfs_journal"]


def test_a_locked_data_volume_is_no_obstacle(tmp_path: Path) -> None:
    """BitLocker on another volume than the system's stays closed and does not matter."""
    disk = build(tmp_path / "disk.img", Recipe(second=True))
    with disk.open("r+b") as file:
        file.seek((48 << 20) + 3)
        file.write(b"-FVE-FS-")

    with open_userland([disk]) as backend:
        assert inspect(backend).obstacles == ()


def test_a_twig_in_qcow2_is_opened_with_what_is_needed(tmp_path: Path) -> None:
    """The backend is chosen for the volume of Windows and the ESP, and is the quickest."""
    disk, twig = build(tmp_path / "disk.img", Recipe(firmware=Firmware.UEFI)), tmp_path / "twig"
    run("qemu-img", "convert", "-O", "qcow2", str(disk), str(twig))

    with open_guest([GuestDisk(twig, "qcow2")], tmp_path / "work", is_writing=True) as opened:
        assert (opened.backend.name, opened.guest.firmware) == ("userland", Firmware.UEFI)
        assert opened.guest.obstacles == ()


class Counting(UserlandBackend):
    """A backend that counts the bytes of parts that were asked for."""

    asked = 0

    def part(self, volume: VolumeId, path: bytes, offset: int, length: int) -> bytes:
        """Count, and return the part."""
        self.asked += length
        return super().part(volume, path, offset, length)


def test_the_version_is_read_from_a_few_pages(tmp_path: Path) -> None:
    """The hive SOFTWARE of a real machine has a hundred megabytes; it is not read whole."""
    with Counting([build(tmp_path / "disk.img", Recipe())]) as backend:
        assert inspect(backend).name == "Windows Server 2019 Standard"

    assert 0 < backend.asked < 20_000


def test_a_backend_without_parts_reads_whole_files() -> None:
    """Names in another case are found by listing, hives by reading all of them."""
    files: dict[str, object] = {
        "/WINDOWS/system32/CONFIG/system": hive({"Select": {}}),
        "/WINDOWS/system32/CONFIG/Software": software(SERVER_2019),
        KERNEL.replace("Windows", "WINDOWS").replace("System32", "system32"): b"MZ",
        "/BOOTMGR": b"MZ",
        "/boot/bcd": b"regf",
    }
    disk = MemoryGuest([volume("01D0", FileSystem.NTFS)], {"01D0": files})  # type: ignore[dict-item]  # bytes and str are both fine

    guest = inspect(disk)

    assert (guest.name, guest.obstacles) == ("Windows Server 2019 Standard", ())
    assert spelled(disk, disk.volumes()[0], b"/windows/SYSTEM32") == b"/WINDOWS/system32"
    assert spelled(disk, disk.volumes()[0], b"/windows/nothing") is None


def program(machine: int) -> bytes:
    """Return the head of a program for a processor."""
    return b"MZ".ljust(60, b"\0") + b"\x40\0\0\0PE\0\0" + machine.to_bytes(2, "little")


def in_memory(kernel: bytes, *loaders: tuple[str, bytes]) -> Guest:
    """Inspect a Windows with this kernel and these loaders in its ESP."""
    volumes = [
        volume("NTFS", FileSystem.NTFS),
        volume("ESP", FileSystem.FAT, number=2, is_esp=True),
    ]
    config = {f"/Windows/System32/config/{name}": hive({}) for name in ("SYSTEM", "SOFTWARE")}
    config["/Windows/System32/config/SOFTWARE"] = software(WINDOWS_11)
    disk = MemoryGuest(volumes, {"NTFS": {KERNEL: kernel, **config}, "ESP": dict(loaders)})
    return inspect(disk)


MANAGER = "/EFI/Microsoft/Boot/bootmgfw.efi"


@pytest.mark.parametrize(("machine", "name"), [(0xAA64, "aarch64"), (0x200, "Itanium")])
def test_a_windows_for_another_processor_is_told(machine: int, name: str) -> None:
    """Its disks look like any other's; its kernel says that no VM here can run it."""
    (obstacle,) = in_memory(program(machine), (MANAGER, program(machine))).obstacles

    assert obstacle.key == "guest.architecture"
    assert name in obstacle.text


def test_a_windows_started_by_uefi_of_32_bits_is_told() -> None:
    """As on tablets: its boot manager is no program for the firmware of a VM."""
    (obstacle,) = in_memory(program(0x14C), (MANAGER, program(0x14C))).obstacles

    assert obstacle.key == "guest.firmware_32"


def test_a_windows_of_the_usual_kind_is_no_other() -> None:
    """With or without the fallback whose name says x64."""
    fallback = ("/EFI/Boot/bootx64.efi", program(0x8664))

    assert in_memory(program(0x8664), (MANAGER, program(0x8664))).obstacles == ()
    assert in_memory(program(0x8664), (MANAGER, b"MZ"), fallback).obstacles == ()


def reading(content: bytes) -> Callable[[int, int], bytes]:
    """Return a reader of some bytes."""
    return lambda offset, length: content[offset : offset + length]


def test_windows_11_says_10_of_itself() -> None:
    """From build 22000 on, a client is Windows 11 whatever its name says; a server is not."""
    client = read_version(reading(software(WINDOWS_11)))
    server = read_version(
        reading(
            software({**SERVER_2019, "CurrentBuildNumber": "26100", "ProductName": "Windows 10"})
        )
    )

    assert (client.name, client.release, client.is_server) == ("Windows 11 Pro", "23H2", False)
    assert server.name == "Windows 10"


def test_a_damaged_hive_ends_in_words() -> None:
    """Cut or overwritten anywhere, a hive gives a version or says that it is damaged."""
    whole = software(SERVER_2008_R2)
    outcomes = set()
    for at in range(0, len(whole), 211):
        for broken in (whole[:at], whole[:at] + b"\xff" * 64 + whole[at + 64 :]):
            try:
                read_version(reading(broken))
                outcomes.add("read")
            except HiveDamaged:
                outcomes.add("damaged")

    assert outcomes == {"read", "damaged"}


def test_a_hive_is_dirty_by_numbers_or_checksum() -> None:
    """Unequal sequence numbers or a wrong checksum: a write was not finished."""
    clean = hive({})

    assert not is_dirty(clean)
    assert is_dirty(hive({}, sequences=(3, 2)))
    assert is_dirty(clean[:40] + b"\1" + clean[41:])
    with pytest.raises(HiveDamaged):
        is_dirty(clean[:500])


def test_names_from_the_registry_are_printable() -> None:
    """A hostile name neither breaks a terminal nor fills it."""
    hostile = {**SERVER_2019, "ProductName": "Windows \x1b[2J" + "x" * 900}

    name = read_version(reading(software(hostile))).name

    assert name.isprintable()
    assert len(name) <= 200


def test_a_version_without_values_has_zeros() -> None:
    """A key that is there but empty gives a Windows of no version, not an error."""
    found = read_version(reading(software({})))

    assert (found.name, found.number) == ("Windows", "0.0.0")
    assert replace(found, build=5).number == "0.0.5"
